//! Workers as the database knows them: leases, deaths, and the sweep that derives missing wake-ups.

use piton_core::WorkerId;

use super::conn::Conn;
use super::fault::{Fault, READ_ONLY};
use super::rows::signed;
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::launching::KEY_LIFE_MS;
use crate::{Lack, LostWorker, WorkerRow};

/// Gives each run a job that is owed one; `$1` is now.
pub(super) const MISSING_JOBS: &str = "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
                                       SELECT id, 'step', tenant, agent_name, priority, reducer || ':' || agent_digest, $1, $1 FROM runs \
                                       WHERE status IN ('running', 'cancelling') AND owner IS NULL \
                                       AND NOT EXISTS (SELECT FROM jobs WHERE jobs.run = runs.id) ON CONFLICT DO NOTHING";
/// What became of an owner that has no row.
pub(super) const UNREGISTERED: &str = "it is not registered";

pub(super) struct Register(pub(super) WorkerRow);

impl Transact for Register {
    type Out = ();

    fn run<'a>(&'a self, conn: &'a Conn, _now_ms: i64) -> Written<'a, ()> {
        Box::pin(async move {
            let worker = &self.0;
            conn.execute(
                "INSERT INTO workers (id, host, pid, concurrency, version, started_at, lease_ms, expires_at, \
                 reducer, lacks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                &[
                    &worker.id.as_str(),
                    &worker.host,
                    &i64::from(worker.pid),
                    &i64::from(worker.concurrency),
                    &worker.version,
                    &worker.started_at_ms,
                    &signed(worker.lease_ms),
                    &worker.expires_at_ms,
                    &i64::from(worker.reducer),
                    &lacks_text(&worker.lacks)?,
                ],
            )
            .await?;
            Ok(((), None))
        })
    }
}

/// Not by the writer: a run that somebody else has locked holds that up, and ends nobody's lease. It need not survive a crash
/// of the server.
pub(super) async fn renew(conn: &Conn, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Fault> {
    conn.batch("BEGIN; SET LOCAL synchronous_commit = off").await?;
    let renew = "UPDATE workers SET expires_at = $1 WHERE id = $2";
    let renewed = conn.execute(renew, &[&expires_at_ms, &worker.as_str()]).await;
    conn.batch(if renewed.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    Ok(renewed? == 1)
}

/// Asks a worker to end in good order.
pub(super) struct Drain(pub(super) WorkerId);

impl Transact for Drain {
    type Out = bool;

    fn run<'a>(&'a self, conn: &'a Conn, _now_ms: i64) -> Written<'a, bool> {
        Box::pin(async move {
            let drain = "UPDATE workers SET draining = true WHERE id = $1";
            Ok((conn.execute(drain, &[&self.0.as_str()]).await? == 1, None))
        })
    }
}

/// Lets it be seen what a worker lacks.
pub(super) struct Lacks {
    pub(super) worker: WorkerId,
    pub(super) lacks: Vec<Lack>,
}

impl Transact for Lacks {
    type Out = ();

    fn run<'a>(&'a self, conn: &'a Conn, _now_ms: i64) -> Written<'a, ()> {
        Box::pin(async move {
            let lacks = lacks_text(&self.lacks)?;
            let write = "UPDATE workers SET lacks = $1 WHERE id = $2";
            conn.execute(write, &[&lacks, &self.worker.as_str()]).await?;
            Ok(((), None))
        })
    }
}

fn lacks_text(lacks: &[Lack]) -> Result<String, Fault> {
    serde_json::to_string(lacks).map_err(Fault::corrupt)
}

/// Ends the ownership of a dead worker, if its row is still as it was when it looked dead.
pub(super) struct Recover(pub(super) LostWorker);

impl Transact for Recover {
    type Out = u64;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, u64> {
        Box::pin(async move {
            let lost = &self.0;
            let removed = conn
                .execute(
                    "DELETE FROM workers WHERE id = $1 AND expires_at = $2",
                    &[&lost.id.as_str(), &lost.expires_at_ms],
                )
                .await?;
            if removed == 0 {
                return Ok((0, None));
            }
            let busy: Vec<_> = lost.busy_with.iter().map(|run| run.as_uuid()).collect();
            conn.execute(
                "UPDATE runs SET suspect = $1 WHERE owner = $1 AND id = ANY($2)",
                &[&lost.id.as_str(), &busy],
            )
            .await?;
            let freed = free(conn, lost.id.as_str(), now_ms, Some(lost.why.as_str())).await?;
            Ok((freed, (freed > 0).then_some(Ring::Job)))
        })
    }
}

/// A worker's good-bye.
pub(super) struct Retire(pub(super) WorkerId);

impl Transact for Retire {
    type Out = ();

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, ()> {
        Box::pin(async move {
            conn.execute("DELETE FROM workers WHERE id = $1", &[&self.0.as_str()]).await?;
            let freed = free(conn, self.0.as_str(), now_ms, None).await?;
            Ok(((), (freed > 0).then_some(Ring::Job)))
        })
    }
}

/// Gives every run of `worker` a job and no owner. Without a `death` the attempt is taken back: it is none when a
/// worker hands over in good order.
pub(super) async fn free(conn: &Conn, worker: &str, now_ms: i64, death: Option<&str>) -> Result<u64, Fault> {
    // In the order of their ids, as every group takes them.
    conn.query("SELECT FROM runs WHERE owner = $1 ORDER BY id FOR UPDATE", &[&worker]).await?;
    if let Some(how) = death {
        conn.execute(
            "INSERT INTO lost_attempts (run, epoch, attempt, worker, version, at, how) \
             SELECT id, epoch, attempt, owner, version, $2, $3 FROM runs WHERE owner = $1 ON CONFLICT DO NOTHING",
            &[&worker, &now_ms, &how],
        )
        .await?;
    }
    conn.execute(
        "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
         SELECT id, 'step', tenant, agent_name, priority, reducer || ':' || agent_digest, $2, $2 FROM runs \
         WHERE owner = $1 AND status IN ('running', 'cancelling') ORDER BY id \
         ON CONFLICT (run) DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at), needs = excluded.needs",
        &[&worker, &now_ms],
    )
    .await?;
    conn.execute(
        "UPDATE runs SET owner = NULL, attempt = CASE WHEN $2 THEN greatest(attempt - 1, 0) ELSE attempt END \
         WHERE owner = $1",
        &[&worker, &death.is_none()],
    )
    .await
}

/// Derives wake-ups from runs, never from the queue, and forgets what has had its time.
pub(super) struct Sweep;

impl Transact for Sweep {
    type Out = u64;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, u64> {
        Box::pin(async move {
            let owners = conn
                .query(
                    "SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL \
                     AND NOT EXISTS (SELECT FROM workers WHERE workers.id = runs.owner)",
                    &[],
                )
                .await?;
            let mut mended = 0;
            for owner in &owners {
                mended += free(conn, owner.get(0), now_ms, Some(UNREGISTERED)).await?;
            }
            mended += conn.execute(MISSING_JOBS, &[&now_ms]).await?;
            let forget = "DELETE FROM idempotency_keys WHERE created_at <= $1";
            conn.execute(forget, &[&(now_ms - KEY_LIFE_MS)]).await?;
            Ok((mended, (mended > 0).then_some(Ring::Job)))
        })
    }
}

/// Brings jobs back from a future that a clock, since set back, has put them into.
pub(super) struct ClockSetBack;

impl Transact for ClockSetBack {
    type Out = u64;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, u64> {
        Box::pin(async move {
            // Due when they were enqueued: not those that are meant for later.
            let bring =
                "UPDATE jobs SET due_at = $1, enqueued_at = $1 WHERE due_at > $1 AND due_at <= enqueued_at";
            let woken = conn.execute(bring, &[&now_ms]).await?;
            Ok((woken, (woken > 0).then_some(Ring::Job)))
        })
    }
}

/// Finds out whether the database takes a write now.
pub(super) struct Probe;

impl Transact for Probe {
    type Out = ();

    fn run<'a>(&'a self, conn: &'a Conn, _now_ms: i64) -> Written<'a, ()> {
        Box::pin(async move {
            // It takes a transaction number, which a standby has none of.
            conn.query("SELECT pg_current_xact_id()::text", &[]).await?;
            let setting = "SELECT current_setting('transaction_read_only') = 'on'";
            if conn.first(setting, &[]).await?.is_some_and(|row| row.get(0)) {
                return Err(Fault::NotNow(READ_ONLY.to_owned()));
            }
            Ok(((), None))
        })
    }
}
