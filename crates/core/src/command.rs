//! What somebody may ask of a run from outside, and why it may be refused. Pure: the answer is a list of events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CallId, Event, Interrupt, RESUME_STEPS, Run, Status, WorkerId};

/// A request from outside, accepted or refused on the spot.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `question` is the open question's id; without it the open one is meant, whichever it is.
    Answer {
        question: Option<CallId>,
        answer: String,
    },
    Decide {
        question: CallId,
        decision: Decision,
    },
    Pause,
    Resume,
    Cancel,
    /// Lets a quarantined run go on.
    Release,
}

/// What a human says of a call whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// The call took effect, with this result.
    Happened { result: Value },
    /// The call took no effect: it is made again, with the same key.
    DidNotHappen,
    /// The run is given up.
    Abort,
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the run is {status} and waits for no answer")]
    NotWaiting { status: Status },
    /// The named question is not the open one: it was answered already, or never put.
    #[error("another question is open: {open}")]
    OtherQuestion { open: CallId },
    /// The open question is an unknown outcome, which wants a decision, or the other way round.
    #[error("the open question wants {wanted}")]
    OtherKind { wanted: &'static str },
    /// Made again now, the call might happen twice: the worker that began it is still there.
    #[error(
        "worker {worker} is still there and may yet make this call: end its process first, or say that the call \
         happened, or abort"
    )]
    StillActing { worker: WorkerId },
    #[error("the run is running already")]
    AlreadyRunning,
    #[error("the run waits for an answer")]
    WaitsForAnswer,
    /// The history is as long as its limit allows.
    #[error(
        "the run has {events} events, and its limit allows no more: it cannot be {verb}. Launch another one"
    )]
    EventsUsedUp { events: u64, verb: &'static str },
    #[error("a run that is {status} cannot be {verb}")]
    NotInStatus { status: Status, verb: &'static str },
}

impl Command {
    /// The events that carry the command out on `run`.
    ///
    /// # Errors
    /// [`Refusal`] when the run's status does not allow it.
    pub fn decide(&self, run: &Run) -> Result<Vec<Event>, Refusal> {
        let status = run.status;
        match self {
            Self::Answer { question, answer } => {
                let open = open_interrupt(run, *question, Status::WaitingHumanInput)?;
                let Interrupt::Question { call, .. } = open else {
                    return Err(Refusal::OtherKind { wanted: "a decision" });
                };
                Ok(vec![Event::HumanAnswered { call: *call, answer: answer.clone() }])
            }
            Self::Decide { question, decision } => {
                let open = open_interrupt(run, Some(*question), Status::Undecided)?;
                let Interrupt::UnknownOutcome { call, .. } = open else {
                    return Err(Refusal::OtherKind { wanted: "an answer" });
                };
                let mut events = vec![Event::OutcomeDecided { call: *call, decision: decision.clone() }];
                if run.cancel_requested || *decision == Decision::Abort {
                    events.push(Event::Cancelled);
                } else if run.was_paused {
                    events.push(Event::Paused);
                }
                Ok(events)
            }
            // It is about to fail. Otherwise pauses and resumes in turns would make any history longer.
            Self::Pause if status == Status::Running && run.are_events_used_up() => {
                Err(Refusal::EventsUsedUp { events: run.version, verb: "paused" })
            }
            Self::Pause if status == Status::Running => Ok(vec![Event::Paused]),
            Self::Pause => Err(Refusal::NotInStatus { status, verb: "paused" }),
            Self::Resume => match status {
                // It would fail again at once. A paused one may still come to that end.
                Status::Failed | Status::MaxStepsReached if run.is_spent() => {
                    Err(Refusal::EventsUsedUp { events: run.version, verb: "resumed" })
                }
                Status::Paused | Status::Failed => Ok(vec![Event::Resumed { max_steps: run.max_steps }]),
                Status::MaxStepsReached => {
                    Ok(vec![Event::Resumed { max_steps: run.steps.saturating_add(RESUME_STEPS) }])
                }
                Status::Running | Status::Cancelling => Err(Refusal::AlreadyRunning),
                Status::WaitingHumanInput => Err(Refusal::WaitsForAnswer),
                _ => Err(Refusal::NotInStatus { status, verb: "resumed" }),
            },
            Self::Cancel => match status {
                Status::Complete | Status::Cancelled => {
                    Err(Refusal::NotInStatus { status, verb: "cancelled" })
                }
                Status::Cancelling => Err(Refusal::NotInStatus { status, verb: "cancelled again" }),
                Status::Undecided if run.cancel_requested => {
                    Err(Refusal::NotInStatus { status, verb: "cancelled again" })
                }
                _ if run.has_open_call() => Ok(vec![Event::CancelRequested]),
                _ => Ok(vec![Event::CancelRequested, Event::Cancelled]),
            },
            Self::Release if status == Status::Quarantined && run.was_paused => {
                Ok(vec![Event::Released, Event::Paused])
            }
            Self::Release if status == Status::Quarantined => Ok(vec![Event::Released]),
            Self::Release => Err(Refusal::NotInStatus { status, verb: "released" }),
        }
    }
}

fn open_interrupt(run: &Run, question: Option<CallId>, wanted: Status) -> Result<&Interrupt, Refusal> {
    let Some(open) = &run.interrupt else {
        return Err(Refusal::NotWaiting { status: run.status });
    };
    match question {
        Some(named) if named != open.id() => Err(Refusal::OtherQuestion { open: open.id() }),
        // An unknown outcome is not answered by accident: its id has to be named.
        None if run.status != wanted => Err(Refusal::NotWaiting { status: run.status }),
        _ => Ok(open),
    }
}
