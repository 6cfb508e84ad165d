//! Workers as the database knows them: leases, deaths, and the sweep that derives missing wake-ups.

use piton_core::WorkerId;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::open;
use super::rows::{collect, ids, signed};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::launching::KEY_LIFE_MS;
use crate::{Lack, LostWorker, WorkerRow};

/// Gives each run a job that is owed one; `?1` is now.
pub(super) const MISSING_JOBS: &str = "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
                                       SELECT id, 'step', tenant, agent_name, priority, reducer || ':' || agent_digest, ?1, ?1 FROM runs \
                                       WHERE status IN ('running', 'cancelling') AND owner IS NULL \
                                       AND id NOT IN (SELECT run FROM jobs) ON CONFLICT DO NOTHING";
/// What became of an owner that has no row.
pub(super) const UNREGISTERED: &str = "it is not registered";

pub(super) struct Register(pub(super) WorkerRow);

impl Transact for Register {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let worker = &self.0;
        conn.execute(
            "INSERT INTO workers (id, host, pid, concurrency, version, started_at, lease_ms, expires_at, \
             reducer, lacks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![
                worker.id.as_str(),
                worker.host,
                worker.pid,
                worker.concurrency,
                worker.version,
                worker.started_at_ms,
                signed(worker.lease_ms),
                worker.expires_at_ms,
                worker.reducer,
                lacks_text(&worker.lacks)?,
            ],
        )?;
        Ok(((), None))
    }
}

pub(super) struct Renew {
    pub(super) worker: WorkerId,
    pub(super) expires_at_ms: i64,
}

impl Transact for Renew {
    type Out = bool;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let renewed = conn
            .prepare_cached("UPDATE workers SET expires_at = ? WHERE id = ?")?
            .execute(params![self.expires_at_ms, self.worker.as_str()])?;
        Ok((renewed == 1, None))
    }
}

/// Asks a worker to end in good order.
pub(super) struct Drain(pub(super) WorkerId);

impl Transact for Drain {
    type Out = bool;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let asked = conn.execute("UPDATE workers SET draining = 1 WHERE id = ?", [self.0.as_str()])?;
        Ok((asked == 1, None))
    }
}

/// Lets it be seen what a worker lacks.
pub(super) struct Lacks {
    pub(super) worker: WorkerId,
    pub(super) lacks: Vec<Lack>,
}

impl Transact for Lacks {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<((), Option<Ring>), Fault> {
        conn.prepare_cached("UPDATE workers SET lacks = ? WHERE id = ?")?
            .execute(params![lacks_text(&self.lacks)?, self.worker.as_str()])?;
        Ok(((), None))
    }
}

fn lacks_text(lacks: &[Lack]) -> Result<String, Fault> {
    serde_json::to_string(lacks).map_err(Fault::corrupt)
}

/// Ends the ownership of a dead worker, if its row is still as it was when it looked dead.
pub(super) struct Recover(pub(super) LostWorker);

impl Transact for Recover {
    type Out = u64;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let lost = &self.0;
        let removed = conn.execute(
            "DELETE FROM workers WHERE id = ? AND expires_at = ?",
            params![lost.id.as_str(), lost.expires_at_ms],
        )?;
        if removed == 0 {
            return Ok((0, None));
        }
        conn.execute(
            "UPDATE runs SET suspect = ?1 WHERE owner = ?1 AND id IN (SELECT value FROM json_each(?2))",
            params![lost.id.as_str(), ids(&lost.busy_with)],
        )?;
        let freed = free(conn, &lost.id, now_ms, Some(lost.why.as_str()))?;
        Ok((freed, (freed > 0).then_some(Ring::Job)))
    }
}

/// A worker's good-bye.
pub(super) struct Retire(pub(super) WorkerId);

impl Transact for Retire {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        conn.execute("DELETE FROM workers WHERE id = ?", [self.0.as_str()])?;
        let freed = free(conn, &self.0, now_ms, None)?;
        Ok(((), (freed > 0).then_some(Ring::Job)))
    }
}

/// Gives every run of `worker` a job and no owner. Without a `death` the attempt is taken back: it is none when a
/// worker hands over in good order.
pub(super) fn free(
    conn: &Connection,
    worker: &WorkerId,
    now_ms: i64,
    death: Option<&str>,
) -> Result<u64, Fault> {
    if let Some(how) = death {
        conn.execute(
            "INSERT INTO lost_attempts (run, epoch, attempt, worker, version, at, how) \
             SELECT id, epoch, attempt, owner, version, ?2, ?3 FROM runs WHERE owner = ?1 ON CONFLICT DO NOTHING",
            params![worker.as_str(), now_ms, how],
        )?;
    }
    conn.execute(
        "INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
         SELECT id, 'step', tenant, agent_name, priority, reducer || ':' || agent_digest, ?2, ?2 FROM runs \
         WHERE owner = ?1 AND status IN ('running', 'cancelling') \
         ON CONFLICT (run) DO UPDATE SET due_at = min(due_at, excluded.due_at), needs = excluded.needs",
        params![worker.as_str(), now_ms],
    )?;
    let freed = conn.execute(
        "UPDATE runs SET owner = NULL, attempt = CASE WHEN ?2 THEN max(attempt - 1, 0) ELSE attempt END \
         WHERE owner = ?1",
        params![worker.as_str(), death.is_none()],
    )?;
    Ok(freed as u64)
}

/// Derives wake-ups from runs, never from the queue, and forgets what has had its time.
pub(super) struct Sweep;

impl Transact for Sweep {
    type Out = u64;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let mut look = conn.prepare(
            "SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM workers)",
        )?;
        let mut mended = 0;
        for owner in collect(&mut look, [], |row| Ok(row.get::<_, String>(0)?))? {
            mended += free(conn, &WorkerId::new(owner), now_ms, Some(UNREGISTERED))?;
        }
        mended += conn.execute(MISSING_JOBS, [now_ms])? as u64;
        conn.execute("DELETE FROM idempotency_keys WHERE created_at <= ?", [now_ms - KEY_LIFE_MS])?;
        Ok((mended, (mended > 0).then_some(Ring::Job)))
    }
}

/// Brings jobs back from a future that a clock, since set back, has put them into.
pub(super) struct ClockSetBack;

impl Transact for ClockSetBack {
    type Out = u64;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        // Due when they were enqueued: not those that are meant for later.
        let woken = conn.execute(
            "UPDATE jobs SET due_at = ?1, enqueued_at = ?1 WHERE due_at > ?1 AND due_at <= enqueued_at",
            [now_ms],
        )? as u64;
        Ok((woken, (woken > 0).then_some(Ring::Job)))
    }
}

/// Finds out whether the database takes a write now. Getting the turn to write says enough while all is well; after
/// trouble something is really written and synced, because a full or failing disk shows only then.
pub(super) struct Probe {
    pub(super) in_trouble: bool,
}

impl Transact for Probe {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        if self.in_trouble {
            open::mark(conn)?;
        }
        Ok(((), None))
    }
}
