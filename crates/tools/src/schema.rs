//! From a Rust type to the JSON Schema that a model is given: flat, closed, and without what only validators read.

use piton_core::{EffectClass, ToolKind, ToolSpec};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, RestrictFormats};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of a tool's arguments. `A` must be a struct with named fields.
pub(crate) fn of<A: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    // Formats such as "double" and "uint64" mean nothing to a model, and strict function schemas refuse them.
    let settings = settings.with_transform(RestrictFormats::default()).with_transform(RecursiveTransform(
        |schema: &mut Schema| {
            schema.remove("title");
            if schema.get("type").is_some_and(|kind| kind == "number" || kind == "integer") {
                schema.remove("format");
            }
        },
    ));
    let mut schema = settings.into_generator().into_root_schema_for::<A>();
    // Of the struct's own comment the tool has made its description.
    schema.remove("description");
    closed(schema.to_value())
}

/// The same object schema with `properties`, `required` and `additionalProperties: false` spelled out.
pub(crate) fn closed(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members.remove("$schema");
        members.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        members.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    schema
}

/// A spec of a tool in the binary, with arguments of type `A`.
pub(crate) fn builtin<A: JsonSchema>(name: &str, description: &str, effect: EffectClass) -> ToolSpec {
    spec::<A>(name, description, effect, ToolKind::Builtin)
}

pub(crate) fn spec<A: JsonSchema>(
    name: &str,
    description: &str,
    effect: EffectClass,
    kind: ToolKind,
) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: of::<A>(),
        effect,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "read by the schema generator")]
    /// Not for the model.
    struct Entry {
        /// How much.
        amount: f64,
        #[schemars(range(max = 9))]
        count: u8,
        side: Side,
        note: Option<String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "read by the schema generator")]
    #[serde(rename_all = "lowercase")]
    enum Side {
        Debit,
        Credit,
    }

    #[test]
    fn a_schema_is_flat_closed_and_without_noise() {
        assert_eq!(
            of::<Entry>(),
            json!({
                "type": "object",
                "properties": {
                    "amount": {"description": "How much.", "type": "number"},
                    "count": {"type": "integer", "minimum": 0, "maximum": 9},
                    "side": {"type": "string", "enum": ["debit", "credit"]},
                    "note": {"type": ["string", "null"]},
                },
                "required": ["amount", "count", "side"],
                "additionalProperties": false,
            })
        );
    }
}
