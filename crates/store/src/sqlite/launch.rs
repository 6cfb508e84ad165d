//! Recording a launch: the run, its first event, its agent's definition, its idempotency key and its job at once.

use std::str::FromStr;

use async_trait::async_trait;
use piton_core::{AgentDigest, Event, REDUCER, Run, RunId};
use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

use super::queue_bound;
use super::rows::{append_events, enqueue, fold_text, read_run, signed};
use super::writer::{Fault, Transact};
use crate::bell::Ring;
use crate::{Error, JobKind, Launch, Launched};

/// How long an idempotency key is remembered.
pub(super) const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters of the task that lists show.
const TASK_SHOWN_CHARS: usize = 200;

pub(super) struct WriteLaunch {
    pub(super) launch: Launch,
    pub(super) definition: String,
    /// Runs that may wait for a worker.
    pub(super) waiting_max: u64,
}

/// The digest a run is pinned to, with the text it is the digest of.
pub(super) fn digest(definition: &str) -> AgentDigest {
    AgentDigest::new(hex::encode(Sha256::digest(definition.as_bytes())))
}

#[async_trait]
impl Transact for WriteLaunch {
    type Out = Result<Launched, Error>;
    const SYNCED: bool = true;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let launch = &self.launch;
        if let Some(earlier) = self.earlier(conn, now_ms).await? {
            return Ok((earlier, None));
        }
        let digest = digest(&self.definition);
        let event = Event::Launched {
            agent: digest.clone(),
            agent_name: launch.agent.name.clone(),
            task: launch.task.clone(),
            max_steps: launch.max_steps,
            limits: launch.agent.limits,
        };
        let run = Run::begin(&event).map_err(|error| Fault::Corrupt(error.to_string()))?;
        let written = sqlx::query(
            "INSERT INTO runs (id, tenant, labels, priority, agent_digest, agent_name, task, status, version, reducer, \
             fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, 0, 0, 0, 0, ?11, ?11 \
             FROM queue_depth WHERE waiting < ?12",
        )
        .bind(launch.run.to_string())
        .bind(&launch.tenant)
        .bind(serde_json::to_string(&launch.labels).map_err(|error| Fault::Corrupt(error.to_string()))?)
        .bind(launch.priority)
        .bind(digest.as_str())
        .bind(&launch.agent.name)
        .bind(shown(&launch.task))
        .bind(run.status.as_str())
        .bind(REDUCER)
        .bind(fold_text(&run)?)
        .bind(now_ms)
        .bind(signed(self.waiting_max))
        .execute(&mut *conn)
        .await?;
        if written.rows_affected() == 0 {
            let waiting = queue_bound::waiting(conn).await?;
            return Ok((Err(queue_bound::full(waiting, self.waiting_max)), None));
        }
        sqlx::query("INSERT INTO agents (digest, name, definition, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(digest.as_str())
            .bind(&launch.agent.name)
            .bind(&self.definition)
            .bind(now_ms)
            .execute(&mut *conn)
            .await?;
        append_events(conn, launch.run, 0, None, &[event], now_ms).await?;
        enqueue(conn, launch.run, JobKind::Launch, now_ms).await?;
        if let Some(key) = &launch.idempotency {
            sqlx::query(
                "INSERT INTO idempotency_keys (tenant, key, body_sha256, run, created_at) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET body_sha256 = excluded.body_sha256, run = excluded.run, \
                 created_at = excluded.created_at",
            )
            .bind(&launch.tenant)
            .bind(&key.key)
            .bind(&key.body_sha256)
            .bind(launch.run.to_string())
            .bind(now_ms)
            .execute(&mut *conn)
            .await?;
        }
        let run = stored(conn, launch.run).await?;
        Ok((Ok(Launched { run, replayed: false }), Some(Ring::Job)))
    }
}

impl WriteLaunch {
    /// The run that this very launch made before: under its idempotency key, or by a try whose reply was lost.
    async fn earlier(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<Option<Result<Launched, Error>>, Fault> {
        if let Some(run) = read_run(conn, self.launch.run).await? {
            return Ok(Some(Ok(Launched { run, replayed: false })));
        }
        let Some(key) = &self.launch.idempotency else { return Ok(None) };
        let row = sqlx::query(
            "SELECT body_sha256, run FROM idempotency_keys WHERE tenant = ? AND key = ? AND created_at > ?",
        )
        .bind(&self.launch.tenant)
        .bind(&key.key)
        .bind(now_ms - KEY_LIFE_MS)
        .fetch_optional(&mut *conn)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get(1)?;
        let run = RunId::from_str(&id).map_err(|error| Fault::Corrupt(error.to_string()))?;
        if row.try_get::<String, _>(0)? != key.body_sha256 {
            return Ok(Some(Err(Error::IdempotencyMismatch { run })));
        }
        Ok(Some(Ok(Launched { run: stored(conn, run).await?, replayed: true })))
    }
}

async fn stored(conn: &mut SqliteConnection, run: RunId) -> Result<crate::RunRow, Fault> {
    read_run(conn, run).await?.ok_or_else(|| Fault::Corrupt(format!("run {run} is missing")))
}

/// The beginning of a task on one line, fit for a list.
fn shown(task: &str) -> String {
    let line: String =
        task.chars().take(TASK_SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}
