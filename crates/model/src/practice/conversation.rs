//! A request of either API, as the practice model reads it: the tasks, what was called with what result, the tools.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The members of a request that matter here. Everything else is passed over, as by any server of the kind.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    /// Responses.
    #[serde(default)]
    input: Value,
    /// Chat Completions.
    #[serde(default)]
    messages: Value,
    #[serde(default)]
    tools: Option<Vec<ToolIn>>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct ToolIn {
    name: Option<String>,
    parameters: Option<Box<RawValue>>,
    /// Where Chat Completions keeps the two.
    function: Option<FunctionIn>,
}

#[derive(Debug, Deserialize)]
struct FunctionIn {
    name: String,
    parameters: Option<Box<RawValue>>,
}

/// A call in the history.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Called {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    /// `None` where there is none yet.
    pub(super) output: Option<Value>,
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    parameters: Option<Box<RawValue>>,
}

#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// What the user wrote, in order.
    pub(super) tasks: Vec<String>,
    pub(super) calls: Vec<Called>,
    pub(super) tools: Vec<Tool>,
}

impl Conversation {
    /// Never fails: what is not understood is left out.
    pub(super) fn read(request: Request) -> Self {
        let mut conversation = Self::default();
        let mut reading = Reading { conversation: &mut conversation, places: HashMap::new() };
        match &request.input {
            Value::String(task) => reading.conversation.tasks.push(task.clone()),
            Value::Array(items) => items.iter().for_each(|item| reading.item(item)),
            _ => {}
        }
        if let Value::Array(messages) = &request.messages {
            messages.iter().for_each(|message| reading.message(message));
        }
        for tool in request.tools.into_iter().flatten() {
            let (name, parameters) = match tool.function {
                Some(function) => (Some(function.name), function.parameters),
                None => (tool.name, tool.parameters),
            };
            if let Some(name) = name {
                conversation.tools.push(Tool { name, parameters });
            }
        }
        conversation
    }

    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.tool(name).is_some()
    }

    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

impl Tool {
    /// The schema of its arguments; an empty one where it has none that can be read.
    pub(super) fn schema(&self) -> Value {
        self.parameters
            .as_ref()
            .and_then(|parameters| serde_json::from_str(parameters.get()).ok())
            .unwrap_or_default()
    }
}

struct Reading<'c> {
    conversation: &'c mut Conversation,
    /// Call id to place in `calls`.
    places: HashMap<String, usize>,
}

impl Reading<'_> {
    fn item(&mut self, item: &Value) {
        match item["type"].as_str() {
            Some("function_call") => self.call(&item["call_id"], &item["name"], &item["arguments"]),
            Some("function_call_output") => self.output(&item["call_id"], &item["output"]),
            _ => self.message(item),
        }
    }

    fn message(&mut self, message: &Value) {
        match message["role"].as_str() {
            Some("user") => self.conversation.tasks.push(text(&message["content"])),
            Some("assistant") => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let function = &call["function"];
                    self.call(&call["id"], &function["name"], &function["arguments"]);
                }
            }
            Some("tool") => self.output(&message["tool_call_id"], &message["content"]),
            _ => {}
        }
    }

    fn call(&mut self, id: &Value, name: &Value, arguments: &Value) {
        let arguments = match arguments {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            Value::Object(members) => members.clone(),
            _ => Map::new(),
        };
        let name = name.as_str().unwrap_or_default().to_owned();
        self.places.insert(id.as_str().unwrap_or_default().to_owned(), self.conversation.calls.len());
        self.conversation.calls.push(Called { name, arguments, output: None });
    }

    fn output(&mut self, id: &Value, output: &Value) {
        let Some(place) = id.as_str().and_then(|id| self.places.get(id)) else { return };
        let text = text(output);
        let output = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.conversation.calls[*place].output = Some(output);
    }
}

/// A content's text, whether it is one or in parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
