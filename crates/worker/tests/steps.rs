//! A worker, a store and a scripted model in one process: what a run's events are, whatever comes in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{
    Agent, CallId, Command, Decision, EffectClass, Event, Refusal, RunId, Status, ToolKind, ToolSpec,
    WorkerId,
};
use piton_model::{Api, ModelClient, ModelConfig};
use piton_store::{Clock, CommandError, Lane, Launch, PerName, RunRow, SqliteOptions, SqliteStore, Store};
use piton_testkit::{Call, Fault, Gate, Say, ScriptedModel, deadline};
use piton_tools::{Registry, RegistryOptions, Tool, ToolError, ToolInput};
use piton_worker::{Deps, Paces, Tools, WorkerOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LEASE_MS: u64 = 600;

/// Counts its calls; each waits for the gate.
#[derive(Debug)]
struct Pay {
    calls: Arc<AtomicU32>,
    gate: Gate,
    end: Result<Value, ToolError>,
}

fn spec(name: &str, effect: EffectClass) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "Does it".to_owned(),
        parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
        effect,
        kind: ToolKind::Builtin,
    }
}

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> ToolSpec {
        spec("pay", EffectClass::AtMostOnce)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(&self, _input: ToolInput<'_>) -> Result<Value, ToolError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.wait().await;
        self.end.clone()
    }
}

/// Tells a long story. Whoever asks again waits for the gate.
#[derive(Debug)]
struct Tell {
    calls: AtomicU32,
    gate: Gate,
}

fn story() -> String {
    "Once upon a time.\0\n".repeat(50_000)
}

#[async_trait]
impl Tool for Tell {
    fn spec(&self) -> ToolSpec {
        spec("tell", EffectClass::Pure)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(&self, _input: ToolInput<'_>) -> Result<Value, ToolError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) > 0 {
            self.gate.wait().await;
        }
        Ok(Value::String(story()))
    }
}

struct World {
    _dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    model: ScriptedModel,
    tools: Arc<Registry>,
    agent: Agent,
    payments: Arc<AtomicU32>,
    gate: Gate,
    paces: Paces,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the worker ends in good order");
    }

    /// As a power cut would: no good-bye.
    async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Ok(json!("paid"))).await
    }

    /// A payment ends so.
    async fn with(end: Result<Value, ToolError>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", dir.path().join("piton.db").display());
        let store =
            SqliteStore::open(&url, SqliteOptions::default(), Clock::system()).await.expect("a store");
        let payments = Arc::new(AtomicU32::new(0));
        let gate = Gate::new();
        gate.open();
        let mut tools = Registry::new(RegistryOptions::default());
        tools.add(Arc::new(Pay { calls: Arc::clone(&payments), gate: gate.clone(), end }));
        tools.add(Arc::new(Tell { calls: AtomicU32::new(0), gate: gate.clone() }));
        let agent = Agent {
            name: "default".to_owned(),
            description: String::new(),
            instructions: "Be exact.".to_owned(),
            model: "test-model".to_owned(),
            max_steps: 10,
            limits: piton_core::Limits::default(),
            tools: ["sum_numbers", "divide_numbers", "pay", "tell", "ask_human", "final_answer"]
                .iter()
                .map(|name| tools.spec(name).expect("a known tool"))
                .collect(),
        };
        Self {
            _dir: dir,
            store: Arc::new(store),
            model: ScriptedModel::start().await,
            tools: Arc::new(tools),
            agent,
            payments,
            gate,
            paces: Paces::default(),
        }
    }

    fn worker(&self) -> Running {
        self.worker_of(Arc::clone(&self.store), Arc::clone(&self.tools))
    }

    /// Another process's way to the database.
    async fn elsewhere(&self) -> Arc<SqliteStore> {
        let url = format!("sqlite://{}", self.store.path().display());
        Arc::new(SqliteStore::open(&url, SqliteOptions::default(), Clock::system()).await.expect("a store"))
    }

    fn worker_of(&self, store: Arc<SqliteStore>, tools: Arc<Registry>) -> Running {
        let model = ModelClient::new(ModelConfig {
            api: Api::Auto,
            base_url: self.model.base_url(),
            api_key: None,
            timeout_ms: 20_000,
            tries_max: 2,
            reasoning_effort: None,
            max_output_tokens: None,
        })
        .expect("a model client");
        let deps = Deps {
            lock_dir: Some(store.lock_dir().to_owned()),
            store: store as Arc<dyn Store>,
            model: Arc::new(model),
            tools: tools as Arc<dyn Tools>,
            clock: Clock::system(),
            steps: tokio::runtime::Handle::current(),
        };
        let options = WorkerOptions {
            name: WorkerId::new(format!("w-{}", uuid::Uuid::now_v7())),
            lane: Lane::Common,
            concurrency: 8,
            lease_ms: LEASE_MS,
            step_timeout_ms: 60_000,
            shutdown_ms: 200,
            hurried_shutdown_ms: 200,
            host: "test".to_owned(),
            version: "0".to_owned(),
            paces: self.paces.clone(),
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            piton_worker::run(deps, options, token, CancellationToken::new()).await.expect("a worker")
        });
        Running { stop, task }
    }

    async fn launch(&self, task: &str) -> RunId {
        let run = RunId::from_uuid(uuid::Uuid::now_v7());
        self.store
            .launch(Launch {
                run,
                agent: self.agent.clone(),
                task: task.to_owned(),
                max_steps: self.agent.max_steps,
                tenant: "default".to_owned(),
                labels: BTreeMap::new(),
                priority: 0,
                idempotency: None,
            })
            .await
            .expect("launched");
        run
    }

    async fn until(&self, run: RunId, status: Status) -> RunRow {
        let mut rings = self.store.bell().events();
        let reached = async {
            loop {
                let row = self.store.run(run).await.expect("read").expect("the run");
                if row.run.status == status {
                    return row;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
            }
        };
        match tokio::time::timeout(deadline(), reached).await {
            Ok(row) => row,
            Err(_) => panic!("never {status}: {:#?}", self.history(run).await),
        }
    }

    async fn until_kinds(&self, run: RunId, kinds: &[&str]) {
        let mut rings = self.store.bell().events();
        let reached = async {
            while self.kinds(run).await != kinds {
                let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
            }
        };
        if tokio::time::timeout(deadline(), reached).await.is_err() {
            panic!("never {kinds:?}: {:?}", self.kinds(run).await);
        }
    }

    async fn history(&self, run: RunId) -> Vec<Event> {
        let events = self.store.events(run, 0, 1000).await.expect("events");
        events.into_iter().map(|recorded| recorded.event).collect()
    }

    async fn kinds(&self, run: RunId) -> Vec<&'static str> {
        self.history(run).await.iter().map(Event::kind).collect()
    }

    /// The whole of a call's output, as it is kept.
    async fn output(&self, run: RunId, call: CallId) -> String {
        let mut whole = String::new();
        for part in 0.. {
            let Some(text) = self.store.output(run, call, part).await.expect("read") else { break };
            whole += &text;
        }
        whole
    }

    async fn command(&self, run: RunId, command: Command) {
        self.store.command(run, command).await.expect("accepted");
    }

    async fn check(&self) {
        for check in self.store.check().await.expect("checked") {
            assert!(check.trouble.is_none(), "{}: {:?}", check.name, check.trouble);
        }
    }
}

fn sum(a: i64, b: i64) -> Say {
    Say::call("sum_numbers", json!({"a": a, "b": b}))
}

#[tokio::test]
async fn two_tool_turns_and_an_answer_are_four_steps() {
    let world = World::new().await;
    world.model.script("two", [sum(1, 2), sum(3, 4), Say::answer("7")]);
    let run = world.launch("[two] add up").await;
    let worker = world.worker();
    let row = world.until(run, Status::Complete).await;
    assert_eq!((row.run.steps, row.run.final_answer.as_deref(), row.owner), (4, Some("7"), None));
    assert_eq!(
        world.kinds(run).await,
        [
            "launched",
            "model_replied",
            "tool_returned",
            "model_replied",
            "tool_returned",
            "model_replied",
            "completed"
        ]
    );
    world.model.assert_every_request_was_valid();
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_question_waits_without_a_job_and_goes_on_with_its_answer() {
    let world = World::new().await;
    world.model.script("ask", [Say::ask("which number?"), Say::answer("thanks")]);
    let run = world.launch("[ask] something").await;
    let worker = world.worker();
    let row = world.until(run, Status::WaitingHumanInput).await;
    assert_eq!(world.store.queue().await.expect("stats"), piton_store::QueueStats::default());
    let question = row.open_question();
    world.command(run, Command::Answer { question, answer: "5".to_owned() }).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!(row.run.steps, 4);
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn the_limit_rests_with_the_calls_still_pending() {
    let mut world = World::new().await;
    world.agent.max_steps = 2;
    world.model.script("limit", [sum(1, 1), sum(2, 2), Say::answer("4")]);
    let run = world.launch("[limit]").await;
    let worker = world.worker();
    let row = world.until(run, Status::MaxStepsReached).await;
    assert_eq!((row.run.steps, row.run.pending.len()), (2, 1));
    world.command(run, Command::Resume).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!((row.run.steps, row.run.max_steps), (4, 12));
    worker.stop().await;
}

#[tokio::test]
async fn a_pause_during_a_model_call_keeps_its_reply_and_begins_no_tool() {
    let world = World::new().await;
    let gate = Gate::new();
    let pay = Say::call("pay", json!({})).held_by(&gate);
    world.model.script("pause", [pay, Say::answer("done")]);
    let run = world.launch("[pause]").await;
    let worker = world.worker();
    gate.reached(1).await;
    world.command(run, Command::Pause).await;
    gate.open();
    // The reply is recorded, and the run has no owner any more.
    let mut rings = world.store.bell().events();
    let row = loop {
        let row = world.store.run(run).await.expect("read").expect("the run");
        if row.run.turns == 1 && row.owner.is_none() {
            break row;
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    };
    assert_eq!((row.run.status, row.run.pending.len()), (Status::Paused, 1));
    assert_eq!(world.payments.load(Ordering::SeqCst), 0);
    world.command(run, Command::Resume).await;
    world.until(run, Status::Complete).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    assert_eq!(
        world.kinds(run).await,
        [
            "launched",
            "paused",
            "model_replied",
            "resumed",
            "tool_started",
            "tool_returned",
            "model_replied",
            "completed"
        ]
    );
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_cancel_drops_the_model_call() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("cancel", [sum(1, 1).held_by(&gate)]);
    let run = world.launch("[cancel]").await;
    let worker = world.worker();
    gate.reached(1).await;
    world.command(run, Command::Cancel).await;
    world.until(run, Status::Cancelled).await;
    // The step lets go although the model never answers.
    let mut rings = world.store.bell().events();
    while world.store.run(run).await.expect("read").expect("the run").owner.is_some() {
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    }
    assert_eq!(world.kinds(run).await, ["launched", "cancel_requested", "cancelled"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_cancel_with_an_open_call_waits_for_its_result() {
    let world = World::new().await;
    world.gate.close();
    world.model.script("open", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[open]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    world.command(run, Command::Cancel).await;
    assert_eq!(world.store.run(run).await.expect("read").expect("the run").run.status, Status::Cancelling);
    world.gate.open();
    world.until(run, Status::Cancelled).await;
    assert_eq!(
        world.kinds(run).await,
        ["launched", "model_replied", "tool_started", "cancel_requested", "tool_returned", "cancelled"]
    );
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_call_whose_worker_vanished_is_undecided_and_never_made_again_by_itself() {
    let world = World::new().await;
    world.gate.close();
    world.model.script("lost", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[lost]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    worker.vanish().await;
    let second = world.worker();
    let row = world.until(run, Status::Undecided).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    let question = row.open_question().expect("a question");
    let happened = Decision::Happened { result: json!("paid, says the bank") };
    world.command(run, Command::Decide { question, decision: happened }).await;
    world.until(run, Status::Complete).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    world.model.assert_every_request_was_valid();
    second.stop().await;
    world.check().await;
}

#[tokio::test]
async fn an_unknown_outcome_that_did_not_happen_is_called_again_with_the_same_key() {
    let world = World::with(Err(ToolError::Unknown("the line went dead".to_owned()))).await;
    world.model.script("again", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[again]").await;
    let worker = world.worker();
    let row = world.until(run, Status::Undecided).await;
    let question = row.open_question().expect("a question");
    world.command(run, Command::Decide { question, decision: Decision::DidNotHappen }).await;
    let mut rings = world.store.bell().events();
    while world.payments.load(Ordering::SeqCst) < 2 {
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    }
    let row = world.until(run, Status::Undecided).await;
    let anew = row.open_question().expect("a question");
    assert_eq!(row.run.front().map(|front| front.call.id), Some(CallId::derive(run, 1, 0)), "the same key");
    let stale = Command::Decide { question, decision: Decision::DidNotHappen };
    let refused = world.store.command(run, stale).await;
    assert!(
        matches!(refused, Err(CommandError::Refused(Refusal::OtherQuestion { open })) if open == anew),
        "what was said of the first try is no word on the second: {refused:?}"
    );
    world.command(run, Command::Decide { question: anew, decision: Decision::Abort }).await;
    world.until(run, Status::Cancelled).await;
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_long_output_is_kept_through_a_pause_that_came_while_its_call_was_under_way() {
    let world = World::with(Ok(Value::String(story()))).await;
    world.gate.close();
    world.model.script("pause", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[pause]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    world.command(run, Command::Pause).await;
    world.gate.open();
    world.until_kinds(run, &["launched", "model_replied", "tool_started", "paused", "tool_returned"]).await;
    let call = CallId::derive(run, 1, 0);
    assert!(world.output(run, call).await == story());
    let Some(Event::ToolReturned { full_bytes, result, .. }) = world.history(run).await.pop() else {
        panic!("it returned");
    };
    assert_eq!(full_bytes, Some(story().len() as u64));
    assert!(result.as_str().is_some_and(|shown| shown.ends_with(" bytes shown]")));
    world.command(run, Command::Resume).await;
    world.until(run, Status::Complete).await;
    assert!(world.output(run, call).await == story());
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_long_output_is_on_disk_before_the_next_call_begins() {
    let world = World::new().await;
    world.gate.close();
    let tell = || Call::new("tell", &json!({}));
    world.model.script("twice", [Say::calls(vec![tell(), tell()]), Say::answer("done")]);
    let run = world.launch("[twice]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    assert!(world.output(run, CallId::derive(run, 1, 0)).await == story());
    world.gate.open();
    world.until(run, Status::Complete).await;
    assert!(world.output(run, CallId::derive(run, 1, 1)).await == story());
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_worker_that_stops_hands_its_step_back_unattempted() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("stop", [sum(1, 1), sum(2, 2).held_by(&gate), Say::answer("4")]);
    let run = world.launch("[stop]").await;
    let worker = world.worker();
    gate.reached(1).await;
    worker.stop().await;
    let row = world.store.run(run).await.expect("read").expect("the run");
    assert_eq!((row.owner.clone(), row.attempt), (None, 0));
    assert_eq!(world.kinds(run).await, ["launched", "model_replied", "tool_returned"]);
    gate.open();
    let second = world.worker();
    world.until(run, Status::Complete).await;
    second.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_run_whose_model_may_not_be_asked_yet_goes_back_to_its_place() {
    let mut world = World::new().await;
    let one_a_minute = PerName { named: BTreeMap::from([("test-model".to_owned(), 1)]), others: None };
    world.paces = Paces { endpoint: "here".to_owned(), requests: one_a_minute, ..Paces::default() };
    world.model.script("paced", [Say::answer("now")]);
    let worker = world.worker();
    let first = world.launch("[paced]").await;
    world.until(first, Status::Complete).await;
    let second = world.launch("[paced]").await;
    let mut rings = world.store.bell().jobs();
    let gone_back = async {
        loop {
            let row = world.store.run(second).await.expect("read").expect("the run");
            if row.epoch.0 > 0 && row.owner.is_none() {
                return row;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
        }
    };
    let row = tokio::time::timeout(deadline(), gone_back).await.expect("it is handed back");
    assert_eq!((row.attempt, row.run.status), (0, Status::Running));
    assert_eq!(world.kinds(second).await, ["launched"]);
    assert_eq!(
        world.store.due(Lane::Common, 1).await.expect("counted"),
        0,
        "nobody here asks for it again and again"
    );
    assert_eq!(world.store.queue().await.expect("counted").due, 1);
    assert_eq!(world.model.requests(), 1);
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_worker_that_drains_finishes_its_step_and_ends_by_itself() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("drain", [sum(1, 1).held_by(&gate), Say::answer("2")]);
    let run = world.launch("[drain]").await;
    let worker = world.worker();
    gate.reached(1).await;
    let id = world.store.workers().await.expect("read")[0].id.clone();
    assert!(world.store.drain(&id).await.expect("asked"));
    let left = world.launch("left alone").await;
    // The call outlasts what a worker that stops would give it.
    tokio::time::sleep(Duration::from_millis(LEASE_MS)).await;
    gate.open();
    tokio::time::timeout(deadline(), worker.task).await.expect("it ends").expect("in good order");
    assert_eq!(world.kinds(run).await, ["launched", "model_replied"]);
    assert_eq!(world.store.run(left).await.expect("read").expect("the run").epoch.0, 0);
    assert!(world.store.workers().await.expect("read").is_empty());
    world.check().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_asked_fails_the_run_and_a_resume_tries_again() {
    let world = World::new().await;
    let down = Say::answer("up again").after(Fault::status(500)).after(Fault::status(500));
    world.model.script("down", [down]);
    let run = world.launch("[down]").await;
    let worker = world.worker();
    let row = world.until(run, Status::Failed).await;
    assert!(row.run.error.as_deref().is_some_and(|error| error.contains("500")), "{:?}", row.run.error);
    world.command(run, Command::Resume).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!(row.run.error, None);
    worker.stop().await;
}

#[tokio::test]
async fn calls_behind_a_question_stay_pending_until_it_is_answered() {
    let world = World::new().await;
    let three = Say::calls(vec![
        Call::new("sum_numbers", &json!({"a": 1, "b": 1})),
        Call::new("ask_human", &json!({"question": "go on?"})),
        Call::new("divide_numbers", &json!({"a": 1, "b": 0})),
    ]);
    world.model.script("three", [three, Say::answer("done")]);
    let run = world.launch("[three]").await;
    let worker = world.worker();
    let row = world.until(run, Status::WaitingHumanInput).await;
    assert_eq!((row.run.steps, row.run.pending.len()), (2, 2));
    let question = row.open_question();
    world.command(run, Command::Answer { question, answer: "yes".to_owned() }).await;
    world.until(run, Status::Complete).await;
    let failed = world.history(run).await.into_iter().find_map(|event| match event {
        Event::ToolFailed { error, .. } => Some(error),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("Division by zero"));
    world.model.assert_every_request_was_valid();
    worker.stop().await;
}

#[tokio::test]
async fn two_workers_share_many_runs_and_each_payment_is_made_once() {
    let world = World::new().await;
    world.model.script("many", [Say::call("pay", json!({})), sum(1, 2), Say::answer("3")]);
    let mut runs = Vec::new();
    for _ in 0..40 {
        runs.push(world.launch("[many]").await);
    }
    let (one, two) = (world.worker(), world.worker());
    for run in &runs {
        world.until(*run, Status::Complete).await;
    }
    assert_eq!(world.payments.load(Ordering::SeqCst), 40);
    one.stop().await;
    two.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_run_whose_tool_a_worker_lacks_is_left_to_one_that_has_it() {
    let mut world = World::new().await;
    world.model.script("both", [Say::call("weigh", json!({})), Say::answer("heavy")]);
    world.model.script("one", [sum(1, 2), Say::answer("3")]);
    let usual = world.agent.clone();
    let answer = world.tools.spec("final_answer").expect("a known tool");
    world.agent.tools = vec![spec("weigh", EffectClass::Pure), answer];
    let both = world.launch("[both] weigh it").await;
    world.agent = usual;
    let old = world.worker();
    let mut rings = world.store.bell().events();
    let told = async {
        loop {
            let lacking = world.store.queue().await.expect("stats").lacking;
            if let Some(lacking) = lacking.into_iter().next() {
                return lacking;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
        }
    };
    let lacking = tokio::time::timeout(deadline(), told).await.expect("it shows what is lacking");
    assert_eq!((lacking.what.as_str(), lacking.runs), ("the tool weigh", 1));
    // The worker goes on with what it can do, and the run waits as if it had never been taken.
    let one = world.launch("[one] add up").await;
    world.until(one, Status::Complete).await;
    let row = world.store.run(both).await.expect("read").expect("the run");
    assert_eq!((row.owner, row.attempt, row.epoch.0), (None, 0, 1));
    assert_eq!(world.kinds(both).await, ["launched"]);

    let mut tools = Registry::new(RegistryOptions::default());
    tools.add(Arc::new(Weigh));
    let new = world.worker_of(world.elsewhere().await, Arc::new(tools));
    let row = world.until(both, Status::Complete).await;
    assert_eq!(row.run.final_answer.as_deref(), Some("heavy"));
    assert_eq!(world.store.queue().await.expect("stats").lacking, []);
    new.stop().await;
    old.stop().await;
    world.check().await;
}

#[derive(Debug)]
struct Weigh;

#[async_trait]
impl Tool for Weigh {
    fn spec(&self) -> ToolSpec {
        spec("weigh", EffectClass::Pure)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(&self, _input: ToolInput<'_>) -> Result<Value, ToolError> {
        Ok(json!("12 kg"))
    }
}
