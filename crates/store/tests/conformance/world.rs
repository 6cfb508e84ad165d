//! A database of any engine, and what the promises have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use piton_core::{Agent, Event, Run, RunId, WorkerId};
use piton_store::{
    Claim, Clock, Commit, Lane, Launch, Lost, LostWorker, RunRow, Scheduling, StepEnd, Store, WorkerRow,
};
use uuid::Uuid;

pub(crate) const START_MS: i64 = 1_790_000_000_000;
pub(crate) const LEASE_MS: i64 = 10_000;

/// A database, from outside of any process.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// An empty one.
    async fn fresh() -> Self
    where
        Self: Sized;

    /// Another process's way to it.
    async fn open(&self, clock: &Clock) -> Arc<dyn Store> {
        self.open_for(clock, Scheduling::default()).await
    }

    /// The same, for workers of this scheduling.
    async fn open_for(&self, clock: &Clock, scheduling: Scheduling) -> Arc<dyn Store>;

    /// A process takes the lock that dies with its worker.
    fn lock(&self, worker: &WorkerId);

    /// The process is gone while it polls `busy_with`.
    fn die(&self, worker: &WorkerId, busy_with: &[RunId]);

    /// Makes copies of a run that waits, without its events: a long queue in no time.
    async fn multiply(&self, waiting: RunId, copies: u32);

    /// Takes every job away.
    async fn lose_jobs(&self);

    /// Takes every worker's row away.
    async fn lose_workers(&self);
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Arc<dyn Engine>,
}

impl World {
    pub(crate) async fn of<E: Engine + 'static>() -> Self {
        Self::on(Arc::new(E::fresh().await)).await
    }

    pub(crate) async fn on(engine: Arc<dyn Engine>) -> Self {
        let clock = Clock::told(START_MS);
        Self { store: engine.open(&clock).await, clock, engine }
    }

    pub(crate) async fn launch(&self, task: &str) -> RunId {
        self.store.launch(launch(task)).await.expect("launched").run.id
    }

    pub(crate) async fn worker(&self, name: &str) -> WorkerId {
        let now_ms = self.clock.now_ms();
        let row = WorkerRow {
            id: WorkerId::new(name),
            host: "h".to_owned(),
            pid: 1,
            concurrency: 1,
            version: "0".to_owned(),
            started_at_ms: now_ms,
            lease_ms: LEASE_MS.unsigned_abs(),
            expires_at_ms: now_ms + LEASE_MS,
            runs: 0,
            draining: false,
            reducer: piton_core::REDUCER,
            lacks: Vec::new(),
        };
        self.store.register(&row).await.expect("registered");
        row.id
    }

    pub(crate) async fn claim(&self, worker: &WorkerId) -> Vec<Claim> {
        self.store.claim(worker, Lane::Common, 100).await.expect("claimed")
    }

    pub(crate) async fn claim_one(&self, worker: &WorkerId) -> Claim {
        let mut claims = self.store.claim(worker, Lane::Common, 1).await.expect("claimed");
        assert_eq!(claims.len(), 1);
        claims.remove(0)
    }

    pub(crate) async fn row(&self, run: RunId) -> RunRow {
        self.store.run(run).await.expect("read").expect("the run")
    }

    pub(crate) async fn check(&self) {
        for check in self.store.check().await.expect("checked") {
            assert!(check.trouble.is_none(), "{}: {:?}", check.name, check.trouble);
        }
    }
}

pub(crate) fn launch(task: &str) -> Launch {
    Launch {
        run: RunId::from_uuid(Uuid::now_v7()),
        agent: Agent {
            name: "default".to_owned(),
            description: String::new(),
            instructions: "be exact".to_owned(),
            model: "m".to_owned(),
            max_steps: 10,
            limits: piton_core::Limits::default(),
            tools: Vec::new(),
        },
        task: task.to_owned(),
        max_steps: 10,
        tenant: "default".to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    }
}

/// A worker as it registered, taken for dead.
pub(crate) fn lost(worker: &WorkerId, why: Lost, busy_with: &[RunId]) -> LostWorker {
    LostWorker { id: worker.clone(), expires_at_ms: START_MS + LEASE_MS, why, busy_with: busy_with.to_vec() }
}

pub(crate) fn failure() -> Event {
    Event::ModelFailed { error: "down".to_owned(), tries: 1 }
}

/// A commit of `events` on the claim's own fold.
pub(crate) fn commit(
    claim: &Claim,
    worker: &WorkerId,
    ordinal: u32,
    events: &[Event],
    end: StepEnd,
) -> Commit {
    let after = events.iter().try_fold(claim.fold.clone(), Run::apply).expect("legal");
    Commit {
        gives_way: true,
        patience: std::time::Duration::ZERO,
        run: claim.run,
        worker: worker.clone(),
        epoch: claim.epoch,
        ordinal,
        base: claim.fold.version,
        events: events.to_vec(),
        after,
        outputs: Vec::new(),
        end,
    }
}
