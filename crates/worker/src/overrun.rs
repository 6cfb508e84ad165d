//! Ends this process when a step blocks its thread for longer than a step may take.
//!
//! A step that waits is ended by its own time-out. One that never comes back from a poll cannot be: its thread is
//! gone, the lease is renewed all the same, and its run would stand still for ever. That is a fault of the run's own,
//! like an abort, and is treated as one: the process dies, the run it was polling is the suspect, the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Threads that are told apart.
const THREADS: usize = 64;

thread_local! {
    static THREAD: usize = {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        usize::try_from(COUNT.fetch_add(1, Ordering::Relaxed)).unwrap_or_default() % THREADS
    };
}

/// Since when each thread has been inside one poll of a step: milliseconds after the start, plus one; 0 for none.
#[derive(Debug, Clone)]
pub(crate) struct Polls {
    since: Arc<[AtomicU64; THREADS]>,
    start: Instant,
}

impl Polls {
    /// Watches until `stop`, on another runtime than the steps'.
    pub(crate) fn watch(limit: Duration, stop: CancellationToken) -> Self {
        let polls = Self { since: Arc::new([const { AtomicU64::new(0) }; THREADS]), start: Instant::now() };
        let watched = polls.clone();
        tokio::spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
                if watched.longest() > limit {
                    tracing::error!(
                        ?limit,
                        "a step blocks its thread past its limit: this worker ends itself"
                    );
                    std::process::abort();
                }
            }
        });
        polls
    }

    pub(crate) fn enter(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        THREAD.with(|thread| self.since[*thread].store(since, Ordering::Relaxed));
    }

    pub(crate) fn leave(&self) {
        THREAD.with(|thread| self.since[*thread].store(0, Ordering::Relaxed));
    }

    fn longest(&self) -> Duration {
        let oldest =
            self.since.iter().map(|since| since.load(Ordering::Relaxed)).filter(|since| *since > 0).min();
        oldest.map_or(Duration::ZERO, |since| {
            self.start.elapsed().saturating_sub(Duration::from_millis(since - 1))
        })
    }
}
