//! Recording a launch: the run, its first event, its agent's definition, its idempotency key and its job at once.

use std::time::Duration;

use piton_core::{REDUCER, RunId};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::queue_bound;
use super::rows::{append_events, enqueue, fold_text, read_run, run_id, signed};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::launching::{KEY_LIFE_MS, begun, digest, shown};
use crate::{Error, JobKind, Launch, Launched};

pub(super) struct WriteLaunch {
    pub(super) launch: Launch,
    pub(super) definition: String,
    /// Runs that may wait for a worker.
    pub(super) waiting_max: u64,
    /// How long it may wait for others to share its sync with.
    pub(super) patience: Duration,
}

impl Transact for WriteLaunch {
    type Out = Result<Launched, Error>;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let launch = &self.launch;
        if let Some(earlier) = self.earlier(conn, now_ms)? {
            return Ok((earlier, None));
        }
        let digest = digest(&self.definition);
        let (event, run) = begun(launch, &digest).map_err(Fault::corrupt)?;
        let written = conn
            .prepare_cached(
                "INSERT INTO runs (id, tenant, labels, priority, agent_digest, agent_name, task, status, version, \
                 reducer, fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, 0, 0, 0, 0, ?11, ?11 \
                 FROM queue_depth WHERE waiting < ?12",
            )?
            .execute(params![
                launch.run.to_string(),
                launch.tenant,
                serde_json::to_string(&launch.labels).map_err(Fault::corrupt)?,
                launch.priority,
                digest.as_str(),
                launch.agent.name,
                shown(&launch.task),
                run.status.as_str(),
                REDUCER,
                fold_text(&run)?,
                now_ms,
                signed(self.waiting_max),
            ])?;
        if written == 0 {
            let waiting = queue_bound::waiting(conn)?;
            return Ok((Err(queue_bound::full(waiting, self.waiting_max)), None));
        }
        conn.prepare_cached(
            "INSERT INTO agents (digest, name, definition, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![digest.as_str(), launch.agent.name, self.definition, now_ms])?;
        append_events(conn, launch.run, 0, None, &[event], now_ms)?;
        enqueue(conn, launch.run, JobKind::Launch, now_ms)?;
        if let Some(key) = &launch.idempotency {
            conn.prepare_cached(
                "INSERT INTO idempotency_keys (tenant, key, body_sha256, run, created_at) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET body_sha256 = excluded.body_sha256, run = excluded.run, \
                 created_at = excluded.created_at",
            )?
            .execute(params![launch.tenant, key.key, key.body_sha256, launch.run.to_string(), now_ms])?;
        }
        let run = stored(conn, launch.run)?;
        Ok((Ok(Launched { run, replayed: false }), Some(Ring::Job)))
    }
}

impl WriteLaunch {
    /// The run that this very launch made before: under its idempotency key, or by a try whose reply was lost.
    fn earlier(&self, conn: &Connection, now_ms: i64) -> Result<Option<Result<Launched, Error>>, Fault> {
        if let Some(run) = read_run(conn, self.launch.run)? {
            return Ok(Some(Ok(Launched { run, replayed: false })));
        }
        let Some(key) = &self.launch.idempotency else { return Ok(None) };
        let known: Option<(String, String)> = conn
            .prepare_cached(
                "SELECT body_sha256, run FROM idempotency_keys WHERE tenant = ? AND key = ? AND created_at > ?",
            )?
            .query_row(params![self.launch.tenant, key.key, now_ms - KEY_LIFE_MS], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((body_sha256, run)) = known else { return Ok(None) };
        let run = run_id(&run)?;
        if body_sha256 != key.body_sha256 {
            return Ok(Some(Err(Error::IdempotencyMismatch { run })));
        }
        Ok(Some(Ok(Launched { run: stored(conn, run)?, replayed: true })))
    }
}

fn stored(conn: &Connection, run: RunId) -> Result<crate::RunRow, Fault> {
    read_run(conn, run)?.ok_or_else(|| Fault::Corrupt(format!("run {run} is missing")))
}
