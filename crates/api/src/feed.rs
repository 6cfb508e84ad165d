//! One task per process that tells all live views when there is more to read.
//!
//! It hears the store's bell, asks once for the versions of all watched runs, and passes them on; each view then
//! reads what it has not seen. A ring may be lost, so it also asks now and then, but only while somebody watches.
//! Of a run that hurries on it tells ten times a second, and all its views at once, so that one reads for all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use piton_core::RunId;
use piton_store::{Standing, Store};
use tokio::sync::{
    Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify, OwnedSemaphorePermit, Semaphore, watch,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::v1::Piece;

/// Rings within this time are answered by one look: the longer, the more there is to look at.
const JOINED_PER_RUN: Duration = Duration::from_micros(200);
const JOINED_MAX: Duration = Duration::from_millis(20);
/// A run's views are told no sooner after they were told before, unless it comes to rest.
const APART: Duration = Duration::from_millis(100);
/// How long a lost ring goes unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Watched>,
}

/// How far a run is known to have come.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    version: u64,
    /// Whether it advances no further by itself.
    is_at_rest: bool,
}

/// What the views of a run are told.
#[derive(Debug, Default)]
struct Told {
    newest: watch::Sender<Newest>,
    at: Option<Instant>,
    last: Arc<Last>,
}

/// What one of a run's views has read last.
type Last = AsyncMutex<Option<Arc<Piece>>>;

/// What is known of each run that is watched.
#[derive(Debug)]
struct Watched {
    runs: Mutex<HashMap<RunId, Told>>,
    came: Notify,
    places: Arc<Semaphore>,
}

/// One view's place in the feed. Gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    run: RunId,
    newest: watch::Receiver<Newest>,
    last: Arc<Last>,
    shared: Arc<Watched>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// Starts the task, which ends with `stop`. Must be called inside a tokio runtime.
    pub(crate) fn start(store: Arc<dyn Store>, stop: CancellationToken, watches_max: usize) -> Self {
        let shared = Arc::new(Watched {
            runs: Mutex::default(),
            came: Notify::new(),
            places: Arc::new(Semaphore::new(watches_max)),
        });
        let watched = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                () = watched.follow(store.as_ref()) => {}
                () = stop.cancelled() => {}
            }
        });
        Self { shared }
    }

    /// Watches a run; `None` when too many do already.
    pub(crate) fn watch(&self, run: RunId) -> Option<Watch> {
        let place = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        let (newest, last) = {
            let mut watched = self.shared.lock();
            let told = watched.entry(run).or_default();
            (told.newest.subscribe(), Arc::clone(&told.last))
        };
        self.shared.came.notify_one();
        Some(Watch { run, newest, last, shared: Arc::clone(&self.shared), _place: place })
    }
}

impl Watch {
    /// Returns once there are events after `seq`. A view has to look for itself once after it began to watch.
    pub(crate) async fn past(&mut self, seq: u64) {
        self.until(|newest| newest.version > seq).await;
    }

    /// Returns once the run rests after `seq`. Who waits for that has to look for themselves once after they began to watch.
    pub(crate) async fn at_rest(&mut self, seq: u64) {
        self.until(|newest| newest.version > seq && newest.is_at_rest).await;
    }

    /// What was read last for one of the run's views. Whoever has it reads for all.
    pub(crate) async fn last(&self) -> AsyncMutexGuard<'_, Option<Arc<Piece>>> {
        self.last.lock().await
    }

    async fn until(&mut self, mut holds: impl FnMut(&Newest) -> bool) {
        if self.newest.wait_for(|newest| holds(newest)).await.is_err() {
            // The sender lives as long as this watch is in the map.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = self.shared.lock().entry(self.run)
            && entry.get().newest.receiver_count() <= 1
        {
            entry.remove();
        }
    }
}

impl Watched {
    async fn follow(&self, store: &dyn Store) {
        let mut rings = store.bell().events();
        let mut is_blind = false;
        let mut again_in = LOOK_EVERY;
        loop {
            while self.lock().is_empty() {
                self.came.notified().await;
            }
            if timeout(again_in, rings.heard()).await.is_err() {
                tracing::trace!("no ring: looking all the same");
            }
            match self.look(store).await {
                Ok(soon) => {
                    is_blind = false;
                    again_in = soon;
                }
                Err(error) => {
                    if !is_blind {
                        tracing::warn!(%error, "live views are blind until the store can be read again");
                    }
                    is_blind = true;
                    sleep(LOOK_EVERY).await;
                }
            }
            let watched = u32::try_from(self.lock().len()).unwrap_or(u32::MAX);
            sleep(JOINED_PER_RUN.saturating_mul(watched).min(JOINED_MAX)).await;
        }
    }

    /// Tells whom there is something to tell; returns when to look again, ring or no ring.
    async fn look(&self, store: &dyn Store) -> Result<Duration, piton_store::Error> {
        let runs: Vec<RunId> = self.lock().keys().copied().collect();
        let standings = store.standings(&runs).await?;
        let mut again_in = LOOK_EVERY;
        let now = Instant::now();
        let mut watched = self.lock();
        for Standing { run, version, status } in standings {
            let Some(told) = watched.get_mut(&run) else { continue };
            if version <= told.newest.borrow().version {
                continue;
            }
            let newest = Newest { version, is_at_rest: !status.is_runnable() };
            let early = told.at.map_or(Duration::ZERO, |at| (at + APART).saturating_duration_since(now));
            if early.is_zero() || newest.is_at_rest {
                told.at = Some(now);
                told.newest.send_replace(newest);
            } else {
                again_in = again_in.min(early);
            }
        }
        Ok(again_in)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Told>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use piton_core::Command;

    use super::*;
    use crate::world::World;

    fn feed(world: &World, watches_max: usize) -> Feed {
        Feed::start(Arc::clone(&world.store) as Arc<dyn Store>, world.stop.clone(), watches_max)
    }

    #[tokio::test]
    async fn a_watch_hears_of_what_happens_after_it_began() {
        let world = World::new().await;
        let run = world.launch("go").await;
        let mut watch = feed(&world, 10).watch(run).expect("a place");
        world.store.command(run, Command::Pause).await.expect("paused");
        let begin = Instant::now();
        watch.past(1).await;
        assert!(begin.elapsed() < LOOK_EVERY, "by the ring, not by looking now and then");
    }

    #[tokio::test]
    async fn a_watch_hears_of_other_processes_even_when_their_ring_is_lost() {
        let world = World::new().await;
        let run = world.launch("go").await;
        let other = world.another_process().await;
        let mut watch = feed(&world, 10).watch(run).expect("a place");
        other.command(run, Command::Pause).await.expect("paused");
        watch.past(1).await;
        for entry in std::fs::read_dir(world.store.lock_dir()).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "bell") {
                std::fs::remove_file(entry.path()).expect("a bell that can be removed");
            }
        }
        other.command(run, Command::Resume).await.expect("resumed");
        timeout(Duration::from_secs(10), watch.past(2)).await.expect("seen by looking");
    }

    #[tokio::test]
    async fn places_are_few_and_given_back() {
        let world = World::new().await;
        let (one, other) = (world.launch("one").await, world.launch("other").await);
        let feed = feed(&world, 2);
        let first = feed.watch(one).expect("a place");
        let second = feed.watch(one).expect("a place");
        assert!(feed.watch(other).is_none());
        drop(first);
        assert_eq!(feed.shared.lock().len(), 1, "somebody watches it still");
        drop(second);
        assert_eq!(feed.shared.lock().len(), 0);
        feed.watch(other).expect("a place that was given back");
    }
}
