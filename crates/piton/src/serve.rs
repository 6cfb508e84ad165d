//! The server role: the API and the web UI in this process, workers as children of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use piton_api::{ApiOptions, Prompt, Prompts};
use piton_core::{Agent, Context, TurnRequest};
use piton_model::{Again, Ask, Renderer};
use piton_store::{Clock, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::children::Children;
use crate::config::{Loaded, Overrides};
use crate::{open, out, signals};

/// Connections at once beside those of live views.
const OTHER_CONNECTIONS: usize = 2048;
/// Files that the server itself opens: database, locks, pipes to its children.
const OWN_FILES: usize = 256;

/// `piton serve`: until a signal.
pub(crate) async fn serve(
    loaded: &Loaded,
    flags: &Overrides,
    config_dir: Option<&Path>,
) -> anyhow::Result<()> {
    let server = &loaded.config.server;
    check_who_may_call(loaded)?;
    // Everything that may be wrong is looked at before the first child is started.
    let tools = open::tools(loaded);
    let agents = open::agents(loaded, &tools)?;
    let listener = piton_api::listen(server.listen).with_context(|| {
        format!(
            "cannot listen on {} ({}): choose another with --listen, or stop what listens there",
            server.listen,
            loaded.origin("server.listen")
        )
    })?;
    let database = open::database(loaded).await?;
    let store = database.store();
    let listen = listener.local_addr()?;
    let leaving = signals::stop_token();
    let stop = after(leaving.clone(), Duration::from_millis(server.linger_ms));
    let options = api_options(loaded, agents.agents(), listen, server.api_key.clone(), leaving)?;
    let router = piton_api::router(Arc::clone(&store), Clock::system(), options, stop.clone());
    let shutdown_ms = loaded.config.worker.shutdown_ms;
    let children = Children::new(flags, config_dir, shutdown_ms, Arc::clone(&store), stop.clone())?;
    if server.workers > 0 {
        children.keep_workers(server.workers);
        children.carry_suspects();
    }
    out::note(format!("piton {} serves on http://{listen}", env!("CARGO_PKG_VERSION")));
    if loaded.config.model.is_practice() {
        out::note(
            "The practice model answers (rules, no language model). For a real one set OPENAI_API_KEY, and \
             OPENAI_BASE_URL for another provider.",
        );
    }
    if server.workers == 0 {
        out::note("No workers here: start some with `piton worker` on the same database.");
    }
    tracing::info!(%listen, workers = server.workers, store = %loaded.config.store.url, "serving");
    let connections_max = connections_max(server.live_clients_max);
    let served = piton_api::serve(listener, router, connections_max, stop.clone()).await;
    stop.cancel();
    children.ended().await;
    served.context("the server stopped")
}

/// Cancelled this long after `leaving` is.
fn after(leaving: CancellationToken, linger: Duration) -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        leaving.cancelled().await;
        tokio::time::sleep(linger).await;
        token.cancel();
    });
    stop
}

pub(crate) fn api_options(
    loaded: &Loaded,
    agents: Vec<Agent>,
    listen: SocketAddr,
    api_key: Option<SecretString>,
    leaving: CancellationToken,
) -> anyhow::Result<ApiOptions> {
    let config = &loaded.config;
    let renderer = Renderer::new(config.model.reasoning_effort.as_deref(), config.model.max_output_tokens)?;
    Ok(ApiOptions {
        api_key,
        allow_anonymous: config.server.allow_anonymous,
        allowed_origins: config.server.allowed_origins.clone(),
        listen,
        live_clients_max: config.server.live_clients_max,
        agents,
        default_agent: config.agent.default.clone(),
        practice_model: config.model.is_practice(),
        test_tools: config.test.tools,
        model_name: config.model.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        prompts: Arc::new(Rendered(renderer)),
        leaving,
    })
}

/// Shows the API what a model was asked, by the settings that workers of this configuration have.
#[derive(Debug)]
struct Rendered(Renderer);

impl Prompts for Rendered {
    fn again(&self, agent: &Agent, context: &Context, sent: &TurnRequest) -> Prompt {
        let Again { body, is_same } = self.0.again(
            &Ask {
                model: &agent.model,
                instructions: &agent.instructions,
                items: context.items(),
                tools: &agent.tools,
            },
            sent,
        );
        Prompt { body, is_same }
    }
}

/// The API in this process on an ephemeral port that only this process knows the key to.
pub(crate) async fn privately(
    loaded: &Loaded,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) -> anyhow::Result<(SocketAddr, SecretString)> {
    let tools = open::tools(loaded);
    let agents = open::agents(loaded, &tools)?;
    let listener = piton_api::listen(([127, 0, 0, 1], 0).into()).context("no port on loopback")?;
    let listen = listener.local_addr()?;
    let key =
        SecretString::from(format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()));
    let options = api_options(loaded, agents.agents(), listen, Some(key.clone()), stop.clone())?;
    let router = piton_api::router(store, Clock::system(), options, stop.clone());
    tokio::spawn(async move {
        if let Err(error) = piton_api::serve(listener, router, OTHER_CONNECTIONS, stop).await {
            tracing::error!(%error, "the API of this command stopped");
        }
    });
    Ok((listen, key))
}

/// How many connections there may be: room for all live views and then some, as far as there are file descriptors. The
/// store and the children need theirs whoever connects.
fn connections_max(live_clients_max: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // The usual limit is low for the sake of old programs; whoever needs more may take it.
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let files = current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let (wanted, there) = (live_clients_max + OTHER_CONNECTIONS, files.saturating_sub(OWN_FILES).max(1));
    if there < wanted {
        tracing::warn!(
            connections = there,
            "few connections can be taken at once: this process may open only {files} files (ulimit -n)"
        );
    }
    wanted.min(there)
}

/// Beyond loopback, callers need a key, unless somebody said in so many words that they do not.
fn check_who_may_call(loaded: &Loaded) -> anyhow::Result<()> {
    let server = &loaded.config.server;
    if server.listen.ip().is_loopback() || server.api_key.is_some() || server.allow_anonymous {
        return Ok(());
    }
    bail!(
        "server.listen = {} ({}) can be reached from other machines, and nobody would need a key: set \
         PITON_SERVER__API_KEY, or say --allow-anonymous if that is what you want",
        server.listen,
        loaded.origin("server.listen")
    )
}
