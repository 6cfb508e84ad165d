//! Rows in and out: the only place that knows which column holds what.

use std::collections::BTreeMap;

use piton_core::{Epoch, Event, FORMAT, REDUCER, Recorded, Run, RunId, Status, WorkerId};
use tokio_postgres::Row;

use super::conn::Conn;
use super::fault::Fault;
use crate::{JobKind, RunRow};

/// Bytes of events that are in memory for one reader: a page ends with the event that exceeds them.
const PAGE_BYTES: i64 = 256 * 1024;

/// The columns that [`run_row`] reads, in this order.
macro_rules! run_columns {
    () => {
        "id, tenant, labels, priority, agent_name, task, reducer, fold, owner, epoch, attempt, created_at, updated_at, \
         finished_at"
    };
}
pub(super) use run_columns;

pub(super) fn run_row(row: &Row) -> Result<RunRow, Fault> {
    let id = run_id(row, 0);
    let corrupt = |what: &dyn std::fmt::Display| Fault::Corrupt(format!("run {id}: {what}"));
    if row.get::<_, i64>(6) > i64::from(REDUCER) {
        return Err(corrupt(&"it was written by a newer Piton"));
    }
    Ok(RunRow {
        id,
        tenant: row.get(1),
        labels: serde_json::from_str(row.get(2)).map_err(|error| corrupt(&error))?,
        priority: row.get(3),
        agent_name: row.get(4),
        task: row.get(5),
        run: serde_json::from_str(row.get(7)).map_err(|error| corrupt(&error))?,
        owner: row.get::<_, Option<String>>(8).map(WorkerId::new),
        epoch: epoch(row.get(9)),
        attempt: small(row.get(10)),
        created_at_ms: row.get(11),
        updated_at_ms: row.get(12),
        finished_at_ms: row.get(13),
    })
}

pub(super) fn run_id(row: &Row, column: usize) -> RunId {
    RunId::from_uuid(row.get(column))
}

pub(super) fn epoch(stored: i64) -> Epoch {
    Epoch(unsigned(stored))
}

/// PostgreSQL's integers are signed; versions and epochs never come near the edge.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

pub(super) fn small(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or_default()
}

pub(super) async fn read_run(conn: &Conn, run: RunId) -> Result<Option<RunRow>, Fault> {
    let sql = concat!("SELECT ", run_columns!(), " FROM runs WHERE id = $1");
    conn.first(sql, &[&run.as_uuid()]).await?.as_ref().map(run_row).transpose()
}

/// The events after `after`: at most `limit`, and no more bytes than a page may have beyond its first.
pub(super) async fn read_events(
    conn: &Conn,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, Fault> {
    let sql = "SELECT seq, at, type, v, body FROM (SELECT seq, at, type, v, body, \
               sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before FROM \
               (SELECT * FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3) page) page \
               WHERE before < $4 ORDER BY seq";
    let rows = conn.query(sql, &[&run.as_uuid(), &signed(after), &i64::from(limit), &PAGE_BYTES]).await?;
    rows.iter().map(recorded).collect()
}

fn recorded(row: &Row) -> Result<Recorded, Fault> {
    let event = Event::decode(row.get(2), small(row.get(3)), row.get(4)).map_err(Fault::corrupt)?;
    Ok(Recorded { seq: unsigned(row.get(0)), at_ms: row.get(1), event })
}

/// Appends `events` after version `base`.
pub(super) async fn append_events(
    conn: &Conn,
    run: RunId,
    base: u64,
    epoch: Option<Epoch>,
    events: &[Event],
    now_ms: i64,
) -> Result<(), Fault> {
    let kinds: Vec<&str> = events.iter().map(Event::kind).collect();
    let bodies =
        events.iter().map(Event::encode).collect::<Result<Vec<String>, _>>().map_err(Fault::corrupt)?;
    conn.execute(
        "INSERT INTO events (run, seq, at, type, v, body, epoch) \
         SELECT $1, $2 + n, $3, type, $4, body, $5 FROM unnest($6::text[], $7::text[]) WITH ORDINALITY \
         AS appended (type, body, n)",
        &[
            &run.as_uuid(),
            &signed(base),
            &now_ms,
            &i64::from(FORMAT),
            &epoch.map(|epoch| signed(epoch.0)),
            &kinds,
            &bodies,
        ],
    )
    .await?;
    Ok(())
}

/// Writes the fold of a run that nobody holds or that stays with its holder.
pub(super) async fn write_fold(conn: &Conn, run: RunId, after: &Run, now_ms: i64) -> Result<(), Fault> {
    let status = after.status;
    conn.execute(
        "UPDATE runs SET status = $2, version = $3, reducer = $4, fold = $5, updated_at = $6, finished_at = $7, \
         asked_at = $8 WHERE id = $1",
        &[
            &run.as_uuid(),
            &status.as_str(),
            &signed(after.version),
            &i64::from(REDUCER),
            &fold_text(after)?,
            &now_ms,
            &status.is_over().then_some(now_ms),
            &asked_at(after, now_ms),
        ],
    )
    .await?;
    Ok(())
}

/// Since when it waits for a human, if it does.
pub(super) fn asked_at(run: &Run, now_ms: i64) -> Option<i64> {
    matches!(run.status, Status::WaitingHumanInput | Status::Undecided).then_some(now_ms)
}

/// Labels as they are searched by.
pub(super) fn label_pairs(labels: &BTreeMap<String, String>) -> Vec<String> {
    let json = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    labels.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect()
}

pub(super) fn fold_text(run: &Run) -> Result<String, Fault> {
    serde_json::to_string(run).map_err(Fault::corrupt)
}

/// Gives the run its one job, or makes the one it has due now.
pub(super) async fn enqueue(conn: &Conn, run: RunId, kind: JobKind, now_ms: i64) -> Result<(), Fault> {
    conn.execute(
        "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
         SELECT id, $2, tenant, agent_name, priority, reducer || ':' || agent_digest, $3, $3 FROM runs WHERE id = $1 \
         ON CONFLICT (run) DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at), needs = excluded.needs",
        &[&run.as_uuid(), &kind.as_str(), &now_ms],
    )
    .await?;
    Ok(())
}

pub(super) async fn dequeue(conn: &Conn, run: RunId) -> Result<(), Fault> {
    conn.execute("DELETE FROM jobs WHERE run = $1", &[&run.as_uuid()]).await?;
    Ok(())
}
