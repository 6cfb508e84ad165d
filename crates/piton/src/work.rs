//! The worker role: a process that advances runs, with a practice model of its own where there is no real one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use piton_core::WorkerId;
use piton_model::{ModelClient, practice};
use piton_store::{Clock, Lane, Slots};
use piton_worker::{Deps, Paces, WorkerOptions};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::children::Children;
use crate::cli::Work;
use crate::config::{Loaded, Overrides};
use crate::open::{self, Database};
use crate::signals;

/// The endpoint where none is configured.
const OPENAI: &str = "https://api.openai.com/v1";
/// The practice model, whose port is another in each process.
const PRACTICE: &str = "practice";
/// How long a worker goes on without its server: enough to hand back what it holds.
const ORPHAN_LIFE: Duration = Duration::from_millis(900);
/// Of which steps under way may take this to end.
const ORPHAN_SHUTDOWN_MS: u64 = 500;

/// `piton worker`: until a signal, or until its parent is gone.
pub(crate) async fn work(
    loaded: &Loaded,
    flags: &Overrides,
    config_dir: Option<&Path>,
    args: Work,
) -> anyhow::Result<()> {
    let database = open::database(loaded).await?;
    let stop = signals::stop_token();
    let Some(suffix) = args.child else {
        let shutdown_ms = loaded.config.worker.shutdown_ms;
        let children = Children::new(flags, config_dir, shutdown_ms, database.store(), stop.clone())?;
        children.carry_suspects();
        let worked = run(loaded, &database, options(loaded), stop.clone(), CancellationToken::new()).await;
        stop.cancel();
        children.ended().await;
        return worked;
    };
    let lane = if args.apart { Lane::Apart } else { Lane::Common };
    let options = WorkerOptions { name: name(std::process::id(), &suffix), lane, ..options(loaded) };
    let (hurry, orphaned) = (CancellationToken::new(), stop.clone());
    let hurrying = hurry.clone();
    tokio::spawn(async move {
        // The parent's end of the pipe closes however the parent ends.
        let mut byte = [0_u8; 1];
        while matches!(tokio::io::stdin().read(&mut byte).await, Ok(read) if read > 0) {}
        tracing::info!("the process that started this worker is gone; it stops");
        hurrying.cancel();
        orphaned.cancel();
        tokio::time::sleep(ORPHAN_LIFE).await;
        std::process::exit(0);
    });
    run(loaded, &database, options, stop, hurry).await
}

/// The end of a worker's name, used by no other.
pub(crate) fn name_suffix() -> String {
    uuid::Uuid::now_v7().simple().to_string().split_off(24)
}

/// A worker's name, by its process and the end of its name.
pub(crate) fn name(pid: u32, suffix: &str) -> WorkerId {
    WorkerId::new(format!("w-{pid}-{suffix}"))
}

fn options(loaded: &Loaded) -> WorkerOptions {
    let config = &loaded.config.worker;
    let finished_days = loaded.config.retention.finished_days;
    WorkerOptions {
        name: name(std::process::id(), &name_suffix()),
        lane: Lane::Common,
        concurrency: config.concurrency,
        lease_ms: config.lease_ms,
        step_timeout_ms: config.step_timeout_ms,
        shutdown_ms: config.shutdown_ms,
        hurried_shutdown_ms: ORPHAN_SHUTDOWN_MS,
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        paces: paces(loaded),
        finished_kept: finished_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
    }
}

/// What the endpoint may be asked, under a name that every process knows it by.
fn paces(loaded: &Loaded) -> Paces {
    let model = &loaded.config.model;
    let endpoint = if model.is_practice() { PRACTICE } else { model.base_url.as_deref().unwrap_or(OPENAI) };
    Paces {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        requests: model.requests_per_minute.clone(),
        tokens: model.tokens_per_minute.clone(),
    }
}

/// A worker in this process.
pub(crate) async fn beside(
    loaded: &Loaded,
    database: &Database,
    children: Children,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    children.carry_suspects();
    let options = WorkerOptions { shutdown_ms: ORPHAN_SHUTDOWN_MS, ..options(loaded) };
    let worked = run(loaded, database, options, stop, CancellationToken::new()).await;
    children.ended().await;
    worked
}

async fn run(
    loaded: &Loaded,
    database: &Database,
    options: WorkerOptions,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> anyhow::Result<()> {
    let threads = StepThreads::start()?;
    let deps = Deps {
        lock_dir: Some(database.lock_dir()),
        model: Arc::new(model(loaded).await?),
        tools: Arc::new(open::tools(loaded)),
        clock: Clock::system(),
        store: database.store(),
        steps: threads.handle(),
    };
    Ok(piton_worker::run(deps, options, stop, hurry).await?)
}

/// The threads that steps run on, apart from those that keep the lease and write to the database.
struct StepThreads(Option<Runtime>);

impl StepThreads {
    fn start() -> anyhow::Result<Self> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.thread_name("step").on_thread_park(Slots::idle).enable_all().build();
        Ok(Self(Some(threads.context("no threads for steps")?)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |threads| threads.handle().clone())
    }
}

impl Drop for StepThreads {
    fn drop(&mut self) {
        // A step that blocks its thread must not keep the process.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
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
        config.base_url.clone().unwrap_or_else(|| OPENAI.to_owned())
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
