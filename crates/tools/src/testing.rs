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
/// Taken at a time by the tool that takes all memory.
const BITE_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn tools() -> [Arc<dyn Tool>; 5] {
    [Arc::new(Abort), Arc::new(Panic), Arc::new(Sleep), Arc::new(Block), Arc::new(Exhaust)]
}

#[derive(JsonSchema)]
struct NoArguments {}

struct Abort;

#[derive(Deserialize, JsonSchema)]
struct AbortArguments {
    /// Do it on a thread of the tool's own, where nobody sees which run it was.
    #[serde(default)]
    elsewhere: bool,
}

#[async_trait]
impl Tool for Abort {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<AbortArguments>(
            "abort",
            "Test tool: ends the worker's process at once.",
            EffectClass::Pure,
        )
    }

    async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError> {
        let AbortArguments { elsewhere } = typed(input.arguments)?;
        tracing::error!("the test tool abort was called: ending this process");
        if !elsewhere {
            std::process::abort();
        }
        std::thread::spawn(|| std::process::abort());
        std::future::pending().await
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

struct Block;

#[async_trait]
impl Tool for Block {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<SleepArguments>(
            "block",
            "Test tool: like sleep, but keeps its thread from doing anything else.",
            EffectClass::Pure,
        )
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(SLEEP_MS_MAX + 5_000)
    }

    #[expect(clippy::disallowed_methods, reason = "to block the thread is what this tool is for")]
    async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError> {
        let SleepArguments { ms } = typed(input.arguments)?;
        std::thread::sleep(Duration::from_millis(ms));
        Ok(json!({ "slept_ms": ms }))
    }
}

struct Exhaust;

#[async_trait]
impl Tool for Exhaust {
    fn spec(&self) -> ToolSpec {
        schema::builtin::<NoArguments>(
            "exhaust",
            "Test tool: takes all the memory there is.",
            EffectClass::Pure,
        )
    }

    async fn call(&self, _: ToolInput<'_>) -> Result<Value, ToolError> {
        tracing::error!("the test tool exhaust was called: taking all memory");
        let mut taken = Vec::new();
        loop {
            // Written to, or the kernel would only promise it.
            taken.push(vec![1_u8; BITE_BYTES]);
            std::hint::black_box(&taken);
        }
    }
}
