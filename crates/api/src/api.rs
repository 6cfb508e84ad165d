//! What every endpoint shares: the store, the agents that may be launched, and the settings.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use piton_core::{Agent, Context, Recorded, RunId, TurnRequest};
use piton_store::{Clock, Store};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::access::Access;
use crate::feed::Feed;
use crate::problem::Problem;

/// What the server is told at its start.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Callers have to know it, where it is set.
    pub api_key: Option<SecretString>,
    /// Without a key: answer to any host name, not only to loopback names and the listen address.
    pub allow_anonymous: bool,
    /// Origins besides the server's own whose pages may call, such as `https://ui.example.org`.
    pub allowed_origins: Vec<String>,
    pub listen: SocketAddr,
    /// Live views at once; who comes later is told to come back.
    pub live_clients_max: usize,
    /// What may be launched, as it is in effect.
    pub agents: Vec<Agent>,
    /// The one that is launched when none is named. One of `agents`.
    pub default_agent: String,
    /// Whether the built-in practice model answers, for want of a real one.
    pub practice_model: bool,
    /// Whether tools that crash on purpose are there.
    pub test_tools: bool,
    /// The model that agents use which name none.
    pub model_name: String,
    pub version: String,
    pub prompts: Arc<dyn Prompts>,
    /// Once it is cancelled, `/readyz` says that this server is about to stop.
    pub leaving: CancellationToken,
}

/// Renders again what a model was asked. The API knows no model: whoever composes it brings one.
pub trait Prompts: Send + Sync + std::fmt::Debug {
    fn again(&self, agent: &Agent, context: &Context, sent: &TurnRequest) -> Prompt;
}

/// A request to a model, rendered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    pub body: String,
    /// Whether its hash is the one recorded: these are the bytes that were sent.
    pub is_same: bool,
}

/// The state of the router.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    pub(crate) options: ApiOptions,
    pub(crate) feed: Feed,
    /// Places for those who follow changes.
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
    ids: Mutex<ContextV7>,
}

/// How endpoints take it.
pub(crate) type Shared = State<Arc<Api>>;

/// Events that are read from the store at once.
pub(crate) const EVENTS_AT_ONCE: u32 = 500;

impl Api {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        options: ApiOptions,
        stop: CancellationToken,
    ) -> Self {
        Self {
            access: Access::new(&options),
            followers: Arc::new(Semaphore::new(options.live_clients_max)),
            feed: Feed::start(Arc::clone(&store), stop.clone(), options.live_clients_max),
            store,
            clock,
            options,
            stop,
            ids: Mutex::new(ContextV7::new()),
        }
    }

    /// An agent by its name; without one, the default agent.
    pub(crate) fn agent(&self, name: Option<&str>) -> Option<&Agent> {
        let name = name.unwrap_or(&self.options.default_agent);
        self.options.agents.iter().find(|agent| agent.name == name)
    }

    /// The agents' names, for messages.
    pub(crate) fn agent_names(&self) -> String {
        let names: Vec<&str> = self.options.agents.iter().map(|agent| agent.name.as_str()).collect();
        names.join(", ")
    }

    /// A run id that sorts after every earlier one of this process.
    pub(crate) fn next_run_id(&self) -> RunId {
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or_default();
        let nanos = u32::try_from(now_ms % 1000).unwrap_or_default() * 1_000_000;
        RunId::from_uuid(Uuid::new_v7(Timestamp::from_unix(&self.ids, now_ms / 1000, nanos)))
    }

    /// The first `through` events of a run.
    pub(crate) async fn history(&self, run: RunId, through: u64) -> Result<Vec<Recorded>, Problem> {
        let mut events = Vec::new();
        let mut after = 0;
        while after < through {
            let left = u32::try_from(through - after).unwrap_or(u32::MAX);
            let page = self.store.events(run, after, left.min(EVENTS_AT_ONCE)).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            events.extend(page);
        }
        Ok(events)
    }
}
