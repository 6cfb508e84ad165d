//! Rows in and out: the only place that knows which column holds what.

use std::str::FromStr;

use piton_core::{Epoch, Event, FORMAT, REDUCER, Recorded, Run, RunId, WorkerId};
use rusqlite::{Connection, Row, params};

use super::fault::Fault;
use crate::{JobKind, RunRow};

/// Bytes of events that are in memory for one reader: a page ends with the event that exceeds them.
const PAGE_BYTES: usize = 256 * 1024;

/// The columns that [`run_row`] reads, in this order.
pub(super) const RUN_COLUMNS: &str = "id, tenant, labels, priority, agent_name, task, reducer, fold, owner, epoch, \
                                      attempt, created_at, updated_at, finished_at";

pub(super) fn run_row(row: &Row<'_>) -> Result<RunRow, Fault> {
    let id = text(row, 0)?;
    let corrupt = |what: &dyn std::fmt::Display| Fault::Corrupt(format!("run {id}: {what}"));
    let reducer: u32 = row.get(6)?;
    if reducer > REDUCER {
        return Err(corrupt(&"it was written by a newer Piton"));
    }
    Ok(RunRow {
        id: RunId::from_str(id).map_err(|error| corrupt(&error))?,
        tenant: row.get(1)?,
        labels: serde_json::from_str(text(row, 2)?).map_err(|error| corrupt(&error))?,
        priority: row.get(3)?,
        agent_name: row.get(4)?,
        task: row.get(5)?,
        run: serde_json::from_str(text(row, 7)?).map_err(|error| corrupt(&error))?,
        owner: row.get::<_, Option<String>>(8)?.map(WorkerId::new),
        epoch: epoch(row.get(9)?),
        attempt: row.get(10)?,
        created_at_ms: row.get(11)?,
        updated_at_ms: row.get(12)?,
        finished_at_ms: row.get(13)?,
    })
}

/// A column's text where it lies.
pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, Fault> {
    row.get_ref(column)?.as_str().map_err(Fault::corrupt)
}

pub(super) fn run_id(stored: &str) -> Result<RunId, Fault> {
    RunId::from_str(stored).map_err(Fault::corrupt)
}

pub(super) fn epoch(stored: i64) -> Epoch {
    Epoch(u64::try_from(stored).unwrap_or_default())
}

/// SQLite's integers are signed; versions and epochs never come near the edge.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn read_run(conn: &Connection, run: RunId) -> Result<Option<RunRow>, Fault> {
    let mut read = conn.prepare_cached(
        "SELECT id, tenant, labels, priority, agent_name, task, reducer, fold, owner, epoch, attempt, created_at, \
         updated_at, finished_at FROM runs WHERE id = ?",
    )?;
    let mut rows = read.query([run.to_string()])?;
    rows.next()?.map(run_row).transpose()
}

/// Reads `seq, at, type, v, body`.
fn recorded(row: &Row<'_>) -> Result<Recorded, Fault> {
    let event = Event::decode(text(row, 2)?, row.get(3)?, text(row, 4)?).map_err(Fault::corrupt)?;
    Ok(Recorded { seq: row.get(0)?, at_ms: row.get(1)?, event })
}

/// A page of events: it ends at `limit`, or with the event that fills [`PAGE_BYTES`].
pub(super) fn read_events(
    conn: &Connection,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, Fault> {
    let mut read = conn.prepare_cached(
        "SELECT seq, at, type, v, body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
    )?;
    let mut rows = read.query(params![run.to_string(), signed(after), limit])?;
    let mut page = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        bytes += text(row, 4)?.len();
        page.push(recorded(row)?);
    }
    Ok(page)
}

/// Appends `events` after version `base`.
pub(super) fn append_events(
    conn: &Connection,
    run: RunId,
    base: u64,
    epoch: Option<Epoch>,
    events: &[Event],
    now_ms: i64,
) -> Result<(), Fault> {
    let mut append = conn.prepare_cached(
        "INSERT INTO events (run, seq, at, type, v, body, epoch) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (run, epoch) = (run.to_string(), epoch.map(|epoch| signed(epoch.0)));
    for (event, seq) in events.iter().zip(base + 1..) {
        let body = event.encode().map_err(Fault::corrupt)?;
        append.execute(params![run, signed(seq), now_ms, event.kind(), FORMAT, body, epoch])?;
    }
    Ok(())
}

/// Writes the fold of a run that nobody holds or that stays with its holder.
pub(super) fn write_fold(conn: &Connection, run: RunId, after: &Run, now_ms: i64) -> Result<(), Fault> {
    conn.prepare_cached(
        "UPDATE runs SET status = ?2, version = ?3, reducer = ?4, fold = ?5, updated_at = ?6, finished_at = ?7 \
         WHERE id = ?1",
    )?
    .execute(params![
        run.to_string(),
        after.status.as_str(),
        signed(after.version),
        REDUCER,
        fold_text(after)?,
        now_ms,
        after.status.is_over().then_some(now_ms),
    ])?;
    Ok(())
}

pub(super) fn fold_text(run: &Run) -> Result<String, Fault> {
    serde_json::to_string(run).map_err(Fault::corrupt)
}

/// Gives the run its one job, or makes the one it has due now.
pub(super) fn enqueue(conn: &Connection, run: RunId, kind: JobKind, now_ms: i64) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
         SELECT id, ?2, tenant, agent_name, priority, reducer || ':' || agent_digest, ?3, ?3 FROM runs WHERE id = ?1 \
         ON CONFLICT (run) DO UPDATE SET due_at = min(due_at, excluded.due_at), needs = excluded.needs",
    )?
    .execute(params![run.to_string(), kind.as_str(), now_ms])?;
    Ok(())
}

pub(super) fn dequeue(conn: &Connection, run: RunId) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM jobs WHERE run = ?")?.execute([run.to_string()])?;
    Ok(())
}

/// A JSON list of ids, for `json_each`.
pub(super) fn ids(runs: &[RunId]) -> String {
    serde_json::Value::from_iter(runs.iter().map(RunId::to_string)).to_string()
}

/// The rows of a statement that `read` makes something of.
pub(super) fn collect<T>(
    statement: &mut rusqlite::Statement<'_>,
    params: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}
