//! What is read outside of a write: rows, pages, the inbox, the queue's depth.

use std::str::FromStr;

use piton_core::{Agent, AgentDigest, REDUCER, RunId, WorkerId};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::rows::{RUN_COLUMNS, epoch, run_row};
use super::writer::Fault;
use crate::{InboxItem, Lane, LostAttempt, QueueStats, RunFilter, RunPage, WorkerRow};

/// Rows of one page.
const PAGE_MAX: u32 = 1000;
/// What [`worker_row`] reads.
const WORKERS: &str = "SELECT id, host, pid, concurrency, version, started_at, lease_ms, expires_at, \
                       (SELECT count(*) FROM runs WHERE owner = workers.id) FROM workers";
/// How long a worker whose lease lapsed is still listed.
const LAPSED_SHOWN_MS: i64 = 60_000;

pub(super) async fn runs(conn: &mut SqliteConnection, filter: &RunFilter) -> Result<RunPage, Fault> {
    let limit = filter.limit.clamp(1, PAGE_MAX);
    let mut sql: QueryBuilder<Sqlite> = QueryBuilder::new(format!("SELECT {RUN_COLUMNS} FROM runs WHERE 1"));
    if !filter.statuses.is_empty() {
        sql.push(" AND status IN (");
        let mut list = sql.separated(", ");
        for status in &filter.statuses {
            list.push_bind(status.as_str());
        }
        sql.push(")");
    }
    if let Some(search) = &filter.search {
        sql.push(" AND (instr(lower(task), lower(").push_bind(search.clone()).push(")) > 0 OR id LIKE ");
        sql.push_bind(format!("{}%", search.replace(['%', '_'], ""))).push(")");
    }
    if let Some(agent) = &filter.agent {
        sql.push(" AND agent_name = ").push_bind(agent.clone());
    }
    if let Some(tenant) = &filter.tenant {
        sql.push(" AND tenant = ").push_bind(tenant.clone());
    }
    for (key, value) in &filter.labels {
        sql.push(" AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ").push_bind(key.clone());
        sql.push(" AND value = ").push_bind(value.clone()).push(")");
    }
    if let Some(before) = filter.before {
        sql.push(" AND id < ").push_bind(before.to_string());
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit + 1);
    let rows = sql.build().fetch_all(conn).await?;
    let mut runs = rows.iter().map(run_row).collect::<Result<Vec<_>, _>>()?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let next = runs.last().map(|run| run.id).filter(|_| more);
    Ok(RunPage { runs, next })
}

pub(super) async fn versions(
    conn: &mut SqliteConnection,
    runs: &[RunId],
) -> Result<Vec<(RunId, u64)>, Fault> {
    let ids = json!(runs.iter().map(RunId::to_string).collect::<Vec<_>>()).to_string();
    let rows = sqlx::query("SELECT id, version FROM runs WHERE id IN (SELECT value FROM json_each(?))")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get(0)?;
            let id = RunId::from_str(&id).map_err(|error| Fault::Corrupt(error.to_string()))?;
            Ok((id, u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default()))
        })
        .collect()
}

pub(super) async fn inbox(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<InboxItem>, Fault> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM runs WHERE status IN ('waiting_human_input', 'undecided') \
         ORDER BY updated_at LIMIT ?"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(limit.min(PAGE_MAX)).fetch_all(conn).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = run_row(row)?;
        let Some(interrupt) = row.run.interrupt.clone() else { continue };
        items.push(InboxItem {
            run: row.id,
            pending: row.run.front().cloned(),
            agent_name: row.agent_name,
            task: row.task,
            interrupt,
            asked_at_ms: row.updated_at_ms,
        });
    }
    Ok(items)
}

pub(super) async fn workers(conn: &mut SqliteConnection, now_ms: i64) -> Result<Vec<WorkerRow>, Fault> {
    let sql = format!("{WORKERS} WHERE expires_at > ? ORDER BY started_at, id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now_ms - LAPSED_SHOWN_MS).fetch_all(conn).await?;
    rows.iter().map(worker_row).collect()
}

/// However long ago it fell silent: its runs go on when somebody notices, be that a week later.
pub(super) async fn every_worker(conn: &mut SqliteConnection) -> Result<Vec<WorkerRow>, Fault> {
    let rows = sqlx::query(WORKERS).fetch_all(conn).await?;
    rows.iter().map(worker_row).collect()
}

fn worker_row(row: &SqliteRow) -> Result<WorkerRow, Fault> {
    Ok(WorkerRow {
        id: WorkerId::new(row.try_get::<String, _>(0)?),
        host: row.try_get(1)?,
        pid: row.try_get(2)?,
        concurrency: row.try_get(3)?,
        version: row.try_get(4)?,
        started_at_ms: row.try_get(5)?,
        lease_ms: u64::try_from(row.try_get::<i64, _>(6)?).unwrap_or_default(),
        expires_at_ms: row.try_get(7)?,
        runs: row.try_get(8)?,
    })
}

pub(super) async fn queue(conn: &mut SqliteConnection, now_ms: i64) -> Result<QueueStats, Fault> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM jobs WHERE due_at <= ?1), (SELECT count(*) FROM jobs WHERE due_at > ?1), \
         (SELECT min(due_at) FROM jobs WHERE due_at <= ?1), (SELECT count(*) FROM runs WHERE owner IS NOT NULL)",
    )
    .bind(now_ms)
    .fetch_one(conn)
    .await?;
    let count = |column: usize| -> Result<u64, Fault> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
    };
    let oldest: Option<i64> = row.try_get(2)?;
    Ok(QueueStats {
        due: count(0)?,
        later: count(1)?,
        oldest_ms: oldest.map_or(0, |due| u64::try_from(now_ms - due).unwrap_or_default()),
        owned: count(3)?,
    })
}

pub(super) async fn agent(conn: &mut SqliteConnection, digest: &AgentDigest) -> Result<Option<Agent>, Fault> {
    let definition: Option<String> = sqlx::query_scalar("SELECT definition FROM agents WHERE digest = ?")
        .bind(digest.as_str())
        .fetch_optional(conn)
        .await?;
    definition
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| Fault::Corrupt(format!("agent {digest}: {error}")))
}

/// Due jobs of runs that nobody holds and that this version can advance, counted up to `limit`.
pub(super) async fn due(
    conn: &mut SqliteConnection,
    lane: Lane,
    now_ms: i64,
    limit: u32,
) -> Result<u32, Fault> {
    // Each goes along the index of its lane.
    let sql = match lane {
        Lane::Common => {
            "SELECT count(*) FROM (SELECT 1 FROM jobs j JOIN runs r ON r.id = j.run WHERE j.due_at <= ? \
             AND r.owner IS NULL AND r.reducer <= ? AND r.suspect IS NULL LIMIT ?)"
        }
        Lane::Apart => {
            "SELECT count(*) FROM (SELECT 1 FROM runs r JOIN jobs j ON j.run = r.id WHERE j.due_at <= ? \
             AND r.owner IS NULL AND r.reducer <= ? AND r.suspect IS NOT NULL LIMIT ?)"
        }
    };
    let row = sqlx::query(sql).bind(now_ms).bind(REDUCER).bind(limit).fetch_one(conn).await?;
    Ok(row.try_get(0)?)
}

/// Every incarnation of the worker that bears this name.
pub(super) async fn incarnations(
    conn: &mut SqliteConnection,
    worker: &WorkerId,
) -> Result<Vec<WorkerRow>, Fault> {
    let sql = format!("{WORKERS} WHERE id = ?1 OR (id >= ?1 || '.' AND id < ?1 || '/')");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(worker.as_str()).fetch_all(conn).await?;
    rows.iter().map(worker_row).collect()
}

pub(super) async fn lost_attempts(
    conn: &mut SqliteConnection,
    run: RunId,
) -> Result<Vec<LostAttempt>, Fault> {
    let rows = sqlx::query(
        "SELECT worker, epoch, attempt, version, at, how, blamed FROM lost_attempts WHERE run = ? ORDER BY epoch \
         LIMIT 1000",
    )
    .bind(run.to_string())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LostAttempt {
                worker: WorkerId::new(row.try_get::<String, _>(0)?),
                epoch: epoch(row.try_get(1)?),
                attempt: row.try_get(2)?,
                version: u64::try_from(row.try_get::<i64, _>(3)?).unwrap_or_default(),
                at_ms: row.try_get(4)?,
                how: row.try_get(5)?,
                blamed: row.try_get(6)?,
            })
        })
        .collect()
}
