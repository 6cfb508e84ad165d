//! The clock, for agents that need to know what day it is.

use async_trait::async_trait;
use jiff::{Timestamp, Unit};
use piton_core::{EffectClass, ToolSpec};
use schemars::JsonSchema;
use serde_json::Value;

use crate::{Tool, ToolError, ToolInput, schema};

pub(crate) struct Now;

#[derive(JsonSchema)]
struct NoArguments {}

#[async_trait]
impl Tool for Now {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<NoArguments>(
            "now",
            "Returns the current date and time in UTC, as in 2026-01-31T09:30:00Z.",
            EffectClass::Pure,
        )
    }

    async fn call(&self, _: ToolInput<'_>) -> Result<Value, ToolError> {
        let now = Timestamp::now();
        Ok(Value::String(now.round(Unit::Second).unwrap_or(now).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use piton_core::{CallId, RunId};

    use super::*;
    use crate::{Registry, RegistryOptions};

    #[tokio::test]
    async fn now_is_a_time_in_utc_to_the_second() {
        let registry = Registry::new(RegistryOptions::default());
        let spec = registry.spec("now").expect("now");
        let key = CallId::derive(RunId::from_uuid(uuid::Uuid::nil()), 1, 0);
        let now = registry.call(&spec, "", key).await.result.expect("a time");
        let text = now.as_str().expect("a text");
        assert!(text.len() == "2026-01-31T09:30:00Z".len() && text.ends_with('Z'), "{text}");
        let told: Timestamp = text.parse().expect("RFC 3339");
        assert!(told.duration_until(Timestamp::now()).abs().as_secs() <= 1, "{text}");
    }
}
