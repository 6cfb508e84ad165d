//! A database with a run in every state, and a way to damage it.

use std::collections::BTreeMap;
use std::sync::Arc;

use piton_core::{
    Agent, CallId, CallKind, Command, EffectClass, Event, Run, RunId, ToolCall, TurnRequest, Usage, WorkerId,
    settle,
};
use piton_store::{
    Check, Claim, Clock, Commit, CommitOutcome, Examination, Lane, Launch, Repair, SqliteOptions,
    SqliteStore, StepEnd, Store, WorkerLock, WorkerRow,
};
use rusqlite::Connection;
use uuid::Uuid;

pub(crate) const START_MS: i64 = 1_800_000_000_000;
pub(crate) const LEASE_MS: i64 = 900;
pub(crate) const STEP_LIMIT_MS: u64 = 60_000;

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<SqliteStore>,
    /// Of the worker `w`, which lives until it is dropped.
    pub(crate) lock: Option<WorkerLock>,
    pub(crate) runs: Runs,
}

/// One run in each state that matters here.
pub(crate) struct Runs {
    pub(crate) due: RunId,
    pub(crate) owned: RunId,
    pub(crate) paused: RunId,
    pub(crate) asking: RunId,
    pub(crate) undecided: RunId,
    pub(crate) complete: RunId,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Clock::told(START_MS);
        let store = Arc::new(open(&dir, &clock).await);
        let worker = WorkerId::new("w");
        let lock = WorkerLock::take(store.lock_dir(), &worker).expect("taken").expect("kept");
        register(&store, &clock, "w").await;
        let undecided = launch(&store, "undecided").await;
        step(&store, undecided, |claim| vec![replied(claim, "pay"), began(claim)]).await;
        // Another epoch finds the call begun.
        step(&store, undecided, |_| Vec::new()).await;
        let asking = launch(&store, "asking").await;
        step(&store, asking, |claim| vec![replied(claim, "ask_human")]).await;
        let complete = launch(&store, "complete").await;
        step(&store, complete, |claim| vec![replied(claim, "final_answer")]).await;
        let owned = launch(&store, "owned").await;
        assert_eq!(claim(&store, "w").await.run, owned);
        let due = launch(&store, "due").await;
        let paused = launch(&store, "paused").await;
        store.command(paused, Command::Pause).await.expect("paused");
        let runs = Runs { due, owned, paused, asking, undecided, complete };
        Self { dir, clock, store, lock: Some(lock), runs }
    }

    /// The database as another program would open it.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.dir.path().join("piton.db")).expect("a connection")
    }

    /// `sql` with each status in angle brackets replaced by the id of the run that has it.
    pub(crate) fn damage(&self, sql: &str) {
        let Runs { due, owned, paused, asking, undecided, complete } = &self.runs;
        let named = [("due", due), ("owned", owned), ("paused", paused), ("asking", asking)];
        let named = named.into_iter().chain([("undecided", undecided), ("complete", complete)]);
        let sql =
            named.fold(sql.to_owned(), |sql, (name, id)| sql.replace(&format!("<{name}>"), &id.to_string()));
        let raw = self.raw();
        raw.execute_batch(&sql).expect(&sql);
        assert!(raw.total_changes() > 0 || sql.starts_with("DROP"), "{sql}: it damages nothing");
    }

    pub(crate) async fn examine(&self) -> Vec<Check> {
        let how = Examination { deep: false, step_limit_ms: Some(STEP_LIMIT_MS) };
        self.store.examine(&how).await.expect("examined")
    }

    /// The lines that say something is wrong.
    pub(crate) async fn troubles(&self) -> Vec<(&'static str, String)> {
        let checks = self.examine().await.into_iter();
        checks.filter_map(|check| Some((check.name, check.trouble?))).collect()
    }

    pub(crate) async fn repair(&self) -> Vec<Repair> {
        self.store.repair().await.expect("repaired")
    }
}

pub(crate) async fn open(dir: &tempfile::TempDir, clock: &Clock) -> SqliteStore {
    let url = format!("sqlite://{}", dir.path().join("piton.db").display());
    SqliteStore::open(&url, SqliteOptions::default(), clock.clone()).await.expect("a store")
}

pub(crate) async fn register(store: &SqliteStore, clock: &Clock, name: &str) {
    let row = WorkerRow {
        id: WorkerId::new(name),
        host: "h".to_owned(),
        pid: 1,
        concurrency: 1,
        version: "0".to_owned(),
        started_at_ms: clock.now_ms(),
        lease_ms: LEASE_MS.unsigned_abs(),
        expires_at_ms: clock.now_ms() + LEASE_MS,
        runs: 0,
        draining: false,
        reducer: piton_core::REDUCER,
        lacks: Vec::new(),
    };
    store.register(&row).await.expect("registered");
}

pub(crate) async fn launch(store: &SqliteStore, task: &str) -> RunId {
    let agent = Agent {
        name: "default".to_owned(),
        description: String::new(),
        instructions: "be exact".to_owned(),
        model: "m".to_owned(),
        max_steps: 10,
        limits: piton_core::Limits::default(),
        tools: Vec::new(),
    };
    let launch = Launch {
        run: RunId::from_uuid(Uuid::now_v7()),
        agent,
        task: task.to_owned(),
        max_steps: 10,
        tenant: "default".to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    };
    store.launch(launch).await.expect("launched").run.id
}

/// The oldest run that is due, taken by `worker`.
pub(crate) async fn claim(store: &SqliteStore, worker: &str) -> Claim {
    store.claim(&WorkerId::new(worker), Lane::Common, 1).await.expect("claimed").remove(0)
}

/// A whole step of `run`, which has to be the only one that is due, by the worker `w`.
async fn step(store: &SqliteStore, run: RunId, facts: impl Fn(&Claim) -> Vec<Event>) {
    let claim = claim(store, "w").await;
    assert_eq!(claim.run, run);
    commit(store, "w", &claim, facts(&claim), StepEnd::GiveBack).await;
}

/// Commits `facts` and what follows from them.
pub(crate) async fn commit(
    store: &SqliteStore,
    worker: &str,
    claim: &Claim,
    facts: Vec<Event>,
    end: StepEnd,
) -> CommitOutcome {
    let after = facts.iter().try_fold(claim.fold.clone(), Run::apply).expect("facts that can happen");
    let (after, decisions) = settle(after, claim.epoch).expect("decisions that can happen");
    let events = facts.into_iter().chain(decisions).collect();
    let commit = Commit {
        gives_way: true,
        patience: std::time::Duration::ZERO,
        run: claim.run,
        worker: WorkerId::new(worker),
        epoch: claim.epoch,
        ordinal: claim.ordinal,
        base: claim.fold.version,
        events,
        after,
        outputs: Vec::new(),
        end,
    };
    store.commit(commit).await.expect("committed")
}

/// The model asks for one call of the tool of this name.
pub(crate) fn replied(claim: &Claim, tool: &str) -> Event {
    let turn = claim.fold.turns + 1;
    let kind = match tool {
        "ask_human" => CallKind::AskHuman,
        "final_answer" => CallKind::FinalAnswer,
        "pay" => CallKind::Tool(EffectClass::AtMostOnce),
        _ => CallKind::Tool(EffectClass::Pure),
    };
    let call = ToolCall {
        id: CallId::derive(claim.run, turn, 0),
        call_id: format!("call_{turn}"),
        name: tool.to_owned(),
        arguments: r#"{"question":"how many?","answer":"42"}"#.to_owned(),
        kind,
    };
    Event::ModelReplied {
        turn,
        text: None,
        calls: vec![call],
        notes: Vec::new(),
        usage: Usage::default(),
        model: "m".to_owned(),
        request: TurnRequest::default(),
        attempt: claim.attempt,
    }
}

/// The call of the turn that was just replied is begun.
pub(crate) fn began(claim: &Claim) -> Event {
    Event::ToolStarted {
        call: CallId::derive(claim.run, claim.fold.turns + 1, 0),
        arguments_hash: String::new(),
        worker: WorkerId::new("w"),
        epoch: claim.epoch,
        attempt: claim.attempt,
        at_ms: START_MS,
    }
}
