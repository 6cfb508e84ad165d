//! Workers as child processes of the same binary: started again when they die, never left behind, and asked how they
//! ended. Beside them, one process each for the runs that may have taken a worker down.

mod death;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use piton_store::{Death, Lane, Store, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Overrides;
use crate::work;
use death::MemoryKills;

/// A child that lived this long is started again at once.
const GROWN_UP: Duration = Duration::from_secs(5);
/// The wait before one that keeps dying young is started again, at first and at most.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Beyond a worker's own time for its end, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks for runs that wait to go on apart. They come of deaths alone, and those are rare.
const LOOK: Duration = Duration::from_millis(250);
/// Runs that go on apart at once.
const APART_MAX: usize = 16;

/// The child processes of one server or worker.
#[derive(Debug)]
pub(crate) struct Children {
    nursery: Nursery,
    tracker: TaskTracker,
}

#[derive(Debug, Clone)]
struct Nursery {
    binary: PathBuf,
    config_dir: Option<PathBuf>,
    variables: Vec<(String, String)>,
    patience: Duration,
    store: Arc<dyn Store>,
    memory_kills: MemoryKills,
    stop: CancellationToken,
}

/// A child, with the name its worker goes by.
struct Born {
    child: Child,
    suffix: String,
    /// Waiting for a child would close its standard input, which tells it that its parent is gone.
    lifeline: Option<ChildStdin>,
}

impl Children {
    /// Children get this process's own settings. They end with `stop`, or with this process.
    pub(crate) fn new(
        flags: &Overrides,
        config_dir: Option<&Path>,
        shutdown_ms: u64,
        store: Arc<dyn Store>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let nursery = Nursery {
            binary: std::env::current_exe().context("the path of this binary is not known")?,
            config_dir: config_dir.map(Path::to_owned),
            variables: flags.variables().collect(),
            patience: Duration::from_millis(shutdown_ms) + GRACE,
            store,
            memory_kills: MemoryKills::watch(stop.clone()),
            stop,
        };
        Ok(Self { nursery, tracker: TaskTracker::new() })
    }

    /// Keeps `count` workers running.
    pub(crate) fn keep_workers(&self, count: u32) {
        for number in 1..=count {
            self.tracker.spawn(self.nursery.clone().keep(number));
        }
    }

    /// Starts a worker for each run that has to go on apart.
    pub(crate) fn carry_suspects(&self) {
        self.tracker.spawn(self.nursery.clone().carry_suspects());
    }

    /// Returns once every child has ended.
    pub(crate) async fn ended(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Nursery {
    async fn keep(self, number: u32) {
        let mut died_young = 0_u32;
        while !self.stop.is_cancelled() {
            let born_at = Instant::now();
            match self.spawn(Lane::Common) {
                Ok(born) => {
                    tracing::debug!(number, pid = born.child.id(), "worker started");
                    if let Some(status) = self.outlive(born).await {
                        if status.success() && !self.stop.is_cancelled() {
                            tracing::info!(number, "a worker was drained and is not started again");
                            return;
                        }
                        tracing::warn!(number, how = death::how(status), "a worker died; starting another");
                    }
                }
                Err(error) => tracing::error!(number, %error, "a worker cannot be started"),
            }
            if born_at.elapsed() >= GROWN_UP {
                died_young = 0;
                continue;
            }
            died_young += 1;
            // The first time at once: most deaths come from outside.
            if died_young > 1 {
                let wait = (WAIT_MIN * 2_u32.saturating_pow(died_young - 2)).min(WAIT_MAX);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    /// Suspects side by side, each in a process that takes up one run and ends.
    async fn carry_suspects(self) {
        let apart = TaskTracker::new();
        while self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let under_way = apart.len();
            let room = u32::try_from(APART_MAX.saturating_sub(under_way)).unwrap_or_default();
            if room == 0 {
                continue;
            }
            // Those that were started and have not claimed yet are counted twice for a moment: they find nothing to
            // do, and end.
            let due = match self.store.due(Lane::Apart, room).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::debug!(%error, "cannot look for runs that go on apart");
                    continue;
                }
            };
            for _ in 0..due {
                match self.spawn(Lane::Apart) {
                    Ok(born) => {
                        let nursery = self.clone();
                        apart.spawn(async move { nursery.outlive(born).await });
                    }
                    Err(error) => tracing::error!(%error, "a worker for one run cannot be started"),
                }
            }
        }
        apart.close();
        apart.wait().await;
    }

    /// The child holds the reading end of a pipe whose writing end dies with this process.
    fn spawn(&self, lane: Lane) -> std::io::Result<Born> {
        let suffix = work::name_suffix();
        let mut command = Command::new(&self.binary);
        command.args(["worker", "--child", &suffix]).envs(self.variables.iter().cloned());
        if lane == Lane::Apart {
            command.arg("--apart");
        }
        if let Some(dir) = &self.config_dir {
            command.arg("--config").arg(dir);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Born { child, suffix, lifeline })
    }

    /// Waits for a child's end, or ends it at `stop`. Returns how it died, if it did so before that.
    async fn outlive(&self, born: Born) -> Option<ExitStatus> {
        let Born { mut child, suffix, lifeline } = born;
        let pid = child.id();
        tokio::select! {
            status = child.wait() => match status {
                Ok(status) => {
                    if let Some(pid) = pid && !status.success() {
                        self.report(Death {
                            worker: work::name(pid, &suffix),
                            how: self.memory_kills.how(status),
                            own_doing: self.memory_kills.own_doing(status),
                        })
                        .await;
                    }
                    Some(status)
                }
                Err(error) => {
                    tracing::error!(?pid, %error, "a worker cannot be waited for");
                    None
                }
            },
            () = self.stop.cancelled() => {
                self.end(child, lifeline).await;
                None
            }
        }
    }

    /// Tells the database of a death, so that what the worker held goes on at once and its cause is found.
    async fn report(&self, death: Death) {
        let told = loop {
            match self.store.died(&death).await {
                Ok(verdicts) => break verdicts,
                Err(error) => {
                    tracing::warn!(worker = %death.worker, %error, "a death cannot be reported; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        () = self.stop.cancelled() => return,
                    }
                }
            }
        };
        for verdict in told {
            match verdict {
                Verdict::Suspected(run) => {
                    tracing::warn!(%run, how = death.how, "this run may have taken its worker down; it goes on apart")
                }
                Verdict::Blamed { run, deaths } => {
                    tracing::warn!(%run, deaths, how = death.how, "this run took its worker down; it goes on apart")
                }
                Verdict::Quarantined(run) => {
                    tracing::error!(%run, how = death.how, "this run took its worker down again and is quarantined")
                }
            }
        }
    }

    async fn end(&self, mut child: Child, lifeline: Option<ChildStdin>) {
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(self.patience, child.wait()).await.is_err() {
            tracing::warn!(
                pid = child.id(),
                "a worker did not end in time and is killed; its runs go on elsewhere"
            );
            let _ = child.kill().await;
        }
        // Open until here: a closed one would mean that there is no time.
        drop(lifeline);
    }
}
