//! Mending what is safe to mend. Events are the truth and are never touched; each fix is one transaction that looks again
//! at what it is about to mend.

use piton_core::{REDUCER, Run, RunId};

use super::PostgresStore;
use super::check::{history, pass};
use super::conn::Conn;
use super::rows::{asked_at, dequeue, enqueue, fold_text, signed, unsigned};
use super::worker::{MISSING_JOBS, Probe, UNREGISTERED, free};
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::examining::{MendedJobs, Rewritten, Story, freed, recover_the_dead};
use crate::launching::KEY_LIFE_MS;
use crate::{Error, JobKind, Repair};

impl PostgresStore {
    /// Mends what is safe to mend, also while workers are at it, and says what it did.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be read or written; what was said to be mended by then is.
    pub async fn repair(&self) -> Result<Vec<Repair>, Error> {
        let probe = async || self.writer.write(Probe).await;
        let mut said = recover_the_dead(self, || self.clock.now_ms(), probe).await?;
        said.extend(freed(self.writer.write(FreeOrphans).await?));
        said.extend(self.rewrite_rows().await?);
        said.extend(self.writer.write(MendJobs).await?.said());
        Ok(said)
    }

    /// Writes the rows anew that are not the fold of their events.
    async fn rewrite_rows(&self) -> Result<Vec<Repair>, Error> {
        let unlike = self.pool.long(async |conn| pass(conn).await).await?.mendable;
        let mut said = Vec::new();
        for run in unlike {
            let history = self.pool.long(async |conn| history(conn, run).await).await?;
            let Story::Folds(fold) = history.story else { continue };
            let (events, status) = (history.events, fold.status);
            let rewrite = Rewrite { run, fold: *fold, last_at_ms: history.last_at_ms };
            said.push(self.writer.write(rewrite).await?.said(run, events, status));
        }
        Ok(said)
    }
}

/// Takes runs back from owners that nobody knows.
struct FreeOrphans;

impl Transact for FreeOrphans {
    /// Runs and the owners they had.
    type Out = Vec<(String, String)>;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(async move {
            let sql = "SELECT id::text, owner FROM runs WHERE owner IS NOT NULL \
                       AND NOT EXISTS (SELECT FROM workers WHERE workers.id = runs.owner) ORDER BY id FOR UPDATE";
            let rows = conn.query(sql, &[]).await?;
            let held: Self::Out = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let mut owners: Vec<&str> = held.iter().map(|(_, owner)| owner.as_str()).collect();
            owners.sort_unstable();
            owners.dedup();
            for owner in owners {
                free(conn, owner, now_ms, Some(UNREGISTERED)).await?;
            }
            let ring = (!held.is_empty()).then_some(Ring::Job);
            Ok((held, ring))
        })
    }
}

/// Gives forgotten runs a job, drops the jobs of runs that cannot advance, and forgets what has had its time.
struct MendJobs;

impl Transact for MendJobs {
    type Out = MendedJobs;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(async move {
            let give = format!("{MISSING_JOBS} RETURNING run::text");
            let given = conn.client().query(&give, &[&now_ms]).await?;
            let drop = "DELETE FROM jobs WHERE NOT EXISTS (SELECT FROM runs WHERE id = jobs.run \
                        AND (owner IS NOT NULL OR status IN ('running', 'cancelling'))) RETURNING run::text";
            let dropped = conn.query(drop, &[]).await?;
            let forget = "DELETE FROM idempotency_keys WHERE created_at <= $1";
            let keys = conn.execute(forget, &[&(now_ms - KEY_LIFE_MS)]).await?;
            let ids =
                |rows: &[tokio_postgres::Row]| rows.iter().map(|row| row.get(0)).collect::<Vec<String>>();
            let ring = (!given.is_empty()).then_some(Ring::Job);
            Ok((MendedJobs { given: ids(&given), dropped: ids(&dropped), keys }, ring))
        })
    }
}

/// Writes a run's row anew from what its events fold to, if nobody holds it and no event came since.
struct Rewrite {
    run: RunId,
    fold: Run,
    last_at_ms: i64,
}

impl Transact for Rewrite {
    type Out = Rewritten;

    fn run_id(&self) -> Option<RunId> {
        Some(self.run)
    }

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(async move {
            let id = self.run.as_uuid();
            let sql = "SELECT owner, (SELECT coalesce(max(seq), 0) FROM events WHERE run = runs.id) FROM runs \
                       WHERE id = $1 FOR UPDATE";
            let Some(row) = conn.first(sql, &[&id]).await? else { return Ok((Rewritten::Moved, None)) };
            if let Some(owner) = row.get(0) {
                return Ok((Rewritten::Held(owner), None));
            }
            // Events are only ever appended: as many as were folded are the ones that were folded.
            if unsigned(row.get(1)) != self.fold.version {
                return Ok((Rewritten::Moved, None));
            }
            let status = self.fold.status;
            conn.execute(
                "UPDATE runs SET status = $2, version = $3, reducer = $4, fold = $5, agent_digest = $6, updated_at = $7, \
                 finished_at = $8, asked_at = $9 WHERE id = $1",
                &[
                    &id,
                    &status.as_str(),
                    &signed(self.fold.version),
                    &i64::from(REDUCER),
                    &fold_text(&self.fold)?,
                    &self.fold.agent.as_str(),
                    &self.last_at_ms,
                    &status.is_over().then_some(self.last_at_ms),
                    &asked_at(&self.fold, self.last_at_ms),
                ],
            )
            .await?;
            if status.is_runnable() {
                enqueue(conn, self.run, JobKind::Step, now_ms).await?;
                return Ok((Rewritten::Done, Some(Ring::Job)));
            }
            dequeue(conn, self.run).await?;
            Ok((Rewritten::Done, Some(Ring::Events)))
        })
    }
}
