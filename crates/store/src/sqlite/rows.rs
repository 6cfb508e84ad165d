//! Rows in and out: the only place that knows which column holds what.

use std::str::FromStr;

use futures::TryStreamExt;
use piton_core::{Epoch, Event, FORMAT, REDUCER, Recorded, Run, RunId, WorkerId};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::writer::Fault;
use crate::{JobKind, RunRow};

/// Bytes of events that are in memory for one reader: a page ends with the event that exceeds them.
const PAGE_BYTES: usize = 256 * 1024;

/// The columns that [`run_row`] reads, in this order.
pub(super) const RUN_COLUMNS: &str = "id, tenant, labels, priority, agent_name, task, reducer, fold, owner, epoch, \
                                      attempt, created_at, updated_at, finished_at";

pub(super) fn run_row(row: &SqliteRow) -> Result<RunRow, Fault> {
    let id: String = row.try_get(0)?;
    let corrupt = |what: &dyn std::fmt::Display| Fault::Corrupt(format!("run {id}: {what}"));
    let reducer: u32 = row.try_get(6)?;
    if reducer > REDUCER {
        return Err(corrupt(&"it was written by a newer Piton"));
    }
    Ok(RunRow {
        id: RunId::from_str(&id).map_err(|error| corrupt(&error))?,
        tenant: row.try_get(1)?,
        labels: serde_json::from_str(row.try_get(2)?).map_err(|error| corrupt(&error))?,
        priority: row.try_get(3)?,
        agent_name: row.try_get(4)?,
        task: row.try_get(5)?,
        run: serde_json::from_str(row.try_get(7)?).map_err(|error| corrupt(&error))?,
        owner: row.try_get::<Option<String>, _>(8)?.map(WorkerId::new),
        epoch: epoch(row.try_get(9)?),
        attempt: row.try_get(10)?,
        created_at_ms: row.try_get(11)?,
        updated_at_ms: row.try_get(12)?,
        finished_at_ms: row.try_get(13)?,
    })
}

pub(super) fn run_id(stored: &str) -> Result<RunId, Fault> {
    RunId::from_str(stored).map_err(|error| Fault::Corrupt(error.to_string()))
}

pub(super) fn epoch(stored: i64) -> Epoch {
    Epoch(u64::try_from(stored).unwrap_or_default())
}

/// SQLite's integers are signed; versions and epochs never come near the edge.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) async fn read_run(conn: &mut SqliteConnection, run: RunId) -> Result<Option<RunRow>, Fault> {
    let row = sqlx::query(
        "SELECT id, tenant, labels, priority, agent_name, task, reducer, fold, owner, epoch, attempt, created_at, \
         updated_at, finished_at FROM runs WHERE id = ?",
    )
    .bind(run.to_string())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(run_row).transpose()
}

pub(super) fn recorded(row: &SqliteRow) -> Result<Recorded, Fault> {
    let (kind, v, body): (String, u32, String) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok(Recorded {
        seq: u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default(),
        at_ms: row.try_get(1)?,
        event: Event::decode(&kind, v, &body).map_err(|error| Fault::Corrupt(error.to_string()))?,
    })
}

/// A page of events: it ends at `limit`, or with the event that fills [`PAGE_BYTES`].
pub(super) async fn read_events(
    conn: &mut SqliteConnection,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Recorded>, Fault> {
    let sql = "SELECT seq, at, type, v, body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?";
    let mut rows = sqlx::query(sql).bind(run.to_string()).bind(signed(after)).bind(limit).fetch(conn);
    let mut page = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        bytes += row.try_get::<&str, _>(4)?.len();
        page.push(recorded(&row)?);
    }
    Ok(page)
}

/// Appends `events` after version `base`, all in one statement.
pub(super) async fn append_events(
    conn: &mut SqliteConnection,
    run: RunId,
    base: u64,
    epoch: Option<Epoch>,
    events: &[Event],
    now_ms: i64,
) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(events.len());
    for (event, seq) in events.iter().zip(base + 1..) {
        let body = event.encode().map_err(|error| Fault::Corrupt(error.to_string()))?;
        rows.push(json!([seq, event.kind(), body]));
    }
    sqlx::query(
        "INSERT INTO events (run, seq, at, type, v, body, epoch) \
         SELECT ?1, value ->> 0, ?2, value ->> 1, ?3, value ->> 2, ?4 FROM json_each(?5)",
    )
    .bind(run.to_string())
    .bind(now_ms)
    .bind(FORMAT)
    .bind(epoch.map(|epoch| signed(epoch.0)))
    .bind(serde_json::Value::from(rows).to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the fold of a run that nobody holds or that stays with its holder.
pub(super) async fn write_fold(
    conn: &mut SqliteConnection,
    run: RunId,
    after: &Run,
    now_ms: i64,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE runs SET status = ?2, version = ?3, reducer = ?4, fold = ?5, updated_at = ?6, finished_at = ?7 \
         WHERE id = ?1",
    )
    .bind(run.to_string())
    .bind(after.status.as_str())
    .bind(signed(after.version))
    .bind(REDUCER)
    .bind(fold_text(after)?)
    .bind(now_ms)
    .bind(after.status.is_over().then_some(now_ms))
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) fn fold_text(run: &Run) -> Result<String, Fault> {
    serde_json::to_string(run).map_err(|error| Fault::Corrupt(error.to_string()))
}

/// Gives the run its one job, or makes the one it has due now.
pub(super) async fn enqueue(
    conn: &mut SqliteConnection,
    run: RunId,
    kind: JobKind,
    now_ms: i64,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
         SELECT id, ?2, tenant, priority, ?3, ?3 FROM runs WHERE id = ?1 \
         ON CONFLICT (run) DO UPDATE SET due_at = min(due_at, excluded.due_at)",
    )
    .bind(run.to_string())
    .bind(kind.as_str())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn dequeue(conn: &mut SqliteConnection, run: RunId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM jobs WHERE run = ?").bind(run.to_string()).execute(conn).await?;
    Ok(())
}
