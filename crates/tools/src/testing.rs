//! Tools that do harm on purpose, so that crashes can be tried on the real binary. They exist only where
//! [`RegistryOptions::test_tools`](crate::RegistryOptions) is set.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{EffectClass, ToolSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::typed;
use crate::{Tool, ToolError, ToolInput, schema};

const SLEEP_MS_MAX: u64 = 600_000;

pub(crate) fn tools() -> [Arc<dyn Tool>; 3] {
    [Arc::new(Abort), Arc::new(Panic), Arc::new(Sleep)]
}

#[derive(JsonSchema)]
struct NoArguments {}

struct Abort;

#[async_trait]
impl Tool for Abort {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<NoArguments>(
            "abort",
            "Test tool: ends the worker's process at once.",
            EffectClass::Pure,
        )
    }

    async fn call(&self, _: ToolInput<'_>) -> Result<Value, ToolError> {
        tracing::error!("the test tool abort was called: ending this process");
        std::process::abort()
    }
}

struct Panic;

#[async_trait]
impl Tool for Panic {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<NoArguments>("panic", "Test tool: panics.", EffectClass::Pure)
    }

    async fn call(&self, _: ToolInput<'_>) -> Result<Value, ToolError> {
        panic!("the test tool panic was called")
    }
}

struct Sleep;

#[derive(Deserialize, JsonSchema)]
struct SleepArguments {
    /// How long to sleep, in milliseconds.
    #[schemars(range(min = 0, max = SLEEP_MS_MAX))]
    ms: u64,
}

#[async_trait]
impl Tool for Sleep {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<SleepArguments>(
            "sleep",
            "Test tool: waits, then returns how long it was.",
            EffectClass::Pure,
        )
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(SLEEP_MS_MAX + 5_000)
    }

    async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError> {
        let SleepArguments { ms } = typed(input.arguments)?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(json!({ "slept_ms": ms }))
    }
}
