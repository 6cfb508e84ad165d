//! What a tool is. The trait has no way to reach a run, a store or another tool.

use std::time::Duration;

use async_trait::async_trait;
use piton_core::{CallId, ToolSpec};
use serde_json::Value;

/// How long a call of a built-in tool may take, unless the tool says otherwise.
const LIMIT_MS: u64 = 5_000;

/// A tool in the binary, found by its spec's name.
#[async_trait]
pub trait Tool: Send + Sync {
    fn spec(&self) -> ToolSpec;

    /// The hard limit of one call. Past it the call is dropped and its outcome counts as unknown.
    fn limit(&self) -> Duration {
        Duration::from_millis(LIMIT_MS)
    }

    /// Carries the call out. It may be dropped at any await.
    async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError>;
}

/// One call, its arguments already checked against the spec's schema.
#[derive(Debug)]
pub struct ToolInput<'a> {
    /// A JSON object.
    pub arguments: Value,
    /// The same for every attempt at this call: what the outside is given as idempotency key.
    pub key: CallId,
    /// The spec that the run is pinned to.
    pub spec: &'a ToolSpec,
}

/// Why there is no result. The texts are fit for the model and for people: no secrets, bounded in length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It is known that the call failed: the model is told and may try something else.
    #[error("{0}")]
    Failed(String),
    /// The call began and its result is not known: its limit passed, or the connection broke after sending.
    #[error("{0}")]
    Unknown(String),
}

impl ToolError {
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(change(text)),
            Self::Unknown(text) => Self::Unknown(change(text)),
        }
    }
}
