//! Claiming runs for a step, committing it, and giving runs back.

use piton_core::{Epoch, RunId, WorkerId};
use piton_store::{Claim, Commit, CommitOutcome, Due, JobKind, Lane, Ring, Scheduling, StepEnd};

use super::Mutant;
use super::tables::{Tables, Written};

impl Tables {
    pub(super) fn claim(&mut self, worker: &WorkerId, chosen: &[Due]) -> Written<Vec<Claim>> {
        let may_claim = self.workers.get(worker).is_some_and(|worker| !worker.draining);
        if !may_claim && !self.is(Mutant::ClaimWithoutLease) {
            return (Vec::new(), None);
        }
        let next_epoch = u64::from(!self.is(Mutant::ClaimKeepsEpoch));
        let mut claims = Vec::new();
        for Due { run, due_at_ms, .. } in chosen {
            let (run, due_at_ms) = (*run, *due_at_ms);
            let kind = self.jobs.remove(&run).map_or(JobKind::Step, |job| job.kind);
            let Some(stored) = self.stored(run).filter(|stored| stored.row.run.status.is_runnable()) else {
                continue;
            };
            stored.row.owner = Some(worker.clone());
            stored.row.epoch = Epoch(stored.row.epoch.0 + next_epoch);
            stored.row.attempt += 1;
            claims.push(Claim {
                run,
                fold: stored.row.run.clone(),
                epoch: stored.row.epoch,
                attempt: stored.row.attempt,
                ordinal: 1,
                kind,
                due_at_ms,
            });
        }
        (claims, None)
    }

    pub(super) fn commit(
        &mut self,
        commit: &Commit,
        scheduling: &Scheduling,
        now_ms: i64,
    ) -> Written<CommitOutcome> {
        let Some(stored) = self.runs.get(&commit.run) else { return (CommitOutcome::Fenced, None) };
        let owned = stored.row.owner.as_ref() == Some(&commit.worker) && stored.row.epoch == commit.epoch;
        let version = stored.row.run.version;
        let stood = stored.key.0 == commit.epoch && stored.key.1 >= commit.ordinal;
        if stood && !self.is(Mutant::NoCommitKey) {
            // Only its acknowledgement was lost.
            return (CommitOutcome::Committed { version, kept: owned }, None);
        }
        if !owned && !self.is(Mutant::NoEpochCheck) {
            return (CommitOutcome::Fenced, None);
        }
        if version != commit.base && self.is(Mutant::ReleaseByEpochAlone) && is_release(commit) {
            return self.let_go(commit, now_ms);
        }
        if version != commit.base && !self.is(Mutant::NoVersionCheck) {
            return (CommitOutcome::Behind { newer: Box::new(stored.row.run.clone()) }, None);
        }
        self.write(commit, scheduling, now_ms)
    }

    fn write(&mut self, commit: &Commit, scheduling: &Scheduling, now_ms: i64) -> Written<CommitOutcome> {
        let runnable = commit.after.status.is_runnable();
        let others_wait = commit.gives_way && !self.due(Lane::Common, now_ms, &scheduling.only).is_empty();
        let Some(stored) = self.stored(commit.run) else { return (CommitOutcome::Fenced, None) };
        stored.write(commit.after.clone(), &commit.events, now_ms);
        stored.outputs.extend(commit.outputs.iter().map(|full| (full.call, full.text.clone())));
        stored.key = (commit.epoch, commit.ordinal);
        let kept = match commit.end {
            StepEnd::GoesOn | StepEnd::Progress => true,
            // A suspect's whole step clears it, and it goes back to the others.
            StepEnd::Done => runnable && stored.suspect.is_none() && !others_wait,
            StepEnd::GiveBack => false,
        };
        if !kept {
            stored.row.owner = None;
        }
        match commit.end {
            StepEnd::GoesOn | StepEnd::Progress => {}
            StepEnd::Done => {
                stored.row.attempt = u32::from(kept);
                stored.suspect = None;
                stored.suspected.clear();
                stored.deaths = 0;
            }
            StepEnd::GiveBack => stored.row.attempt = stored.row.attempt.saturating_sub(1),
        }
        let outcome = CommitOutcome::Committed { version: commit.after.version, kept };
        if matches!(commit.end, StepEnd::GoesOn | StepEnd::Progress) {
            return (outcome, Some(Ring::Events));
        }
        if runnable && !kept {
            self.enqueue(commit.run, JobKind::Step, now_ms);
            return (outcome, Some(Ring::Job));
        }
        self.jobs.remove(&commit.run);
        let makes_room = !kept && scheduling.is_limited();
        (outcome, Some(if makes_room { Ring::Job } else { Ring::Events }))
    }

    /// What [`Mutant::ReleaseByEpochAlone`] does.
    fn let_go(&mut self, commit: &Commit, now_ms: i64) -> Written<CommitOutcome> {
        let Some(stored) = self.stored(commit.run) else { return (CommitOutcome::Fenced, None) };
        stored.row.owner = None;
        let version = stored.row.run.version;
        if commit.after.status.is_runnable() {
            self.enqueue(commit.run, JobKind::Step, now_ms);
        } else {
            self.jobs.remove(&commit.run);
        }
        (CommitOutcome::Committed { version, kept: false }, Some(Ring::Events))
    }

    pub(super) fn hand_back(
        &mut self,
        run: RunId,
        worker: &WorkerId,
        epoch: Epoch,
        now_ms: i64,
    ) -> Written<()> {
        let Some(stored) = self.stored(run) else { return ((), None) };
        if stored.row.owner.as_ref() != Some(worker) || stored.row.epoch != epoch {
            return ((), None);
        }
        stored.row.owner = None;
        stored.row.attempt = stored.row.attempt.saturating_sub(1);
        if !stored.row.run.status.is_runnable() {
            return ((), None);
        }
        self.enqueue(run, JobKind::Step, now_ms);
        ((), Some(Ring::Job))
    }

    pub(super) fn hand_back_all_but(
        &mut self,
        worker: &WorkerId,
        held: &[(RunId, Epoch)],
        now_ms: i64,
    ) -> Written<u64> {
        let owned = self.owned_by(worker).into_iter();
        let owned = owned.filter_map(|run| Some((run, self.runs.get(&run)?.row.epoch)));
        let unknown: Vec<(RunId, Epoch)> = owned.filter(|owned| !held.contains(owned)).collect();
        for (run, epoch) in &unknown {
            self.hand_back(*run, worker, *epoch, now_ms);
        }
        (unknown.len() as u64, (!unknown.is_empty()).then_some(Ring::Job))
    }
}

fn is_release(commit: &Commit) -> bool {
    commit.events.is_empty() && matches!(commit.end, StepEnd::Done | StepEnd::GiveBack)
}
