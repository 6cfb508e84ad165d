//! What the model is shown: a fold of a run's events into the items of a conversation. Pure, and the only place
//! that decides what of a history reaches the model.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{CallId, CallKind, Decision, Event, ToolCall};

/// One item of the model's context, in the shape of the original wire and of the Responses API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Item {
    Message { role: String, content: String },
    Call { r#type: String, name: String, arguments: String, call_id: String },
    Output { r#type: String, call_id: String, output: String },
}

impl Item {
    pub fn user(content: impl Into<String>) -> Self {
        Self::Message { role: "user".to_owned(), content: content.into() }
    }

    pub fn assistant(content: impl Into<String>) -> Self {
        Self::Message { role: "assistant".to_owned(), content: content.into() }
    }

    /// The call in a form that every provider takes back, whatever the model wrote; the event keeps its own words.
    fn call(call: &ToolCall) -> Self {
        let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
        let name: String = call
            .name
            .chars()
            .take(64)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
            .collect();
        Self::Call {
            r#type: "function_call".to_owned(),
            name: if name.is_empty() { "unnamed".to_owned() } else { name },
            arguments: if is_object { call.arguments.clone() } else { "{}".to_owned() },
            call_id: call.call_id.clone(),
        }
    }

    fn output(call: &ToolCall, output: &Value) -> Self {
        Self::Output {
            r#type: "function_call_output".to_owned(),
            call_id: call.call_id.clone(),
            output: output.to_string(),
        }
    }
}

/// What the model is told when it replies with text where a tool call is due.
const NUDGE: &str = "That was text, not a tool call. Go on by calling one of your tools; when you are done, call \
                     final_answer with the answer.";

/// What it is told when it replies with nothing.
const NUDGE_EMPTY: &str = "That reply was empty. Go on by calling one of your tools; when you are done, call \
                           final_answer with the answer.";

/// The fold. Every prefix of a history gives a context in which each output follows its call.
#[derive(Debug, Clone, Default)]
pub struct Context {
    items: Vec<Item>,
    /// In the order asked for.
    pending: Vec<ToolCall>,
    call_ids: HashSet<String>,
    through_seq: u64,
}

impl Context {
    /// Items in the order the model sees them. A call appears once it is carried out.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many events are folded.
    pub const fn through_seq(&self) -> u64 {
        self.through_seq
    }

    /// Whether a call of this run already goes by this id on the wire.
    pub fn knows_call_id(&self, call_id: &str) -> bool {
        self.call_ids.contains(call_id)
    }

    /// Adds the next event of the history.
    pub fn push(&mut self, event: &Event) {
        self.through_seq += 1;
        match event {
            Event::Launched { task, .. } => self.items.push(Item::user(task)),
            Event::ModelReplied { text, calls, .. } => {
                for call in calls {
                    self.call_ids.insert(call.call_id.clone());
                    self.pending.push(call.clone());
                }
                if calls.is_empty() {
                    match text {
                        Some(text) => {
                            self.items.push(Item::assistant(text));
                            self.items.push(Item::user(NUDGE));
                        }
                        None => self.items.push(Item::user(NUDGE_EMPTY)),
                    }
                }
            }
            Event::Stuck { call, .. } => {
                self.call_ids.insert(call.call_id.clone());
                self.pending.push(call.clone());
            }
            Event::ToolReturned { call, result, .. } => self.ended(*call, &json!({ "result": result })),
            Event::ToolFailed { call, error, .. } => {
                self.ended(*call, &json!({ "result": format!("Error: {error}") }));
            }
            Event::OutcomeDecided { call, decision: Decision::Happened { result } } => {
                self.ended(*call, &json!({ "result": result }));
            }
            Event::HumanAsked { call, .. } => {
                let asked = self.pending.iter().find(|pending| pending.id == *call).map(Item::call);
                self.items.extend(asked);
            }
            Event::HumanAnswered { call, answer } => {
                if let Some(call) = self.take(*call) {
                    self.items.push(Item::output(&call, &json!({ "answer": answer })));
                }
            }
            Event::Completed { .. } => {
                let last = self.pending.first().filter(|call| call.kind == CallKind::FinalAnswer);
                self.items.extend(last.map(Item::call));
                self.pending.clear();
            }
            Event::ModelFailed { .. }
            | Event::ToolStarted { .. }
            | Event::OutcomeUnknown { .. }
            | Event::OutcomeDecided { .. }
            | Event::Paused
            | Event::Resumed { .. }
            | Event::CancelRequested
            | Event::Cancelled
            | Event::LimitReached
            | Event::Failed { .. }
            | Event::Quarantined { .. }
            | Event::Released => {}
        }
    }

    fn ended(&mut self, call: CallId, output: &Value) {
        if let Some(call) = self.take(call) {
            self.items.push(Item::call(&call));
            self.items.push(Item::output(&call, output));
        }
    }

    fn take(&mut self, call: CallId) -> Option<ToolCall> {
        let place = self.pending.iter().position(|pending| pending.id == call)?;
        Some(self.pending.remove(place))
    }
}

impl<'a> FromIterator<&'a Event> for Context {
    fn from_iter<T: IntoIterator<Item = &'a Event>>(events: T) -> Self {
        let mut context = Self::default();
        for event in events {
            context.push(event);
        }
        context
    }
}
