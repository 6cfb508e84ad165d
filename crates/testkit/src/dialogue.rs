//! Reads a model request the way a strict provider does: into one dialogue for both APIs, with a list of what a
//! provider would refuse.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Which of OpenAI's two APIs a request came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Responses,
    Chat,
}

/// One entry of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    User(String),
    Assistant(String),
    Call { call_id: String, name: String, arguments: String },
    Output { call_id: String, output: String },
}

/// A request's content.
#[derive(Debug, Clone)]
pub struct Dialogue {
    pub instructions: String,
    pub entries: Vec<Entry>,
    pub tools: Vec<String>,
    /// What a strict provider would have answered with 400.
    pub violations: Vec<String>,
}

impl Dialogue {
    pub fn read(api: Api, body: &Value) -> Self {
        let mut reader = Reader::default();
        reader.head(body);
        match api {
            Api::Responses => reader.responses(body),
            Api::Chat => reader.chat(body),
        }
        reader.close();
        reader.dialogue
    }

    pub fn task(&self) -> &str {
        self.entries
            .iter()
            .find_map(|entry| if let Entry::User(text) = entry { Some(text.as_str()) } else { None })
            .unwrap_or_default()
    }

    /// Calls with an output, replies in text, and nudges that follow neither.
    pub fn done(&self) -> usize {
        let mut done = 0;
        let mut said = true; // the task is no nudge
        for entry in &self.entries {
            match entry {
                Entry::Output { .. } => {
                    done += 1;
                    said = false;
                }
                Entry::Assistant(_) => {
                    done += 1;
                    said = true;
                }
                Entry::User(_) => {
                    if !said {
                        done += 1;
                    }
                    said = false;
                }
                Entry::Call { .. } => {}
            }
        }
        done
    }

    pub fn outputs(&self) -> Vec<Value> {
        self.entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Output { output, .. } => {
                    Some(serde_json::from_str(output).unwrap_or_else(|_| Value::String(output.clone())))
                }
                _ => None,
            })
            .collect()
    }
}

struct Reader {
    dialogue: Dialogue,
    /// Calls without an output, in order.
    open: Vec<String>,
    known: HashSet<String>,
}

impl Default for Reader {
    fn default() -> Self {
        let dialogue = Dialogue {
            instructions: String::new(),
            entries: Vec::new(),
            tools: Vec::new(),
            violations: Vec::new(),
        };
        Self { dialogue, open: Vec::new(), known: HashSet::new() }
    }
}

impl Reader {
    fn refuse(&mut self, why: impl Into<String>) {
        self.dialogue.violations.push(why.into());
    }

    fn head(&mut self, body: &Value) {
        if body["model"].as_str().is_none_or(str::is_empty) {
            self.refuse("model is no text");
        }
        if body["tool_choice"] != json!("required") {
            self.refuse(format!("tool_choice is {}, not \"required\"", body["tool_choice"]));
        }
        if body["stream"] == json!(true) {
            self.refuse("asked for a stream");
        }
        if body["tools"].as_array().is_none_or(Vec::is_empty) {
            self.refuse("there are no tools");
        }
    }

    fn tool(&mut self, function: &Value) {
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        if !is_function_name(&name) {
            self.refuse(format!("{name:?} is no function name"));
        }
        if function["parameters"]["type"] != json!("object") {
            self.refuse(format!("the parameters of {name} are no object schema"));
        }
        if function["parameters"]["additionalProperties"] != json!(false) {
            self.refuse(format!("the parameters of {name} allow additional properties"));
        }
        if self.dialogue.tools.contains(&name) {
            self.refuse(format!("there are two tools {name}"));
        }
        self.dialogue.tools.push(name);
    }

    fn responses(&mut self, body: &Value) {
        for tool in list(&body["tools"]) {
            if tool["type"] != json!("function") {
                self.refuse(format!("a tool of type {}", tool["type"]));
            }
            self.tool(tool);
        }
        match body["instructions"].as_str() {
            Some(text) => text.clone_into(&mut self.dialogue.instructions),
            None => self.refuse("instructions are no text"),
        }
        if !body["input"].is_array() {
            self.refuse("input is no list");
        }
        for item in list(&body["input"]) {
            match item["type"].as_str() {
                Some("function_call") => self.call(&item["call_id"], &item["name"], &item["arguments"]),
                Some("function_call_output") => self.output(&item["call_id"], &item["output"]),
                None | Some("message") => self.message(item),
                Some(other) => self.refuse(format!("an item of type {other}")),
            }
        }
    }

    fn chat(&mut self, body: &Value) {
        for tool in list(&body["tools"]) {
            if tool["type"] != json!("function") {
                self.refuse(format!("a tool of type {}", tool["type"]));
            }
            self.tool(&tool["function"]);
        }
        for (place, message) in list(&body["messages"]).iter().enumerate() {
            let role = message["role"].as_str().unwrap_or_default();
            if role != "tool" && !self.open.is_empty() {
                self.refuse(format!("a message of role {role} before the outputs of {:?}", self.open));
            }
            match role {
                "system" | "developer" if place == 0 => {
                    self.dialogue.instructions = text_of(&message["content"]).unwrap_or_default();
                }
                "assistant" if message["tool_calls"].is_array() => {
                    for call in list(&message["tool_calls"]) {
                        let function = &call["function"];
                        self.call(&call["id"], &function["name"], &function["arguments"]);
                    }
                }
                "tool" => self.output(&message["tool_call_id"], &message["content"]),
                _ => self.message(message),
            }
        }
    }

    fn message(&mut self, message: &Value) {
        let Some(text) = text_of(&message["content"]) else {
            return self.refuse(format!("a message whose content is {}", message["content"]));
        };
        match message["role"].as_str() {
            Some("user") => self.dialogue.entries.push(Entry::User(text)),
            Some("assistant") => self.dialogue.entries.push(Entry::Assistant(text)),
            _ => self.refuse(format!("a message of role {}", message["role"])),
        }
    }

    fn call(&mut self, call_id: &Value, name: &Value, arguments: &Value) {
        let (Some(call_id), Some(name), Some(arguments)) =
            (call_id.as_str(), name.as_str(), arguments.as_str())
        else {
            return self.refuse("a call without call_id, name or arguments");
        };
        if call_id.is_empty() || call_id.len() > 64 {
            self.refuse(format!("a call_id of {} characters", call_id.len()));
        }
        if !self.known.insert(call_id.to_owned()) {
            self.refuse(format!("two calls go by {call_id}"));
        }
        if !is_function_name(name) {
            self.refuse(format!("a call of {name:?}"));
        }
        if !serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()) {
            self.refuse(format!("the arguments of {call_id} are no JSON object"));
        }
        self.open.push(call_id.to_owned());
        self.dialogue.entries.push(Entry::Call {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        });
    }

    fn output(&mut self, call_id: &Value, output: &Value) {
        let (Some(call_id), Some(output)) = (call_id.as_str(), text_of(output)) else {
            return self.refuse("an output without call_id or text");
        };
        match self.open.iter().position(|open| open == call_id) {
            Some(place) => drop(self.open.remove(place)),
            None => self.refuse(format!("an output for {call_id}, which is no open call")),
        }
        self.dialogue.entries.push(Entry::Output { call_id: call_id.to_owned(), output });
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.refuse(format!("calls without an output: {:?}", self.open));
        }
        if !matches!(self.dialogue.entries.first(), Some(Entry::User(_))) {
            self.refuse("the dialogue does not begin with the user");
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A plain text, or a list of text parts.
fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(|part| part["text"].as_str()).collect(),
        _ => None,
    }
}

fn is_function_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(input: Value) -> Value {
        json!({
            "model": "m", "tool_choice": "required", "instructions": "be good", "input": input,
            "tools": [{ "type": "function", "name": "add",
                        "parameters": { "type": "object", "additionalProperties": false } }],
        })
    }

    fn violations(input: Value) -> Vec<String> {
        Dialogue::read(Api::Responses, &request(input)).violations
    }

    #[test]
    fn a_good_request_has_no_violations_and_is_counted() {
        let body = request(json!([
            { "role": "user", "content": "[add] do it" },
            { "type": "function_call", "call_id": "a", "name": "add", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "a", "output": "{\"result\":3}" },
            { "role": "assistant", "content": "hm" },
            { "role": "user", "content": "call a tool" },
            { "role": "user", "content": "that was empty" },
        ]));
        let dialogue = Dialogue::read(Api::Responses, &body);
        assert_eq!(dialogue.violations, Vec::<String>::new());
        assert_eq!(dialogue.task(), "[add] do it");
        assert_eq!(dialogue.done(), 3, "an output, a text, an empty reply");
        assert_eq!(dialogue.outputs(), [json!({ "result": 3 })]);
    }

    #[test]
    fn a_dangling_call_a_stray_output_and_a_repeated_id_are_each_seen() {
        let user = json!({ "role": "user", "content": "x" });
        let call = json!({ "type": "function_call", "call_id": "a", "name": "add", "arguments": "{}" });
        let output = json!({ "type": "function_call_output", "call_id": "a", "output": "1" });
        assert_eq!(violations(json!([user, call])), ["calls without an output: [\"a\"]"]);
        assert_eq!(violations(json!([user, output])), ["an output for a, which is no open call"]);
        assert_eq!(violations(json!([user, call, output, call, output])), ["two calls go by a"]);
        let broken =
            json!({ "type": "function_call", "call_id": "a", "name": "add", "arguments": "{\"a\":" });
        assert_eq!(violations(json!([user, broken, output])), ["the arguments of a are no JSON object"]);
    }

    #[test]
    fn chat_wants_every_output_before_the_next_message() {
        let body = json!({
            "model": "m", "tool_choice": "required",
            "tools": [{ "type": "function", "function": { "name": "add",
                        "parameters": { "type": "object", "additionalProperties": false } } }],
            "messages": [
                { "role": "system", "content": "be good" },
                { "role": "user", "content": "x" },
                { "role": "assistant", "tool_calls": [
                    { "id": "a", "type": "function", "function": { "name": "add", "arguments": "{}" } } ] },
                { "role": "user", "content": "and?" },
                { "role": "tool", "tool_call_id": "a", "content": "1" },
            ],
        });
        let dialogue = Dialogue::read(Api::Chat, &body);
        assert_eq!(dialogue.instructions, "be good");
        assert_eq!(dialogue.violations, ["a message of role user before the outputs of [\"a\"]"]);
    }
}
