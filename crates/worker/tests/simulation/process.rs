//! A process of a simulated world: the real worker on a runtime of its own, whose time passes only when the world says
//! so. A crash is the end of the runtime, a stop is a runtime that nobody drives.

use std::sync::Arc;
use std::time::Duration;

use piton_store::{Lane, Store};
use piton_worker::{Deps, Error, WorkerOptions};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::place::Place;
use crate::seams::{SimulatedModel, SimulatedTools};
use crate::store::SimulatedStore;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) place: Place,
    pub(crate) lane: Lane,
    pub(crate) standing: Standing,
    runtime: Runtime,
    worker: Option<JoinHandle<Result<(), Error>>>,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Running,
    /// It stands still, and does not know.
    Frozen {
        since_ms: u64,
        until_ms: u64,
    },
    /// It was asked to stop, and is killed if it does not.
    Stopping {
        until_ms: u64,
    },
}

/// What all workers of a world are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) concurrency: u32,
    pub(crate) lease_ms: u64,
    pub(crate) step_timeout_ms: u64,
}

/// How long a worker's steps may take to end once it is asked to stop.
pub(crate) const SHUTDOWN_MS: u64 = 400;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

impl Process {
    /// A process for what is not a worker.
    pub(crate) fn client(place: Place) -> Self {
        Self {
            place,
            lane: Lane::Common,
            standing: Standing::Running,
            runtime: runtime(),
            worker: None,
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn worker(place: Place, lane: Lane, terms: Terms) -> Self {
        let runtime = runtime();
        let stop = CancellationToken::new();
        let deps = Deps {
            store: Arc::new(SimulatedStore::new(&place)) as Arc<dyn Store>,
            lock_dir: None,
            model: Arc::new(SimulatedModel(place.clone())),
            tools: Arc::new(SimulatedTools(place.clone())),
            clock: place.universe.clock.clone(),
            steps: runtime.handle().clone(),
        };
        let options = WorkerOptions {
            name: place.name.clone(),
            lane,
            concurrency: terms.concurrency,
            lease_ms: terms.lease_ms,
            step_timeout_ms: terms.step_timeout_ms,
            shutdown_ms: SHUTDOWN_MS,
            hurried_shutdown_ms: SHUTDOWN_MS,
            host: "simulated".to_owned(),
            version: "0".to_owned(),
            paces: piton_worker::Paces::default(),
            finished_kept: None,
        };
        let worker = runtime.spawn(piton_worker::run(deps, options, stop.clone(), CancellationToken::new()));
        Self { place, lane, standing: Standing::Running, runtime, worker: Some(worker), stop }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Lets `ms` pass in the process.
    pub(crate) fn tick(&self, ms: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
    }

    /// The process goes on after having stood still for `ms`: its monotonic clock went on all the while.
    /// Which of its tasks is the first to see that is chance.
    pub(crate) fn thaw(&mut self, ms: u64, calls_first: bool) {
        self.standing = Standing::Running;
        if calls_first {
            self.place.thaw();
        }
        self.runtime.block_on(async { tokio::time::advance(Duration::from_millis(ms)).await });
        self.place.thaw();
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Whether the process has come to its own end.
    pub(crate) fn has_ended(&self) -> bool {
        self.worker.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// What it ended with.
    pub(crate) fn into_end(self) -> Result<(), String> {
        let Self { runtime, worker, .. } = self;
        let Some(worker) = worker else { return Ok(()) };
        match runtime.block_on(worker) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("a worker gave up: {error}")),
            Err(error) => Err(format!("a worker ended by itself: {error}")),
        }
    }
}
