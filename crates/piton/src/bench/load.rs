//! An installation of its own: a server and its workers as processes of this very binary, and clients that launch runs
//! over HTTP and wait for their answers.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use piton_store::ScratchDatabase;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::model::{PROMPT, TOOLS, answer, task};
use super::usage::{Disk, children, held, processor};
use super::{PASSWORD, Plan};

/// How long the server may take to come up, and to go.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked how much memory there is in use.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a client waits for a run at a time.
const WAIT_MS: u64 = 20_000;

const AGENT: &str = "count";

/// One tool, a short prompt: what is measured is Piton, not how long a prompt can be.
fn agent() -> String {
    format!("name = \"{AGENT}\"\ndescription = \"Counts\"\ninstructions = \"{PROMPT}\"\ntools = {TOOLS:?}\n")
}

fn most_held(workers: &[u32]) -> u64 {
    workers.iter().copied().filter_map(held).max().unwrap_or_default()
}

/// A server with its workers, on a database of its own.
pub(super) struct Installation {
    server: Child,
    pid: u32,
    base: String,
    http: Client,
    turns: usize,
    /// What its largest worker held before it had anything to do.
    idle_bytes: u64,
}

/// What a load took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) took: Duration,
    /// Processor time.
    pub(super) server: Duration,
    pub(super) workers: Duration,
    /// That reached the disk.
    pub(super) bytes: Option<u64>,
    /// Memory of the largest worker: before there was any load, and at the most.
    pub(super) worker_idle_bytes: u64,
    pub(super) worker_most_bytes: u64,
}

impl Installation {
    pub(super) async fn start(
        plan: &Plan,
        model: SocketAddr,
        folder: &Path,
        scratch: Option<&ScratchDatabase>,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let base = format!("http://127.0.0.1:{port}");
        let config = folder.join("config");
        std::fs::create_dir_all(config.join("agents"))?;
        std::fs::write(config.join("agents/count.toml"), agent())?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let file = || format!("sqlite://{}", folder.join("piton.db").display());
        let store = scratch.map_or_else(file, |scratch| scratch.url().to_owned());
        let password = plan.server.as_ref().and_then(|server| server.password.as_ref());
        let server = Command::new(std::env::current_exe().context("the path of this binary is not known")?)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .arg("--workers")
            .arg(plan.workers.to_string())
            // What the environment says of another installation is not meant for this one.
            .env_clear()
            .env("PITON_STORE__URL", store)
            .env("PITON_STORE__LOCK_DIR", folder.join("locks"))
            .envs(password.map(|password| (PASSWORD, password.expose_secret())))
            .env("PITON_STORE__SYNCHRONOUS", plan.synchronous.as_str())
            .env("PITON_SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("PITON_WORKER__CONCURRENCY", plan.slots().to_string())
            .env("PITON_MODEL__BASE_URL", format!("http://{model}/v1"))
            .env("PITON_MODEL__API_KEY", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the server cannot be started")?;
        let pid = server.id().context("the server ended at once")?;
        let http = Client::builder().no_proxy().tcp_nodelay(true).build()?;
        let mut installation = Self { server, pid, base, http, turns: plan.steps, idle_bytes: 0 };
        let ready = async {
            loop {
                let workers = installation.get("/v1/workers").await;
                let there = workers.ok().and_then(|body| Some(body["workers"].as_array()?.len()));
                if there == Some(plan.workers as usize) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, ready).await.context("the server and its workers did not come up")?;
        installation.idle_bytes = most_held(&children(pid));
        // Connections, caches and the model's pool are warm before anything is measured.
        installation.run_all(plan.concurrency, plan.concurrency).await?;
        Ok(installation)
    }

    /// Keeps as many runs in flight as the plan says until all are done.
    pub(super) async fn load(&self, plan: &Plan, disk: Option<&Disk>) -> anyhow::Result<Load> {
        let written = disk.and_then(Disk::written);
        let workers = children(self.pid);
        let used = || {
            let workers = workers.iter().map(|pid| processor(*pid)).sum::<Duration>();
            (processor(self.pid), workers)
        };
        let (server, of_workers) = used();
        let (took, most) = self.run_all_watched(&workers, plan).await?;
        let (server_after, workers_after) = used();
        let bytes = written.zip(disk.and_then(Disk::written)).map(|(before, after)| after - before);
        Ok(Load {
            took,
            server: server_after - server,
            workers: workers_after - of_workers,
            bytes,
            worker_idle_bytes: self.idle_bytes,
            worker_most_bytes: most,
        })
    }

    /// How long each of so many runs took, one after the other, from its launch to its answer.
    pub(super) async fn alone(&self, plan: &Plan, runs: usize) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(runs);
        for n in 0..runs {
            let begun = Instant::now();
            self.run((plan.runs + n) as u64).await?;
            took.push(begun.elapsed());
        }
        Ok(took)
    }

    pub(super) async fn stop(mut self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        // What does not end by itself is killed when it is dropped.
        let _ = timeout(PATIENCE, self.server.wait()).await;
    }

    /// What all the runs took, and the most that a worker held meanwhile.
    async fn run_all_watched(&self, workers: &[u32], plan: &Plan) -> anyhow::Result<(Duration, u64)> {
        let mut most = 0;
        let watching = async {
            loop {
                most = most_held(workers).max(most);
                sleep(LOOK_EVERY).await;
            }
        };
        let took = tokio::select! {
            took = self.run_all(plan.runs, plan.concurrency) => took?,
            () = watching => Duration::ZERO,
        };
        Ok((took, most))
    }

    async fn run_all(&self, runs: usize, at_once: usize) -> anyhow::Result<Duration> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let lanes = (0..at_once.min(runs)).map(|_| {
            let next = Arc::clone(&next);
            async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= runs {
                        return anyhow::Ok(());
                    }
                    self.run(n as u64).await?;
                }
            }
        });
        futures::future::try_join_all(lanes).await?;
        Ok(begun.elapsed())
    }

    /// Launches a run, waits for its answer, and sees that it is right.
    async fn run(&self, from: u64) -> anyhow::Result<()> {
        let launch = json!({ "agent": AGENT, "task": task(from), "max_steps": self.turns + 2 });
        let launched = self.http.post(format!("{}/v1/runs", self.base)).json(&launch).send().await?;
        let launched: Value = launched.error_for_status()?.json().await?;
        let id = launched["id"].as_str().context("a run has an id")?;
        let run = loop {
            let run = self.get(&format!("/v1/runs/{id}?wait_ms={WAIT_MS}")).await?;
            if run["status"] != "running" {
                break run;
            }
        };
        let expected = answer(from, self.turns);
        if run["final_answer"] != expected.as_str() {
            bail!("run {id} should have come to {expected}: {run:#}");
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
