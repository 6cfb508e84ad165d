//! Claiming runs for a step, committing it, and giving runs back. Every write here is fenced.

use piton_core::{REDUCER, RunId};
use tokio_postgres::types::ToSql;

use super::batch;
use super::conn::Conn;
use super::due;
use super::fault::Fault;
use super::output;
use super::rows::{
    append_events, asked_at, dequeue, enqueue, epoch, fold_text, run_id, signed, small, unsigned,
};
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::scheduling::Scheduler;
use crate::stepping::{HandBack, HandBackAllBut, TakeJobs, Taken, WriteCommit};
use crate::{Claim, Commit, CommitOutcome, JobKind, Lane, StepEnd};

impl Transact for TakeJobs {
    type Out = Taken;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(self.take(conn, now_ms))
    }
}

impl TakeJobs {
    async fn take(&self, conn: &Conn, now_ms: i64) -> Result<(Taken, Option<Ring>), Fault> {
        // A worker that drains takes nothing, nor does one that was declared dead: nobody would look after what it takes. Whoever declares it dead at
        // this moment waits for this transaction, and frees what it took.
        let sql = "SELECT FROM workers WHERE id = $1 AND NOT draining FOR KEY SHARE";
        conn.prepare(sql).await?;
        let alive = async { conn.first(sql, &[&self.worker.as_str()]).await };
        let chosen = due::choose(conn, &self.scheduler, self.lane, now_ms, self.limit, true);
        let (alive, chosen) = futures::join!(alive, chosen);
        let (Some(_), chosen) = (alive?, chosen?) else { return Ok((Taken::default(), None)) };
        let ring = chosen.left.then_some(Ring::Job);
        let runs: Vec<_> = chosen.due.iter().map(|due| due.run.as_uuid()).collect();
        if runs.is_empty() {
            return Ok((Taken { claims: Vec::new(), chosen }, ring));
        }
        let rows = conn
            .query(
                "WITH taken AS (DELETE FROM jobs WHERE run = ANY($2)) \
                 UPDATE runs SET owner = $3, epoch = epoch + 1, attempt = attempt + 1, claimed_at = $1 \
                 WHERE id = ANY($2) AND status IN ('running', 'cancelling') RETURNING id, fold, epoch, attempt",
                &[&now_ms, &runs, &self.worker.as_str()],
            )
            .await?;
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            let run = run_id(row, 0);
            let Ok(fold) = serde_json::from_str(row.get(1)) else {
                tracing::error!(%run, "a run's row cannot be read");
                // The others do not wait for it: it has no job now until the next sweep gives it one.
                conn.execute(
                    "UPDATE runs SET owner = NULL, attempt = greatest(attempt - 1, 0) WHERE id = $1",
                    &[&run.as_uuid()],
                )
                .await?;
                continue;
            };
            let place = chosen.due.iter().position(|due| due.run == run);
            let due = place.and_then(|place| chosen.due.get(place));
            let (kind, due_at_ms) = due.map_or((JobKind::Step, now_ms), |due| (due.kind, due.due_at_ms));
            let (epoch, attempt) = (epoch(row.get(2)), small(row.get(3)));
            claims.push((place, Claim { run, fold, epoch, attempt, ordinal: 1, kind, due_at_ms }));
        }
        claims.sort_unstable_by_key(|(place, _)| *place);
        let claims = claims.into_iter().map(|(_, claim)| claim).collect();
        Ok((Taken { claims, chosen }, ring))
    }
}

impl Transact for WriteCommit {
    type Out = CommitOutcome;

    fn as_commit(&self) -> Option<&WriteCommit> {
        batch::fits(self).then_some(self)
    }

    fn settled(outcome: CommitOutcome) -> Option<CommitOutcome> {
        Some(outcome)
    }

    fn run_id(&self) -> Option<RunId> {
        Some(self.commit.run)
    }

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(write(&self.commit, &self.scheduler, conn, now_ms))
    }
}

/// The row of a run that this very worker holds under this epoch, at the version that its events were folded onto, and
/// where this commit does not stand already.
macro_rules! fenced {
    ($update:literal, $and:literal) => {
        concat!(
            $update,
            " WHERE id = $1 AND owner = $2 AND epoch = $3 AND version = $4 \
             AND (commit_epoch <> $3 OR commit_ordinal < $5)",
            $and
        )
    };
}

/// Most commits leave alone what the table is searched by. They name none of it, so that no index is written.
const STAYS: &str = fenced!(
    "UPDATE runs SET version = $6, reducer = $7, fold = $8, updated_at = $9, commit_epoch = $3, commit_ordinal = $5, \
     attempt = CASE WHEN $10 THEN 1 ELSE attempt END, deaths = CASE WHEN $10 THEN 0 ELSE deaths END",
    " AND status = $11 AND suspect IS NULL"
);
/// A suspect's whole step clears it, and it goes back to the others.
const MOVES: &str = fenced!(
    "UPDATE runs SET version = $6, reducer = $7, fold = $8, updated_at = $9, commit_epoch = $3, commit_ordinal = $5, \
     status = $11, finished_at = $12, asked_at = $14, \
     owner = CASE WHEN $13 AND NOT ($10 AND suspect IS NOT NULL) THEN owner END, \
     attempt = CASE WHEN $10 THEN ($13 AND suspect IS NULL)::int WHEN $13 THEN attempt ELSE greatest(attempt - 1, 0) END, \
     deaths = CASE WHEN $10 THEN 0 ELSE deaths END, suspect = CASE WHEN $10 THEN NULL ELSE suspect END",
    " RETURNING owner IS NOT NULL"
);

async fn write(
    commit: &Commit,
    scheduler: &Scheduler,
    conn: &Conn,
    now_ms: i64,
) -> Result<(CommitOutcome, Option<Ring>), Fault> {
    let is_runnable = commit.after.status.is_runnable();
    let stays = match commit.end {
        StepEnd::GoesOn | StepEnd::Progress => true,
        StepEnd::Done if is_runnable && commit.gives_way => {
            due::count(conn, scheduler, Lane::Common, now_ms, 1).await? == 0
        }
        StepEnd::Done => is_runnable,
        StepEnd::GiveBack => false,
    };
    let Some(kept) = write_row(commit, conn, stays, now_ms).await? else {
        return why_not(commit, conn, now_ms).await;
    };
    let appended = append_events(conn, commit.run, commit.base, Some(commit.epoch), &commit.events, now_ms);
    let outputs = async {
        for full in &commit.outputs {
            output::write(conn, commit.run, full).await?;
        }
        Ok(())
    };
    let job = async {
        Ok(match commit.end {
            StepEnd::GoesOn | StepEnd::Progress => Ring::Events,
            StepEnd::Done | StepEnd::GiveBack if is_runnable && !kept => {
                enqueue(conn, commit.run, JobKind::Step, now_ms).await?;
                Ring::Job
            }
            StepEnd::Done | StepEnd::GiveBack => {
                dequeue(conn, commit.run).await?;
                // There is room for one that had to wait, with any worker.
                let makes_room = !kept && scheduler.scheduling.is_limited();
                if makes_room { Ring::Job } else { Ring::Events }
            }
        })
    };
    let ((), (), ring) = futures::try_join!(appended, outputs, job)?;
    Ok((CommitOutcome::Committed { version: commit.after.version, kept }, Some(ring)))
}

/// Writes the fold if the fence holds. Returns whether the run is the worker's still; `None` where the fence does
/// not hold.
async fn write_row(commit: &Commit, conn: &Conn, stays: bool, now_ms: i64) -> Result<Option<bool>, Fault> {
    let id = commit.run.as_uuid();
    let (epoch, base, version) = (signed(commit.epoch.0), signed(commit.base), signed(commit.after.version));
    let (worker, fold, status) = (commit.worker.as_str(), fold_text(&commit.after)?, commit.after.status);
    let (is_whole, status_text) = (commit.end == StepEnd::Done, status.as_str());
    let (ordinal, reducer) = (i64::from(commit.ordinal), i64::from(REDUCER));
    let both: [&(dyn ToSql + Sync); 11] =
        [&id, &worker, &epoch, &base, &ordinal, &version, &reducer, &fold, &now_ms, &is_whole, &status_text];
    if stays && !status.is_over() && conn.execute(STAYS, &both).await? == 1 {
        return Ok(Some(true));
    }
    let finished_at = status.is_over().then_some(now_ms);
    let asked_at = asked_at(&commit.after, now_ms);
    let rest: [&(dyn ToSql + Sync); 3] = [&finished_at, &stays, &asked_at];
    let Some(row) = conn.first(MOVES, &[&both[..], &rest].concat()).await? else { return Ok(None) };
    if is_whole {
        conn.execute("UPDATE lost_attempts SET suspected = false WHERE run = $1 AND suspected", &[&id])
            .await?;
    }
    Ok(Some(row.get(0)))
}

/// Who came in between.
async fn why_not(commit: &Commit, conn: &Conn, now_ms: i64) -> Result<(CommitOutcome, Option<Ring>), Fault> {
    let read = "SELECT owner, epoch, version, commit_epoch, commit_ordinal, fold FROM runs WHERE id = $1";
    let Some(row) = conn.first(read, &[&commit.run.as_uuid()]).await? else {
        return Ok((CommitOutcome::Fenced, None));
    };
    let owner: Option<&str> = row.get(0);
    let is_owner = owner == Some(commit.worker.as_str()) && epoch(row.get(1)) == commit.epoch;
    if epoch(row.get(3)) == commit.epoch && small(row.get(4)) >= commit.ordinal {
        // Only its acknowledgement was lost.
        return Ok((CommitOutcome::Committed { version: unsigned(row.get(2)), kept: is_owner }, None));
    }
    if !is_owner {
        return Ok((CommitOutcome::Fenced, None));
    }
    if unsigned(row.get(2)) < commit.base {
        // A server that was failed over to has forgotten what it had acknowledged. The run goes on from what it knows.
        let let_go = "UPDATE runs SET owner = NULL WHERE id = $1";
        conn.execute(let_go, &[&commit.run.as_uuid()]).await?;
        enqueue(conn, commit.run, JobKind::Step, now_ms).await?;
        return Ok((CommitOutcome::Fenced, Some(Ring::Job)));
    }
    let newer = serde_json::from_str(row.get(5))
        .map_err(|error| Fault::Corrupt(format!("run {}: {error}", commit.run)))?;
    Ok((CommitOutcome::Behind { newer: Box::new(newer) }, None))
}

impl Transact for HandBack {
    type Out = ();

    fn run_id(&self) -> Option<RunId> {
        Some(self.run)
    }

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, ()> {
        Box::pin(async move {
            let row = conn
                .first(
                    "UPDATE runs SET owner = NULL, attempt = greatest(attempt - 1, 0) \
                     WHERE id = $1 AND owner = $2 AND epoch = $3 RETURNING status IN ('running', 'cancelling')",
                    &[&self.run.as_uuid(), &self.worker.as_str(), &signed(self.epoch.0)],
                )
                .await?;
            if row.is_some_and(|row| row.get(0)) {
                enqueue(conn, self.run, JobKind::Step, self.due_at_ms.min(now_ms)).await?;
                return Ok(((), Some(Ring::Job)));
            }
            Ok(((), None))
        })
    }
}

impl Transact for HandBackAllBut {
    type Out = u64;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, u64> {
        Box::pin(async move {
            let runs: Vec<_> = self.held.iter().map(|(run, _)| run.as_uuid()).collect();
            let epochs: Vec<_> = self.held.iter().map(|(_, epoch)| signed(epoch.0)).collect();
            let taken = conn
                .query(
                    "WITH loose AS (SELECT id FROM runs WHERE owner = $1 AND NOT EXISTS \
                       (SELECT FROM unnest($2::uuid[], $3::bigint[]) AS held (run, epoch) \
                        WHERE held.run = runs.id AND held.epoch = runs.epoch) ORDER BY id FOR UPDATE) \
                     UPDATE runs SET owner = NULL, attempt = greatest(attempt - 1, 0) FROM loose \
                     WHERE runs.id = loose.id RETURNING runs.id, status IN ('running', 'cancelling')",
                    &[&self.worker.as_str(), &runs, &epochs],
                )
                .await?;
            for row in taken.iter().filter(|row| row.get(1)) {
                enqueue(conn, run_id(row, 0), JobKind::Step, now_ms).await?;
            }
            Ok((taken.len() as u64, (!taken.is_empty()).then_some(Ring::Job)))
        })
    }
}
