//! From what a model said to what is recorded of it: ids of ours, kinds, bounds, and a note of each oddity.

use std::collections::HashSet;

use crate::{
    ARGUMENTS_BYTES_MAX, Agent, CALLS_PER_REPLY_MAX, CallId, CallKind, Context, Event, ReplyNote, RunId,
    TEXT_BYTES_MAX, ToolCall, ToolKind, TurnRequest, Usage, clip,
};

/// A model's reply, whichever API it came over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Text beside or instead of calls; `None` when there is none but white space.
    pub text: Option<String>,
    pub calls: Vec<RequestedCall>,
    /// What the model client noticed: [`ReplyNote::CallInText`], [`ReplyNote::CutOff`].
    pub notes: Vec<ReplyNote>,
    pub usage: Usage,
    /// The model that answered, as it names itself.
    pub model: String,
}

/// A call as the provider wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCall {
    /// May be empty or taken.
    pub call_id: String,
    pub name: String,
    /// Raw text; not necessarily JSON.
    pub arguments: String,
}

impl Reply {
    /// The event that records this reply as turn `turn` of `run`.
    pub fn record(
        self,
        run: RunId,
        turn: u32,
        agent: &Agent,
        context: &Context,
        request: TurnRequest,
        attempt: u32,
    ) -> Event {
        let mut notes = self.notes;
        let in_text = notes.contains(&ReplyNote::CallInText);
        let mut note = |found: bool, what: ReplyNote| {
            if found && !notes.contains(&what) {
                notes.push(what);
            }
        };
        note(self.calls.len() > CALLS_PER_REPLY_MAX, ReplyNote::TooManyCalls);
        let mut taken = HashSet::new();
        let mut calls = Vec::with_capacity(self.calls.len().min(CALLS_PER_REPLY_MAX));
        for (index, asked) in self.calls.into_iter().take(CALLS_PER_REPLY_MAX).enumerate() {
            let id = CallId::derive(run, turn, index);
            let is_taken = |id: &str| !is_wire_id(id) || taken.contains(id) || context.knows_call_id(id);
            let repeated = is_taken(&asked.call_id);
            // A call that was written as text never had an id.
            note(repeated && !(in_text && asked.call_id.is_empty()), ReplyNote::RepeatedCallId);
            // Ours is derived from run and turn, so it is unique where the provider's is not.
            let call_id = if repeated { id.on_the_wire() } else { asked.call_id };
            taken.insert(call_id.clone());
            note(asked.arguments.len() > ARGUMENTS_BYTES_MAX, ReplyNote::Clipped);
            let arguments = clip(&asked.arguments, ARGUMENTS_BYTES_MAX);
            let is_object =
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&arguments).is_ok();
            note(!is_object, ReplyNote::BadArguments);
            let kind = kind_of(agent, &asked.name);
            calls.push(ToolCall { id, call_id, name: clip(&asked.name, 200), arguments, kind });
        }
        let text = self.text.filter(|text| !text.trim().is_empty());
        note(text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX), ReplyNote::Clipped);
        let text = text.map(|text| clip(&text, TEXT_BYTES_MAX));
        note(calls.is_empty() && text.is_some(), ReplyNote::TextOnly);
        note(calls.is_empty() && text.is_none(), ReplyNote::Empty);
        Event::ModelReplied {
            turn,
            text,
            calls,
            notes,
            usage: self.usage,
            model: clip(&self.model, 200),
            request,
            attempt,
        }
    }
}

/// Whether every provider takes `id` back as a call's id.
fn is_wire_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn kind_of(agent: &Agent, name: &str) -> CallKind {
    match agent.tool(name) {
        None => CallKind::Missing,
        Some(tool) => match tool.kind {
            ToolKind::AskHuman => CallKind::AskHuman,
            ToolKind::FinalAnswer => CallKind::FinalAnswer,
            ToolKind::Builtin | ToolKind::Http(_) => CallKind::Tool(tool.effect),
        },
    }
}
