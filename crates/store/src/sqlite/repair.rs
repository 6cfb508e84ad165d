//! Mending what is safe to mend. Events are the truth and are never touched; a file that is damaged itself is left
//! alone; each fix is one transaction that looks again at what it is about to mend.

use piton_core::{REDUCER, Run, RunId, WorkerId};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::check::integrity;
use super::fault::Fault;
use super::replay::{history, pass};
use super::rows::{collect, dequeue, enqueue, fold_text, signed};
use super::worker::{MISSING_JOBS, UNREGISTERED, free};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::examining::{MendedJobs, Rewritten, Story, freed, left, recover_the_dead};
use crate::launching::KEY_LIFE_MS;
use crate::{Error, JobKind, Repair};

impl SqliteStore {
    /// Mends what is safe to mend, also while workers are at it, and says what it did.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be read or written; what was said to be mended by then is.
    pub async fn repair(&self) -> Result<Vec<Repair>, Error> {
        let found = self.readers.read(|conn| Ok(integrity(conn, false))).await?;
        if let Some(trouble) = found.trouble {
            return Ok(vec![left(format!("nothing was repaired, because the file is damaged: {trouble}"))]);
        }
        let probe = async || self.writer.write(super::worker::Probe { in_trouble: true }).await;
        let mut said = recover_the_dead(self, || self.clock.now_ms(), probe).await?;
        said.extend(freed(self.writer.write(FreeOrphans).await?));
        said.extend(self.rewrite_rows().await?);
        said.extend(self.writer.write(MendJobs).await?.said());
        Ok(said)
    }

    /// Writes the rows anew that are not the fold of their events.
    async fn rewrite_rows(&self) -> Result<Vec<Repair>, Error> {
        let unlike = self.readers.read(pass).await?.mendable;
        let mut said = Vec::new();
        for run in unlike {
            let history = self.readers.read(move |conn| history(conn, run)).await?;
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

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let mut look = conn.prepare(
            "SELECT id, owner FROM runs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM workers)",
        )?;
        let held: Self::Out = collect(&mut look, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut owners: Vec<&str> = held.iter().map(|(_, owner)| owner.as_str()).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            free(conn, &WorkerId::new(owner), now_ms, Some(UNREGISTERED))?;
        }
        let ring = (!held.is_empty()).then_some(Ring::Job);
        Ok((held, ring))
    }
}

/// Gives forgotten runs a job, drops the jobs of runs that cannot advance, and forgets what has had its time.
struct MendJobs;

impl Transact for MendJobs {
    type Out = MendedJobs;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let runs = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            collect(&mut conn.prepare(sql)?, params, |row| Ok(row.get::<_, String>(0)?))
        };
        let given = runs(&format!("{MISSING_JOBS} RETURNING run"), &[&now_ms])?;
        let dropped = runs(
            "DELETE FROM jobs WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = jobs.run \
             AND (owner IS NOT NULL OR status IN ('running', 'cancelling'))) RETURNING run",
            &[],
        )?;
        let keys = conn
            .execute("DELETE FROM idempotency_keys WHERE created_at <= ?", [now_ms - KEY_LIFE_MS])?
            as u64;
        let ring = (!given.is_empty()).then_some(Ring::Job);
        Ok((MendedJobs { given, dropped, keys }, ring))
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

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let id = self.run.to_string();
        let row: Option<(Option<String>, Option<u64>)> = conn
            .query_row(
                "SELECT owner, (SELECT max(seq) FROM events WHERE run = runs.id) FROM runs WHERE id = ?",
                [&id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (owner, events) = match row {
            None => return Ok((Rewritten::Moved, None)),
            Some(row) => row,
        };
        if let Some(owner) = owner {
            return Ok((Rewritten::Held(owner), None));
        }
        // Events are only ever appended: as many as were folded are the ones that were folded.
        if events != Some(self.fold.version) {
            return Ok((Rewritten::Moved, None));
        }
        conn.execute(
            "UPDATE runs SET status = ?2, version = ?3, reducer = ?4, fold = ?5, agent_digest = ?6, updated_at = ?7, \
             finished_at = ?8 WHERE id = ?1",
            params![
                id,
                self.fold.status.as_str(),
                signed(self.fold.version),
                REDUCER,
                fold_text(&self.fold)?,
                self.fold.agent.as_str(),
                self.last_at_ms,
                self.fold.status.is_over().then_some(self.last_at_ms),
            ],
        )?;
        if self.fold.status.is_runnable() {
            enqueue(conn, self.run, JobKind::Step, now_ms)?;
            return Ok((Rewritten::Done, Some(Ring::Job)));
        }
        dequeue(conn, self.run)?;
        Ok((Rewritten::Done, Some(Ring::Events)))
    }
}
