//! The rows of the one run, and the transactions on them: what `crates/store/src/sqlite` does in SQL, each as one
//! indivisible action.

use piton_core::Status;

use crate::history::{History, Name};
use crate::mutant::{Mutant, Rules};

/// What the database holds, as every connection sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    pub(crate) log: History,
    pub(crate) owner: Option<Name>,
    pub(crate) epoch: u8,
    /// Names given to workers so far.
    pub(crate) names: u8,
    pub(crate) attempt: u8,
    /// Epoch and ordinal of the last commit of a worker.
    pub(crate) key: (u8, u8),
    pub(crate) job: bool,
    pub(crate) leases: Vec<Lease>,
    /// For the properties only: owners that died at this step, and whether a fault took the job away.
    pub(crate) deaths: u8,
    pub(crate) job_lost: bool,
}

/// A worker's row. Its worker may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) worker: Name,
    /// Grows with every renewal: which one it was that looked lapsed.
    pub(crate) number: u8,
    pub(crate) lapsed: bool,
}

/// What becomes of the run's ownership with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    GoesOn,
    Done,
    GiveBack,
}

/// One commit of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) by: Name,
    pub(crate) epoch: u8,
    pub(crate) ordinal: u8,
    pub(crate) log: History,
    /// How many events of `log` are not on disk.
    pub(crate) uncommitted: u8,
    pub(crate) end: End,
    /// Whether an older run waits, whose turn comes first.
    pub(crate) crowded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed { version: u8, kept: bool },
    Fenced,
    Behind,
}

/// A rule that was seen broken, for the properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    /// A worker wrote to a run that it did not own.
    StaleWrite,
    /// A run was taken from an owner whose lease stands.
    Robbed,
    /// A command left a runnable run without a job.
    Unwoken,
    /// A step could not record what it found out.
    Unrecordable,
    /// A tool was begun on a run that was told to rest.
    BegunAtRest,
}

impl Commit {
    const fn base(&self) -> u8 {
        self.log.version - self.uncommitted
    }
}

impl Rows {
    pub(crate) fn launched(log: History) -> Self {
        Self {
            log,
            owner: None,
            epoch: 0,
            names: 0,
            attempt: 0,
            key: (0, 0),
            job: true,
            leases: Vec::new(),
            deaths: 0,
            job_lost: false,
        }
    }

    pub(crate) fn lease(&self, worker: Name) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.worker == worker)
    }

    pub(crate) fn lease_mut(&mut self, worker: Name) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.worker == worker)
    }

    pub(crate) fn holds(&self, worker: Name, epoch: u8) -> bool {
        self.owner == Some(worker) && self.epoch == epoch
    }

    /// Whether a worker may take the run. One that was taken for dead takes nothing.
    pub(crate) fn is_claimable(&self, by: Name, rules: Rules) -> bool {
        let registered = by == 0 || self.lease(by).is_some();
        self.job && registered && (self.owner.is_none() || rules.broken(Mutant::ClaimIgnoresOwner))
    }

    /// Takes the job and, if the run can advance, the run. A worker without a name gets one and its lease.
    pub(crate) fn claim(&mut self, by: Name, rules: Rules) -> Result<Option<Name>, Flaw> {
        self.job = false;
        if !self.log.status.is_runnable() {
            return Ok(None);
        }
        let robbed = self.owner.and_then(|owner| self.lease(owner)).is_some_and(|lease| !lease.lapsed);
        if !rules.broken(Mutant::ClaimKeepsEpoch) {
            self.epoch += 1;
        }
        if !rules.broken(Mutant::AttemptCountedAfter) {
            self.attempt += 1;
        }
        self.job_lost = false;
        let name = if by == 0 { self.names + 1 } else { by };
        if by == 0 {
            self.names += 1;
        }
        if by == 0 && !rules.broken(Mutant::ClaimUnregistered) {
            self.leases.push(Lease { worker: name, number: 0, lapsed: false });
        }
        self.owner = Some(name);
        if robbed { Err(Flaw::Robbed) } else { Ok(Some(name)) }
    }

    pub(crate) fn commit(&mut self, commit: &Commit, rules: Rules) -> Result<Outcome, Flaw> {
        let owned = self.holds(commit.by, commit.epoch);
        let stood = self.key.0 == commit.epoch && self.key.1 >= commit.ordinal;
        if stood && !rules.broken(Mutant::NoCommitKey) {
            return Ok(Outcome::Committed { version: self.log.version, kept: owned });
        }
        if !owned && !rules.broken(Mutant::NoEpochCheck) {
            return Ok(Outcome::Fenced);
        }
        if self.log.version != commit.base() && !rules.broken(Mutant::NoVersionCheck) {
            let ends = commit.end != End::GoesOn && commit.uncommitted == 0;
            if ends && rules.broken(Mutant::ReleaseByEpochAlone) {
                self.owner = None;
                self.job = commit.log.status.is_runnable();
                return Ok(Outcome::Committed { version: self.log.version, kept: false });
            }
            return Ok(Outcome::Behind);
        }
        if !owned {
            return Err(Flaw::StaleWrite);
        }
        Ok(self.write(commit))
    }

    fn write(&mut self, commit: &Commit) -> Outcome {
        let runnable = commit.log.status.is_runnable();
        let kept = match commit.end {
            End::GoesOn => true,
            End::Done => runnable && !commit.crowded,
            End::GiveBack => false,
        };
        self.log = commit.log;
        self.key = (commit.epoch, commit.ordinal);
        if !kept {
            self.owner = None;
        }
        match commit.end {
            End::GoesOn => {}
            End::Done => {
                self.attempt = u8::from(kept);
                self.deaths = 0;
            }
            End::GiveBack => self.attempt = self.attempt.saturating_sub(1),
        }
        if commit.end != End::GoesOn {
            self.job = runnable && !kept;
            self.job_lost = false;
        }
        Outcome::Committed { version: self.log.version, kept }
    }

    /// Records an accepted command and wakes the run.
    pub(crate) fn command(&mut self, after: History, rules: Rules) -> Result<(), Flaw> {
        self.log = after;
        let skipped = self.owner.is_some() && rules.broken(Mutant::JobSkippedWhileOwned);
        if !after.status.is_runnable() {
            self.job = false;
        } else if !skipped {
            self.enqueue();
        }
        if after.status.is_runnable() && !self.job { Err(Flaw::Unwoken) } else { Ok(()) }
    }

    pub(crate) fn hand_back(&mut self, worker: Name, epoch: u8) {
        if self.holds(worker, epoch) {
            self.release();
            self.attempt = self.attempt.saturating_sub(1);
        }
    }

    /// Ends the ownership of a worker that is taken for dead.
    pub(crate) fn recover(&mut self, worker: Name, rules: Rules) {
        self.leases.retain(|lease| lease.worker != worker);
        if self.owner == Some(worker) {
            let job = self.job;
            self.release();
            self.deaths += 1;
            if rules.broken(Mutant::RecoverWithoutJob) {
                self.job = job;
            }
        }
    }

    /// A worker's own good-bye: no attempt was lost.
    pub(crate) fn retire(&mut self, worker: Name) {
        self.leases.retain(|lease| lease.worker != worker);
        if self.owner == Some(worker) {
            self.release();
            self.attempt = self.attempt.saturating_sub(1);
        }
    }

    /// Keeps the run from all workers.
    pub(crate) fn quarantine(&mut self, after: History) {
        self.log = after;
        self.owner = None;
        self.job = false;
        (self.attempt, self.deaths) = (0, 0);
    }

    /// Whether the sweep finds something to mend.
    pub(crate) fn is_adrift(&self, rules: Rules) -> bool {
        let orphan = self.owner.is_some_and(|owner| self.lease(owner).is_none());
        let asleep = self.log.status.is_runnable() && self.owner.is_none() && !self.job;
        (orphan || asleep) && (self.job || !rules.broken(Mutant::SweepFromQueue))
    }

    pub(crate) fn sweep(&mut self) {
        if let Some(owner) = self.owner
            && self.lease(owner).is_none()
        {
            self.release();
            self.deaths += 1;
        }
        if self.log.status.is_runnable() && self.owner.is_none() {
            self.enqueue();
        }
    }

    /// Whether the run may still be quarantined: one that rests does no more harm.
    pub(crate) fn is_advancing(&self) -> bool {
        self.log.status.is_runnable() || self.log.status == Status::Paused
    }

    /// Over, or waiting for somebody.
    pub(crate) fn is_at_rest(&self) -> bool {
        let waits = [Status::WaitingHumanInput, Status::Undecided, Status::Paused];
        self.log.status.is_over() || waits.contains(&self.log.status)
    }

    fn release(&mut self) {
        self.owner = None;
        if self.log.status.is_runnable() {
            self.enqueue();
        }
    }

    fn enqueue(&mut self) {
        self.job = true;
        self.job_lost = false;
    }
}
