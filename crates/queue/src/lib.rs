//! The store's jobs behind apalis's backend traits, so that workers are ordinary apalis workers.
//!
//! A claiming task takes from the store exactly as many jobs as there are free slots, never more: what is claimed is
//! begun at once. When nothing is due it waits for the bell, with a slow poll as the net under it. A worker may keep a
//! run in its slot for several steps, as long as nobody older waits. A worker for runs that go apart takes one of those and
//! no other, and ends with it.
//!
//! Renewal, recovery and what becomes of a failed step are the worker's: a job that ends here was acknowledged by the
//! commit of its step, or not at all.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::RandomId;
use apalis_core::worker::context::WorkerContext;
use piton_core::{Epoch, RunId, WorkerId};
use piton_store::{Claim, Lane, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

/// Jobs taken in one transaction.
const BATCH_MAX: usize = 64;
/// How long an idle worker goes without looking when no bell rings.
const POLL: Duration = Duration::from_millis(500);
/// Between two looks while the database does not answer.
const TROUBLE_WAIT: Duration = Duration::from_millis(250);

/// A claimed run in its slot. The slot is free again when this is dropped.
#[derive(Debug)]
pub struct Job {
    pub claim: Claim,
    _slot: Slot,
}

#[derive(Debug)]
struct Slot {
    _permit: OwnedSemaphorePermit,
    holds: (RunId, Epoch),
    held: Held,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held.claims().remove(&self.holds);
    }
}

/// What is in a worker's slots.
#[derive(Debug, Clone, Default)]
struct Held(Arc<Mutex<BTreeSet<(RunId, Epoch)>>>);

impl Held {
    fn claims(&self) -> MutexGuard<'_, BTreeSet<(RunId, Epoch)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(RunId, Epoch)> {
        self.claims().iter().copied().collect()
    }
}

/// What a worker's queue is made of.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    pub worker: WorkerId,
    pub lane: Lane,
    /// Steps at once. Bounds what is claimed.
    pub concurrency: usize,
    /// Whether new work may begin: a worker that cannot renew its lease begins nothing.
    pub open: watch::Receiver<bool>,
    /// Ends the claiming.
    pub stop: CancellationToken,
}

/// The apalis backend.
#[derive(Debug)]
pub struct Queue {
    ready: mpsc::UnboundedReceiver<Job>,
    stop: std::pin::Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
}

impl Queue {
    /// Starts claiming for a worker. Must be called inside a tokio runtime.
    pub fn start(store: Arc<dyn Store>, options: QueueOptions) -> Self {
        let (sender, ready) = mpsc::unbounded_channel();
        let stop = Box::pin(options.stop.clone().cancelled_owned());
        tokio::spawn(claim(store, options, sender));
        Self { ready, stop }
    }
}

async fn claim(store: Arc<dyn Store>, mut options: QueueOptions, ready: mpsc::UnboundedSender<Job>) {
    let stop = options.stop.clone();
    let apart = options.lane == Lane::Apart;
    let slots = Arc::new(Semaphore::new(if apart { 1 } else { options.concurrency }));
    let work = async {
        let mut rings = store.bell().jobs();
        let held = Held::default();
        let mut troubled = false;
        loop {
            if options.open.wait_for(|open| *open).await.is_err() {
                return;
            }
            let Ok(first) = Arc::clone(&slots).acquire_owned().await else { return };
            let mut permits = vec![first];
            while permits.len() < BATCH_MAX
                && let Ok(permit) = Arc::clone(&slots).try_acquire_owned()
            {
                permits.push(permit);
            }
            let limit = u32::try_from(permits.len()).unwrap_or(1);
            let claims = async {
                if troubled {
                    // A claim that failed may have been carried out all the same, and nobody knows of its runs.
                    store.hand_back_all_but(&options.worker, &held.all()).await?;
                }
                store.claim(&options.worker, options.lane, limit).await
            };
            match claims.await {
                Ok(claims) if claims.is_empty() && apart => return,
                Ok(claims) if claims.is_empty() => {
                    troubled = false;
                    drop(permits);
                    let _ = tokio::time::timeout(POLL, rings.heard()).await;
                }
                Ok(claims) => {
                    troubled = false;
                    for (claim, permit) in claims.into_iter().zip(permits) {
                        let holds = (claim.run, claim.epoch);
                        held.claims().insert(holds);
                        let slot = Slot { _permit: permit, holds, held: held.clone() };
                        if ready.send(Job { claim, _slot: slot }).is_err() {
                            return;
                        }
                    }
                    if apart {
                        return;
                    }
                }
                Err(error) => {
                    if !troubled {
                        tracing::warn!(%error, "no jobs can be claimed; trying again");
                        troubled = true;
                    }
                    drop(permits);
                    tokio::time::sleep(TROUBLE_WAIT).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}

impl Backend for Queue {
    type Task = Task<Job>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        // The claiming task may see the stop before this does, and hang up: that is the same end.
        let job =
            if self.stop.as_mut().poll(cx).is_ready() { None } else { ready!(self.ready.poll_recv(cx)) };
        let Some(job) = job else {
            // A backend that is exhausted does not end its worker: that takes a word of its own.
            if let Err(error) = worker.stop() {
                tracing::debug!(%error, "the worker has stopped already");
            }
            return Poll::Ready(None);
        };
        let attempt = job.claim.attempt.saturating_sub(1) as usize;
        Poll::Ready(Some(Ok(TaskBuilder::new(job).attempt(attempt).build())))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // Nothing is acknowledged here, and what was not begun goes back when the worker retires.
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Queue {
    type Args = Job;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
