//! One process with a worker, a store and a scripted model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{Agent, CallId, Command, EffectClass, Event, RunId, Status, ToolKind, ToolSpec, WorkerId};
use piton_model::{Api, ModelClient, ModelConfig};
use piton_store::{Clock, Lane, Launch, RunRow, SqliteOptions, SqliteStore, Store};
use piton_testkit::{Gate, Say, ScriptedModel, deadline};
use piton_tools::{Registry, RegistryOptions, Tool, ToolError, ToolInput};
use piton_worker::{Deps, Paces, Tools, WorkerOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const LEASE_MS: u64 = 600;

/// Counts its calls; each waits for the gate.
#[derive(Debug)]
pub(crate) struct Pay {
    calls: Arc<AtomicU32>,
    gate: Gate,
    end: Result<Value, ToolError>,
}

pub(crate) fn spec(name: &str, effect: EffectClass) -> ToolSpec {
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
pub(crate) struct Tell {
    calls: AtomicU32,
    gate: Gate,
}

pub(crate) fn story() -> String {
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

pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) model: ScriptedModel,
    pub(crate) tools: Arc<Registry>,
    pub(crate) agent: Agent,
    pub(crate) payments: Arc<AtomicU32>,
    pub(crate) gate: Gate,
    pub(crate) paces: Paces,
    /// Slots of each worker.
    pub(crate) concurrency: u32,
}

pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the worker ends in good order");
    }

    /// As a power cut would: no good-bye.
    pub(crate) async fn vanish(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Ok(json!("paid"))).await
    }

    /// A payment ends so.
    pub(crate) async fn with(end: Result<Value, ToolError>) -> Self {
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
            concurrency: 8,
        }
    }

    pub(crate) fn worker(&self) -> Running {
        self.worker_of(Arc::clone(&self.store), Arc::clone(&self.tools))
    }

    /// Another process's way to the database.
    pub(crate) async fn elsewhere(&self) -> Arc<SqliteStore> {
        let url = format!("sqlite://{}", self.store.path().display());
        Arc::new(SqliteStore::open(&url, SqliteOptions::default(), Clock::system()).await.expect("a store"))
    }

    pub(crate) fn worker_of(&self, store: Arc<SqliteStore>, tools: Arc<Registry>) -> Running {
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
            concurrency: self.concurrency,
            lease_ms: LEASE_MS,
            step_timeout_ms: 60_000,
            shutdown_ms: 200,
            hurried_shutdown_ms: 200,
            host: "test".to_owned(),
            version: "0".to_owned(),
            paces: self.paces.clone(),
            finished_kept: None,
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            piton_worker::run(deps, options, token, CancellationToken::new()).await.expect("a worker")
        });
        Running { stop, task }
    }

    pub(crate) async fn launch(&self, task: &str) -> RunId {
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

    pub(crate) async fn until(&self, run: RunId, status: Status) -> RunRow {
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

    pub(crate) async fn until_kinds(&self, run: RunId, kinds: &[&str]) {
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

    pub(crate) async fn history(&self, run: RunId) -> Vec<Event> {
        let events = self.store.events(run, 0, 1000).await.expect("events");
        events.into_iter().map(|recorded| recorded.event).collect()
    }

    pub(crate) async fn kinds(&self, run: RunId) -> Vec<&'static str> {
        self.history(run).await.iter().map(Event::kind).collect()
    }

    /// The whole of a call's output, as it is kept.
    pub(crate) async fn output(&self, run: RunId, call: CallId) -> String {
        let mut whole = String::new();
        for part in 0.. {
            let Some(text) = self.store.output(run, call, part).await.expect("read") else { break };
            whole += &text;
        }
        whole
    }

    pub(crate) async fn command(&self, run: RunId, command: Command) {
        self.store.command(run, command).await.expect("accepted");
    }

    pub(crate) async fn check(&self) {
        for check in self.store.check().await.expect("checked") {
            assert!(check.trouble.is_none(), "{}: {:?}", check.name, check.trouble);
        }
    }
}

pub(crate) fn sum(a: i64, b: i64) -> Say {
    Say::call("sum_numbers", json!({"a": a, "b": b}))
}
