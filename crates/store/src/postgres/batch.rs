//! Commits of steps, all of a group in one statement: what each of them writes is the same few rows, and on a server it is
//! statements and round trips that cost.
//!
//! Who is not among those that the statement tells of did not fit it, and is tried alone: its fence does not hold, it is a
//! suspect, or it has outputs to write.

use std::collections::HashMap;

use piton_core::{FORMAT, REDUCER, RunId};

use super::conn::Conn;
use super::due::{self, any_due};
use super::fault::Fault;
use super::rows::{asked_at, fold_text, run_id, signed};
use crate::bell::Ring;
use crate::stepping::WriteCommit;
use crate::{CommitOutcome, Lane, StepEnd};

/// As `step::write` does it for one. `$13` says whether others wait, where that takes more than a look at all jobs.
const WRITE: &str = concat!(
    "\
    WITH given AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], \
        $6::bigint[], $7::text[], $8::text[], $9::bool[], $10::bool[], $11::bool[], $12::bool[], $21::bigint[], $22::bigint[], $24::bool[]) \
      AS given (run, worker, epoch, base, ordinal, version, fold, status, is_whole, is_runnable, stays, ends, \
                finished_at, asked_at, gives_way) ORDER BY run), \
    others AS MATERIALIZED (SELECT coalesce($13::bool, EXISTS (",
    any_due!("$15", "$14"),
    ")) AS wait), \
    moved AS (UPDATE runs r SET version = g.version, reducer = $14, fold = g.fold, updated_at = $15, \
        commit_epoch = g.epoch, commit_ordinal = g.ordinal, status = g.status, finished_at = g.finished_at, \
        asked_at = g.asked_at, owner = CASE WHEN g.stays AND NOT (g.is_whole AND g.gives_way AND others.wait) THEN r.owner END, \
        attempt = CASE WHEN g.is_whole THEN (g.stays AND NOT (g.gives_way AND others.wait))::int WHEN g.stays THEN r.attempt \
                       ELSE greatest(r.attempt - 1, 0) END, \
        deaths = CASE WHEN g.is_whole THEN 0 ELSE r.deaths END \
      FROM given g CROSS JOIN others \
      WHERE r.id = g.run AND r.owner = g.worker AND r.epoch = g.epoch AND r.version = g.base \
      AND (r.commit_epoch <> g.epoch OR r.commit_ordinal < g.ordinal) AND r.suspect IS NULL \
      RETURNING r.id, r.owner IS NOT NULL AS kept, g.is_whole, g.ends, g.is_runnable, r.tenant, r.agent_name, \
                r.priority, r.reducer || ':' || r.agent_digest AS needs), \
    appended AS (INSERT INTO events (run, seq, at, type, v, body, epoch) \
      SELECT e.run, e.seq, $15, e.type, $16, e.body, e.epoch \
      FROM unnest($17::uuid[], $18::bigint[], $19::text[], $20::text[], $23::bigint[]) AS e (run, seq, type, body, epoch) \
      JOIN moved ON moved.id = e.run), \
    done AS (DELETE FROM jobs USING moved \
      WHERE jobs.run = moved.id AND moved.ends AND (moved.kept OR NOT moved.is_runnable)), \
    goes_on AS (INSERT INTO jobs (run, kind, tenant, agent, priority, needs, due_at, enqueued_at) \
      SELECT id, 'step', tenant, agent_name, priority, needs, $15, $15 FROM moved \
      WHERE ends AND is_runnable AND NOT kept \
      ON CONFLICT (run) DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at), needs = excluded.needs), \
    cleared AS (UPDATE lost_attempts SET suspected = false FROM moved \
      WHERE lost_attempts.run = moved.id AND moved.is_whole AND NOT moved.kept AND lost_attempts.suspected) \
    SELECT id, kept FROM moved"
);

/// Whether it is of the kind that is written with others.
pub(super) fn fits(write: &WriteCommit) -> bool {
    write.commit.outputs.is_empty()
}

/// What became of each run that fitted.
pub(super) type Written = HashMap<RunId, CommitOutcome>;

/// Writes the commits of different runs, in a transaction of its own.
pub(super) async fn write(
    conn: &Conn,
    commits: &[&WriteCommit],
    now_ms: i64,
) -> Result<(Written, Ring), Fault> {
    let Some(scheduler) = commits.first().map(|first| &first.scheduler) else {
        return Ok((Written::new(), Ring::Events));
    };
    let is_plain = scheduler.scheduling.only.is_any() && scheduler.left_alone(now_ms).is_nothing();
    let others_wait = if !commits.iter().any(|write| write.commit.gives_way) {
        // Nobody asks.
        Some(false)
    } else if is_plain {
        None
    } else {
        Some(due::count(conn, scheduler, Lane::Common, now_ms, 1).await? > 0)
    };
    let all = || commits.iter().map(|write| &write.commit);
    let runs: Vec<_> = all().map(|commit| commit.run.as_uuid()).collect();
    let workers: Vec<_> = all().map(|commit| commit.worker.as_str()).collect();
    let epochs: Vec<_> = all().map(|commit| signed(commit.epoch.0)).collect();
    let bases: Vec<_> = all().map(|commit| signed(commit.base)).collect();
    let ordinals: Vec<_> = all().map(|commit| i64::from(commit.ordinal)).collect();
    let versions: Vec<_> = all().map(|commit| signed(commit.after.version)).collect();
    let folds = all().map(|commit| fold_text(&commit.after)).collect::<Result<Vec<_>, _>>()?;
    let statuses: Vec<_> = all().map(|commit| commit.after.status.as_str()).collect();
    let whole: Vec<_> = all().map(|commit| commit.end == StepEnd::Done).collect();
    let giving_way: Vec<_> = all().map(|commit| commit.gives_way).collect();
    let runnable: Vec<_> = all().map(|commit| commit.after.status.is_runnable()).collect();
    let stays: Vec<_> = all()
        .map(|commit| match commit.end {
            StepEnd::GoesOn | StepEnd::Progress => true,
            StepEnd::Done => commit.after.status.is_runnable(),
            StepEnd::GiveBack => false,
        })
        .collect();
    let ends: Vec<_> = all().map(|commit| matches!(commit.end, StepEnd::Done | StepEnd::GiveBack)).collect();
    let finished: Vec<_> = all().map(|commit| commit.after.status.is_over().then_some(now_ms)).collect();
    let asked: Vec<_> = all().map(|commit| asked_at(&commit.after, now_ms)).collect();
    let mut events = Events::default();
    for commit in all() {
        for (event, seq) in commit.events.iter().zip(commit.base + 1..) {
            events.runs.push(commit.run.as_uuid());
            events.seqs.push(signed(seq));
            events.kinds.push(event.kind());
            events.bodies.push(event.encode().map_err(Fault::corrupt)?);
            events.epochs.push(signed(commit.epoch.0));
        }
    }
    let (reducer, format) = (i64::from(REDUCER), i64::from(FORMAT));
    let rows = conn
        .query(
            WRITE,
            &[
                &runs,
                &workers,
                &epochs,
                &bases,
                &ordinals,
                &versions,
                &folds,
                &statuses,
                &whole,
                &runnable,
                &stays,
                &ends,
                &others_wait,
                &reducer,
                &now_ms,
                &format,
                &events.runs,
                &events.seqs,
                &events.kinds,
                &events.bodies,
                &finished,
                &asked,
                &events.epochs,
                &giving_way,
            ],
        )
        .await?;
    let kept: HashMap<RunId, bool> = rows.iter().map(|row| (run_id(row, 0), row.get(1))).collect();
    let mut written = Written::with_capacity(kept.len());
    let mut ring = Ring::Events;
    for commit in all() {
        let Some(kept) = kept.get(&commit.run).copied() else { continue };
        let ends = matches!(commit.end, StepEnd::Done | StepEnd::GiveBack);
        // One that goes on, or room for one that had to wait: with any worker.
        if ends && !kept && (commit.after.status.is_runnable() || scheduler.scheduling.is_limited()) {
            ring = Ring::Job;
        }
        written.insert(commit.run, CommitOutcome::Committed { version: commit.after.version, kept });
    }
    Ok((written, ring))
}

#[derive(Default)]
struct Events {
    runs: Vec<uuid::Uuid>,
    seqs: Vec<i64>,
    kinds: Vec<&'static str>,
    bodies: Vec<String>,
    epochs: Vec<i64>,
}
