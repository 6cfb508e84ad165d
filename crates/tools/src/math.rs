//! Arithmetic. Whole numbers are reckoned exactly as long as they fit in 64 bits, everything else in doubles; a result
//! that is no finite number is an error.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use piton_core::{EffectClass, ToolSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::arguments::typed;
use crate::{Tool, ToolError, ToolInput, schema};

pub(crate) fn tools() -> [Arc<dyn Tool>; 6] {
    [
        Arc::new(Operation {
            name: "sum_numbers",
            description: "Adds two numbers: a + b.",
            work: |Pair { a, b }| {
                Ok(exactly(a, b, i128::checked_add).unwrap_or_else(|| real(a, b, |a, b| a + b)))
            },
        }),
        Arc::new(Operation {
            name: "subtract_numbers",
            description: "Subtracts the second number from the first: a - b.",
            work: |Pair { a, b }| {
                Ok(exactly(a, b, i128::checked_sub).unwrap_or_else(|| real(a, b, |a, b| a - b)))
            },
        }),
        Arc::new(Operation {
            name: "multiply_numbers",
            description: "Multiplies two numbers: a * b.",
            work: |Pair { a, b }| {
                Ok(exactly(a, b, i128::checked_mul).unwrap_or_else(|| real(a, b, |a, b| a * b)))
            },
        }),
        Arc::new(Operation {
            name: "divide_numbers",
            description: "Divides the first number by the second: a / b.",
            work: divide,
        }),
        Arc::new(Operation { name: "power", description: "Raises the base to the exponent.", work: power }),
        Arc::new(Operation {
            name: "square_root",
            description: "Takes the square root of a number that is not negative.",
            work: square_root,
        }),
    ]
}

struct Operation<A> {
    name: &'static str,
    description: &'static str,
    work: fn(A) -> Result<Number, &'static str>,
}

#[async_trait]
impl<A: DeserializeOwned + JsonSchema + Send> Tool for Operation<A> {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<A>(self.name, self.description, EffectClass::Pure)
    }

    async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError> {
        let result = (self.work)(typed(input.arguments)?).and_then(Number::into_json);
        result.map_err(|error| ToolError::Failed(error.to_owned()))
    }
}

#[derive(Deserialize, JsonSchema)]
struct Pair {
    /// The first number.
    a: Number,
    /// The second number.
    b: Number,
}

#[derive(Deserialize, JsonSchema)]
struct Power {
    /// The number that is raised.
    base: Number,
    /// The power it is raised to.
    exponent: Number,
}

#[derive(Deserialize, JsonSchema)]
struct Root {
    /// The number to take the root of.
    x: Number,
}

const DIVISION_BY_ZERO: &str = "Division by zero";

fn divide(Pair { a, b }: Pair) -> Result<Number, &'static str> {
    if b.as_real() == 0.0 {
        return Err(DIVISION_BY_ZERO);
    }
    let exact = exactly(a, b, |a, b| (a.checked_rem(b)? == 0).then(|| a.checked_div(b)).flatten());
    Ok(exact.unwrap_or_else(|| real(a, b, |a, b| a / b)))
}

fn power(Power { base, exponent }: Power) -> Result<Number, &'static str> {
    if base.as_real() == 0.0 && exponent.as_real() < 0.0 {
        return Err(DIVISION_BY_ZERO);
    }
    let exact = exactly(base, exponent, |base, exponent| base.checked_pow(u32::try_from(exponent).ok()?));
    Ok(exact.unwrap_or_else(|| real(base, exponent, f64::powf)))
}

fn square_root(Root { x }: Root) -> Result<Number, &'static str> {
    if x.as_real() < 0.0 {
        return Err("Square root of negative number");
    }
    // The root of a square below 2^64 comes out whole.
    Ok(Number::Real(x.as_real().sqrt()))
}

fn exactly(a: Number, b: Number, work: impl FnOnce(i128, i128) -> Option<i128>) -> Option<Number> {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => work(a, b).map(Number::Whole),
        _ => None,
    }
}

fn real(a: Number, b: Number, work: impl FnOnce(f64, f64) -> f64) -> Number {
    Number::Real(work(a.as_real(), b.as_real()))
}

/// A JSON number. `5` and `5.0` are the same one.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i128),
    Real(f64),
}

/// The doubles up to here are whole numbers without gaps (2^53).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small just before")]
    fn from_real(real: f64) -> Self {
        if real.fract() == 0.0 && real.abs() <= EXACT_MAX {
            Self::Whole(real as i128)
        } else {
            Self::Real(real)
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the nearest double is what a reckoning in doubles takes")]
    const fn as_real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    /// A JSON integer where the number is whole and fits one, else a double.
    fn into_json(self) -> Result<Value, &'static str> {
        let whole = match self {
            Self::Real(real) => Self::from_real(real),
            Self::Whole(_) => self,
        };
        if let Self::Whole(whole) = whole {
            if let Ok(whole) = i64::try_from(whole) {
                return Ok(Value::from(whole));
            }
            if let Ok(whole) = u64::try_from(whole) {
                return Ok(Value::from(whole));
            }
        }
        let real = self.as_real();
        if real.is_nan() {
            return Err("The result is not a real number");
        }
        serde_json::Number::from_f64(real).map(Value::Number).ok_or("The result is too large for a number")
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        match number.as_i128() {
            Some(whole) => Ok(Self::Whole(whole)),
            None => number
                .as_f64()
                .map(Self::from_real)
                .ok_or_else(|| serde::de::Error::custom(format!("{number} is too large for a number"))),
        }
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

#[cfg(test)]
mod tests {
    use piton_core::{CallId, RunId};
    use serde_json::json;

    use super::*;
    use crate::{Registry, RegistryOptions};

    async fn call(name: &str, arguments: &str) -> Result<Value, ToolError> {
        let registry = Registry::new(RegistryOptions::default());
        let spec = registry.spec(name).expect(name);
        let key = CallId::derive(RunId::from_uuid(uuid::Uuid::nil()), 1, 0);
        registry.call(&spec, arguments, key).await.result
    }

    #[tokio::test]
    async fn results_are_right_and_whole_where_they_are_whole() {
        for (name, arguments, result) in [
            ("sum_numbers", r#"{"a": 2, "b": 3}"#, json!(5)),
            ("sum_numbers", r#"{"a": 2.0, "b": 3.0}"#, json!(5)),
            ("sum_numbers", r#"{"a": 0.5, "b": 0.25}"#, json!(0.75)),
            ("sum_numbers", r#"{"a": 1e3, "b": -1}"#, json!(999)),
            ("subtract_numbers", r#"{"a": 2, "b": 3}"#, json!(-1)),
            ("subtract_numbers", r#"{"a": -0.0, "b": 0}"#, json!(0)),
            ("multiply_numbers", r#"{"a": 1.5, "b": 4}"#, json!(6)),
            ("divide_numbers", r#"{"a": 6, "b": 3}"#, json!(2)),
            ("divide_numbers", r#"{"a": 1, "b": -4}"#, json!(-0.25)),
            ("divide_numbers", r#"{"a": 0, "b": 3}"#, json!(0)),
            ("power", r#"{"base": 2, "exponent": 10}"#, json!(1024)),
            ("power", r#"{"base": 2, "exponent": -1}"#, json!(0.5)),
            ("power", r#"{"base": 9, "exponent": 0.5}"#, json!(3)),
            ("power", r#"{"base": 0, "exponent": 0}"#, json!(1)),
            ("power", r#"{"base": -1, "exponent": 4294967297}"#, json!(-1)),
            ("square_root", r#"{"x": 144}"#, json!(12)),
            ("square_root", r#"{"x": 2.25}"#, json!(1.5)),
            ("square_root", r#"{"x": 2}"#, json!(std::f64::consts::SQRT_2)),
            ("square_root", r#"{"x": -0.0}"#, json!(0)),
        ] {
            let got = call(name, arguments).await;
            assert_eq!(got, Ok(result), "{name} {arguments}");
        }
    }

    #[tokio::test]
    async fn whole_numbers_that_doubles_cannot_hold_stay_exact() {
        for (name, arguments, result) in [
            ("sum_numbers", r#"{"a": 9007199254740992, "b": 1}"#, "9007199254740993"),
            ("subtract_numbers", r#"{"a": 0, "b": 9223372036854775807}"#, "-9223372036854775807"),
            ("multiply_numbers", r#"{"a": 3037000499, "b": 3037000499}"#, "9223372030926249001"),
            ("divide_numbers", r#"{"a": 9007199254740993, "b": 1}"#, "9007199254740993"),
            ("power", r#"{"base": 3, "exponent": 40}"#, "12157665459056928801"),
            ("square_root", r#"{"x": 9223372030926249001}"#, "3037000499"),
            ("square_root", r#"{"x": 18446744065119617025}"#, "4294967295"),
            ("power", r#"{"base": 10, "exponent": 30}"#, "1e+30"),
        ] {
            let got = call(name, arguments).await.expect(name);
            assert_eq!(got.to_string(), result, "{name} {arguments}");
        }
    }

    #[tokio::test]
    async fn what_has_no_finite_result_is_an_error() {
        for (name, arguments, error) in [
            ("divide_numbers", r#"{"a": 1, "b": 0}"#, "Division by zero"),
            ("divide_numbers", r#"{"a": 0, "b": -0.0}"#, "Division by zero"),
            ("power", r#"{"base": 0, "exponent": -1}"#, "Division by zero"),
            ("square_root", r#"{"x": -1}"#, "Square root of negative number"),
            ("square_root", r#"{"x": -1e-300}"#, "Square root of negative number"),
            ("power", r#"{"base": 10, "exponent": 400}"#, "The result is too large for a number"),
            ("power", r#"{"base": -8, "exponent": 0.5}"#, "The result is not a real number"),
            ("multiply_numbers", r#"{"a": 1e308, "b": 10}"#, "The result is too large for a number"),
            ("sum_numbers", r#"{"a": "2", "b": 3}"#, "a: expected a number, got \"2\""),
        ] {
            let got = call(name, arguments).await;
            assert_eq!(got, Err(ToolError::Failed(error.to_owned())), "{name} {arguments}");
        }
    }
}
