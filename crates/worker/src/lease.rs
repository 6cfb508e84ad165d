//! The worker's right to own runs: taken, renewed, lost; and what it does about others that lost theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use piton_core::WorkerId;
use piton_store::{Clock, Lost, LostWorker, Peer, PeerLock, Slots, Store, WorkerLock, WorkerRow};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{Deps, Error, WorkerOptions};

/// Between two looks at the others' locks. Free locks tell of deaths long before leases do.
const LOOK: Duration = Duration::from_millis(200);
/// Between two sweeps over the runs.
const SWEEP: Duration = Duration::from_secs(10);
/// Between two tries while the database does not answer.
const TROUBLE_WAIT: Duration = Duration::from_millis(100);
/// How long a good-bye may take; the others find out by themselves.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// A lease that is being renewed. Ends when dropped; [`Lease::give_up`] ends it in good order.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    worker: WorkerId,
    lost: CancellationToken,
    open: watch::Receiver<bool>,
    drained: CancellationToken,
    lock: Option<WorkerLock>,
    _renewing: AbortOnDropHandle<()>,
    _recovering: AbortOnDropHandle<()>,
}

impl Lease {
    /// Waits out trouble with the database. `None` when the worker is asked to stop meanwhile.
    pub(crate) async fn take(
        deps: &Deps,
        options: &WorkerOptions,
        worker: &WorkerId,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Error> {
        let lock = match &deps.lock_dir {
            None => None,
            Some(dir) => {
                let lock = WorkerLock::take(dir, worker)
                    .map_err(|source| Error::Lock { dir: dir.display().to_string(), source })?;
                if lock.is_none() {
                    tracing::warn!(
                        "this file system does not keep locks: a death shows only when a lease lapses"
                    );
                }
                lock
            }
        };
        let length = Duration::from_millis(options.lease_ms);
        let mut told = false;
        loop {
            let now_ms = deps.clock.now_ms();
            let row = WorkerRow {
                id: worker.clone(),
                host: options.host.clone(),
                pid: std::process::id(),
                concurrency: options.concurrency,
                version: options.version.clone(),
                started_at_ms: now_ms,
                lease_ms: options.lease_ms,
                expires_at_ms: now_ms.saturating_add_unsigned(options.lease_ms),
                runs: 0,
                draining: false,
                reducer: piton_core::REDUCER,
                lacks: Vec::new(),
            };
            match deps.store.register(&row).await {
                Ok(()) => break,
                Err(error) if !told => {
                    tracing::warn!(%error, "the worker cannot register; trying again");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // It may be registered all the same: only the acknowledgement may be missing.
                    good_bye(deps.store.as_ref(), worker).await;
                    return Ok(None);
                }
                () = tokio::time::sleep(TROUBLE_WAIT) => {}
            }
        }
        let lost = CancellationToken::new();
        let (opener, open) = watch::channel(true);
        let drained = CancellationToken::new();
        let renewing = Renewing {
            store: Arc::clone(&deps.store),
            clock: deps.clock.clone(),
            worker: worker.clone(),
            length,
            lost: lost.clone(),
            opener,
            drained: drained.clone(),
        };
        let recovering = Recovering {
            store: Arc::clone(&deps.store),
            clock: deps.clock.clone(),
            worker: worker.clone(),
            length,
            open: open.clone(),
            seen: BTreeMap::new(),
        };
        Ok(Some(Self {
            store: Arc::clone(&deps.store),
            worker: worker.clone(),
            lost,
            open,
            drained,
            lock,
            _renewing: AbortOnDropHandle::new(tokio::spawn(renewing.run())),
            _recovering: AbortOnDropHandle::new(tokio::spawn(recovering.run())),
        }))
    }

    /// Cancelled when the worker owns nothing any more.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Whether new work may begin.
    pub(crate) fn open(&self) -> watch::Receiver<bool> {
        self.open.clone()
    }

    /// Cancelled when the worker was asked to finish its steps and end.
    pub(crate) fn drained(&self) -> CancellationToken {
        self.drained.clone()
    }

    /// Where this worker notes what it is busy with, if it has a lock.
    pub(crate) fn slots(&self) -> Option<Slots> {
        self.lock.as_ref().and_then(|lock| {
            lock.slots()
                .inspect_err(|error| tracing::warn!(%error, "poison runs cannot be told from others"))
                .ok()
        })
    }

    /// Hands back whatever is still held.
    pub(crate) async fn give_up(self) {
        good_bye(self.store.as_ref(), &self.worker).await;
    }
}

async fn good_bye(store: &dyn Store, worker: &WorkerId) {
    match tokio::time::timeout(GOOD_BYE, store.retire(worker)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "no good-bye; the others will find out"),
        Err(_) => tracing::warn!("no good-bye within its time; the others will find out"),
    }
}

struct Renewing {
    store: Arc<dyn Store>,
    clock: Clock,
    worker: WorkerId,
    length: Duration,
    lost: CancellationToken,
    opener: watch::Sender<bool>,
    drained: CancellationToken,
}

impl Renewing {
    /// Renews at a third of the lease's length. One that cannot begins nothing new after a second third, and counts
    /// as lost when the lease is over.
    async fn run(self) {
        let third = self.length / 3;
        // The monotonic clock: a wall clock that is set back prolongs nothing here.
        let mut renewed_at = Instant::now();
        let mut next = renewed_at + third;
        loop {
            tokio::time::sleep_until(next).await;
            let asked_at = Instant::now();
            let length_ms = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
            let expires_at_ms = self.clock.now_ms().saturating_add_unsigned(length_ms);
            let renewal = self.store.renew(&self.worker, expires_at_ms);
            match tokio::time::timeout_at(renewed_at + self.length, renewal).await {
                Ok(Ok(true)) => {
                    renewed_at = asked_at;
                    next = asked_at + third;
                    self.opener.send_if_modified(|open| !std::mem::replace(open, true));
                    self.look_whether_drained().await;
                    continue;
                }
                Ok(Ok(false)) => {
                    tracing::warn!(worker = %self.worker, "this worker was taken for dead");
                    break;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be renewed; trying again"),
                Err(_) => tracing::warn!("the lease lapsed while it was renewed"),
            }
            let age = renewed_at.elapsed();
            if age >= self.length {
                break;
            }
            if age >= third * 2 {
                self.opener.send_if_modified(|open| std::mem::replace(open, false));
            }
            next = Instant::now() + TROUBLE_WAIT.min(third);
        }
        self.opener.send_if_modified(|open| std::mem::replace(open, false));
        self.lost.cancel();
    }
}

impl Renewing {
    async fn look_whether_drained(&self) {
        if self.drained.is_cancelled() {
            return;
        }
        match tokio::time::timeout(self.length / 3, self.store.is_draining(&self.worker)).await {
            Ok(Ok(true)) => {
                tracing::info!(worker = %self.worker, "asked to drain: nothing new is begun");
                self.drained.cancel();
            }
            Ok(Ok(false)) => {}
            // The next renewal looks again.
            Ok(Err(error)) => tracing::debug!(%error, "cannot look whether to drain"),
            Err(_) => tracing::debug!("cannot look in time whether to drain"),
        }
    }
}

struct Recovering {
    store: Arc<dyn Store>,
    clock: Clock,
    worker: WorkerId,
    length: Duration,
    open: watch::Receiver<bool>,
    /// When each of the others was last seen to renew, by the monotonic clock: a wall clock that is set ends no lease.
    seen: BTreeMap<WorkerId, (i64, Instant)>,
}

impl Recovering {
    async fn run(mut self) {
        let mut sweep_at = Instant::now();
        let mut set_back = false;
        let (mut looked_at, mut wall_ms) = (Instant::now(), self.clock.now_ms());
        loop {
            tokio::time::sleep(LOOK).await;
            // Where we stood still or cannot renew, the others may not have been able to either: a stalled disk is not
            // everybody's death.
            let stood_still = looked_at.elapsed() >= LOOK + self.length / 3;
            if stood_still || !*self.open.borrow() {
                self.seen.clear();
            }
            looked_at = Instant::now();
            match self.store.peers(&self.worker).await {
                Ok(peers) => {
                    for lost in self.lost_among(peers) {
                        self.recover(&lost).await;
                    }
                }
                Err(error) => {
                    self.seen.clear();
                    tracing::debug!(%error, "cannot look after the others");
                }
            }
            set_back |= self.clock.now_ms() < std::mem::replace(&mut wall_ms, self.clock.now_ms());
            if sweep_at <= Instant::now() {
                sweep_at = Instant::now() + SWEEP;
                // A clock that was set forth and back again between two looks shows only in what it left behind.
                set_back = true;
                match self.store.sweep().await {
                    Ok(0) => {}
                    Ok(mended) => {
                        tracing::warn!(mended, "runs had neither job nor worker; they have a job now")
                    }
                    Err(error) => tracing::debug!(%error, "cannot sweep"),
                }
            }
            if set_back {
                match self.store.clock_set_back().await {
                    Ok(0) => set_back = false,
                    Ok(jobs) => {
                        set_back = false;
                        tracing::warn!(jobs, "the clock was set back; jobs that were due are due again");
                    }
                    Err(error) => tracing::debug!(%error, "cannot look for jobs in the future"),
                }
            }
        }
    }

    fn lost_among(&mut self, peers: Vec<Peer>) -> Vec<LostWorker> {
        let now = Instant::now();
        self.seen.retain(|id, _| peers.iter().any(|peer| peer.id == *id));
        let mut lost = Vec::new();
        for Peer { id, expires_at_ms, lease_ms, lock, busy_with } in peers {
            let renewed = self.seen.entry(id.clone()).or_insert((expires_at_ms, now));
            if renewed.0 != expires_at_ms {
                *renewed = (expires_at_ms, now);
            }
            let lapsed = now.duration_since(renewed.1) >= Duration::from_millis(lease_ms);
            match lock {
                PeerLock::Free => lost.push(LostWorker { id, expires_at_ms, why: Lost::LockFree, busy_with }),
                PeerLock::Held | PeerLock::Unknown if lapsed => {
                    lost.push(LostWorker {
                        id,
                        expires_at_ms,
                        why: Lost::LeaseLapsed,
                        busy_with: Vec::new(),
                    });
                }
                PeerLock::Held | PeerLock::Unknown => {}
            }
        }
        lost
    }

    async fn recover(&self, lost: &LostWorker) {
        match self.store.recover(lost).await {
            Ok(runs) => {
                tracing::warn!(worker = %lost.id, runs, why = ?lost.why, "a worker vanished; its runs go on")
            }
            Err(error) => tracing::debug!(worker = %lost.id, %error, "cannot recover a worker's runs yet"),
        }
    }
}
