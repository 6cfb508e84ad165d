//! Tells a step that waits for a slow model that its run was commanded meanwhile.
//!
//! One task for all steps of a worker: it asks for the versions of the watched runs when the bell rings, a few times
//! a second at most.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use piton_core::RunId;
use piton_store::{Standing, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Rings within this time are answered with one look.
const COALESCE: Duration = Duration::from_millis(50);
/// Between two looks when no bell rings.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct Watch {
    watched: Arc<Mutex<BTreeMap<RunId, Watched>>>,
    added: Arc<Notify>,
}

#[derive(Debug)]
struct Watched {
    version: u64,
    moved: Arc<Notify>,
}

/// Watches one run until dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    run: RunId,
    moved: Arc<Notify>,
    watched: Arc<Mutex<BTreeMap<RunId, Watched>>>,
}

impl Watch {
    pub(crate) fn start(store: Arc<dyn Store>, stop: CancellationToken) -> Self {
        let watch = Self { watched: Arc::default(), added: Arc::new(Notify::new()) };
        let task = watch.clone();
        tokio::spawn(async move { stop.run_until_cancelled(task.look(store)).await });
        watch
    }

    /// Watches for anything written to `run` after `version`.
    pub(crate) fn run(&self, run: RunId, version: u64) -> Watching {
        let moved = Arc::new(Notify::new());
        if let Ok(mut watched) = self.watched.lock() {
            watched.insert(run, Watched { version, moved: Arc::clone(&moved) });
        }
        self.added.notify_one();
        Watching { run, moved, watched: Arc::clone(&self.watched) }
    }

    async fn look(self, store: Arc<dyn Store>) {
        let mut rings = store.bell().events();
        loop {
            let runs: Vec<RunId> =
                self.watched.lock().map(|watched| watched.keys().copied().collect()).unwrap_or_default();
            if runs.is_empty() {
                self.added.notified().await;
                continue;
            }
            let _ = tokio::time::timeout(POLL, rings.heard()).await;
            if let Ok(standings) = store.standings(&runs).await
                && let Ok(watched) = self.watched.lock()
            {
                for Standing { run, version, .. } in standings {
                    if let Some(watched) = watched.get(&run)
                        && watched.version != version
                    {
                        watched.moved.notify_one();
                    }
                }
            }
            tokio::time::sleep(COALESCE).await;
        }
    }
}

impl Watching {
    /// Returns once the run has moved on.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// What was written was ours: go on from `version`.
    pub(crate) fn seen(&self, version: u64) {
        if let Ok(mut watched) = self.watched.lock()
            && let Some(watched) = watched.get_mut(&self.run)
        {
            watched.version = version;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Ok(mut watched) = self.watched.lock() {
            watched.remove(&self.run);
        }
    }
}
