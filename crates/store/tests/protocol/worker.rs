//! A worker's program: what `crates/worker/src/step.rs` and `perform.rs` do between two moments at which others can
//! come in between. Everything in here is local to the worker and dies with it.

use piton_core::Status;

use crate::history::{Histories, History, Illegal, Name, Owed};
use crate::mutant::{Mutant, Rules};
use crate::store::{Commit, End, Outcome};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Worker {
    /// 0: it holds nothing that anybody could ask for, so one such worker is as good as another.
    pub(crate) name: Name,
    pub(crate) stopping: bool,
    pub(crate) step: Option<Step>,
}

/// A step under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) epoch: u8,
    /// Of its next commit.
    pub(crate) ordinal: u8,
    /// The run with everything this step found out.
    pub(crate) log: History,
    pub(crate) uncommitted: u8,
    pub(crate) at: At,
}

/// What the step does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    /// Reads the version before it makes the idempotent call.
    Look,
    Note,
    Pay,
    /// The model was asked.
    Reply,
    Commit(Goal),
    /// Gives the run back: it could not be read, or its claim was never answered and is not trusted.
    HandBack,
}

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Goal {
    /// To announce the payment.
    Announce,
    /// To have the payment's outcome on disk.
    Ended,
    /// To see what was commanded.
    CatchUp,
    /// To show what there is while the model takes its time.
    Show,
    /// To learn what became of a commit that was cut off by the step's limit, and to have the rest on disk.
    CutOff,
    /// To say that the step failed.
    Fail,
    End(End),
}

impl Worker {
    pub(crate) const FRESH: Self = Self { name: 0, stopping: false, step: None };

    pub(crate) fn at(&self) -> Option<At> {
        self.step.map(|step| step.at)
    }
}

impl Step {
    pub(crate) const fn claimed(epoch: u8, log: History, at: At) -> Self {
        Self { epoch, ordinal: 1, log, uncommitted: 0, at }
    }

    pub(crate) const fn base(&self) -> u8 {
        self.log.version - self.uncommitted
    }

    pub(crate) fn commit(&self, by: Name, crowded: bool) -> Commit {
        let end = match self.at {
            At::Commit(Goal::End(end)) => end,
            At::Commit(Goal::Fail) => End::GiveBack,
            _ => End::GoesOn,
        };
        Commit {
            by,
            epoch: self.epoch,
            ordinal: self.ordinal,
            log: self.log,
            uncommitted: self.uncommitted,
            end,
            crowded,
        }
    }

    pub(crate) fn goes_on_at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// Appends what was found out to the step's own fold.
    pub(crate) fn record(mut self, log: Result<History, Illegal>) -> Result<Self, Illegal> {
        let log = log?;
        self.uncommitted += log.version - self.log.version;
        self.log = log;
        Ok(self)
    }
}

/// What all workers go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) histories: &'a Histories,
    pub(crate) rules: Rules,
}

impl Program<'_> {
    /// Asks what is owed and goes to the next moment at which others matter. `asked`: the model has been asked, so
    /// the step ends before the next call.
    pub(crate) fn proceed(
        &self,
        mut step: Step,
        by: Name,
        stopping: bool,
        asked: bool,
    ) -> Result<Step, Illegal> {
        loop {
            let owed = self.histories.owed(step.log, step.epoch);
            step = match owed {
                Owed::Decision(after) if after.status == Status::Undecided => {
                    if self.rules.broken(Mutant::UnknownCalledAgain) {
                        return Ok(step.goes_on_at(At::Pay));
                    }
                    step.record(Ok(after))?
                }
                Owed::Decision(after) => step.record(Ok(after))?,
                Owed::Pay | Owed::Note | Owed::Reply if asked => return Ok(end(step)),
                Owed::Pay | Owed::Note | Owed::Reply if stopping => {
                    return Ok(step.goes_on_at(At::Commit(Goal::End(End::GiveBack))));
                }
                Owed::Pay if self.rules.broken(Mutant::IntentNotCommitted) => {
                    return Ok(step.goes_on_at(At::Pay));
                }
                Owed::Pay => {
                    let begun = self.histories.begin_pay(step.log, by, step.epoch);
                    return Ok(step.record(begun)?.goes_on_at(At::Commit(Goal::Announce)));
                }
                Owed::Note if self.rules.broken(Mutant::NoLook) => return Ok(step.goes_on_at(At::Note)),
                Owed::Note => return Ok(step.goes_on_at(At::Look)),
                Owed::Reply => return Ok(step.goes_on_at(At::Reply)),
                Owed::Rest => return Ok(end(step)),
            };
        }
    }

    /// What the worker does with the answer to its commit. `None`: the step is over and the run is somebody else's.
    pub(crate) fn heard(
        &self,
        mut step: Step,
        outcome: Outcome,
        newer: History,
        worker: &Worker,
    ) -> Result<Option<Step>, Illegal> {
        match outcome {
            Outcome::Fenced => Ok(None),
            Outcome::Behind => {
                let (count, epoch) = (step.uncommitted, step.epoch);
                let (log, uncommitted) = if self.rules.broken(Mutant::DecisionsMerged) {
                    self.histories.carry_over(newer, step.log, count)?
                } else {
                    self.histories.merge(newer, step.log, count, epoch)?
                };
                Ok(Some(Step { log, uncommitted, ..step }))
            }
            Outcome::Committed { version, kept } => {
                step.ordinal += 1;
                step.uncommitted = 0;
                if kept && version != step.log.version {
                    // It had stood already, and a command came on top of it: that is merged next.
                    return Ok(Some(step));
                }
                self.settled(step, kept, worker)
            }
        }
    }

    fn settled(&self, step: Step, kept: bool, worker: &Worker) -> Result<Option<Step>, Illegal> {
        let At::Commit(goal) = step.at else { return Ok(Some(step)) };
        let again = |step| self.proceed(step, worker.name, worker.stopping, false).map(Some);
        match goal {
            Goal::Announce => {
                let announced = step.log.open == Some((worker.name, step.epoch));
                if announced || self.rules.broken(Mutant::IntentNotChecked) {
                    Ok(Some(step.goes_on_at(At::Pay)))
                } else {
                    again(step)
                }
            }
            Goal::Ended | Goal::CatchUp => again(step),
            Goal::Show if matches!(step.log.status, Status::Cancelled | Status::Cancelling) => again(step),
            Goal::Show => Ok(Some(step.goes_on_at(At::Reply))),
            Goal::CutOff if kept => Ok(Some(self.fail(step))),
            Goal::End(_) if kept && !worker.stopping => again(step),
            Goal::CutOff | Goal::End(_) | Goal::Fail => Ok(None),
        }
    }

    /// The step's limit has passed, whatever it was at.
    pub(crate) fn cut_off(&self, step: Step) -> Step {
        if self.rules.broken(Mutant::CommitForgotten) {
            return self.fail(step);
        }
        step.goes_on_at(At::Commit(Goal::CutOff))
    }

    /// The run ends as failed; if a call is open, its outcome is unknown.
    fn fail(&self, step: Step) -> Step {
        let said = match step.log.open {
            Some(_) => self.histories.unknown(step.log),
            None => self.histories.failed(step.log),
        };
        let step = if step.log.status.is_runnable() { step.record(said).unwrap_or(step) } else { step };
        step.goes_on_at(At::Commit(Goal::Fail))
    }
}

fn end(step: Step) -> Step {
    let end = if step.log.open.is_some() { End::GiveBack } else { End::Done };
    step.goes_on_at(At::Commit(Goal::End(end)))
}
