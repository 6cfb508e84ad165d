//! The server's workers: child processes of the same binary, started again when they die, and never left behind.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use piton_store::{SqliteStore, Store};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Overrides;

/// A child that lived this long is started again at once.
const GROWN_UP: Duration = Duration::from_secs(5);
/// The wait before one that keeps dying young is started again, at first and at most.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Beyond a worker's own time for its end, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Signals that a process brings upon itself.
const FAULTS: [Signal; 7] =
    [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE, Signal::TRAP, Signal::SYS];

/// The workers of one server.
#[derive(Debug)]
pub(crate) struct Children {
    tracker: TaskTracker,
}

#[derive(Debug, Clone)]
struct Nursery {
    binary: PathBuf,
    config_dir: Option<PathBuf>,
    variables: Vec<(String, String)>,
    patience: Duration,
    store: Arc<SqliteStore>,
    stop: CancellationToken,
}

impl Children {
    /// Starts `count` workers with the server's own settings and keeps them running until `stop`.
    pub(crate) fn start(
        count: u32,
        flags: &Overrides,
        config_dir: Option<&Path>,
        shutdown_ms: u64,
        store: Arc<SqliteStore>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let nursery = Nursery {
            binary: std::env::current_exe().context("the path of this binary is not known")?,
            config_dir: config_dir.map(Path::to_owned),
            variables: flags.variables().collect(),
            patience: Duration::from_millis(shutdown_ms) + GRACE,
            store,
            stop,
        };
        let tracker = TaskTracker::new();
        for number in 1..=count {
            tracker.spawn(nursery.clone().keep(number));
        }
        tracker.close();
        Ok(Self { tracker })
    }

    /// Returns once every child has ended.
    pub(crate) async fn ended(self) {
        self.tracker.wait().await;
    }
}

impl Nursery {
    async fn keep(self, number: u32) {
        let mut died_young = 0_u32;
        while !self.stop.is_cancelled() {
            let born_at = Instant::now();
            match self.spawn() {
                Ok(mut child) => {
                    let pid = child.id();
                    tracing::debug!(number, pid, "worker started");
                    // Waiting for a child would close its standard input, which tells it that this server is gone.
                    let lifeline = child.stdin.take();
                    tokio::select! {
                        status = child.wait() => match status {
                            Ok(status) => {
                                tracing::warn!(number, how = how(status), "a worker died; starting another");
                                self.blame(pid, status).await;
                            }
                            Err(error) => tracing::error!(number, %error, "a worker cannot be waited for"),
                        },
                        () = self.stop.cancelled() => return self.end(number, child, lifeline).await,
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

    /// The child holds the reading end of a pipe whose writing end dies with this process.
    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.binary);
        command.args(["worker", "--child"]).envs(self.variables.iter().cloned());
        if let Some(dir) = &self.config_dir {
            command.arg("--config").arg(dir);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).kill_on_drop(true).spawn()
    }

    /// Counts a death by a worker's own doing against the run it was busy with. A kill from outside is no evidence.
    async fn blame(&self, pid: Option<u32>, status: ExitStatus) {
        let own_doing = match status.signal() {
            Some(signal) => FAULTS.iter().any(|fault| fault.as_raw() == signal),
            None => !status.success(),
        };
        let Some(pid) = pid.filter(|_| own_doing) else { return };
        for run in self.store.last_words(pid) {
            match self.store.blame(run, &how(status)).await {
                Ok(false) => tracing::warn!(%run, "this run took its worker down"),
                Ok(true) => tracing::error!(%run, "this run took its worker down again and is quarantined"),
                Err(error) => tracing::warn!(%run, %error, "a death could not be counted"),
            }
        }
    }

    async fn end(&self, number: u32, mut child: Child, lifeline: Option<ChildStdin>) {
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(self.patience, child.wait()).await.is_err() {
            tracing::warn!(number, "a worker did not end in time and is killed; its runs go on elsewhere");
            let _ = child.kill().await;
        }
        // Open until here: a closed one would mean that there is no time.
        drop(lifeline);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
