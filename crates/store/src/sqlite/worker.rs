//! Workers as the database knows them: leases, deaths, and the sweep that derives missing wake-ups.

use async_trait::async_trait;
use piton_core::{RunId, WorkerId};
use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::launch::KEY_LIFE_MS;
use super::rows::signed;
use super::writer::{Fault, Transact};
use crate::bell::Ring;
use crate::{LostWorker, WorkerRow};

/// Gives each run a job that is owed one; `?1` is now.
pub(super) const MISSING_JOBS: &str = "INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
                                       SELECT id, 'step', tenant, priority, ?1, ?1 FROM runs \
                                       WHERE status IN ('running', 'cancelling') AND owner IS NULL \
                                       AND id NOT IN (SELECT run FROM jobs) ON CONFLICT DO NOTHING";
/// What became of an owner that has no row.
pub(super) const UNREGISTERED: &str = "it is not registered";

pub(super) struct Register(pub(super) WorkerRow);

#[async_trait]
impl Transact for Register {
    type Out = ();
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        _now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let worker = &self.0;
        sqlx::query(
            "INSERT INTO workers (id, host, pid, concurrency, version, started_at, lease_ms, expires_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(worker.id.as_str())
        .bind(&worker.host)
        .bind(worker.pid)
        .bind(worker.concurrency)
        .bind(&worker.version)
        .bind(worker.started_at_ms)
        .bind(signed(worker.lease_ms))
        .bind(worker.expires_at_ms)
        .execute(conn)
        .await?;
        Ok(((), None))
    }
}

pub(super) struct Renew {
    pub(super) worker: WorkerId,
    pub(super) expires_at_ms: i64,
}

#[async_trait]
impl Transact for Renew {
    type Out = bool;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        _now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let renewed = sqlx::query("UPDATE workers SET expires_at = ? WHERE id = ?")
            .bind(self.expires_at_ms)
            .bind(self.worker.as_str())
            .execute(conn)
            .await?;
        Ok((renewed.rows_affected() == 1, None))
    }
}

/// Ends the ownership of a dead worker, if its row is still as it was when it looked dead.
pub(super) struct Recover(pub(super) LostWorker);

#[async_trait]
impl Transact for Recover {
    type Out = u64;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let removed = sqlx::query("DELETE FROM workers WHERE id = ? AND expires_at = ?")
            .bind(self.0.id.as_str())
            .bind(self.0.expires_at_ms)
            .execute(&mut *conn)
            .await?;
        if removed.rows_affected() == 0 {
            return Ok((0, None));
        }
        let ids = json!(self.0.busy_with.iter().map(RunId::to_string).collect::<Vec<_>>()).to_string();
        sqlx::query(
            "UPDATE runs SET suspect = ?1 WHERE owner = ?1 AND id IN (SELECT value FROM json_each(?2))",
        )
        .bind(self.0.id.as_str())
        .bind(ids)
        .execute(&mut *conn)
        .await?;
        let freed = free(conn, &self.0.id, now_ms, Some(self.0.why.as_str())).await?;
        Ok((freed, (freed > 0).then_some(Ring::Job)))
    }
}

/// A worker's good-bye.
pub(super) struct Retire(pub(super) WorkerId);

#[async_trait]
impl Transact for Retire {
    type Out = ();
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        sqlx::query("DELETE FROM workers WHERE id = ?").bind(self.0.as_str()).execute(&mut *conn).await?;
        let freed = free(conn, &self.0, now_ms, None).await?;
        Ok(((), (freed > 0).then_some(Ring::Job)))
    }
}

/// Gives every run of `worker` a job and no owner. Without a `death` the attempt is taken back: it is none when a
/// worker hands over in good order.
pub(super) async fn free(
    conn: &mut SqliteConnection,
    worker: &WorkerId,
    now_ms: i64,
    death: Option<&str>,
) -> Result<u64, Fault> {
    if let Some(how) = death {
        sqlx::query(
            "INSERT INTO lost_attempts (run, epoch, attempt, worker, version, at, how) \
             SELECT id, epoch, attempt, owner, version, ?2, ?3 FROM runs WHERE owner = ?1 ON CONFLICT DO NOTHING",
        )
        .bind(worker.as_str())
        .bind(now_ms)
        .bind(how)
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query(
        "INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
         SELECT id, 'step', tenant, priority, ?2, ?2 FROM runs \
         WHERE owner = ?1 AND status IN ('running', 'cancelling') \
         ON CONFLICT (run) DO UPDATE SET due_at = min(due_at, excluded.due_at)",
    )
    .bind(worker.as_str())
    .bind(now_ms)
    .execute(&mut *conn)
    .await?;
    let freed = sqlx::query(
        "UPDATE runs SET owner = NULL, attempt = CASE WHEN ?2 THEN max(attempt - 1, 0) ELSE attempt END \
         WHERE owner = ?1",
    )
    .bind(worker.as_str())
    .bind(death.is_none())
    .execute(&mut *conn)
    .await?;
    Ok(freed.rows_affected())
}

/// Derives wake-ups from runs, never from the queue, and forgets what has had its time.
pub(super) struct Sweep;

#[async_trait]
impl Transact for Sweep {
    type Out = u64;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let orphans = sqlx::query(
            "SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM workers)",
        )
        .fetch_all(&mut *conn)
        .await?;
        let mut mended = 0;
        for row in orphans {
            mended +=
                free(conn, &WorkerId::new(row.try_get::<String, _>(0)?), now_ms, Some(UNREGISTERED)).await?;
        }
        let woken = sqlx::query(MISSING_JOBS).bind(now_ms).execute(&mut *conn).await?;
        mended += woken.rows_affected();
        sqlx::query("DELETE FROM idempotency_keys WHERE created_at <= ?")
            .bind(now_ms - KEY_LIFE_MS)
            .execute(&mut *conn)
            .await?;
        Ok((mended, (mended > 0).then_some(Ring::Job)))
    }
}

/// Brings jobs back from a future that a clock, since set back, has put them into.
pub(super) struct ClockSetBack;

#[async_trait]
impl Transact for ClockSetBack {
    type Out = u64;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        // Due when they were enqueued: not those that are meant for later.
        let woken = sqlx::query(
            "UPDATE jobs SET due_at = ?1, enqueued_at = ?1 WHERE due_at > ?1 AND due_at <= enqueued_at",
        )
        .bind(now_ms)
        .execute(conn)
        .await?
        .rows_affected();
        Ok((woken, (woken > 0).then_some(Ring::Job)))
    }
}

/// Finds out whether the database takes a write now. Getting the turn to write says enough while all is well; after
/// trouble something is really written and synced, because a full or failing disk shows only then.
pub(super) struct Probe {
    pub(super) in_trouble: bool,
}

#[async_trait]
impl Transact for Probe {
    type Out = ();
    const SYNCED: bool = true;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        _now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        if self.in_trouble {
            sqlx::query("PRAGMA user_version = 1").execute(conn).await?;
        }
        Ok(((), None))
    }
}
