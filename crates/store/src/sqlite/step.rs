//! Claiming runs for a step, committing it, and giving runs back. Every write here is fenced.

use std::time::Duration;

use piton_core::{Event, REDUCER, Run};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use serde_json::json;

use super::due;
use super::fault::Fault;
use super::output;
use super::rows::{append_events, collect, dequeue, enqueue, epoch, fold_text, run_id, signed, text};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::stepping::{HandBack, HandBackAllBut, TakeJobs, Taken, WriteCommit};
use crate::{Claim, Commit, CommitOutcome, Due, JobKind, Lane, StepEnd};

impl Transact for TakeJobs {
    type Out = Taken;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        // A worker that was declared dead takes nothing: nobody would look after what it takes. Nor does one that drains.
        let is_known = conn
            .prepare_cached("SELECT 1 FROM workers WHERE id = ? AND NOT draining")?
            .exists([self.worker.as_str()])?;
        if !is_known {
            return Ok((Taken::default(), None));
        }
        let chosen = due::choose(conn, &self.scheduler, self.lane, now_ms, self.limit)?;
        let mut take = conn.prepare_cached("DELETE FROM jobs WHERE run = ?")?;
        let mut own = conn.prepare_cached(
            "UPDATE runs SET owner = ?1, epoch = epoch + 1, attempt = attempt + 1, claimed_at = ?3 \
             WHERE id = ?2 AND status IN ('running', 'cancelling') RETURNING fold, epoch, attempt",
        )?;
        let mut claims = Vec::with_capacity(chosen.due.len());
        for Due { run, kind, due_at_ms, .. } in &chosen.due {
            let id = run.to_string();
            take.execute([&id])?;
            let mut rows = own.query(params![self.worker.as_str(), id, now_ms])?;
            let Some(row) = rows.next()? else { continue };
            let Ok(fold) = serde_json::from_str(text(row, 0)?) else {
                tracing::error!(run = %id, "a run's row cannot be read: piton doctor --repair writes it anew");
                drop(rows);
                // The others do not wait for it: it has no job now until the next sweep gives it one.
                conn.execute(
                    "UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) WHERE id = ?",
                    [id],
                )?;
                continue;
            };
            let (epoch, attempt) = (epoch(row.get(1)?), row.get(2)?);
            claims.push(Claim {
                run: *run,
                fold,
                epoch,
                attempt,
                ordinal: 1,
                kind: *kind,
                due_at_ms: *due_at_ms,
            });
        }
        Ok((Taken { claims, chosen }, None))
    }
}

impl Transact for WriteCommit {
    type Out = CommitOutcome;

    fn durability(&self) -> Durability {
        let announces = |event: &Event| matches!(event, Event::ToolStarted { .. });
        if self.commit.events.iter().any(announces) {
            // The call is about to be made: an announcement that a loss of power took would let it be made twice.
            Durability::Synced
        } else if self.commit.end == StepEnd::Progress {
            Durability::Unsynced
        } else {
            Durability::AsSet
        }
    }

    fn patience(&self) -> Duration {
        self.commit.patience
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let commit = &self.commit;
        let id = commit.run.to_string();
        let is_runnable = commit.after.status.is_runnable();
        let stays = match commit.end {
            StepEnd::GoesOn | StepEnd::Progress => true,
            StepEnd::Done if is_runnable && commit.gives_way => {
                due::count(conn, &self.scheduler, Lane::Common, now_ms, 1)? == 0
            }
            StepEnd::Done => is_runnable,
            StepEnd::GiveBack => false,
        };
        let Some(kept) = commit.write_row(conn, &id, stays, now_ms)? else {
            return Ok((commit.why_not(conn, &id)?, None));
        };
        append_events(conn, commit.run, commit.base, Some(commit.epoch), &commit.events, now_ms)?;
        for full in &commit.outputs {
            output::write(conn, commit.run, full)?;
        }
        let mut ring = Ring::Events;
        if matches!(commit.end, StepEnd::Done | StepEnd::GiveBack) {
            if is_runnable && !kept {
                enqueue(conn, commit.run, JobKind::Step, now_ms)?;
                ring = Ring::Job;
            } else {
                dequeue(conn, commit.run)?;
                if !kept && self.scheduler.scheduling.is_limited() {
                    // There is room for one that had to wait, with any worker.
                    ring = Ring::Job;
                }
            }
        }
        Ok((CommitOutcome::Committed { version: commit.after.version, kept }, Some(ring)))
    }
}

/// The row of a run that this very worker holds under this epoch, at the version that its events were folded onto, and
/// where this commit does not stand already.
macro_rules! fenced {
    ($update:literal, $and:literal) => {
        concat!(
            $update,
            " WHERE id = ?1 AND owner = ?2 AND epoch = ?3 AND version = ?4 \
             AND (commit_epoch <> ?3 OR commit_ordinal < ?5)",
            $and
        )
    };
}

/// Most commits leave alone what the table is searched by. They name none of it, so that no index is written.
const STAYS: &str = fenced!(
    "UPDATE runs SET version = ?6, reducer = ?7, fold = ?8, updated_at = ?9, commit_epoch = ?3, commit_ordinal = ?5, \
     attempt = CASE WHEN ?10 THEN 1 ELSE attempt END, deaths = CASE WHEN ?10 THEN 0 ELSE deaths END",
    " AND status = ?11 AND suspect IS NULL"
);
/// A suspect's whole step clears it, and it goes back to the others.
const MOVES: &str = fenced!(
    "UPDATE runs SET version = ?6, reducer = ?7, fold = ?8, updated_at = ?9, commit_epoch = ?3, commit_ordinal = ?5, \
     status = ?11, finished_at = ?12, \
     owner = CASE WHEN ?13 AND NOT (?10 AND suspect IS NOT NULL) THEN owner END, \
     attempt = CASE WHEN ?10 THEN ?13 AND suspect IS NULL WHEN ?13 THEN attempt ELSE max(attempt - 1, 0) END, \
     deaths = CASE WHEN ?10 THEN 0 ELSE deaths END, suspect = CASE WHEN ?10 THEN NULL ELSE suspect END",
    " RETURNING owner IS NOT NULL"
);

impl Commit {
    /// Writes the fold if the fence holds. Returns whether the run is the worker's still; `None` where the fence does
    /// not hold.
    fn write_row(
        &self,
        conn: &Connection,
        id: &str,
        stays: bool,
        now_ms: i64,
    ) -> Result<Option<bool>, Fault> {
        let (epoch, base, version) = (signed(self.epoch.0), signed(self.base), signed(self.after.version));
        let (worker, fold, status) = (self.worker.as_str(), fold_text(&self.after)?, self.after.status);
        let (is_whole, status_text) = (self.end == StepEnd::Done, status.as_str());
        let both: &[&dyn ToSql] = params![
            id,
            worker,
            epoch,
            base,
            self.ordinal,
            version,
            REDUCER,
            fold,
            now_ms,
            is_whole,
            status_text
        ];
        if stays && !status.is_over() && conn.prepare_cached(STAYS)?.execute(both)? == 1 {
            return Ok(Some(true));
        }
        let finished_at = status.is_over().then_some(now_ms);
        let moves: &[&dyn ToSql] = &[both, params![finished_at, stays]].concat();
        let kept = conn.prepare_cached(MOVES)?.query_row(moves, |row| row.get(0)).optional()?;
        if is_whole && kept.is_some() {
            conn.prepare_cached("UPDATE lost_attempts SET suspected = 0 WHERE run = ? AND suspected")?
                .execute([id])?;
        }
        Ok(kept)
    }

    /// Who came in between.
    fn why_not(&self, conn: &Connection, id: &str) -> Result<CommitOutcome, Fault> {
        let mut read = conn.prepare_cached(
            "SELECT owner, epoch, version, commit_epoch, commit_ordinal, fold FROM runs WHERE id = ?",
        )?;
        let mut rows = read.query([id])?;
        let Some(row) = rows.next()? else { return Ok(CommitOutcome::Fenced) };
        let owner: Option<String> = row.get(0)?;
        let is_owner = owner.as_deref() == Some(self.worker.as_str()) && epoch(row.get(1)?) == self.epoch;
        if epoch(row.get(3)?) == self.epoch && row.get::<_, u32>(4)? >= self.ordinal {
            // Only its acknowledgement was lost.
            return Ok(CommitOutcome::Committed { version: row.get(2)?, kept: is_owner });
        }
        if !is_owner {
            return Ok(CommitOutcome::Fenced);
        }
        let newer: Run = serde_json::from_str(text(row, 5)?)
            .map_err(|error| Fault::Corrupt(format!("run {id}: {error}")))?;
        Ok(CommitOutcome::Behind { newer: Box::new(newer) })
    }
}

impl Transact for HandBack {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let is_runnable: Option<bool> = conn
            .prepare_cached(
                "UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) WHERE id = ? AND owner = ? AND epoch = ? \
                 RETURNING status IN ('running', 'cancelling')",
            )?
            .query_row(params![self.run.to_string(), self.worker.as_str(), signed(self.epoch.0)], |row| row.get(0))
            .optional()?;
        if is_runnable == Some(true) {
            enqueue(conn, self.run, JobKind::Step, self.due_at_ms.min(now_ms))?;
            return Ok(((), Some(Ring::Job)));
        }
        Ok(((), None))
    }
}

impl Transact for HandBackAllBut {
    type Out = u64;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let held = self.held.iter().map(|(run, epoch)| json!([run.to_string(), epoch.0]));
        let held = serde_json::Value::from_iter(held).to_string();
        let mut take_back = conn.prepare(
            "UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) \
             WHERE owner = ? AND (id, epoch) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?)) \
             RETURNING id, status IN ('running', 'cancelling')",
        )?;
        let taken = collect(&mut take_back, params![self.worker.as_str(), held], |row| {
            Ok((run_id(text(row, 0)?)?, row.get::<_, bool>(1)?))
        })?;
        for (run, is_runnable) in &taken {
            if *is_runnable {
                enqueue(conn, *run, JobKind::Step, now_ms)?;
            }
        }
        Ok((taken.len() as u64, (!taken.is_empty()).then_some(Ring::Job)))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::{MOVES, STAYS};
    use crate::Synchronous;
    use crate::sqlite::due::{
        COUNT_APART, COUNT_IN_LINE, DUE_IN_FIRST, FIRST_LINE, NEXT_LINE, TAKE_APART, TAKE_IN_LINE,
    };
    use crate::sqlite::open;

    #[test]
    fn a_step_prepares_its_statements_once_whatever_is_bound_to_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("piton.db");
        open::prepare(&path, dir.path()).expect("a database");
        let conn = open::writer(&path, Synchronous::Full).expect("a connection");
        for sql in [
            COUNT_APART,
            COUNT_IN_LINE,
            DUE_IN_FIRST,
            FIRST_LINE,
            NEXT_LINE,
            TAKE_APART,
            TAKE_IN_LINE,
            STAYS,
            MOVES,
        ] {
            for value in 0..3 {
                let mut statement = conn.prepare_cached(sql).expect("prepared");
                for parameter in 1..=statement.parameter_count() {
                    statement.raw_bind_parameter(parameter, value).expect("bound");
                }
                let mut rows = statement.raw_query();
                while rows.next().expect("carried out").is_some() {}
            }
            let statement = conn.prepare_cached(sql).expect("prepared");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
