//! The Responses API: a request written from borrowed items, a reply read from whatever resembles one.
//!
//! The items go in the run's own words, so the request is async-openai's `CreateResponse` written by borrowing (its
//! `byot` way); a test reads it back as that type.

use async_openai::types::responses::{Reasoning, ReasoningEffort, ToolChoiceOptions};
use piton_core::{Item, ToolSpec, Usage};
use serde::Serialize;
use serde_json::Value;

use crate::client::Ask;
use crate::transport::Fault;
use crate::wire::{Omitted, Said, count};

#[derive(Serialize)]
pub(crate) struct Request<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Vec<Input<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoiceOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    /// With its type, which OpenAI lets one leave out: llama.cpp's server refuses an assistant's message without it.
    Message {
        r#type: &'static str,
        role: &'a str,
        content: &'a str,
    },
    AsItIs(&'a Item),
}

impl<'a> From<&'a Item> for Input<'a> {
    fn from(item: &'a Item) -> Self {
        match item {
            Item::Message { role, content } => Self::Message { r#type: "message", role, content },
            Item::Call { .. } | Item::Output { .. } => Self::AsItIs(item),
        }
    }
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    /// Strict schemas forbid optional arguments; arguments are validated here anyway.
    strict: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        ask: &Ask<'a>,
        effort: Option<ReasoningEffort>,
        max_output_tokens: Option<u32>,
        omitted: Omitted,
    ) -> Self {
        let effort = effort.unwrap_or(ReasoningEffort::Low);
        let has_choice = !ask.tools.is_empty() && !omitted.tool_choice;
        Self {
            model: ask.model,
            instructions: ask.instructions,
            input: ask.items.iter().map(Input::from).collect(),
            tools: ask.tools.iter().map(tool).collect(),
            tool_choice: has_choice.then_some(ToolChoiceOptions::Required),
            reasoning: (!omitted.reasoning)
                .then(|| Reasoning { effort: Some(effort), ..Reasoning::default() }),
            max_output_tokens,
        }
    }
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    Tool {
        r#type: "function",
        name: &spec.name,
        description: &spec.description,
        parameters: &spec.parameters,
        strict: false,
    }
}

/// Reads a reply. Unknown members, items and states are passed over.
///
/// # Errors
/// [`Fault::Unreadable`] when it has no output, [`Fault::Failed`] when it says itself that the model failed.
pub(crate) fn read(body: &Value) -> Result<(Said, Usage), Fault> {
    let error = &body["error"];
    if body["status"] == "failed" || !error.is_null() {
        let message = error["message"].as_str().or_else(|| error.as_str()).unwrap_or("it does not say why");
        let code = error["code"].as_str().unwrap_or("server_error");
        return Err(Fault::Failed {
            message: message.to_owned(),
            passes: matches!(code, "server_error" | "rate_limit_exceeded"),
        });
    }
    let Some(output) = body["output"].as_array() else {
        return Err(Fault::Unreadable("it has no \"output\" list, as the Responses API promises".to_owned()));
    };
    let mut said = Said { is_cut_off: body["status"] == "incomplete", ..Said::default() };
    for item in output {
        match item["type"].as_str() {
            Some("message") => said.say_content(item.get("content")),
            Some("function_call") => {
                said.is_cut_off |= item["status"] == "incomplete";
                let id = if item["call_id"].is_string() { &item["call_id"] } else { &item["id"] };
                said.call(id, item);
            }
            _ => {}
        }
    }
    if said.text.is_empty() {
        said.say_content(body.get("output_text"));
    }
    let usage = &body["usage"];
    Ok((
        said,
        Usage { input_tokens: count(&usage["input_tokens"]), output_tokens: count(&usage["output_tokens"]) },
    ))
}
