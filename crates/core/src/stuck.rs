//! When a run goes round in circles: calls that fail time after time, or one call that comes to the same end again and
//! again. Instead of asking the model once more, the run then asks a human, by an `ask_human` call of Piton's own.
//!
//! A time is a reply of the model: what several calls of one reply come to, it sees at once, and it has had no chance
//! yet to do better.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{CallId, CallKind, Event, Limits, ToolCall, clip};

/// Bytes of the last call's arguments that the question shows.
const ARGUMENTS_SHOWN_BYTES: usize = 300;
/// Bytes of its error or result that the question shows.
const END_SHOWN_BYTES: usize = 1_000;

/// Why a run is held to be stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckReason {
    /// Calls failed, reply after reply.
    ToolErrors,
    /// One call came to the same end again and again.
    RepeatedCall,
}

/// That a run is stuck, with the last of the calls that made it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    reason: StuckReason,
    times: u32,
    call: CallId,
    tool: String,
    /// As the model wrote them, cut for showing.
    arguments: String,
    /// What it came to, in words and cut for showing.
    end: String,
}

/// What a run's calls came to lately. A success that is not a repetition, and a human's word, end a streak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// Replies in a row whose calls failed.
    errors: u32,
    /// The last call's name, arguments and end as a digest, and in how many replies in a row it came.
    last: Option<Uuid>,
    repeats: u32,
    /// The turn of the last call that was counted.
    turn: u32,
    /// Set from the call that reaches a limit to the question that follows from it, or to a call that ends otherwise.
    stuck: Option<Stuck>,
    /// Whether every call since launch, or since a human's last word, is counted. Not so in a run that was
    /// begun by a reducer that did not count yet.
    is_whole: bool,
}

impl Streak {
    /// Nothing has been called yet.
    pub(crate) fn begin() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    pub(crate) const fn stuck(&self) -> Option<&Stuck> {
        self.stuck.as_ref()
    }

    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Counts the end of a call that the reply of `turn` asked for.
    pub(crate) fn ended(&mut self, turn: u32, call: &ToolCall, end: Result<&Value, &str>, limits: Limits) {
        let once_more =
            |count: u32| if count > 0 && self.turn == turn { count } else { count.saturating_add(1) };
        self.errors = if end.is_err() { once_more(self.errors) } else { 0 };
        if limits.repeated_calls > 0 {
            let this = Some(digest(call, end));
            self.repeats = if self.last == this { once_more(self.repeats) } else { 1 };
            self.last = this;
        }
        self.turn = turn;
        let reached = |count: u32, limit: u32| limit > 0 && count >= limit;
        let found = if reached(self.errors, limits.tool_errors) {
            Some((StuckReason::ToolErrors, self.errors))
        } else if reached(self.repeats, limits.repeated_calls) {
            Some((StuckReason::RepeatedCall, self.repeats))
        } else {
            None
        };
        self.stuck = found.map(|(reason, times)| Stuck {
            reason,
            times,
            call: call.id,
            tool: call.name.clone(),
            arguments: clip(&call.arguments, ARGUMENTS_SHOWN_BYTES),
            end: match end {
                Ok(Value::String(result)) => format!("Its result: {}", clip(result, END_SHOWN_BYTES)),
                Ok(result) => format!("Its result: {}", clip(&result.to_string(), END_SHOWN_BYTES)),
                Err(error) => format!("Its error: {}", clip(error, END_SHOWN_BYTES)),
            },
        });
    }
}

impl Stuck {
    /// The decision that follows: an `ask_human` call, whose id derives from the last call's.
    pub(crate) fn event(&self) -> Event {
        let id = self.call.of_question();
        let call = ToolCall {
            id,
            call_id: id.on_the_wire(),
            name: "ask_human".to_owned(),
            arguments: json!({ "question": self.question() }).to_string(),
            kind: CallKind::AskHuman,
        };
        Event::Stuck { call, reason: self.reason, times: self.times }
    }

    fn question(&self) -> String {
        let Self { times, tool, arguments, end, .. } = self;
        let found = match (self.reason, times) {
            (StuckReason::ToolErrors, 1) => format!("a tool call failed. It was {tool}"),
            (StuckReason::ToolErrors, _) => {
                format!("tool calls failed {times} times in a row. The last one was {tool}")
            }
            (StuckReason::RepeatedCall, _) => format!(
                "the same tool call came {times} times in a row, to the same end each time. It was {tool}"
            ),
        };
        format!(
            "This run seems to be stuck: {found} with the arguments {arguments}.\n{end}\nWhat should be done \
             differently? Piton asks this, not the model. The model is given your answer and goes on from there; to \
             end the run instead, cancel it."
        )
    }
}

/// One digest for calls of the same name with the same arguments and the same end, whatever the order of members
/// and the white space in their JSON.
fn digest(call: &ToolCall, end: Result<&Value, &str>) -> Uuid {
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(arguments) => json!({ "json": canonical(&arguments) }),
        Err(_) => json!({ "text": call.arguments }),
    };
    let end = match end {
        Ok(result) => json!({ "result": canonical(result) }),
        Err(error) => json!({ "error": error }),
    };
    Uuid::new_v5(&Uuid::NAMESPACE_OID, json!([call.name, arguments, end]).to_string().as_bytes())
}

/// `value` with the members of its objects in order, and whole numbers written as such: 5.0 is 5.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let members = sorted.into_iter().map(|(name, value)| (name.clone(), canonical(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) => whole(number).map_or_else(|| value.clone(), Value::from),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// A number with a point in it as the whole number that it is, where a double holds each whole number exactly.
fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let real =
        number.as_f64().filter(|real| number.is_f64() && real.fract() == 0.0 && real.abs() <= EXACT_MAX)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within what both types hold exactly")]
    let whole = real as i64;
    Some(whole)
}
