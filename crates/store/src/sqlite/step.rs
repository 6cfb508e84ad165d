//! Claiming runs for a step, committing it, and giving runs back. Every write here is fenced.

use std::str::FromStr;

use async_trait::async_trait;
use piton_core::{Epoch, Event, REDUCER, Run, RunId, WorkerId};
use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::output;
use super::read::due;
use super::rows::{append_events, dequeue, enqueue, epoch, fold_text, run_id, signed};
use super::writer::{Fault, Transact};
use crate::bell::Ring;
use crate::{Claim, Commit, CommitOutcome, JobKind, Lane, StepEnd};

/// Takes due jobs for a worker that nobody has taken for dead.
pub(super) struct TakeJobs {
    pub(super) worker: WorkerId,
    pub(super) lane: Lane,
    pub(super) limit: u32,
}

#[async_trait]
impl Transact for TakeJobs {
    type Out = Vec<Claim>;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        // A worker that was declared dead takes nothing: nobody would look after what it takes.
        let jobs = sqlx::query(
            "SELECT j.run, j.kind FROM jobs j JOIN runs r ON r.id = j.run \
             WHERE j.due_at <= ?1 AND r.owner IS NULL AND r.reducer <= ?2 AND (r.suspect IS NOT NULL) = ?5 \
             AND EXISTS (SELECT 1 FROM workers WHERE id = ?3) \
             ORDER BY j.priority DESC, j.due_at, j.run LIMIT ?4",
        )
        .bind(now_ms)
        .bind(REDUCER)
        .bind(self.worker.as_str())
        .bind(self.limit)
        .bind(self.lane == Lane::Apart)
        .fetch_all(&mut *conn)
        .await?;
        if jobs.is_empty() {
            return Ok((Vec::new(), None));
        }
        let mut kinds = Vec::with_capacity(jobs.len());
        for job in &jobs {
            kinds.push((job.try_get::<String, _>(0)?, JobKind::parse(job.try_get(1)?)));
        }
        let ids = json!(kinds.iter().map(|(run, _)| run).collect::<Vec<_>>()).to_string();
        sqlx::query("DELETE FROM jobs WHERE run IN (SELECT value FROM json_each(?))")
            .bind(&ids)
            .execute(&mut *conn)
            .await?;
        let rows = sqlx::query(
            "UPDATE runs SET owner = ?1, epoch = epoch + 1, attempt = attempt + 1, claimed_at = ?3 \
             WHERE id IN (SELECT value FROM json_each(?2)) AND status IN ('running', 'cancelling') \
             RETURNING id, fold, epoch, attempt",
        )
        .bind(self.worker.as_str())
        .bind(&ids)
        .bind(now_ms)
        .fetch_all(&mut *conn)
        .await?;
        let (mut claims, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let id: String = row.try_get(0)?;
            let place = kinds.iter().position(|(run, _)| *run == id).unwrap_or(usize::MAX);
            let (Ok(run), Ok(fold)) = (RunId::from_str(&id), serde_json::from_str(row.try_get(1)?)) else {
                tracing::error!(run = %id, "a run's row cannot be read: piton doctor --repair writes it anew");
                unreadable.push(id);
                continue;
            };
            let kind = kinds.get(place).map_or(JobKind::Step, |(_, kind)| *kind);
            let (epoch, attempt) = (epoch(row.try_get(2)?), row.try_get(3)?);
            claims.push((place, Claim { run, fold, epoch, attempt, ordinal: 1, kind }));
        }
        if !unreadable.is_empty() {
            // The others do not wait for it: it has no job now until the next sweep gives it one.
            sqlx::query("UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) WHERE id IN (SELECT value FROM json_each(?))")
                .bind(serde_json::Value::from(unreadable).to_string())
                .execute(&mut *conn)
                .await?;
        }
        claims.sort_by_key(|(place, _)| *place);
        Ok((claims.into_iter().map(|(_, claim)| claim).collect(), None))
    }
}

#[async_trait]
impl Transact for Commit {
    type Out = CommitOutcome;
    const SYNCED: bool = true;

    /// A call that is announced is about to be made: an announcement that a loss of power took would let it be made
    /// twice.
    fn synced_always(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::ToolStarted { .. }))
    }

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let row = sqlx::query(
            "SELECT owner, epoch, version, commit_epoch, commit_ordinal, fold, suspect IS NOT NULL FROM runs \
             WHERE id = ?",
        )
        .bind(self.run.to_string())
        .fetch_optional(&mut *conn)
        .await?;
        let Some(row) = row else { return Ok((CommitOutcome::Fenced, None)) };
        let owned = row.try_get::<Option<&str>, _>(0)? == Some(self.worker.as_str())
            && epoch(row.try_get(1)?) == self.epoch;
        let version = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default();
        let stood = epoch(row.try_get(3)?) == self.epoch && row.try_get::<u32, _>(4)? >= self.ordinal;
        if stood {
            // Only its acknowledgement was lost.
            return Ok((CommitOutcome::Committed { version, kept: owned }, None));
        }
        if !owned {
            return Ok((CommitOutcome::Fenced, None));
        }
        if version != self.base {
            let newer: Run = serde_json::from_str(row.try_get(5)?)
                .map_err(|error| Fault::Corrupt(format!("run {}: {error}", self.run)))?;
            return Ok((CommitOutcome::Behind { newer: Box::new(newer) }, None));
        }
        self.write(conn, now_ms, row.try_get(6)?).await
    }
}

impl Commit {
    async fn write(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
        suspect: bool,
    ) -> Result<(CommitOutcome, Option<Ring>), Fault> {
        if !self.events.is_empty() {
            append_events(conn, self.run, self.base, Some(self.epoch), &self.events, now_ms).await?;
        }
        for full in &self.outputs {
            output::write(conn, self.run, full).await?;
        }
        let runnable = self.after.status.is_runnable();
        let kept = match self.end {
            StepEnd::GoesOn => true,
            // A suspect's whole step clears it, and it goes back to the others.
            StepEnd::Done => runnable && !suspect && due(conn, Lane::Common, now_ms, 1).await? == 0,
            StepEnd::GiveBack => false,
        };
        sqlx::query(
            "UPDATE runs SET status = ?2, version = ?3, reducer = ?4, fold = ?5, updated_at = ?6, finished_at = ?7, \
             owner = CASE WHEN ?8 THEN owner END, \
             attempt = CASE ?9 WHEN 'goes_on' THEN attempt WHEN 'done' THEN ?8 ELSE max(attempt - 1, 0) END, \
             deaths = CASE ?9 WHEN 'done' THEN 0 ELSE deaths END, \
             suspect = CASE ?9 WHEN 'done' THEN NULL ELSE suspect END, commit_epoch = ?10, commit_ordinal = ?11 \
             WHERE id = ?1",
        )
        .bind(self.run.to_string())
        .bind(self.after.status.as_str())
        .bind(signed(self.after.version))
        .bind(REDUCER)
        .bind(fold_text(&self.after)?)
        .bind(now_ms)
        .bind(self.after.status.is_over().then_some(now_ms))
        .bind(kept)
        .bind(match self.end {
            StepEnd::GoesOn => "goes_on",
            StepEnd::Done => "done",
            StepEnd::GiveBack => "give_back",
        })
        .bind(signed(self.epoch.0))
        .bind(self.ordinal)
        .execute(&mut *conn)
        .await?;
        if suspect && self.end == StepEnd::Done {
            sqlx::query("UPDATE lost_attempts SET suspected = 0 WHERE run = ?")
                .bind(self.run.to_string())
                .execute(&mut *conn)
                .await?;
        }
        let mut ring = Ring::Events;
        if self.end != StepEnd::GoesOn {
            if runnable && !kept {
                enqueue(conn, self.run, JobKind::Step, now_ms).await?;
                ring = Ring::Job;
            } else {
                dequeue(conn, self.run).await?;
            }
        }
        Ok((CommitOutcome::Committed { version: self.after.version, kept }, Some(ring)))
    }
}

/// Gives a run back unadvanced.
pub(super) struct HandBack {
    pub(super) run: RunId,
    pub(super) worker: WorkerId,
    pub(super) epoch: Epoch,
}

#[async_trait]
impl Transact for HandBack {
    type Out = ();
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let row = sqlx::query(
            "UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) WHERE id = ? AND owner = ? AND epoch = ? \
             RETURNING status IN ('running', 'cancelling')",
        )
        .bind(self.run.to_string())
        .bind(self.worker.as_str())
        .bind(signed(self.epoch.0))
        .fetch_optional(&mut *conn)
        .await?;
        let Some(row) = row else { return Ok(((), None)) };
        if row.try_get::<bool, _>(0)? {
            enqueue(conn, self.run, JobKind::Step, now_ms).await?;
            return Ok(((), Some(Ring::Job)));
        }
        Ok(((), None))
    }
}

/// Gives back what a worker owns and does not know of.
pub(super) struct HandBackAllBut {
    pub(super) worker: WorkerId,
    pub(super) held: Vec<(RunId, Epoch)>,
}

#[async_trait]
impl Transact for HandBackAllBut {
    type Out = u64;
    const SYNCED: bool = false;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let held = self.held.iter().map(|(run, epoch)| json!([run.to_string(), epoch.0]));
        let held = serde_json::Value::from_iter(held).to_string();
        let rows = sqlx::query(
            "UPDATE runs SET owner = NULL, attempt = max(attempt - 1, 0) \
             WHERE owner = ? AND (id, epoch) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?)) \
             RETURNING id, status IN ('running', 'cancelling')",
        )
        .bind(self.worker.as_str())
        .bind(held)
        .fetch_all(&mut *conn)
        .await?;
        for row in &rows {
            if row.try_get::<bool, _>(1)? {
                enqueue(conn, run_id(row.try_get(0)?)?, JobKind::Step, now_ms).await?;
            }
        }
        Ok((rows.len() as u64, (!rows.is_empty()).then_some(Ring::Job)))
    }
}
