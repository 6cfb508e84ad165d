//! What a worker works with. Model and tools are seams: a simulation tells another story behind them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use piton_core::{CallId, ToolSpec};
use piton_model::{Ask, ModelClient, ModelFailure, Replied};
use piton_store::{Clock, Store};
use piton_tools::{Ended, Registry};
use tokio::runtime::Handle;

/// What a worker works with.
#[derive(Debug, Clone)]
pub struct Deps {
    pub store: Arc<dyn Store>,
    /// Where the lock goes that dies with the worker; `None` where the lease alone must do.
    pub lock_dir: Option<PathBuf>,
    pub model: Arc<dyn Model>,
    pub tools: Arc<dyn Tools>,
    pub clock: Clock,
    /// Where steps run. Leases are renewed on the runtime that the worker itself is started on: when they are two, a
    /// step that blocks all its threads takes nobody's lease away.
    pub steps: Handle,
}

/// Whatever answers for a language model.
#[async_trait]
pub trait Model: Send + Sync + std::fmt::Debug {
    /// # Errors
    /// [`ModelFailure`] when every try failed.
    async fn reply(&self, ask: &Ask<'_>) -> Result<Replied, ModelFailure>;
}

#[async_trait]
impl Model for ModelClient {
    async fn reply(&self, ask: &Ask<'_>) -> Result<Replied, ModelFailure> {
        Self::reply(self, ask).await
    }
}

/// Whatever carries out tool calls.
#[async_trait]
pub trait Tools: Send + Sync + std::fmt::Debug {
    /// Whether calls of this tool can be carried out here.
    fn has(&self, spec: &ToolSpec) -> bool {
        let _ = spec;
        true
    }

    /// Carries out a call under `key`, the same for every attempt at it.
    async fn call(&self, spec: &ToolSpec, arguments: &str, key: CallId) -> Ended;
}

#[async_trait]
impl Tools for Registry {
    fn has(&self, spec: &ToolSpec) -> bool {
        Self::has(self, spec)
    }

    async fn call(&self, spec: &ToolSpec, arguments: &str, key: CallId) -> Ended {
        Self::call(self, spec, arguments, key).await
    }
}
