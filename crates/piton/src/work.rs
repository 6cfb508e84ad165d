//! The worker role: a process that advances runs, with a practice model of its own where there is no real one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use piton_model::{ModelClient, practice};
use piton_store::{Clock, SqliteStore, Store};
use piton_worker::{Deps, WorkerOptions};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::{open, signals};

/// How long a worker goes on without its server: enough to hand back what it holds.
const ORPHAN_LIFE: Duration = Duration::from_millis(900);
/// Of which steps under way may take this to end.
const ORPHAN_SHUTDOWN_MS: u64 = 500;

/// `piton worker`: until a signal, or until its server is gone.
pub(crate) async fn work(loaded: &Loaded, child: bool) -> anyhow::Result<()> {
    let store = open::store(loaded).await?;
    let stop = signals::stop_token();
    let mut options = options(loaded);
    if child {
        // The server's end of the pipe closes however the server ends.
        let orphaned = stop.clone();
        options.shutdown_ms = options.shutdown_ms.min(loaded.config.worker.shutdown_ms);
        let hurry = CancellationToken::new();
        let hurried = hurry.clone();
        tokio::spawn(async move {
            let mut byte = [0_u8; 1];
            while matches!(tokio::io::stdin().read(&mut byte).await, Ok(read) if read > 0) {}
            tracing::info!("the server is gone; this worker stops");
            hurried.cancel();
            orphaned.cancel();
            tokio::time::sleep(ORPHAN_LIFE).await;
            std::process::exit(0);
        });
        return run(loaded, store, options, stop, hurry).await;
    }
    run(loaded, store, options, stop, CancellationToken::new()).await
}

fn options(loaded: &Loaded) -> WorkerOptions {
    let config = &loaded.config.worker;
    WorkerOptions {
        concurrency: config.concurrency,
        lease_ms: config.lease_ms,
        step_timeout_ms: config.step_timeout_ms,
        shutdown_ms: config.shutdown_ms,
        hurried_shutdown_ms: ORPHAN_SHUTDOWN_MS,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// A worker in this process.
pub(crate) async fn beside(
    loaded: &Loaded,
    store: Arc<SqliteStore>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let options = WorkerOptions { shutdown_ms: ORPHAN_SHUTDOWN_MS, ..options(loaded) };
    run(loaded, store, options, stop, CancellationToken::new()).await
}

async fn run(
    loaded: &Loaded,
    store: Arc<SqliteStore>,
    options: WorkerOptions,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> anyhow::Result<()> {
    let deps = Deps {
        lock_dir: Some(store.lock_dir().to_owned()),
        model: Arc::new(model(loaded).await?),
        tools: Arc::new(open::tools(loaded)),
        clock: Clock::system(),
        store: store as Arc<dyn Store>,
    };
    Ok(piton_worker::run(deps, options, stop, hurry).await?)
}

/// The configured model, or a practice model on an ephemeral port of this process.
async fn model(loaded: &Loaded) -> anyhow::Result<ModelClient> {
    let config = &loaded.config.model;
    let base_url = if config.is_practice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the practice model")?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            if let Err(error) = practice::serve(listener, std::future::pending()).await {
                tracing::error!(%error, "the practice model stopped");
            }
        });
        tracing::warn!(
            model = practice::NAME,
            "no OPENAI_API_KEY and no model.base_url: the built-in practice model answers, by rules, not by a language \
             model"
        );
        format!("http://{address}/v1")
    } else {
        config.base_url.clone().unwrap_or_else(|| "https://api.openai.com/v1".to_owned())
    };
    Ok(ModelClient::new(piton_model::ModelConfig {
        api: config.api,
        base_url,
        api_key: config.api_key.clone(),
        timeout_ms: config.timeout_ms,
        tries_max: config.tries_max,
        reasoning_effort: config.reasoning_effort.clone(),
        max_output_tokens: config.max_output_tokens,
    })?)
}
