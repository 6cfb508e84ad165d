//! Chat Completions: the same conversation as messages, and the reply read from whatever resembles one.
//!
//! The request is async-openai's `CreateChatCompletionRequest` written by borrowing (its `byot` way); a test reads
//! it back as that type.

use async_openai::types::chat::ToolChoiceOptions;
use async_openai::types::responses::ReasoningEffort;
use piton_core::{Item, ToolSpec, Usage};
use serde::Serialize;
use serde_json::Value;

use crate::client::Ask;
use crate::transport::Fault;
use crate::wire::{Omitted, Said, count};

#[derive(Serialize)]
pub(crate) struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoiceOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Message<'a> {
    Text { role: &'a str, content: &'a str },
    Calls { role: &'static str, content: Option<&'a str>, tool_calls: Vec<Call<'a>> },
    Output { role: &'static str, tool_call_id: &'a str, content: &'a str },
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: ToolFunction<'a>,
}

#[derive(Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        ask: &Ask<'a>,
        effort: Option<ReasoningEffort>,
        max_output_tokens: Option<u32>,
        omitted: Omitted,
    ) -> Self {
        let has_choice = !ask.tools.is_empty() && !omitted.tool_choice;
        Self {
            model: ask.model,
            messages: messages(ask.instructions, ask.items),
            tools: ask.tools.iter().map(tool).collect(),
            tool_choice: has_choice.then_some(ToolChoiceOptions::Required),
            reasoning_effort: effort.filter(|_| !omitted.reasoning),
            max_completion_tokens: max_output_tokens,
        }
    }
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    let function =
        ToolFunction { name: &spec.name, description: &spec.description, parameters: &spec.parameters };
    Tool { r#type: "function", function }
}

/// The items as messages. Calls that follow one another become one message, so that each message with calls is
/// followed by their outputs, as the API demands.
fn messages<'a>(instructions: &'a str, items: &'a [Item]) -> Vec<Message<'a>> {
    let mut messages = Vec::with_capacity(items.len() + 1);
    if !instructions.is_empty() {
        messages.push(Message::Text { role: "system", content: instructions });
    }
    for item in items {
        match item {
            Item::Message { role, content } => messages.push(Message::Text { role, content }),
            Item::Call { name, arguments, call_id, .. } => {
                let call = Call { id: call_id, r#type: "function", function: Function { name, arguments } };
                match messages.last_mut() {
                    Some(Message::Calls { tool_calls, .. }) => tool_calls.push(call),
                    _ => {
                        let tool_calls = vec![call];
                        messages.push(Message::Calls { role: "assistant", content: None, tool_calls });
                    }
                }
            }
            Item::Output { call_id, output, .. } => {
                messages.push(Message::Output { role: "tool", tool_call_id: call_id, content: output });
            }
        }
    }
    messages
}

/// Reads a reply. Unknown members and finish reasons are passed over.
///
/// # Errors
/// [`Fault::Unreadable`] when there is no message in it, [`Fault::Failed`] when it is an error under a 200.
pub(crate) fn read(body: &Value) -> Result<(Said, Usage), Fault> {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        let error = &body["error"];
        return Err(match error["message"].as_str().or_else(|| error.as_str()) {
            Some(message) => Fault::Failed { message: message.to_owned(), passes: true },
            None => Fault::Unreadable("it has no message, as Chat Completions promises".to_owned()),
        });
    }
    let mut said = Said { is_cut_off: choice["finish_reason"] == "length", ..Said::default() };
    said.say_content(message.get("content"));
    said.say_content(message.get("refusal"));
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        said.call(&call["id"], &call["function"]);
    }
    if said.calls.is_empty() {
        // The way of calls before there were several.
        said.call(&Value::Null, &message["function_call"]);
    }
    let usage = &body["usage"];
    Ok((
        said,
        Usage {
            input_tokens: count(&usage["prompt_tokens"]),
            output_tokens: count(&usage["completion_tokens"]),
        },
    ))
}
