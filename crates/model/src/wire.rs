//! What both APIs have in common: which one is spoken, what is left out of a request, and reading a reply leniently.

use piton_core::{ReplyNote, RequestedCall};
use serde_json::Value;

/// One of the two APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    Responses,
    Chat,
}

impl Dialect {
    /// As [`piton_core::TurnRequest`] names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Chat => "chat",
        }
    }
}

/// Parameters that a model refused, and that are left out for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Omitted {
    pub(crate) reasoning: bool,
    pub(crate) tool_choice: bool,
}

/// How one try is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) dialect: Dialect,
    pub(crate) omitted: Omitted,
    /// Whether this ask came to Chat Completions because there was no Responses API.
    pub(crate) fell_back: bool,
}

/// A reply's parts, before what is wrong with them is made good.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) calls: Vec<RequestedCall>,
    pub(crate) is_cut_off: bool,
}

impl Said {
    /// Adds a piece of text, which providers may give in several.
    pub(crate) fn say(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    /// Adds every text of a message's `content`: a text, a list of parts, or nothing.
    pub(crate) fn say_content(&mut self, content: Option<&Value>) {
        match content {
            Some(Value::String(text)) => self.say(text),
            Some(Value::Array(parts)) => {
                for part in parts {
                    // A refusal is what the model said, too.
                    let text = [part, &part["text"], &part["text"]["value"], &part["refusal"]];
                    if let Some(text) = text.into_iter().find_map(Value::as_str) {
                        self.say(text);
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds a call that has a name. Arguments come as the text of an object; some servers give the object itself.
    pub(crate) fn call(&mut self, call_id: &Value, function: &Value) {
        let Some(name) = function["name"].as_str() else { return };
        self.calls.push(RequestedCall {
            call_id: call_id.as_str().unwrap_or_default().to_owned(),
            name: name.to_owned(),
            arguments: arguments(&function["arguments"]),
        });
    }

    pub(crate) fn notes(&self, is_call_in_text: bool) -> Vec<ReplyNote> {
        let notes = [(is_call_in_text, ReplyNote::CallInText), (self.is_cut_off, ReplyNote::CutOff)];
        notes.into_iter().filter_map(|(found, note)| found.then_some(note)).collect()
    }
}

/// A call's arguments as text, whichever way they were written.
pub(crate) fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// A count that some servers leave out, or give as a float.
pub(crate) fn count(value: &Value) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, NaN gives 0"
    )]
    value.as_u64().or_else(|| value.as_f64().map(|count| count as u64)).unwrap_or(0)
}
