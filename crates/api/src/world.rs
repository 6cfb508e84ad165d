//! For tests: the whole router over a real store in a folder of its own, and a worker that is played by hand.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use futures::StreamExt;
use piton_core::{
    Agent, CallId, CallKind, Context, EffectClass, Event, Reply, RequestedCall, Run, RunId, ToolKind,
    ToolSpec, TurnRequest, WorkerId, settle,
};
use piton_store::{
    Claim, Clock, Commit, CommitOutcome, Death, FullOutput, Lane, SqliteOptions, SqliteStore, StepEnd, Store,
    WorkerLock, WorkerRow,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{ApiOptions, Prompt, Prompts, router};

/// When tests begin: 2026-01-01.
pub(crate) const BEGIN_MS: i64 = 1_767_225_600_000;
pub(crate) const UNKNOWN: &str = "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e";

pub(crate) struct World {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    pub(crate) leaving: CancellationToken,
    pub(crate) router: Router,
    /// The worker that is played. Another name is another process.
    pub(crate) worker: WorkerId,
    _dir: tempfile::TempDir,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn options() -> ApiOptions {
    ApiOptions {
        api_key: None,
        allow_anonymous: false,
        allowed_origins: Vec::new(),
        listen: ([127, 0, 0, 1], 3000).into(),
        live_clients_max: 100,
        agents: vec![agent("default", 10), agent("brief", 1)],
        default_agent: "default".to_owned(),
        practice_model: false,
        test_tools: false,
        model_name: "gpt-5".to_owned(),
        version: "0.1.0".to_owned(),
        prompts: Arc::new(Counted),
        leaving: CancellationToken::new(),
    }
}

/// Renders no more than what it was given to render.
#[derive(Debug)]
struct Counted;

impl Prompts for Counted {
    fn again(&self, agent: &Agent, context: &Context, _: &TurnRequest) -> Prompt {
        Prompt { body: format!("{}: {} items", agent.name, context.items().len()), is_same: true }
    }
}

fn agent(name: &str, max_steps: u32) -> Agent {
    let tool = |name: &str, effect, kind| ToolSpec {
        name: name.to_owned(),
        description: name.to_owned(),
        parameters: json!({ "type": "object" }),
        effect,
        kind,
    };
    Agent {
        name: name.to_owned(),
        description: "For tests".to_owned(),
        instructions: "Do it.".to_owned(),
        model: "gpt-5".to_owned(),
        max_steps,
        limits: piton_core::Limits::default(),
        tools: vec![
            tool("sum_numbers", EffectClass::Pure, ToolKind::Builtin),
            tool("book", EffectClass::AtMostOnce, ToolKind::Builtin),
            tool("ask_human", EffectClass::Pure, ToolKind::AskHuman),
            tool("final_answer", EffectClass::Pure, ToolKind::FinalAnswer),
        ],
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Self {
        Self::over(SqliteOptions::default(), options).await
    }

    pub(crate) async fn over(store: SqliteOptions, options: ApiOptions) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Clock::told(BEGIN_MS);
        let url = format!("sqlite://{}", dir.path().join("piton.db").display());
        let store = Arc::new(SqliteStore::open(&url, store, clock.clone()).await.expect("a store"));
        let (stop, leaving) = (CancellationToken::new(), options.leaving.clone());
        let router = router(Arc::clone(&store) as Arc<dyn Store>, clock.clone(), options, stop.clone());
        let worker = WorkerId::new("by-hand");
        Self { store, clock, stop, leaving, router, worker, _dir: dir }
    }

    /// The same database as another process has it.
    pub(crate) async fn another_process(&self) -> SqliteStore {
        let url = format!("sqlite://{}", self.store.path().display());
        SqliteStore::open(&url, SqliteOptions::default(), self.clock.clone()).await.expect("a store")
    }

    // --- the caller ----------------------------------------------------------------------------------------

    /// Sends a request as it is, but for the host, which is the server's own where none is given.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The same, with the body still to be read.
    pub(crate) async fn open(&self, mut request: Request<Body>) -> axum::response::Response {
        let host = axum::http::HeaderValue::from_static("127.0.0.1:3000");
        request.headers_mut().entry(header::HOST).or_insert(host);
        self.router.clone().oneshot(request).await.expect("never fails")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.call(Method::POST, path, &[("content-type", "application/json")], body.into()).await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.send(request(method, path, headers, body)).await
    }

    /// Launches a run and returns its id.
    pub(crate) async fn launch(&self, task: &str) -> RunId {
        let run = self.post("/v1/runs", &json!({ "task": task })).await.expect(201);
        run["id"].as_str().expect("an id").parse().expect("a run id")
    }

    // --- the worker ----------------------------------------------------------------------------------------

    /// Takes the run for a step. It is the only one that is due.
    pub(crate) async fn claim(&self, run: RunId) -> Claim {
        let row = WorkerRow {
            id: self.worker.clone(),
            host: "here".to_owned(),
            pid: 1,
            concurrency: 1,
            version: "0.1.0".to_owned(),
            started_at_ms: self.clock.now_ms(),
            lease_ms: 60_000,
            expires_at_ms: self.clock.now_ms() + 60_000,
            runs: 0,
            draining: false,
            reducer: piton_core::REDUCER,
            lacks: Vec::new(),
        };
        self.store.register(&row).await.expect("registered");
        let claims = self.store.claim(&self.worker, Lane::Common, 100).await.expect("claims");
        claims.into_iter().find(|claim| claim.run == run).expect("the run is due")
    }

    pub(crate) async fn claims_nothing(&self) -> bool {
        self.store.claim(&self.worker, Lane::Common, 100).await.expect("claims").is_empty()
    }

    /// The lock that shows the others that the worker's process is there; until it is dropped.
    pub(crate) fn worker_lock(&self) -> WorkerLock {
        WorkerLock::take(self.store.lock_dir(), &self.worker).expect("taken").expect("kept")
    }

    /// The worker's process dies, as told by who had started it.
    pub(crate) async fn worker_dies(&self, how: &str, own_doing: bool) {
        let death = Death { worker: self.worker.clone(), how: how.to_owned(), own_doing };
        self.store.died(&death).await.expect("told");
    }

    /// Commits `facts` and what follows from them.
    pub(crate) async fn commit(&self, claim: &Claim, facts: &[Event], end: StepEnd) -> Run {
        self.commit_with(claim, facts, Vec::new(), end).await
    }

    /// The same, with what the facts were cut of.
    async fn commit_with(
        &self,
        claim: &Claim,
        facts: &[Event],
        outputs: Vec<FullOutput>,
        end: StepEnd,
    ) -> Run {
        let mut after = claim.fold.clone();
        for fact in facts {
            after = after.apply(fact).expect("a fact that can happen");
        }
        let mut events = facts.to_vec();
        if end != StepEnd::GoesOn {
            let decisions;
            (after, decisions) = settle(after, claim.epoch).expect("decisions that can happen");
            events.extend(decisions);
        }
        let commit = Commit {
            gives_way: true,
            patience: std::time::Duration::ZERO,
            run: claim.run,
            worker: self.worker.clone(),
            epoch: claim.epoch,
            ordinal: claim.ordinal,
            base: claim.fold.version,
            events,
            after: after.clone(),
            outputs,
            end,
        };
        let outcome = self.store.commit(commit).await.expect("committed");
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
        after
    }

    /// One whole step in which the model asks for these calls (name, arguments).
    pub(crate) async fn reply(&self, run: RunId, calls: &[(&str, Value)]) -> Run {
        let claim = self.claim(run).await;
        let mut facts = Vec::new();
        for pending in &claim.fold.pending {
            // Carried out with a result that tests know.
            if matches!(pending.call.kind, CallKind::Tool(_)) {
                facts.push(Event::ToolReturned {
                    call: pending.call.id,
                    result: json!(5),
                    took_ms: 1,
                    attempt: 1,
                    full_bytes: None,
                });
            }
        }
        facts.push(self.replied(&claim, calls).await);
        self.commit(&claim, &facts, StepEnd::GiveBack).await
    }

    /// The event of a reply that asks for these calls.
    pub(crate) async fn replied(&self, claim: &Claim, calls: &[(&str, Value)]) -> Event {
        let history = self.store.events(claim.run, 0, 10_000).await.expect("a history");
        let context: Context = history.iter().map(|recorded| &recorded.event).collect();
        let turn = claim.fold.turns + 1;
        let calls = calls.iter().enumerate().map(|(index, (name, arguments))| RequestedCall {
            call_id: format!("call_{turn}_{index}"),
            name: (*name).to_owned(),
            arguments: arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned),
        });
        let reply = Reply { calls: calls.collect(), model: "by-hand".to_owned(), ..Reply::default() };
        reply.record(claim.run, turn, &agent("default", 10), &context, TurnRequest::default(), claim.attempt)
    }

    // --- runs in every status ------------------------------------------------------------------------------

    pub(crate) async fn waiting(&self) -> RunId {
        let run = self.launch("ask me").await;
        self.reply(run, &[("ask_human", json!({ "question": "How many?" }))]).await;
        run
    }

    /// A run that went round in circles, so that Piton itself asks.
    pub(crate) async fn stuck(&self) -> RunId {
        let run = self.launch("fly").await;
        for _ in 0..4 {
            self.reply(run, &[("fly", json!({}))]).await;
        }
        run
    }

    pub(crate) async fn complete(&self) -> RunId {
        let run = self.launch("answer").await;
        self.reply(run, &[("final_answer", json!({ "answer": "42" }))]).await;
        run
    }

    /// A run whose only call gave back `text`, which its event shows the beginning of.
    pub(crate) async fn with_long_output(&self, text: &str) -> (RunId, CallId) {
        let run = self.launch("read it").await;
        self.reply(run, &[("sum_numbers", json!({}))]).await;
        let claim = self.claim(run).await;
        let call = claim.fold.front().expect("a call").call.id;
        let returned = Event::ToolReturned {
            call,
            result: json!(piton_core::clip(text, 10)),
            took_ms: 1,
            attempt: 1,
            full_bytes: Some(text.len() as u64),
        };
        let outputs = vec![FullOutput { call, text: text.into() }];
        self.commit_with(&claim, &[returned], outputs, StepEnd::GiveBack).await;
        (run, call)
    }

    pub(crate) async fn failed(&self) -> RunId {
        let run = self.launch("fail").await;
        let claim = self.claim(run).await;
        let fact = Event::ModelFailed { error: "401 from the model".to_owned(), tries: 1 };
        self.commit(&claim, &[fact], StepEnd::GiveBack).await;
        run
    }

    pub(crate) async fn at_its_limit(&self) -> RunId {
        let launched = self.post("/v1/runs", &json!({ "task": "go on", "max_steps": 1 })).await.expect(201);
        let run = launched["id"].as_str().expect("an id").parse().expect("a run id");
        self.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
        run
    }

    /// A run with an `at_most_once` call that was begun.
    pub(crate) async fn with_open_call(&self) -> (RunId, Claim) {
        let run = self.launch("book it").await;
        self.reply(run, &[("book", json!({ "amount": 7 }))]).await;
        let claim = self.claim(run).await;
        let call = claim.fold.front().expect("a call").call.id;
        let started = Event::ToolStarted {
            call,
            arguments_hash: "0".to_owned(),
            worker: self.worker.clone(),
            epoch: claim.epoch,
            attempt: claim.attempt,
            at_ms: self.clock.now_ms(),
        };
        self.commit(&claim, &[started], StepEnd::GoesOn).await;
        (run, claim)
    }

    pub(crate) async fn undecided(&self) -> RunId {
        let (run, claim) = self.with_open_call().await;
        self.store.hand_back(run, &self.worker, claim.epoch, claim.due_at_ms).await.expect("handed back");
        let again = self.claim(run).await;
        let after = self.commit(&again, &[], StepEnd::GiveBack).await;
        assert_eq!(after.status, piton_core::Status::Undecided);
        run
    }

    pub(crate) async fn quarantined(&self) -> RunId {
        let run = self.launch("crash").await;
        let claim = self.claim(run).await;
        let fact = Event::Quarantined { reason: "it took 3 workers down".to_owned() };
        self.commit(&claim, &[fact], StepEnd::GiveBack).await;
        run
    }

    pub(crate) async fn cancelled(&self) -> RunId {
        let run = self.launch("stop").await;
        self.poke(run, "cancel").await.expect(200);
        run
    }

    pub(crate) async fn paused(&self) -> RunId {
        let run = self.launch("hold").await;
        self.poke(run, "pause").await.expect(200);
        run
    }

    /// A command without a body.
    pub(crate) async fn poke(&self, run: RunId, verb: &str) -> Answer {
        self.call(Method::POST, &format!("/v1/runs/{run}/{verb}"), &[], Body::empty()).await
    }

    pub(crate) async fn shown(&self, run: RunId) -> Value {
        self.get(&format!("/v1/runs/{run}")).await.expect(200)
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

impl Answer {
    /// The body of an answer that must have this status.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).expect("JSON") }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status, slug and detail of a problem, in a line.
    pub(crate) fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert!(body["title"].is_string(), "{body}");
        let slug =
            body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:piton:problem:")).expect("a slug");
        let detail = body["detail"].as_str().map_or_else(|| body["detail"].to_string(), str::to_owned);
        format!("{} {slug}: {detail}", self.status.as_u16())
    }
}

/// A live view, read frame by frame.
pub(crate) struct View {
    pub(crate) headers: HeaderMap,
    /// How often something came.
    pub(crate) pieces: u32,
    chunks: axum::body::BodyDataStream,
    text: String,
}

/// One frame of a live view.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<u64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl World {
    /// Follows a run, after the last event that was seen.
    pub(crate) async fn follow(&self, run: RunId, last: Option<&str>) -> View {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let request = request(Method::GET, &format!("/v1/runs/{run}/events"), &headers, Body::empty());
        let (parts, body) = self.open(request).await.into_parts();
        assert_eq!(parts.status, StatusCode::OK);
        View { headers: parts.headers, pieces: 0, chunks: body.into_data_stream(), text: String::new() }
    }
}

impl View {
    /// The next frame that carries data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                if let Some(data) = field("data") {
                    return Some(Frame {
                        id: field("id").map(|id| id.parse().expect("a number")),
                        event: field("event").expect("a type").to_owned(),
                        data: serde_json::from_str(data).expect("JSON"),
                    });
                }
                continue;
            }
            let chunk =
                timeout(Duration::from_secs(10), self.chunks.next()).await.expect("a frame or the end")?;
            self.pieces += 1;
            self.text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("UTF-8"));
        }
    }

    /// Types and ids of the frames up to the first of this type.
    pub(crate) async fn until(&mut self, event: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(frame) = self.next().await {
            let id = frame.id.map_or(String::new(), |id| format!("{id} "));
            seen.push(format!("{id}{}", frame.event));
            if frame.event == event {
                return seen;
            }
        }
        panic!("the view ended before {event}: {seen:?}");
    }
}
