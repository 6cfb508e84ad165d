//! Recording a launch: the run, its first event, its agent's definition, its idempotency key and its job at once.

use piton_core::{REDUCER, RunId};

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{append_events, enqueue, fold_text, label_pairs, read_run};
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::launching::{KEY_LIFE_MS, begun, digest, shown};
use crate::{Error, JobKind, Launch, Launched};

pub(super) struct WriteLaunch {
    pub(super) launch: Launch,
    pub(super) definition: String,
}

impl Transact for WriteLaunch {
    type Out = Result<Launched, Error>;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(self.write(conn, now_ms))
    }
}

impl WriteLaunch {
    async fn write(
        &self,
        conn: &Conn,
        now_ms: i64,
    ) -> Result<(Result<Launched, Error>, Option<Ring>), Fault> {
        let launch = &self.launch;
        let id = launch.run.as_uuid();
        let digest = digest(&self.definition);
        let (event, run) = begun(launch, &digest).map_err(Fault::corrupt)?;
        if let Some(earlier) = self.earlier(conn, now_ms).await? {
            return Ok((earlier, None));
        }
        let labels = serde_json::to_string(&launch.labels).map_err(Fault::corrupt)?;
        let written = conn
            .execute(
                "INSERT INTO runs (id, tenant, labels, label_pairs, priority, agent_digest, agent_name, task, status, version, \
                 reducer, fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
                 VALUES ($1, $2, $3, $12, $4, $5, $6, $7, $8, 1, $9, $10, 0, 0, 0, 0, $11, $11) ON CONFLICT DO NOTHING",
                &[
                    &id,
                    &launch.tenant,
                    &labels,
                    &launch.priority,
                    &digest.as_str(),
                    &launch.agent.name,
                    &shown(&launch.task),
                    &run.status.as_str(),
                    &i64::from(REDUCER),
                    &fold_text(&run)?,
                    &now_ms,
                    &label_pairs(&launch.labels),
                ],
            )
            .await?;
        if written == 0 {
            // A try whose reply was lost came in between.
            return Ok((Ok(Launched { run: stored(conn, launch.run).await?, replayed: false }), None));
        }
        conn.execute(
            "INSERT INTO agents (digest, name, definition, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&digest.as_str(), &launch.agent.name, &self.definition, &now_ms],
        )
        .await?;
        append_events(conn, launch.run, 0, None, &[event], now_ms).await?;
        enqueue(conn, launch.run, JobKind::Launch, now_ms).await?;
        let run = stored(conn, launch.run).await?;
        Ok((Ok(Launched { run, replayed: false }), Some(Ring::Job)))
    }

    /// The run that this very launch made before: under its idempotency key, or by a try whose reply was lost. Else the
    /// key is taken; whoever launches under it at the same time waits for this transaction, and then finds its run.
    async fn earlier(&self, conn: &Conn, now_ms: i64) -> Result<Option<Result<Launched, Error>>, Fault> {
        let launch = &self.launch;
        if let Some(run) = read_run(conn, launch.run).await? {
            return Ok(Some(Ok(Launched { run, replayed: false })));
        }
        let Some(key) = &launch.idempotency else { return Ok(None) };
        let taken = conn
            .execute(
                "INSERT INTO idempotency_keys (tenant, key, body_sha256, run, created_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (tenant, key) DO UPDATE SET body_sha256 = excluded.body_sha256, run = excluded.run, \
                 created_at = excluded.created_at WHERE idempotency_keys.created_at <= $6",
                &[
                    &launch.tenant,
                    &key.key,
                    &key.body_sha256,
                    &launch.run.as_uuid(),
                    &now_ms,
                    &(now_ms - KEY_LIFE_MS),
                ],
            )
            .await?;
        if taken == 1 {
            return Ok(None);
        }
        let known = conn
            .first(
                "SELECT body_sha256, run FROM idempotency_keys WHERE tenant = $1 AND key = $2",
                &[&launch.tenant, &key.key],
            )
            .await?
            .ok_or_else(|| {
                Fault::NotNow("an idempotency key was forgotten at this very moment".to_owned())
            })?;
        let run = RunId::from_uuid(known.get(1));
        if known.get::<_, &str>(0) != key.body_sha256 {
            return Ok(Some(Err(Error::IdempotencyMismatch { run })));
        }
        Ok(Some(Ok(Launched { run: stored(conn, run).await?, replayed: true })))
    }
}

/// Whether this very launch was made before, by its run or its key.
pub(super) async fn is_known(conn: &Conn, launch: &Launch, now_ms: i64) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT FROM runs WHERE id = $1) OR EXISTS \
               (SELECT FROM idempotency_keys WHERE tenant = $2 AND key = $3 AND created_at > $4)";
    let key = launch.idempotency.as_ref().map(|key| key.key.as_str());
    let row =
        conn.first(sql, &[&launch.run.as_uuid(), &launch.tenant, &key, &(now_ms - KEY_LIFE_MS)]).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}

async fn stored(conn: &Conn, run: RunId) -> Result<crate::RunRow, Fault> {
    read_run(conn, run).await?.ok_or_else(|| Fault::Corrupt(format!("run {run} is missing")))
}
