//! What a story's histories come to, without times, ids, epochs, workers and attempts, so that two tellings can be
//! compared.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::story::SLOW_CALL;

/// The histories of one telling.
///
/// A call that was begun, whose outcome was unknown, and that a person said had happened, reads as if it had told so
/// itself; one that had not happened, as if it had not been begun. A person's commands stand apart from what was
/// found out, because they reach a run at any point of what is under way.
#[derive(Debug, Clone, Default)]
pub struct Tale {
    /// What has to be the same in every telling.
    pub gist: Gist,
    /// The calls whose outcome was declared unknown, by turn, place and name.
    pub unknown: Vec<String>,
    /// The type of every event, in order.
    pub types: Vec<String>,
}

/// In the order they happened, each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gist {
    pub facts: Vec<Value>,
    pub commands: Vec<Value>,
    /// The runs as they stand at the end.
    pub ends: Vec<Value>,
}

impl Gist {
    /// Where the two part first; `None` when they are the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let pairs =
            [(&self.facts, &other.facts), (&self.commands, &other.commands), (&self.ends, &other.ends)];
        pairs.into_iter().find_map(|(mine, theirs)| {
            let place =
                (0..mine.len().max(theirs.len())).find(|place| mine.get(*place) != theirs.get(*place))?;
            let shown = |list: &[Value]| list.get(place).map_or("nothing".to_owned(), Value::to_string);
            Some(format!("number {place} is {}, not {}", shown(mine), shown(theirs)))
        })
    }
}

impl Tale {
    /// Outcomes that were declared unknown for another reason than that a call took too long.
    pub fn surprises(&self) -> usize {
        self.unknown.iter().filter(|call| !call.ends_with(SLOW_CALL)).count()
    }

    pub(crate) fn add(&mut self, run: &Value, events: &[Value]) {
        let members = ["status", "steps", "max_steps", "turns", "usage", "final_answer", "error", "question"];
        self.gist
            .ends
            .push(members.iter().map(|member| ((*member).to_owned(), run[member].clone())).collect());
        let mut names = HashMap::new();
        for event in events {
            let kind = event["type"].as_str().expect("an event has a type");
            self.types.push(kind.to_owned());
            if kind == "model_replied" {
                name_calls(&event["data"], &mut names);
            }
            let call = event["data"]["call"].as_str().map_or(Value::Null, |id| {
                names.get(id).cloned().unwrap_or_else(|| panic!("no reply asked for call {id}"))
            });
            if kind == "outcome_unknown" {
                self.unknown.extend(call.as_str().map(str::to_owned));
            }
            if let Some(command) = command(kind, &event["data"]) {
                self.gist.commands.push(command);
            } else if let Some(fact) = fact(kind, &event["data"], call) {
                self.gist.facts.push(fact);
            }
        }
    }
}

/// A call goes by its turn, place and name.
fn name_calls(reply: &Value, names: &mut HashMap<String, Value>) {
    for (place, call) in reply["calls"].as_array().into_iter().flatten().enumerate() {
        let id = call["id"].as_str().expect("a call has an id").to_owned();
        let name = format!("{}.{place} {}", reply["turn"], call["name"].as_str().expect("a call has a name"));
        names.insert(id, name.into());
    }
}

fn command(kind: &str, data: &Value) -> Option<Value> {
    match kind {
        "paused" | "cancel_requested" => Some(kind.into()),
        "resumed" => Some(json!({ "resumed": data["max_steps"] })),
        _ => None,
    }
}

fn fact(kind: &str, data: &Value, call: Value) -> Option<Value> {
    let decision = &data["decision"];
    match kind {
        "tool_started" | "outcome_unknown" => None,
        "outcome_decided" if decision["decision"] == "happened" => {
            Some(json!({ "call": call, "result": decision["result"] }))
        }
        "outcome_decided" if decision["decision"] == "did_not_happen" => None,
        "tool_returned" => Some(json!({ "call": call, "result": data["result"] })),
        "tool_failed" => Some(json!({ "call": call, "error": data["error"] })),
        "human_answered" => Some(json!({ "call": call, "answer": data["answer"] })),
        "model_replied" => {
            let calls: Vec<Value> = data["calls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|call| json!([call["call_id"], call["name"], call["arguments"], call["kind"]]))
                .collect();
            Some(
                json!({ "turn": data["turn"], "text": data["text"], "calls": calls, "notes": data["notes"] }),
            )
        }
        _ => Some(json!({ "type": kind, "call": call, "data": without_ids(data) })),
    }
}

fn without_ids(data: &Value) -> Value {
    let mut data = data.clone();
    if let Some(members) = data.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "call" | "agent"));
    }
    data
}
