//! Tool calls that a model wrote into its text as JSON, which small models do where the API has a place for them.
//!
//! A text counts as calls only if all the JSON in it is calls of tools of the request: any other object, or a
//! made-up name, leaves it a text.

use piton_core::{RequestedCall, ToolSpec};
use serde_json::{Map, Value};

use crate::wire::arguments;

/// Bytes of a text that is searched; a longer one is no call.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Places in a text that JSON may begin at.
const STARTS_MAX: usize = 64;

/// The calls in `text`, none of which has an id.
pub(crate) fn find(text: &str, tools: &[ToolSpec]) -> Vec<RequestedCall> {
    if text.len() > TEXT_BYTES_MAX {
        return Vec::new();
    }
    // What a reasoning model thought is not what it said.
    let text = text.rsplit_once("</think>").map_or(text, |(_, said)| said);
    let mut calls = Vec::new();
    let mut rest = text;
    for _ in 0..STARTS_MAX {
        let Some(start) = rest.find(['{', '[']) else { break };
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) if collect(&value, tools, &mut calls) => rest = &rest[values.byte_offset()..],
            Some(Ok(_)) => return Vec::new(),
            // A brace of prose.
            Some(Err(_)) | None => rest = &rest[1..],
        }
    }
    calls
}

/// Adds the call or calls that `value` is; false when it is anything else.
fn collect(value: &Value, tools: &[ToolSpec], calls: &mut Vec<RequestedCall>) -> bool {
    match value {
        Value::Array(values) => !values.is_empty() && values.iter().all(|value| collect(value, tools, calls)),
        Value::Object(members) => {
            for wrapper in ["tool_calls", "tool_call", "function_call", "function", "calls"] {
                if let Some(inner @ (Value::Array(_) | Value::Object(_))) = members.get(wrapper) {
                    return collect(inner, tools, calls);
                }
            }
            match call(members, tools) {
                Some(call) => {
                    calls.push(call);
                    true
                }
                None => false,
            }
        }
        _ => false,
    }
}

fn call(members: &Map<String, Value>, tools: &[ToolSpec]) -> Option<RequestedCall> {
    let known = |name: &str| tools.iter().any(|tool| tool.name == name);
    let asked = |name: &str, arguments: String| {
        Some(RequestedCall { call_id: String::new(), name: name.to_owned(), arguments })
    };
    // {"sum_numbers": {"a": 1, "b": 2}}
    if let Some((name, inner @ Value::Object(_))) = members.iter().next().filter(|_| members.len() == 1) {
        return if known(name) { asked(name, inner.to_string()) } else { None };
    }
    let name = ["name", "tool", "tool_name", "function", "function_name", "action"]
        .into_iter()
        .find_map(|member| members.get(member)?.as_str())
        .filter(|name| known(name))?;
    let inner = ["arguments", "parameters", "args", "params", "input", "action_input"]
        .into_iter()
        .find_map(|member| members.get(member));
    match inner {
        None => asked(name, "{}".to_owned()),
        Some(inner @ (Value::Object(_) | Value::Null)) => asked(name, arguments(inner)),
        Some(Value::String(text)) if serde_json::from_str::<Map<String, Value>>(text).is_ok() => {
            asked(name, text.clone())
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use piton_core::{EffectClass, ToolKind};
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let tools = ["sum_numbers", "final_answer", "now"].map(|name| ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            parameters: json!({}),
            effect: EffectClass::Pure,
            kind: ToolKind::Builtin,
        });
        let found = find(text, &tools);
        let found: Vec<_> = found.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn calls_are_found_in_every_common_shape() {
        let sum = [("sum_numbers", r#"{"a":1,"b":2}"#)];
        for text in [
            r#"{"name":"sum_numbers","arguments":{"a":1,"b":2}}"#,
            r#" {"name": "sum_numbers", "parameters": {"a": 1, "b": 2}} "#,
            r#"{"tool":"sum_numbers","parameters":{"a":1,"b":2}}"#,
            r#"{"tool_name":"sum_numbers","args":{"a":1,"b":2}}"#,
            r#"{"function":"sum_numbers","arguments":{"a":1,"b":2}}"#,
            r#"{"type":"function","function":{"name":"sum_numbers","arguments":{"a":1,"b":2}}}"#,
            r#"{"function":{"name":"sum_numbers","arguments":"{\"a\":1,\"b\":2}"}}"#,
            r#"{"tool_calls":[{"id":"x","type":"function","function":{"name":"sum_numbers","arguments":{"a":1,"b":2}}}]}"#,
            r#"{"action":"sum_numbers","action_input":{"a":1,"b":2}}"#,
            r#"{"sum_numbers":{"a":1,"b":2}}"#,
            r#"[{"name":"sum_numbers","arguments":{"a":1,"b":2}}]"#,
            "```json\n{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1,\"b\":2}}\n```",
            "I shall add them:\n```\n{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1,\"b\":2}}\n```\nDone.",
            "<tool_call>\n{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1,\"b\":2}}\n</tool_call>",
            "With {a, b}: {\"name\":\"sum_numbers\",\"arguments\":{\"a\":1,\"b\":2}} and [so on",
            "<think>{hm}</think>{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1,\"b\":2}}",
        ] {
            check(text, &sum);
        }
    }

    #[test]
    fn several_calls_are_all_found_in_order() {
        let both = [("sum_numbers", r#"{"a":1}"#), ("now", "{}")];
        for text in [
            r#"[{"name":"sum_numbers","arguments":{"a":1}},{"name":"now"}]"#,
            "{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1}}\n{\"name\":\"now\",\"arguments\":null}",
            "<tool_call>{\"name\":\"sum_numbers\",\"arguments\":{\"a\":1}}</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call>",
        ] {
            check(text, &both);
        }
    }

    #[test]
    fn everything_else_stays_text() {
        for text in [
            "",
            "42",
            "The answer is 42.",
            "{}",
            "[]",
            "[1,2]",
            r#"{"answer":42}"#,
            r#"{"name":"sum_numbers","arguments":{"a":1,"#,
            r#"{"name":"rm_rf","arguments":{}}"#,
            r#"[{"name":"sum_numbers","arguments":{}},{"name":"rm_rf","arguments":{}}]"#,
            r#"{"name":"sum_numbers","arguments":[1,2]}"#,
            r#"{"name":"sum_numbers","arguments":"a=1"}"#,
            r#"{"rm_rf":{"a":1}}"#,
            r#"{"name":"sum_numbers","arguments":{}} or {"x":1}"#,
        ] {
            check(text, &[]);
        }
        check(&"[".repeat(10_000), &[]);
        check(&format!("{}{{\"name\":\"now\"}}", " ".repeat(TEXT_BYTES_MAX)), &[]);
    }
}
