//! What is read outside of a write: rows, pages, the inbox, the queue's depth.

use piton_core::{Agent, AgentDigest, REDUCER, RunId, Status, WorkerId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::fault::Fault;
use super::rows::{RUN_COLUMNS, collect, epoch, ids, run_id, run_row, text};
use crate::skew::{self, JobsOf};
use crate::types::Listed;
use crate::{
    Inbox, LostAttempt, Needs, QueueStats, RunFilter, RunPage, Standing, Tally, UnreadableRun, WorkerRow,
};

/// Rows of one page.
const PAGE_MAX: u32 = 1000;
/// What [`worker_row`] reads.
const WORKERS: &str = "SELECT id, host, pid, concurrency, version, started_at, lease_ms, expires_at, \
                       (SELECT count(*) FROM runs WHERE owner = workers.id), draining, reducer, lacks FROM workers";
/// How long a worker whose lease lapsed is still listed.
const LAPSED_SHOWN_MS: i64 = 60_000;

/// A statement that is put together piece by piece.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Adds `text` with a `?` for each of `values`.
    fn push<const N: usize>(&mut self, text: &str, values: [String; N]) {
        self.text.push_str(text);
        self.values.extend(values.map(Value::Text));
    }
}

/// A page, newest first. Of each status as many rows are read as the page may have: each goes along the index, and none
/// sorts what is not asked for.
pub(super) fn runs(conn: &Connection, filter: &RunFilter) -> Result<RunPage, Fault> {
    let limit = filter.limit.clamp(1, PAGE_MAX);
    let mut statuses: Vec<Option<Status>> = Vec::new();
    for status in filter.statuses.iter().copied().map(Some) {
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    if statuses.is_empty() {
        statuses.push(None);
    }
    let mut runs = Vec::new();
    for status in statuses {
        let sql = select(filter, status, limit + 1);
        let mut read = conn.prepare(&sql.text)?;
        runs.extend(collect(&mut read, params_from_iter(sql.values), listed)?);
    }
    runs.sort_unstable_by_key(|listed| std::cmp::Reverse(listed.run()));
    Ok(RunPage::of(runs, limit as usize))
}

/// Reads [`RUN_COLUMNS`] and the status behind them.
fn listed(row: &Row<'_>) -> Result<Listed, Fault> {
    match run_row(row) {
        Ok(row) => Ok(Listed::Run(Box::new(row))),
        Err(_) => Ok(Listed::Unreadable(UnreadableRun {
            run: run_id(text(row, 0)?)?,
            status: text(row, 14)?.parse().ok(),
            created_at_ms: row.get(11)?,
            is_newer: row.get::<_, u32>(6)? > REDUCER,
        })),
    }
}

fn select(filter: &RunFilter, status: Option<Status>, limit: u32) -> Sql {
    let mut sql = Sql { text: format!("SELECT {RUN_COLUMNS}, status FROM runs WHERE 1"), values: Vec::new() };
    if let Some(status) = status {
        sql.push(" AND status = ?", [status.as_str().to_owned()]);
    }
    if let Some(search) = &filter.search {
        let id = format!("{}%", search.replace(['%', '_'], ""));
        sql.push(" AND (instr(lower(task), lower(?)) > 0 OR id LIKE ?)", [search.clone(), id]);
    }
    if let Some(agent) = &filter.agent {
        sql.push(" AND agent_name = ?", [agent.clone()]);
    }
    if let Some(tenant) = &filter.tenant {
        sql.push(" AND tenant = ?", [tenant.clone()]);
    }
    if let Some(owner) = &filter.owner {
        sql.push(" AND owner = ?", [owner.as_str().to_owned()]);
    }
    for (key, value) in &filter.labels {
        sql.push(
            " AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(labels) THEN labels END) WHERE key = ? AND value = ?)",
            [key.clone(), value.clone()],
        );
    }
    if let Some(before) = filter.before {
        sql.push(" AND id < ?", [before.to_string()]);
    }
    sql.text.push_str(&format!(" ORDER BY id DESC LIMIT {limit}"));
    sql
}

/// In one statement, however many: each would be a transaction of its own.
pub(super) fn standings(conn: &Connection, runs: &[RunId]) -> Result<Vec<Standing>, Fault> {
    let standing = |row: &Row<'_>| {
        let status = text(row, 2)?.parse().map_err(Fault::corrupt)?;
        Ok(Standing { run: run_id(text(row, 0)?)?, version: row.get(1)?, status })
    };
    if let [run] = runs {
        let mut read = conn.prepare_cached("SELECT id, version, status FROM runs WHERE id = ?")?;
        return collect(&mut read, [run.to_string()], standing);
    }
    let mut read = conn.prepare_cached(
        "SELECT r.id, r.version, r.status FROM json_each(?) asked CROSS JOIN runs r ON r.id = asked.value",
    )?;
    collect(&mut read, [ids(runs)], standing)
}

pub(super) fn inbox(conn: &Connection, limit: u32) -> Result<Inbox, Fault> {
    let mut read = conn.prepare_cached(&format!(
        "SELECT {RUN_COLUMNS}, status FROM runs INDEXED BY runs_asking \
         WHERE status IN ('waiting_human_input', 'undecided') ORDER BY updated_at LIMIT ?"
    ))?;
    Ok(Inbox::of(collect(&mut read, [limit.min(PAGE_MAX)], listed)?))
}

pub(super) fn workers(conn: &Connection, now_ms: i64) -> Result<Vec<WorkerRow>, Fault> {
    let mut read = conn.prepare_cached(&format!("{WORKERS} WHERE expires_at > ? ORDER BY started_at, id"))?;
    collect(&mut read, [now_ms - LAPSED_SHOWN_MS], worker_row)
}

/// However long ago it fell silent: its runs go on when somebody notices, be that a week later.
pub(super) fn every_worker(conn: &Connection) -> Result<Vec<WorkerRow>, Fault> {
    collect(&mut *conn.prepare_cached(WORKERS)?, [], worker_row)
}

fn worker_row(row: &Row<'_>) -> Result<WorkerRow, Fault> {
    Ok(WorkerRow {
        id: WorkerId::new(row.get::<_, String>(0)?),
        host: row.get(1)?,
        pid: row.get(2)?,
        concurrency: row.get(3)?,
        version: row.get(4)?,
        started_at_ms: row.get(5)?,
        lease_ms: row.get(6)?,
        expires_at_ms: row.get(7)?,
        runs: row.get(8)?,
        draining: row.get(9)?,
        reducer: row.get(10)?,
        // What another version wrote there is for it to know.
        lacks: serde_json::from_str(text(row, 11)?).unwrap_or_default(),
    })
}

pub(super) fn is_draining(conn: &Connection, worker: &WorkerId) -> Result<bool, Fault> {
    let mut read = conn.prepare_cached("SELECT 1 FROM workers WHERE id = ? AND draining")?;
    Ok(read.exists([worker.as_str()])?)
}

pub(super) fn queue(conn: &Connection, now_ms: i64) -> Result<QueueStats, Fault> {
    let mut read = conn.prepare_cached(
        "SELECT agent, needs, count(*) FILTER (WHERE due_at <= ?1), count(*) FILTER (WHERE due_at > ?1), min(due_at) \
         FROM jobs GROUP BY tenant, agent, priority, needs",
    )?;
    let count = |row: &Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    let lines = collect(&mut read, [now_ms], count)?;
    let lines = lines.iter().map(|(agent, needs, due, later, oldest_at_ms)| JobsOf {
        agent,
        needs: Needs::parse(needs),
        due: *due,
        later: *later,
        oldest_at_ms: *oldest_at_ms,
    });
    let mut read = conn.prepare_cached("SELECT count(*) FROM runs WHERE owner IS NOT NULL")?;
    let owned = read.query_row([], |row| row.get(0))?;
    Ok(QueueStats::of(lines, owned, &workers(conn, now_ms)?, now_ms))
}

pub(super) fn tally(conn: &Connection, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Fault> {
    let mut read = conn.prepare_cached(
        "SELECT status, finished_at / 60000 * 60000 AS minute, count(*) FROM \
         (SELECT status, finished_at FROM runs WHERE id > ? ORDER BY id DESC LIMIT ?) GROUP BY status, minute",
    )?;
    collect(&mut read, params![Tally::ids_after(since_ms), limit], |row| {
        let status = text(row, 0)?.parse().map_err(Fault::corrupt)?;
        Ok(Tally { status, finished_at_ms: row.get(1)?, runs: row.get(2)? })
    })
}

pub(super) fn agent(conn: &Connection, digest: &AgentDigest) -> Result<Option<Agent>, Fault> {
    let mut read = conn.prepare_cached("SELECT definition FROM agents WHERE digest = ?")?;
    let definition: Option<String> = read.query_row([digest.as_str()], |row| row.get(0)).optional()?;
    definition.map(|text| skew::definition(digest, &text)).transpose().map_err(Fault::Corrupt)
}

/// Every incarnation of the worker that bears this name.
pub(super) fn incarnations(conn: &Connection, worker: &WorkerId) -> Result<Vec<WorkerRow>, Fault> {
    let mut read =
        conn.prepare(&format!("{WORKERS} WHERE id = ?1 OR (id >= ?1 || '.' AND id < ?1 || '/')"))?;
    collect(&mut read, [worker.as_str()], worker_row)
}

pub(super) fn lost_attempts(conn: &Connection, run: RunId) -> Result<Vec<LostAttempt>, Fault> {
    let mut read = conn.prepare(
        "SELECT worker, epoch, attempt, version, at, how, blamed FROM lost_attempts WHERE run = ? ORDER BY epoch \
         LIMIT 1000",
    )?;
    collect(&mut read, [run.to_string()], |row| {
        Ok(LostAttempt {
            worker: WorkerId::new(row.get::<_, String>(0)?),
            epoch: epoch(row.get(1)?),
            attempt: row.get(2)?,
            version: row.get(3)?,
            at_ms: row.get(4)?,
            how: row.get(5)?,
            blamed: row.get(6)?,
        })
    })
}
