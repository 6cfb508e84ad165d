//! What is read outside of a write: rows, pages, the inbox, the queue's depth.

use piton_core::{Agent, AgentDigest, REDUCER, RunId, WorkerId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{epoch, label_pairs, run_columns, run_id, run_row, small, unsigned};
use crate::skew::{self, JobsOf};
use crate::types::Listed;
use crate::{
    Inbox, LostAttempt, Needs, QueueStats, RunFilter, RunPage, Standing, Tally, UnreadableRun, WorkerRow,
};

/// Rows of one page.
const PAGE_MAX: u32 = 1000;
/// How long a worker whose lease lapsed is still listed.
const LAPSED_SHOWN_MS: i64 = 60_000;

/// A page, newest first.
pub(super) async fn runs(conn: &Conn, filter: &RunFilter) -> Result<RunPage, Fault> {
    let limit = filter.limit.clamp(1, PAGE_MAX);
    let mut sql = concat!("SELECT ", run_columns!(), ", status FROM runs WHERE true").to_owned();
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
    let mut and = |text: &str, value: Box<dyn ToSql + Sync + Send>| {
        params.push(value);
        sql.push_str(&text.replace('?', &format!("${}", params.len())));
    };
    if !filter.statuses.is_empty() {
        let statuses: Vec<&'static str> = filter.statuses.iter().map(|status| status.as_str()).collect();
        and(" AND status = ANY(?)", Box::new(statuses));
    }
    if let Some(search) = &filter.search {
        // No text here holds a NUL, so that nothing is found that has one.
        let search = search.replace('\0', "\u{fffd}");
        let id = format!("{}%", search.replace(['%', '_', '\\'], ""));
        and(" AND (strpos(lower(task), lower(?)) > 0", Box::new(search));
        and(" OR id::text LIKE ?)", Box::new(id));
    }
    if let Some(agent) = &filter.agent {
        and(" AND agent_name = ?", Box::new(agent.replace('\0', "\u{fffd}")));
    }
    if let Some(tenant) = &filter.tenant {
        and(" AND tenant = ?", Box::new(tenant.replace('\0', "\u{fffd}")));
    }
    if let Some(owner) = &filter.owner {
        and(" AND owner = ?", Box::new(owner.as_str().to_owned()));
    }
    if !filter.labels.is_empty() {
        and(" AND label_pairs @> ? AND label_pairs <> '{}'", Box::new(label_pairs(&filter.labels)));
    }
    if let Some(before) = filter.before {
        and(" AND id < ?", Box::new(before.as_uuid()));
    }
    and(" ORDER BY id DESC LIMIT ?", Box::new(i64::from(limit) + 1));
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as _).collect();
    let rows = conn.query_planned(&sql, &params).await?;
    Ok(RunPage::of(rows.iter().map(listed).collect(), limit as usize))
}

/// Reads what `run_columns` names, and the status behind that.
fn listed(row: &Row) -> Listed {
    match run_row(row) {
        Ok(row) => Listed::Run(Box::new(row)),
        Err(_) => Listed::Unreadable(UnreadableRun {
            run: run_id(row, 0),
            status: row.get::<_, &str>(14).parse().ok(),
            created_at_ms: row.get(11),
            is_newer: row.get::<_, i64>(6) > i64::from(REDUCER),
        }),
    }
}

pub(super) async fn standings(conn: &Conn, runs: &[RunId]) -> Result<Vec<Standing>, Fault> {
    let ids: Vec<Uuid> = runs.iter().map(RunId::as_uuid).collect();
    let rows = conn.query("SELECT id, version, status FROM runs WHERE id = ANY($1)", &[&ids]).await?;
    let standing = |row: &Row| {
        let status = row.get::<_, &str>(2).parse().map_err(Fault::corrupt)?;
        Ok(Standing { run: run_id(row, 0), version: unsigned(row.get(1)), status })
    };
    rows.iter().map(standing).collect()
}

pub(super) async fn inbox(conn: &Conn, limit: u32) -> Result<Inbox, Fault> {
    let sql = concat!(
        "SELECT ",
        run_columns!(),
        ", status FROM runs WHERE asked_at IS NOT NULL ORDER BY asked_at LIMIT $1"
    );
    let rows = conn.query(sql, &[&i64::from(limit.min(PAGE_MAX))]).await?;
    Ok(Inbox::of(rows.iter().map(listed).collect()))
}

macro_rules! workers {
    ($which:literal) => {
        concat!(
            "SELECT id, host, pid, concurrency, version, started_at, lease_ms, expires_at, \
             (SELECT count(*) FROM runs WHERE owner = workers.id), draining, reducer, lacks FROM workers ",
            $which
        )
    };
}

pub(super) async fn workers(conn: &Conn, now_ms: i64) -> Result<Vec<WorkerRow>, Fault> {
    let sql = workers!("WHERE expires_at > $1 ORDER BY started_at, id");
    Ok(conn.query(sql, &[&(now_ms - LAPSED_SHOWN_MS)]).await?.iter().map(worker_row).collect())
}

/// However long ago it fell silent: its runs go on when somebody notices, be that a week later.
pub(super) async fn every_worker(conn: &Conn) -> Result<Vec<WorkerRow>, Fault> {
    Ok(conn.query(workers!(""), &[]).await?.iter().map(worker_row).collect())
}

/// Every incarnation of the worker that bears this name.
pub(super) async fn incarnations(conn: &Conn, worker: &WorkerId) -> Result<Vec<WorkerRow>, Fault> {
    let sql = workers!("WHERE id = $1 OR starts_with(id, $1 || '.')");
    Ok(conn.query(sql, &[&worker.as_str()]).await?.iter().map(worker_row).collect())
}

fn worker_row(row: &Row) -> WorkerRow {
    WorkerRow {
        id: WorkerId::new(row.get::<_, String>(0)),
        host: row.get(1),
        pid: small(row.get(2)),
        concurrency: small(row.get(3)),
        version: row.get(4),
        started_at_ms: row.get(5),
        lease_ms: unsigned(row.get(6)),
        expires_at_ms: row.get(7),
        runs: small(row.get(8)),
        draining: row.get(9),
        reducer: small(row.get(10)),
        // What another version wrote there is for it to know.
        lacks: serde_json::from_str(row.get(11)).unwrap_or_default(),
    }
}

pub(super) async fn is_draining(conn: &Conn, worker: &WorkerId) -> Result<bool, Fault> {
    let sql = "SELECT FROM workers WHERE id = $1 AND draining";
    Ok(conn.first(sql, &[&worker.as_str()]).await?.is_some())
}

pub(super) async fn queue(conn: &Conn, now_ms: i64) -> Result<QueueStats, Fault> {
    let lines = "SELECT agent, needs, count(*) FILTER (WHERE due_at <= $1), count(*) FILTER (WHERE due_at > $1), \
                 min(due_at) FROM jobs GROUP BY agent, needs";
    let rows = conn.query(lines, &[&now_ms]).await?;
    let lines = rows.iter().map(|row| JobsOf {
        agent: row.get(0),
        needs: Needs::parse(row.get(1)),
        due: unsigned(row.get(2)),
        later: unsigned(row.get(3)),
        oldest_at_ms: row.get(4),
    });
    let owned = conn.first("SELECT count(*) FROM runs WHERE owner IS NOT NULL", &[]).await?;
    let owned = owned.map_or(0, |row| unsigned(row.get(0)));
    Ok(QueueStats::of(lines, owned, &workers(conn, now_ms).await?, now_ms))
}

pub(super) async fn tally(conn: &Conn, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Fault> {
    let sql = "SELECT status, finished_at / 60000 * 60000 AS minute, count(*) FROM \
               (SELECT status, finished_at FROM runs WHERE id >= $1 ORDER BY id DESC LIMIT $2) late \
               GROUP BY status, minute";
    let first = Uuid::parse_str(&format!("{}-0000-0000-000000000000", Tally::ids_after(since_ms)));
    let rows = conn.query(sql, &[&first.map_err(Fault::corrupt)?, &i64::from(limit)]).await?;
    let tally = |row: &Row| {
        let status = row.get::<_, &str>(0).parse().map_err(Fault::corrupt)?;
        Ok(Tally { status, finished_at_ms: row.get(1), runs: unsigned(row.get(2)) })
    };
    rows.iter().map(tally).collect()
}

/// Jobs, due or not, counted up to `limit`.
pub(super) async fn waiting(conn: &Conn, limit: u64) -> Result<u64, Fault> {
    let sql = "SELECT count(*) FROM (SELECT FROM jobs LIMIT $1) counted";
    let row = conn.first(sql, &[&super::rows::signed(limit)]).await?;
    Ok(row.map_or(0, |row| unsigned(row.get(0))))
}

pub(super) async fn agent(conn: &Conn, digest: &AgentDigest) -> Result<Option<Agent>, Fault> {
    let row = conn.first("SELECT definition FROM agents WHERE digest = $1", &[&digest.as_str()]).await?;
    row.map(|row| skew::definition(digest, row.get(0))).transpose().map_err(Fault::Corrupt)
}

pub(super) async fn lost_attempts(conn: &Conn, run: RunId) -> Result<Vec<LostAttempt>, Fault> {
    let sql = "SELECT worker, epoch, attempt, version, at, how, blamed FROM lost_attempts WHERE run = $1 \
               ORDER BY epoch LIMIT 1000";
    let rows = conn.query(sql, &[&run.as_uuid()]).await?;
    let lost = |row: &Row| LostAttempt {
        worker: WorkerId::new(row.get::<_, String>(0)),
        epoch: epoch(row.get(1)),
        attempt: small(row.get(2)),
        version: unsigned(row.get(3)),
        at_ms: row.get(4),
        how: row.get(5),
        blamed: row.get(6),
    };
    Ok(rows.iter().map(lost).collect())
}
