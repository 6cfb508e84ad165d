//! A run: the fold of its events. Small whatever the history's length, so that a step costs the same at event
//! 10,000 as at event 10; what the model is shown is a fold of its own ([`crate::Context`]).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AgentDigest, CallId, CallKind, Decision, EffectClass, Epoch, Event, Limits, Status, Streak, StuckReason,
    ToolCall, Usage, WorkerId,
};

/// The version of [`Run::apply`]. A worker leaves runs alone that were folded by a newer one.
///
/// Reducer 2 counts what calls came to ([`Streak`]) and keeps the limits that a run was launched with. Reducer 3
/// remembers a pause through an unknown outcome and a quarantine, and which asking about an outcome is open.
pub const REDUCER: u32 = 3;

/// A call that is asked for and not yet carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    pub call: ToolCall,
    /// Set from the moment an `at_most_once` call is begun.
    pub started: Option<Started>,
    /// Set where Piton itself asks, and not the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<StuckReason>,
}

impl Pending {
    fn new(call: &ToolCall) -> Self {
        Self { call: call.clone(), started: None, stuck: None }
    }
}

/// Who began an `at_most_once` call, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub worker: WorkerId,
    pub epoch: Epoch,
    pub attempt: u32,
    pub at_ms: i64,
}

/// What a run waits for a human to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Interrupt {
    Question {
        call: CallId,
        question: String,
    },
    UnknownOutcome {
        call: CallId,
        reason: String,
        /// The number of the event that asked. A call that is made again may come back as another question.
        #[serde(default)]
        asked: u64,
    },
}

impl Interrupt {
    /// The id an answer has to name: of this very asking, so that what was said of one try at a call is never taken
    /// for a word on the next.
    pub fn id(&self) -> CallId {
        match self {
            Self::Question { call, .. } => *call,
            Self::UnknownOutcome { call, asked, .. } => call.asked(*asked),
        }
    }

    /// The call it is about.
    pub const fn call(&self) -> CallId {
        match self {
            Self::Question { call, .. } | Self::UnknownOutcome { call, .. } => *call,
        }
    }
}

/// One execution of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The number of events folded, so the `seq` of the last one.
    pub version: u64,
    pub agent: AgentDigest,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Steps taken: replies, questions put, and the final answer.
    pub steps: u32,
    pub max_steps: u32,
    /// Turns taken: replies recorded.
    pub turns: u32,
    /// In the order asked for.
    pub pending: Vec<Pending>,
    pub interrupt: Option<Interrupt>,
    pub cancel_requested: bool,
    /// Whether it was paused when an outcome became unknown, or when it was quarantined: it is paused again after that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_paused: bool,
    #[serde(default)]
    pub streak: Streak,
    /// Replies in a row that asked for no call, and how many of those were empty.
    pub idle_replies: u32,
    pub empty_replies: u32,
    /// The text of the last reply, where it asked for no call.
    pub idle_text: Option<String>,
    /// Why the model could not be asked, until that is decided upon.
    pub model_error: Option<String>,
    pub error: Option<String>,
    pub final_answer: Option<String>,
    pub usage: Usage,
}

/// An event that cannot happen to a run as it stands. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to a run that is {status} at version {version}: {why}")]
pub struct IllegalEvent {
    pub event: &'static str,
    pub status: &'static str,
    pub version: u64,
    pub why: &'static str,
}

impl Run {
    /// The run as its first event makes it.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the event is not `Launched`.
    pub fn begin(first: &Event) -> Result<Self, IllegalEvent> {
        let Event::Launched { agent, max_steps, limits, .. } = first else {
            return Err(IllegalEvent {
                event: first.kind(),
                status: "not launched",
                version: 0,
                why: "a run begins with launched",
            });
        };
        Ok(Self {
            version: 1,
            agent: agent.clone(),
            status: Status::Running,
            limits: *limits,
            steps: 0,
            max_steps: *max_steps,
            turns: 0,
            pending: Vec::new(),
            interrupt: None,
            cancel_requested: false,
            was_paused: false,
            streak: Streak::begin(),
            idle_replies: 0,
            empty_replies: 0,
            idle_text: None,
            model_error: None,
            error: None,
            final_answer: None,
            usage: Usage::default(),
        })
    }

    /// Folds a whole history.
    ///
    /// # Errors
    /// [`IllegalEvent`] at the first event that cannot happen; an empty history is one too.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, IllegalEvent> {
        let mut events = events.into_iter();
        let Some(first) = events.next() else {
            return Err(IllegalEvent {
                event: "nothing",
                status: "not launched",
                version: 0,
                why: "a history has at least one event",
            });
        };
        events.try_fold(Self::begin(first)?, |run, event| run.apply(event))
    }

    /// The call a worker or a human is at: the first of the pending ones.
    pub fn front(&self) -> Option<&Pending> {
        self.pending.first()
    }

    /// Whether an `at_most_once` call was begun and its result is not recorded.
    pub fn has_open_call(&self) -> bool {
        self.pending.iter().any(|pending| pending.started.is_some())
    }

    /// Whether the history is as long as the run's limit allows: what comes now can only bring the run to an end.
    pub fn are_events_used_up(&self) -> bool {
        self.version >= u64::from(self.limits.events_max())
    }

    /// Whether that end can only be a failure. A final answer that is there already is not withheld.
    pub(crate) fn is_spent(&self) -> bool {
        self.are_events_used_up() && self.front().is_none_or(|front| front.call.kind != CallKind::FinalAnswer)
    }

    /// Whether this run, as a `reducer` stored it, is what its history folds to. What an older one did not count or
    /// remember of it is not compared.
    pub fn is_fold(&self, replayed: &Self, reducer: u32) -> bool {
        let mut replayed = replayed.clone();
        if !self.streak.is_whole() {
            replayed.streak = self.streak.clone();
        }
        if reducer < 3 {
            replayed.was_paused = self.was_paused;
            if let (
                Some(Interrupt::UnknownOutcome { asked: stored, .. }),
                Some(Interrupt::UnknownOutcome { asked, .. }),
            ) = (&self.interrupt, &mut replayed.interrupt)
            {
                *asked = *stored;
            }
        }
        *self == replayed
    }

    /// The run after `event`: pure, and total in that it never panics.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the event cannot happen to the run as it stands.
    pub fn apply(mut self, event: &Event) -> Result<Self, IllegalEvent> {
        self.fold(event).map_err(|why| IllegalEvent {
            event: event.kind(),
            status: self.status.as_str(),
            version: self.version,
            why,
        })?;
        self.version += 1;
        Ok(self)
    }

    fn fold(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Launched { .. } => Err("a run is launched once"),
            Event::ModelReplied { turn, text, calls, usage, .. } => {
                self.model_replied(*turn, text.as_deref(), calls, *usage)
            }
            Event::ModelFailed { error, .. } => {
                self.require_advancing()?;
                self.model_error = Some(error.clone());
                Ok(())
            }
            Event::ToolStarted { call, worker, epoch, attempt, at_ms, .. } => {
                self.require_status(&[Status::Running])?;
                let pending = self.front_mut(*call)?;
                if pending.call.kind != CallKind::Tool(EffectClass::AtMostOnce) {
                    return Err("only an at_most_once call is announced");
                }
                if pending.started.is_some() {
                    return Err("the call was begun already");
                }
                pending.started =
                    Some(Started { worker: worker.clone(), epoch: *epoch, attempt: *attempt, at_ms: *at_ms });
                Ok(())
            }
            Event::ToolReturned { call, result, .. } => self.tool_ended(*call, Ok(result)),
            Event::ToolFailed { call, error, .. } => self.tool_ended(*call, Err(error)),
            Event::Stuck { call, reason, .. } => self.asks_by_itself(call, *reason),
            Event::HumanAsked { call, question } => {
                self.require_status(&[Status::Running])?;
                if self.front_mut(*call)?.call.kind != CallKind::AskHuman {
                    return Err("the call does not ask a human");
                }
                self.interrupt = Some(Interrupt::Question { call: *call, question: question.clone() });
                self.status = Status::WaitingHumanInput;
                self.steps += 1;
                Ok(())
            }
            Event::HumanAnswered { call, .. } => {
                self.require_status(&[Status::WaitingHumanInput])?;
                self.take_interrupt(*call)?;
                self.pending.remove(0);
                self.streak = Streak::begin();
                self.status = Status::Running;
                Ok(())
            }
            Event::OutcomeUnknown { call, reason } => {
                self.require_advancing()?;
                if self.front_mut(*call)?.started.is_none() {
                    return Err("the call was not begun");
                }
                let (call, reason, asked) = (*call, reason.clone(), self.version + 1);
                self.interrupt = Some(Interrupt::UnknownOutcome { call, reason, asked });
                self.was_paused |= self.status == Status::Paused;
                self.status = Status::Undecided;
                Ok(())
            }
            Event::OutcomeDecided { call, decision } => self.outcome_decided(*call, decision),
            Event::Paused => {
                self.require_status(&[Status::Running])?;
                self.status = Status::Paused;
                self.was_paused = false;
                Ok(())
            }
            Event::Resumed { max_steps } => {
                self.require_status(&[Status::Paused, Status::Failed, Status::MaxStepsReached])?;
                self.status = Status::Running;
                self.max_steps = *max_steps;
                self.error = None;
                self.model_error = None;
                self.idle_replies = 0;
                self.empty_replies = 0;
                Ok(())
            }
            Event::CancelRequested => {
                if self.status.is_final() || self.status == Status::Cancelling {
                    return Err("there is nothing to cancel");
                }
                self.cancel_requested = true;
                self.was_paused = false;
                // An unknown outcome stays in the inbox: cancelling does not make it known.
                if self.status != Status::Undecided {
                    self.interrupt = None;
                    self.status = Status::Cancelling;
                }
                Ok(())
            }
            Event::Cancelled => {
                self.require_status(&[Status::Cancelling])?;
                if self.has_open_call() {
                    return Err("the result of a call is still open");
                }
                self.end(Status::Cancelled, Some("cancelled"));
                Ok(())
            }
            Event::LimitReached => {
                self.require_status(&[Status::Running])?;
                self.status = Status::MaxStepsReached;
                Ok(())
            }
            Event::Failed { error } => {
                self.require_status(&[Status::Running])?;
                self.end(Status::Failed, Some(error));
                Ok(())
            }
            Event::Completed { answer } => {
                self.require_status(&[Status::Running])?;
                // A last word in plain text was counted as a step when its reply was recorded.
                if self.front().is_some_and(|front| front.call.kind == CallKind::FinalAnswer) {
                    self.steps += 1;
                }
                self.pending.clear();
                self.final_answer = Some(answer.clone());
                self.end(Status::Complete, None);
                Ok(())
            }
            Event::Quarantined { reason } => {
                self.require_advancing()?;
                self.was_paused |= self.status == Status::Paused;
                self.end(Status::Quarantined, Some(reason));
                Ok(())
            }
            Event::Released => {
                self.require_status(&[Status::Quarantined])?;
                self.error = None;
                self.was_paused = false;
                self.status = if self.cancel_requested { Status::Cancelling } else { Status::Running };
                Ok(())
            }
        }
    }

    fn model_replied(
        &mut self,
        turn: u32,
        text: Option<&str>,
        calls: &[ToolCall],
        usage: Usage,
    ) -> Result<(), &'static str> {
        // A reply that was on its way is kept whatever was commanded meanwhile.
        self.require_status(&[Status::Running, Status::Paused, Status::Cancelling, Status::Cancelled])?;
        if !self.pending.is_empty() {
            return Err("calls of the last reply are still pending");
        }
        if turn != self.turns + 1 {
            return Err("turns are counted one by one");
        }
        self.turns = turn;
        self.steps += 1;
        self.usage.input_tokens += usage.input_tokens;
        self.usage.output_tokens += usage.output_tokens;
        self.pending = calls.iter().map(Pending::new).collect();
        if calls.is_empty() {
            self.idle_replies += 1;
            self.idle_text = text.map(str::to_owned);
            self.empty_replies = if text.is_none() { self.empty_replies + 1 } else { 0 };
        } else {
            self.idle_replies = 0;
            self.empty_replies = 0;
            self.idle_text = None;
        }
        Ok(())
    }

    /// Legal in every status: what a tool did is always recorded.
    fn tool_ended(&mut self, call: CallId, end: Result<&Value, &str>) -> Result<(), &'static str> {
        let Some(place) = self.pending.iter().position(|pending| pending.call.id == call) else {
            return Err("no such call is pending");
        };
        if matches!(self.pending[place].call.kind, CallKind::AskHuman) && self.interrupt.is_some() {
            return Err("the question is open");
        }
        let ended = self.pending.remove(place);
        self.streak.ended(self.turns, &ended.call, end, self.limits);
        if self.interrupt.as_ref().is_some_and(|interrupt| interrupt.call() == call) {
            self.interrupt = None;
            self.status = if self.cancel_requested { Status::Cancelling } else { Status::Running };
        }
        Ok(())
    }

    fn asks_by_itself(&mut self, call: &ToolCall, reason: StuckReason) -> Result<(), &'static str> {
        self.require_status(&[Status::Running])?;
        if !self.pending.is_empty() {
            return Err("calls of the last reply are still pending");
        }
        if call.kind != CallKind::AskHuman {
            return Err("the call does not ask a human");
        }
        self.pending.push(Pending { stuck: Some(reason), ..Pending::new(call) });
        self.streak = Streak::begin();
        Ok(())
    }

    fn outcome_decided(&mut self, call: CallId, decision: &Decision) -> Result<(), &'static str> {
        self.require_status(&[Status::Undecided])?;
        self.take_interrupt(call)?;
        match decision {
            Decision::Happened { .. } => {
                self.pending.remove(0);
                self.streak = Streak::begin();
            }
            Decision::DidNotHappen => self.front_mut(call)?.started = None,
            Decision::Abort => {
                self.front_mut(call)?.started = None;
                self.cancel_requested = true;
            }
        }
        // What paused it again is an event of its own: histories from before there was one read as they did.
        self.was_paused = false;
        self.status = if self.cancel_requested { Status::Cancelling } else { Status::Running };
        Ok(())
    }

    fn end(&mut self, status: Status, error: Option<&str>) {
        self.status = status;
        self.error = error.map(str::to_owned);
        self.interrupt = None;
    }

    fn require_status(&self, legal: &[Status]) -> Result<(), &'static str> {
        if legal.contains(&self.status) { Ok(()) } else { Err("not in this status") }
    }

    fn require_advancing(&self) -> Result<(), &'static str> {
        self.require_status(&[Status::Running, Status::Paused, Status::Cancelling])
    }

    fn front_mut(&mut self, call: CallId) -> Result<&mut Pending, &'static str> {
        match self.pending.first_mut() {
            Some(front) if front.call.id == call => Ok(front),
            Some(_) => Err("another call comes first"),
            None => Err("no call is pending"),
        }
    }

    fn take_interrupt(&mut self, call: CallId) -> Result<(), &'static str> {
        if self.interrupt.as_ref().is_none_or(|interrupt| interrupt.call() != call) {
            return Err("another question is open");
        }
        if self.pending.first().is_none_or(|front| front.call.id != call) {
            return Err("no such call is pending");
        }
        self.interrupt = None;
        Ok(())
    }
}
