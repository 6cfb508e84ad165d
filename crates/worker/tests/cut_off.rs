//! A step whose limit passes while a commit of it is on its way: the commit stands, and nobody heard of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{
    Agent, AgentDigest, CallId, Command, EffectClass, Epoch, Event, Limits, Recorded, Reply, RequestedCall,
    RunId, Status, ToolKind, ToolSpec, TurnRequest, WorkerId,
};
use piton_model::{Ask, ModelFailure, Replied};
use piton_store::{
    Bell, Check, Claim, Clock, CommandError, Commit, CommitOutcome, Death, Error, Inbox, Lack, Lane, Launch,
    Launched, LostAttempt, LostWorker, Pace, Peer, Places, Prune, Pruned, QueueStats, Readiness, RunFilter,
    RunPage, RunRow, Standing, Store, Verdict, WorkerRow,
};
use piton_testkit::memory::{Memory, MemoryStore};
use piton_testkit::{deadline, until};
use piton_tools::Ended;
use piton_worker::{Deps, Model, Tools, WorkerOptions};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Writes the first announcement of a call, and never says so.
#[derive(Debug)]
struct Silent {
    store: MemoryStore,
    was_silent: AtomicBool,
    announced: Notify,
}

macro_rules! but_for_commits {
    ($($method:ident($($arg:ident: $what:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Store for Silent {
            $(async fn $method(&self, $($arg: $what),*) -> $out {
                self.store.$method($($arg),*).await
            })*

            async fn commit(&self, commit: Commit) -> Result<CommitOutcome, Error> {
                let announces = commit.events.iter().any(|event| matches!(event, Event::ToolStarted { .. }));
                let outcome = self.store.commit(commit).await;
                if announces && !self.was_silent.swap(true, Ordering::SeqCst) {
                    self.announced.notify_one();
                    std::future::pending::<()>().await;
                }
                outcome
            }

            fn bell(&self) -> &Bell {
                self.store.bell()
            }

            fn hold_off(&self, agent: &str, until_ms: i64) {
                self.store.hold_off(agent, until_ms);
            }
        }
    };
}

but_for_commits! {
    launch(launch: Launch) -> Result<Launched, Error>;
    command(run: RunId, command: Command) -> Result<RunRow, CommandError>;
    run(run: RunId) -> Result<Option<RunRow>, Error>;
    runs(filter: &RunFilter) -> Result<RunPage, Error>;
    events(run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error>;
    output(run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error>;
    standings(runs: &[RunId]) -> Result<Vec<Standing>, Error>;
    lost_attempts(run: RunId) -> Result<Vec<LostAttempt>, Error>;
    still_acting(run: RunId) -> Result<Option<WorkerId>, Error>;
    inbox(limit: u32) -> Result<Inbox, Error>;
    workers() -> Result<Vec<WorkerRow>, Error>;
    queue() -> Result<QueueStats, Error>;
    tally(since_ms: i64, limit: u32) -> Result<Vec<piton_store::Tally>, Error>;
    readiness() -> Readiness;
    agent(digest: &AgentDigest) -> Result<Option<Agent>, Error>;
    register(worker: &WorkerRow) -> Result<(), Error>;
    renew(worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error>;
    drain(worker: &WorkerId) -> Result<bool, Error>;
    is_draining(worker: &WorkerId) -> Result<bool, Error>;
    due(lane: Lane, limit: u32) -> Result<u32, Error>;
    claim(worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error>;
    hand_back(run: RunId, worker: &WorkerId, epoch: Epoch, due_at_ms: i64) -> Result<(), Error>;
    take_places(endpoint: &str, pace: Pace, wanted: u32) -> Result<Places, Error>;
    spend(endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error>;
    hand_back_all_but(worker: &WorkerId, held: &[(RunId, Epoch)]) -> Result<u64, Error>;
    peers(me: &WorkerId) -> Result<Vec<Peer>, Error>;
    recover(lost: &LostWorker) -> Result<u64, Error>;
    lacks(worker: &WorkerId, lack: &Lack) -> Result<(), Error>;
    retire(worker: &WorkerId) -> Result<(), Error>;
    sweep() -> Result<u64, Error>;
    prune(prune: &Prune, after: RunId) -> Result<Pruned, Error>;
    clock_set_back() -> Result<u64, Error>;
    died(death: &Death) -> Result<Vec<Verdict>, Error>;
    check() -> Result<Vec<Check>, Error>;
}

/// Asks for a payment.
#[derive(Debug)]
struct Payer;

#[async_trait]
impl Model for Payer {
    async fn reply(&self, _: &Ask<'_>) -> Result<Replied, ModelFailure> {
        let call = RequestedCall {
            call_id: "call_1".to_owned(),
            name: "pay".to_owned(),
            arguments: "{}".to_owned(),
        };
        let reply = Reply { calls: vec![call], ..Reply::default() };
        Ok(Replied { reply, request: TurnRequest::default() })
    }
}

#[async_trait]
impl Tools for Payer {
    async fn call(&self, _: &ToolSpec, _: &str, _: CallId) -> Ended {
        panic!("nothing may be paid that was cut off before it was begun");
    }
}

fn agent() -> Agent {
    let pay = ToolSpec {
        name: "pay".to_owned(),
        description: "Pays once".to_owned(),
        parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
        effect: EffectClass::AtMostOnce,
        kind: ToolKind::Builtin,
    };
    Agent {
        name: "payer".to_owned(),
        description: String::new(),
        instructions: "Pay.".to_owned(),
        model: "test-model".to_owned(),
        max_steps: 10,
        limits: Limits::default(),
        tools: vec![pay],
    }
}

/// The failure that is recorded next has one event more than the commit that stands, and so has the log once a command
/// came on top of that: taken for one another, the run would stand still with an owner that does nothing for it.
#[tokio::test]
async fn a_cancel_on_top_of_a_commit_that_was_cut_off_is_carried_out() {
    let store = Arc::new(Silent {
        store: Memory::default().open(Clock::system()),
        was_silent: AtomicBool::new(false),
        announced: Notify::new(),
    });
    let run = RunId::from_uuid(uuid::Uuid::now_v7());
    let launch = Launch {
        run,
        agent: agent(),
        task: "pay".to_owned(),
        max_steps: 10,
        tenant: "default".to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    };
    store.launch(launch).await.expect("launched");
    let deps = Deps {
        store: Arc::clone(&store) as Arc<dyn Store>,
        lock_dir: None,
        model: Arc::new(Payer),
        tools: Arc::new(Payer),
        clock: Clock::system(),
        steps: tokio::runtime::Handle::current(),
    };
    let options = WorkerOptions {
        name: WorkerId::new("w-1"),
        lane: Lane::Common,
        concurrency: 1,
        lease_ms: 10_000,
        step_timeout_ms: 300,
        shutdown_ms: 200,
        hurried_shutdown_ms: 200,
        host: "test".to_owned(),
        version: "0".to_owned(),
        paces: piton_worker::Paces::default(),
        finished_kept: None,
    };
    let stop = CancellationToken::new();
    let worker = tokio::spawn(piton_worker::run(deps, options, stop.clone(), CancellationToken::new()));

    tokio::time::timeout(deadline(), store.announced.notified()).await.expect("the call is announced");
    store.command(run, Command::Cancel).await.expect("accepted");
    let row = until(Duration::from_secs(5), "the unknown outcome in the inbox", async || {
        let row = store.run(run).await.ok().flatten();
        row.filter(|row| row.run.status == Status::Undecided)
    });
    let row = row.await.expect("the cancel is not forgotten");
    assert_eq!((row.owner, row.run.cancel_requested), (None, true));
    stop.cancel();
    worker.await.expect("no panic").expect("a worker that ends in good order");
}
