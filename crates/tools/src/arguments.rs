//! From the raw text that a model wrote to arguments that fit the tool's schema, or to an error it can act on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError, Validator};
use piton_core::{ToolSpec, clip};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{ToolError, schema};

/// Compiled schemas that are kept. Agents have some ten tools; this is only a bound.
const VALIDATORS_MAX: usize = 512;
/// Mistakes that one error lists.
const MISTAKES_MAX: usize = 5;
/// Bytes of a wrong value as an error quotes it.
const QUOTED_BYTES_MAX: usize = 80;
/// Bytes of a declared schema.
const PARAMETERS_BYTES_MAX: usize = 64 * 1024;

/// Compiled schemas by their text.
#[derive(Debug, Default)]
pub(crate) struct Validators(Mutex<HashMap<Value, Arc<Validator>>>);

impl Validators {
    /// The arguments of a call of `spec` as a JSON object that fits its schema. A blank text is an empty object:
    /// that is how several models call a tool without arguments.
    ///
    /// # Errors
    /// Each mistake by the path of the argument, with what was expected and what was there.
    pub(crate) fn check(&self, spec: &ToolSpec, raw: &str) -> Result<Value, String> {
        let arguments = if raw.trim().is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_str(raw)
                .map_err(|error| format!("the arguments of {} are not valid JSON: {error}", spec.name))?
        };
        if !arguments.is_object() {
            return Err(format!(
                "the arguments of {} must be a JSON object, got {}",
                spec.name,
                quoted(&arguments)
            ));
        }
        let validator = self.compiled(spec)?;
        if validator.is_valid(&arguments) {
            return Ok(arguments);
        }
        let mut mistakes: Vec<String> = validator
            .iter_errors(&arguments)
            .take(MISTAKES_MAX + 1)
            .map(|error| mistake(&error, spec))
            .collect();
        if mistakes.len() > MISTAKES_MAX {
            mistakes[MISTAKES_MAX] = "and more".to_owned();
        }
        Err(mistakes.join("; "))
    }

    fn compiled(&self, spec: &ToolSpec) -> Result<Arc<Validator>, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = kept.get(&spec.parameters) {
            return Ok(Arc::clone(validator));
        }
        let validator = jsonschema::validator_for(&spec.parameters)
            .map_err(|error| format!("the schema of {} cannot be used: {error}", spec.name))?;
        let validator = Arc::new(validator);
        if kept.len() >= VALIDATORS_MAX {
            kept.clear();
        }
        kept.insert(spec.parameters.clone(), Arc::clone(&validator));
        Ok(validator)
    }
}

/// A declared schema of arguments in the form that specs have: an object schema, closed to other properties.
///
/// # Errors
/// What is wrong with it, when it is no JSON Schema of an object, leaves other properties open, refers to a
/// document outside of itself, or is longer than 64 KiB.
pub fn parameters(declared: Value) -> Result<Value, String> {
    let Value::Object(members) = &declared else {
        return Err(format!(
            "expected a JSON Schema, a table such as {{ type = \"object\" }}, got {}",
            quoted(&declared)
        ));
    };
    if members.get("type") != Some(&Value::String("object".to_owned())) {
        let got = members.get("type").map_or_else(|| "no type".to_owned(), quoted);
        return Err(format!("expected type = \"object\" at the top, got {got}"));
    }
    if members.get("additionalProperties").is_some_and(|open| open != &Value::Bool(false)) {
        return Err("expected additionalProperties = false: name every argument in properties".to_owned());
    }
    if members.get("properties").is_some_and(|properties| !properties.is_object()) {
        return Err("expected properties to be a table of argument names and their schemas".to_owned());
    }
    if declared.to_string().len() > PARAMETERS_BYTES_MAX {
        return Err(format!("longer than {PARAMETERS_BYTES_MAX} bytes"));
    }
    let schema = schema::closed(declared);
    jsonschema::validator_for(&schema).map_err(|error| {
        format!("not a valid JSON Schema: {}: {error}", place(error.instance_path().as_str()))
    })?;
    Ok(schema)
}

/// The arguments as the tool's own type. They fit its schema already, so this fails only where the schema says
/// less than the type.
pub(crate) fn typed<A: DeserializeOwned>(arguments: Value) -> Result<A, ToolError> {
    serde_json::from_value(arguments).map_err(|error| ToolError::Failed(error.to_string()))
}

fn mistake(error: &ValidationError<'_>, spec: &ToolSpec) -> String {
    let at = place(error.instance_path().as_str());
    let got = quoted(error.instance());
    let inside = |name: &str| if at == ROOT { name.to_owned() } else { format!("{at}.{name}") };
    match error.kind() {
        ValidationErrorKind::Type { kind } => format!("{at}: expected {}, got {got}", expected(kind)),
        ValidationErrorKind::Required { property } => {
            format!("{}: is missing", inside(property.as_str().unwrap_or_default()))
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = if at == ROOT { known_arguments(spec) } else { String::new() };
            let unexpected: Vec<String> = unexpected
                .iter()
                .take(MISTAKES_MAX)
                .map(|name| inside(&clip(name, QUOTED_BYTES_MAX)))
                .collect();
            format!("{}: no such argument{known}", unexpected.join(", "))
        }
        ValidationErrorKind::Enum { options } => {
            format!("{at}: expected one of {}, got {got}", clip(&options.to_string(), 400))
        }
        ValidationErrorKind::Constant { expected_value } => {
            format!("{at}: expected {}, got {got}", quoted(expected_value))
        }
        ValidationErrorKind::Minimum { limit } => format!("{at}: expected {limit} or more, got {got}"),
        ValidationErrorKind::Maximum { limit } => format!("{at}: expected {limit} or less, got {got}"),
        _ => format!("{at}: {}", clip(&error.to_string(), 400)),
    }
}

fn known_arguments(spec: &ToolSpec) -> String {
    match spec.parameters.get("properties").and_then(Value::as_object) {
        Some(properties) if !properties.is_empty() => {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            format!(" ({} takes {})", spec.name, clip(&names.join(", "), 400))
        }
        _ => format!(" ({} takes none)", spec.name),
    }
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => with_article(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(with_article).collect::<Vec<_>>().join(" or "),
    }
}

const fn with_article(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    }
}

fn quoted(value: &Value) -> String {
    clip(&value.to_string(), QUOTED_BYTES_MAX)
}

const ROOT: &str = "arguments";

/// A JSON pointer as people write it: `/lines/0/amount` is `lines[0].amount`.
fn place(pointer: &str) -> String {
    let mut place = String::new();
    for segment in pointer.split('/').skip(1) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{segment}]"));
        } else {
            if !place.is_empty() {
                place.push('.');
            }
            place.push_str(&segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    if place.is_empty() { ROOT.to_owned() } else { clip(&place, 200) }
}

#[cfg(test)]
mod tests {
    use piton_core::{EffectClass, ToolKind};
    use serde_json::json;

    use super::*;

    fn spec(parameters: Value) -> ToolSpec {
        ToolSpec {
            name: "book".to_owned(),
            description: String::new(),
            parameters,
            effect: EffectClass::Pure,
            kind: ToolKind::Builtin,
        }
    }

    fn pair() -> ToolSpec {
        spec(json!({
            "type": "object", "additionalProperties": false, "required": ["a", "b"],
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        }))
    }

    #[track_caller]
    fn refuses(spec: &ToolSpec, raw: &str, error: &str) {
        assert_eq!(Validators::default().check(spec, raw).expect_err("it was accepted"), error);
    }

    #[test]
    fn arguments_that_fit_come_back_as_they_were_written() {
        let arguments = Validators::default().check(&pair(), r#"{"b": 2.50, "a": 1}"#);
        assert_eq!(arguments, Ok(json!({"b": 2.5, "a": 1})));
    }

    #[test]
    fn each_mistake_says_where_it_is_and_what_was_expected() {
        refuses(&pair(), r#"{"a": "x", "b": 1}"#, "a: expected a number, got \"x\"");
        refuses(&pair(), r#"{"a": 1}"#, "b: is missing");
        refuses(&pair(), r#"{"a": null}"#, "b: is missing; a: expected a number, got null");
        refuses(&pair(), r#"{"a": 1, "b": 2, "c": 3}"#, "c: no such argument (book takes a, b)");
        refuses(&pair(), "", "a: is missing; b: is missing");
        refuses(&pair(), "[1, 2]", "the arguments of book must be a JSON object, got [1,2]");
        refuses(
            &pair(),
            r#"{"a": 1, "b""#,
            "the arguments of book are not valid JSON: EOF while parsing an object at line 1 column 12",
        );
        refuses(
            &pair(),
            r#"{"a": 1e999, "b": 1}"#,
            "the arguments of book are not valid JSON: number out of range at line 1 column 11",
        );
    }

    #[test]
    fn mistakes_deep_inside_are_named_by_their_path() {
        let lines = spec(json!({
            "type": "object",
            "properties": {"lines": {"type": "array", "items": {
                "type": "object", "required": ["amount"], "additionalProperties": false,
                "properties": {"amount": {"type": "integer", "minimum": 1}, "side": {"enum": ["debit", "credit"]}},
            }}},
        }));
        refuses(
            &lines,
            r#"{"lines": [{"amount": 1}, {"amount": 1.5}]}"#,
            "lines[1].amount: expected a whole number, got 1.5",
        );
        refuses(&lines, r#"{"lines": [{}]}"#, "lines[0].amount: is missing");
        refuses(&lines, r#"{"lines": [{"amount": 0}]}"#, "lines[0].amount: expected 1 or more, got 0");
        refuses(
            &lines,
            r#"{"lines": [{"amount": 1, "side": "left"}]}"#,
            r#"lines[0].side: expected one of ["debit","credit"], got "left""#,
        );
        refuses(&lines, r#"{"lines": [{"amount": 1, "x": 1}]}"#, "lines[0].x: no such argument");
    }

    #[test]
    fn an_error_stays_short_whatever_the_model_wrote() {
        let long = format!(r#"{{"a": "{0}", "{0}": 1, "b": ["{0}"]}}"#, "é".repeat(100_000));
        let error = Validators::default().check(&pair(), &long).expect_err("it was accepted");
        assert!(error.len() < 2_000, "{}", error.len());
    }

    #[test]
    fn no_arguments_may_be_written_as_nothing() {
        let none = spec(json!({"type": "object", "properties": {}, "additionalProperties": false}));
        assert_eq!(Validators::default().check(&none, " \n"), Ok(json!({})));
        refuses(&none, r#"{"when": 1}"#, "when: no such argument (book takes none)");
    }

    #[test]
    fn a_schema_is_compiled_once() {
        let validators = Validators::default();
        let first = validators.compiled(&pair()).expect("a schema");
        assert!(Arc::ptr_eq(&first, &validators.compiled(&pair()).expect("a schema")));
        for n in 0..=VALIDATORS_MAX {
            let other = spec(json!({"type": "object", "maxProperties": n}));
            validators.compiled(&other).expect("a schema");
        }
        assert!(validators.0.lock().expect("no panic").len() <= VALIDATORS_MAX);
    }

    #[test]
    fn a_declared_schema_is_closed_and_cleaned() {
        let declared = json!({"$schema": "x", "type": "object", "properties": {"a": {"type": "number"}}});
        let expected = json!({
            "type": "object", "properties": {"a": {"type": "number"}}, "required": [], "additionalProperties": false,
        });
        assert_eq!(parameters(declared), Ok(expected));
        assert!(parameters(json!({"type": "object"})).is_ok());
    }

    #[test]
    fn a_declared_schema_that_cannot_work_is_refused() {
        for (declared, why) in [
            (json!([]), "expected a JSON Schema"),
            (json!({}), "got no type"),
            (json!({"type": "string"}), "got \"string\""),
            (json!({"type": "object", "additionalProperties": true}), "additionalProperties = false"),
            (json!({"type": "object", "properties": 1}), "properties to be a table"),
            (json!({"type": "object", "properties": {"a": {"type": "nummer"}}}), "properties.a.type"),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}),
                "not a valid JSON Schema",
            ),
            (json!({"type": "object", "properties": {"a": {"pattern": "("}}}), "not a valid JSON Schema"),
            (json!({"type": "object", "description": "x".repeat(70_000)}), "longer than"),
        ] {
            let error = parameters(declared).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
