//! What a run is owed next, and how what a worker found out is joined with what was commanded meanwhile.

use serde_json::Value;

use crate::{CallKind, EMPTY_REPLIES_MAX, EffectClass, Epoch, Event, IllegalEvent, Run, Status, ToolCall};

/// What a run is owed.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A decision that follows from the run alone: to be recorded as it is.
    Record(Event),
    /// The first pending call is to be carried out.
    CallTool(ToolCall),
    CallModel,
    /// Nothing, until somebody answers, resumes or releases it; or nothing ever again.
    Rest,
}

/// What `run` is owed, asked by the holder of `epoch`. A pure function of the run.
///
/// A call that another epoch began is not begun again: whether it happened is not known.
pub fn next(run: &Run, epoch: Epoch) -> Next {
    if !run.status.is_runnable() {
        return Next::Rest;
    }
    if let Some(front) = run.front()
        && let Some(started) = &front.started
    {
        return if started.epoch == epoch {
            // Our own call: its result is on its way.
            Next::Rest
        } else {
            Next::Record(Event::OutcomeUnknown {
                call: front.call.id,
                reason: format!(
                    "worker {} began {} and its result was never recorded",
                    started.worker, front.call.name
                ),
            })
        };
    }
    if run.status == Status::Cancelling {
        return Next::Record(Event::Cancelled);
    }
    // The result of a call came after all, whose outcome had become unknown while the run was paused.
    if run.was_paused {
        return Next::Record(Event::Paused);
    }
    if let Some(error) = &run.model_error {
        return Next::Record(Event::Failed { error: error.clone() });
    }
    if run.empty_replies >= EMPTY_REPLIES_MAX {
        return Next::Record(Event::Failed {
            error: format!("the model gave {EMPTY_REPLIES_MAX} empty replies in a row"),
        });
    }
    // Asked once to use a tool, the model gave plain text again: that is its answer.
    if run.idle_replies >= 2
        && let Some(text) = &run.idle_text
    {
        return Next::Record(Event::Completed { answer: text.clone() });
    }
    if run.is_spent() {
        return Next::Record(Event::Failed { error: events_used_up(run) });
    }
    if run.steps >= run.max_steps {
        return Next::Record(Event::LimitReached);
    }
    match run.front() {
        None => run.streak.stuck().map_or(Next::CallModel, |stuck| Next::Record(stuck.event())),
        Some(front) => carry_out(&front.call),
    }
}

fn events_used_up(run: &Run) -> String {
    format!(
        "the run has {} events and may have {}: it ends here. Launch another one for what is left to do, or allow \
         more with limits.events in the agent's file",
        run.version,
        run.limits.events_max()
    )
}

fn carry_out(call: &ToolCall) -> Next {
    let failed = |error: String| {
        Next::Record(Event::ToolFailed { call: call.id, error, took_ms: 0, attempt: 1, full_bytes: None })
    };
    match call.kind {
        CallKind::Tool(_) => Next::CallTool(call.clone()),
        CallKind::Missing => failed(format!("Tool {} not found", call.name)),
        CallKind::AskHuman => match text_argument(call, "question") {
            Ok(question) => Next::Record(Event::HumanAsked { call: call.id, question }),
            Err(error) => failed(error),
        },
        CallKind::FinalAnswer => match text_argument(call, "answer") {
            Ok(answer) => Next::Record(Event::Completed { answer }),
            Err(error) => failed(error),
        },
    }
}

/// A text argument of a call that the reducer itself carries out. Other JSON is taken as its text: a model that
/// answers `{"answer": 42}` has answered.
fn text_argument(call: &ToolCall, name: &str) -> Result<String, String> {
    let value = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(Value::Object(mut members)) => members.remove(name),
        Ok(_) | Err(_) => {
            return Err(format!(
                "the arguments of {} are not a JSON object such as {{\"{name}\": \"…\"}}",
                call.name
            ));
        }
    };
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        None | Some(Value::Null | Value::String(_)) => {
            Err(format!("{} needs \"{name}\", a text that is not empty", call.name))
        }
        Some(other) => Ok(other.to_string()),
    }
}

/// Whether an event says what was found out, as against what was concluded from it. Facts are merged, decisions
/// are derived anew.
pub const fn is_fact(event: &Event) -> bool {
    matches!(
        event,
        Event::ModelReplied { .. }
            | Event::ModelFailed { .. }
            | Event::ToolStarted { .. }
            | Event::ToolReturned { .. }
            | Event::ToolFailed { .. }
            | Event::OutcomeUnknown { .. }
    )
}

/// Records every decision `run` is owed, in order, until it is owed something else.
///
/// # Errors
/// [`IllegalEvent`] never follows from a run that was folded from events; it is passed on all the same.
pub fn settle(mut run: Run, epoch: Epoch) -> Result<(Run, Vec<Event>), IllegalEvent> {
    let mut decisions = Vec::new();
    while let Next::Record(event) = next(&run, epoch) {
        run = run.apply(&event)?;
        decisions.push(event);
    }
    Ok((run, decisions))
}

/// Folds a step's facts onto a run that was commanded meanwhile, then settles what follows from both.
///
/// A failed model call is not held against a run that somebody paused or cancelled while it was made, and the
/// announcement of a call that was not begun is dropped.
///
/// # Errors
/// [`IllegalEvent`] when a fact cannot be recorded on `newer`: the step was not made on an ancestor of it.
pub fn merge(newer: Run, mine: &[Event], epoch: Epoch) -> Result<(Run, Vec<Event>), IllegalEvent> {
    let mut run = newer;
    let mut events = Vec::new();
    for fact in mine.iter().filter(|event| is_fact(event)) {
        let unbegun = matches!(fact, Event::ToolStarted { .. });
        let moot = matches!(fact, Event::ModelFailed { .. }) && run.status != Status::Running;
        if unbegun || moot {
            continue;
        }
        run = run.apply(fact)?;
        events.push(fact.clone());
    }
    let (run, decisions) = settle(run, epoch)?;
    events.extend(decisions);
    Ok((run, events))
}

impl ToolCall {
    /// The effect class of a call that a worker carries out.
    pub const fn effect(&self) -> Option<EffectClass> {
        match self.kind {
            CallKind::Tool(effect) => Some(effect),
            CallKind::AskHuman | CallKind::FinalAnswer | CallKind::Missing => None,
        }
    }
}
