//! Mending what is safe to mend. Events are the truth and are never touched; a file that is damaged itself is left
//! alone; each fix is one transaction that looks again at what it is about to mend.

use piton_core::{REDUCER, Run, RunId, WorkerId};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::check::{Silent, integrity};
use super::fault::Fault;
use super::replay::{Story, history, pass};
use super::rows::{collect, dequeue, enqueue, fold_text, signed};
use super::worker::{MISSING_JOBS, UNREGISTERED, free};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::launching::KEY_LIFE_MS;
use crate::{Error, JobKind, Lost, Repair, Store};

/// Fixes of one kind that are named; the rest are counted.
const SAID_MAX: usize = 20;

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
        let mut said = self.recover_the_dead().await?;
        let freed = self.writer.write(FreeOrphans).await?;
        said.extend(each(freed, |(run, owner)| {
            format!("run {run} was held by {owner}, which is not registered: it goes on")
        }));
        said.extend(self.rewrite_rows().await?);
        let jobs = self.writer.write(MendJobs).await?;
        said.extend(each(jobs.given, |run| format!("run {run} had neither job nor worker: it has a job")));
        said.extend(each(jobs.dropped, |run| {
            format!("a job of run {run}, which cannot advance, is dropped")
        }));
        if jobs.keys > 0 {
            said.push(done(format!("{} idempotency keys that had expired are dropped", jobs.keys)));
        }
        Ok(said)
    }

    /// Ends the ownership of workers that are gone, as any worker would: by a free lock at once, by a lapsed lease after
    /// as long as the lease is, during which this process could write and they did not renew it.
    async fn recover_the_dead(&self) -> Result<Vec<Repair>, Error> {
        let first = self.silent_peers().await?;
        let wait = first
            .iter()
            .filter(|silent| silent.why == Lost::LeaseLapsed)
            .map(|silent| silent.patience(1))
            .max();
        if let Some(wait) = wait {
            self.writer.write(super::worker::Probe { in_trouble: true }).await?;
            tokio::time::sleep(wait).await;
        }
        self.writer.write(super::worker::Probe { in_trouble: true }).await?;
        let mut said = Vec::new();
        for lost in self.still_silent(&first).await?.into_iter().map(Silent::lost) {
            let runs = self.recover(&lost).await?;
            said.push(done(format!("worker {} is gone ({}): {runs} runs go on", lost.id, lost.why.as_str())));
        }
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
            said.push(match self.writer.write(rewrite).await? {
                Rewritten::Done => done(format!("run {run}: its row is the fold of its {events} events again ({status})")),
                Rewritten::Held(owner) => {
                    left(format!("run {run}: its row is not the fold of its events, and {owner} holds it: stop that worker first"))
                }
                Rewritten::Moved => left(format!("run {run} went on meanwhile: repair again")),
            });
        }
        Ok(said)
    }
}

fn done(said: String) -> Repair {
    Repair { done: true, said }
}

fn left(said: String) -> Repair {
    Repair { done: false, said }
}

/// A line for each of these fixes, and one for those beyond the bound.
fn each<T>(fixes: Vec<T>, say: impl Fn(T) -> String) -> Vec<Repair> {
    let more = fixes.len().saturating_sub(SAID_MAX);
    let mut said: Vec<Repair> = fixes.into_iter().take(SAID_MAX).map(|fix| done(say(fix))).collect();
    if more > 0 {
        said.push(done(format!("and {more} more of these")));
    }
    said
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

struct MendedJobs {
    given: Vec<String>,
    dropped: Vec<String>,
    keys: u64,
}

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

enum Rewritten {
    Done,
    Held(String),
    Moved,
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
