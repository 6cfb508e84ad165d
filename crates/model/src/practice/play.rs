//! Plays a task against the practice model the way an agent would: carries out what it calls, answers what it asks.

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::number;
use super::reply::{Said, reply};

/// The tools of the default agent.
pub(super) const MATH: [&str; 8] = [
    "sum_numbers",
    "subtract_numbers",
    "multiply_numbers",
    "divide_numbers",
    "power",
    "square_root",
    "ask_human",
    "final_answer",
];

/// What came of a task.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) answer: String,
    /// Steps as an agent counts them: replies, questions put, and the final answer.
    pub(super) steps: usize,
    pub(super) asked: Vec<String>,
    /// Names of the tools called, in order.
    pub(super) called: Vec<String>,
}

/// Plays `task` to its end with the default agent's tools; `answers` are given to its questions in order.
pub(super) fn play(task: &str, answers: &[&str]) -> Played {
    play_with(task, answers, &MATH.map(|name| json!({ "type": "function", "name": name })), |_, _| None)
}

/// The same with any tools; `other` carries out what is no math tool.
pub(super) fn play_with(
    task: &str,
    answers: &[&str],
    tools: &[Value],
    other: impl Fn(&str, &Value) -> Option<Value>,
) -> Played {
    let mut input = vec![json!({ "role": "user", "content": task })];
    let mut answers = answers.iter();
    let mut played = Played { answer: String::new(), steps: 0, asked: Vec::new(), called: Vec::new() };
    for _ in 0..300 {
        let request = json!({ "input": input, "tools": tools });
        let conversation = Conversation::read(serde_json::from_value(request).unwrap());
        played.steps += 1;
        let calls = match reply(&conversation) {
            Said::Text(text) => {
                played.answer = text;
                return played;
            }
            Said::Calls(calls) => calls,
        };
        assert!(!calls.is_empty(), "{task}: neither a call nor a text");
        for call in calls {
            let output = match call.name.as_str() {
                "final_answer" => {
                    played.steps += 1;
                    call.arguments["answer"].as_str().unwrap().clone_into(&mut played.answer);
                    return played;
                }
                "ask_human" => {
                    let question = call.arguments["question"].as_str().unwrap().to_owned();
                    let Some(answer) = answers.next() else { panic!("{task}: asked {question:?}") };
                    played.steps += 1;
                    played.asked.push(question);
                    json!({ "answer": answer })
                }
                name => {
                    let result =
                        other(name, &call.arguments).unwrap_or_else(|| carry_out(name, &call.arguments));
                    json!({ "result": result })
                }
            };
            let id = format!("c{}", input.len());
            input.push(json!({
                "type": "function_call", "call_id": id, "name": call.name, "arguments": call.arguments.to_string(),
            }));
            input
                .push(json!({ "type": "function_call_output", "call_id": id, "output": output.to_string() }));
            played.called.push(call.name);
        }
    }
    panic!("{task}: no end in sight");
}

fn carry_out(name: &str, arguments: &Value) -> Value {
    let number = |name: &str| arguments[name].as_f64().unwrap();
    let result = match name {
        "sum_numbers" => number("a") + number("b"),
        "subtract_numbers" => number("a") - number("b"),
        "multiply_numbers" => number("a") * number("b"),
        "divide_numbers" if number("b") == 0.0 => return json!("Error: Division by zero"),
        "divide_numbers" => number("a") / number("b"),
        "power" => number("base").powf(number("exponent")),
        "square_root" if number("x") < 0.0 => return json!("Error: Square root of negative number"),
        "square_root" => number("x").sqrt(),
        other => panic!("no tool is named {other}"),
    };
    number::from_f64(result).map_or(json!("Error: The result is too large for a number"), Value::Number)
}
