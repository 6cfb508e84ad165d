//! An installation is upgraded while it is used: a newer server starts beside the older one and migrates the database, the older
//! workers are drained and newer ones started one at a time, the older server is told to stop, and requests go over to the newer one
//! once `/readyz` says so. Every request is answered with success, every run ends right, and every effect is there once.
//!
//! The newer version is `piton-next`: this one with a migration more, which does what migrations do. `PITON_LONG=1` upgrades
//! under a heavier load, with more runs in the database.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{
    Caller, Ledger, PostgresServer, Say, ScriptedModel, World, clerk, deadline, is_alive, until,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const PITON_NEXT: &str = env!("CARGO_BIN_EXE_piton-next");
const WORKERS: usize = 3;
/// Runs that are over between one move of the upgrade and the next.
const MEANWHILE: u64 = 5;

/// Where requests go: to the older server, to both in turn, to the newer one.
const OLDER: u8 = 0;
const BOTH: u8 = 1;
const NEWER: u8 = 2;

/// What stands before both servers.
struct Front {
    servers: [Caller; 2],
    goes_to: AtomicU8,
    asked: AtomicU64,
    slowest: Mutex<Duration>,
    /// Requests that were not answered with success.
    refused: Mutex<Vec<String>>,
}

impl Front {
    fn new(servers: [Caller; 2]) -> Self {
        Self {
            servers,
            goes_to: AtomicU8::new(OLDER),
            asked: AtomicU64::new(0),
            slowest: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// `None` where it was not answered with success.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<Value> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let is_newer = match self.goes_to.load(Ordering::SeqCst) {
            OLDER => false,
            BOTH => turn % 2 == 1,
            _ => true,
        };
        let caller = &self.servers[usize::from(is_newer)];
        let mut request = caller.request(method.clone(), path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let began = Instant::now();
        let reply = caller.try_send(request).await;
        if !path.contains("wait_ms") {
            let mut slowest = self.slowest.lock().expect("no panic");
            *slowest = slowest.max(began.elapsed());
        }
        let why = match reply {
            Ok(reply) if (200..300).contains(&reply.status) => return Some(reply.json()),
            Ok(reply) => format!("{} {}", reply.status, reply.text),
            Err(error) => format!("{error:?}"),
        };
        let server = if is_newer { "newer" } else { "older" };
        self.refused.lock().expect("no panic").push(format!("{method} {path} at the {server} server: {why}"));
        None
    }

    /// Launches a run and stays with it to its end, answering what it asks. Returns the run.
    async fn sees_through(&self, body: Value) -> Option<Value> {
        let launched = self.ask(Method::POST, "/v1/runs", Some(body)).await?;
        let id = launched["id"].as_str()?.to_owned();
        loop {
            let run = self.ask(Method::GET, &format!("/v1/runs/{id}?wait_ms=300"), None).await?;
            match run["status"].as_str()? {
                "running" => {}
                "waiting_human_input" => {
                    let answer = json!({ "question": run["question"]["id"], "answer": "yes" });
                    self.ask(Method::POST, &format!("/v1/runs/{id}/answer"), Some(answer)).await?;
                }
                _ => return Some(run),
            }
        }
    }
}

/// The clients' side of it.
struct Load {
    front: Front,
    clerks: AtomicU64,
    over: AtomicBool,
    ended: AtomicU64,
    runs: Mutex<BTreeMap<u64, Value>>,
    asked: Mutex<Vec<Value>>,
}

impl Load {
    /// One client: a run of ten steps with effects, one that asks, a look at the lists, and again.
    async fn client(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let n = self.clerks.fetch_add(1, Ordering::SeqCst);
            let clerk = json!({ "task": clerk::task(n), "agent": "clerk" });
            let run = self.front.sees_through(clerk).await;
            self.runs.lock().expect("no panic").extend(run.map(|run| (n, run)));
            let asking = self.front.sees_through(json!({ "task": "[ask]" })).await;
            self.asked.lock().expect("no panic").extend(asking);
            for list in ["/v1/runs?limit=20", "/v1/inbox", "/v1/queue", "/v1/workers"] {
                self.front.ask(Method::GET, list, None).await;
            }
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until some more runs went from their launch to their end.
    async fn goes_on(&self) {
        let until_then = self.ended.load(Ordering::SeqCst) + MEANWHILE;
        let goes_on = async || (self.ended.load(Ordering::SeqCst) >= until_then).then_some(());
        until(deadline(), "runs go on", goes_on).await.unwrap_or_else(|error| {
            panic!("{error}: {:#?}", self.front.refused.lock().expect("no panic"));
        });
    }

    async fn goes_to(&self, servers: u8) {
        self.front.goes_to.store(servers, Ordering::SeqCst);
        self.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_on_postgres_refuses_no_request_and_loses_no_run() {
    let database = PostgresServer::start();
    upgrade(|world| world.env("PITON_STORE__URL", &database.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_on_sqlite_refuses_no_request_and_loses_no_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("piton.db").display());
    upgrade(|world| world.env("PITON_STORE__URL", &url)).await;
}

async fn upgrade(at: impl Fn(World) -> World) {
    let is_long = std::env::var_os("PITON_LONG").is_some();
    let (clients, before) = if is_long { (16, 400) } else { (6, 0) };
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.script("ask", [Say::ask("go on?"), Say::answer("ok")]);
    model.set_latency(Duration::from_millis(10));
    model.forget_bodies();
    let world_of = |binary: &str| {
        at(World::new(binary).model(&model).agent("clerk", &clerk::agent(&ledger, 5)))
            .workers(0)
            .env("PITON_SERVER__LINGER_MS", "3000")
    };
    let (mut older, mut newer) = (world_of(PITON).serve().await, world_of(PITON_NEXT));
    let older_workers: Vec<u32> = (0..WORKERS).map(|_| older.start_worker()).collect();
    older.workers_ready(WORKERS).await;

    let load = Load {
        front: Front::new([older.caller(), newer.caller()]),
        clerks: AtomicU64::new(0),
        over: AtomicBool::new(false),
        ended: AtomicU64::new(0),
        runs: Mutex::default(),
        asked: Mutex::default(),
    };
    let upgrading = async {
        load.goes_on().await;
        let there = async || (load.ended.load(Ordering::SeqCst) >= before).then_some(());
        until(deadline() * 10, "runs are there", there).await.unwrap_or_else(|error| panic!("{error}"));
        let began = Instant::now();
        newer.start_server();
        newer.ready().await;
        let migrated = began.elapsed();
        load.goes_to(BOTH).await;
        for pid in older_workers {
            drained(&newer, pid).await;
            newer.start_worker();
            load.goes_on().await;
        }
        stopped_while_asked(&mut older, &load.front).await;
        load.goes_on().await;
        load.over.store(true, Ordering::SeqCst);
        (migrated, began.elapsed())
    };
    let ((migrated, upgraded), _) = tokio::join!(upgrading, join_all((0..clients).map(|_| load.client())));

    let Load { front, clerks, runs, asked, .. } = load;
    let (clerks, runs) = (clerks.into_inner(), runs.into_inner().expect("no panic"));
    let (requests, slowest) = (front.asked.into_inner(), front.slowest.into_inner().expect("no panic"));
    eprintln!(
        "{requests} requests, {clerks} runs of ten steps; the newer server was ready after {migrated:?}, the upgrade took \
         {upgraded:?}, the slowest answer {slowest:?}"
    );
    assert_eq!(front.refused.into_inner().expect("no panic"), [""; 0]);
    let mut trouble = clerk::trouble_with_ledger(clerks, &ledger.entries().await);
    for n in 0..clerks {
        let run = &runs[&n];
        trouble.extend(clerk::trouble_with_run(n, run));
        let events = newer.events(run["id"].as_str().expect("an id")).await;
        trouble.extend(clerk::trouble_with_events(n, &events));
    }
    let asked = asked.into_inner().expect("no panic");
    trouble.extend(asked.iter().filter(|run| run["final_answer"] != "ok").map(Value::to_string));
    assert!(trouble.is_empty(), "{trouble:#?}");
    model.assert_every_request_was_valid();
    newer.doctor_finds_nothing().await.expect("a sound database");

    back_again(&mut older, &mut newer).await;
    let further = at(World::new(PITON_NEXT)).env("NEXT_SCHEMAS", "2");
    assert!(further.cli(&["runs", "list"]).await.status.success());
    assert!(newer.cli(&["runs", "list"]).await.status.success(), "one version apart");
    let refused = older.cli(&["runs", "list"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("use a newer Piton"), "two versions apart: {said}");
}

/// A worker finishes what it holds and ends.
async fn drained(world: &World, pid: u32) {
    let workers = world.get("/v1/workers").await.expect(200);
    let of_pid = |worker: &&Value| worker["pid"] == pid;
    let id = workers["workers"].as_array().into_iter().flatten().find(of_pid).map(|worker| &worker["id"]);
    let id = id.and_then(Value::as_str).expect("it is registered");
    world.poke(&format!("/v1/workers/{id}/drain")).await.expect(200);
    let ended = until(deadline(), format!("{id} ends"), async || (!is_alive(pid)).then_some(()));
    ended.await.unwrap_or_else(|error| panic!("{error}"));
}

/// The older server is told to stop while both are asked, and while it takes in a launch. It says that it is not ready, answers
/// whoever has not seen that yet, lets nobody in after that, and answers the launch.
async fn stopped_while_asked(older: &mut World, front: &Front) {
    let place = format!("127.0.0.1:{}", older.port());
    let mut launch = BufReader::new(TcpStream::connect(&place).await.expect("a connection"));
    let body = r#"{"task":"[ask]","labels":{"when":"last"}}"#;
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nhost: {place}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    launch.write_all(head.as_bytes()).await.expect("sent");
    let mut line = String::new();
    launch.read_line(&mut line).await.expect("an answer");
    assert!(line.contains(" 100 "), "{line}");
    piton_testkit::terminate(older.server().pid());
    let warns = async || (older.get("/readyz").await.status == 503).then_some(());
    until(deadline(), "it says that it goes", warns).await.unwrap_or_else(|error| panic!("{error}"));
    front.goes_to.store(NEWER, Ordering::SeqCst);
    let shut = async || TcpStream::connect(&place).await.is_err().then_some(());
    until(deadline(), "nobody is let in", shut).await.unwrap_or_else(|error| panic!("{error}"));
    launch.write_all(body.as_bytes()).await.expect("sent");
    let mut said = String::new();
    launch.read_to_string(&mut said).await.expect("an answer");
    assert!(said.contains("HTTP/1.1 201 Created"), "{said}");
    let ended = until(deadline(), "it ends", async || older.server().ended());
    let status = ended.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status.code(), Some(0), "in good order");
}

/// The older version works on the newer schema too, all by itself: whoever upgraded too early may go back.
async fn back_again(older: &mut World, newer: &mut World) {
    let last = newer.get("/v1/runs?label=when:last").await.expect(200);
    assert_eq!(
        last["runs"].as_array().map(Vec::len),
        Some(1),
        "the last launch of the older server is kept: {last:#}"
    );
    newer.kill_everything();
    older.restart().await;
    older.start_worker();
    let run = older.launch("[ask]").await;
    let asking = older.until(&run, &["waiting_human_input"]).await;
    older.answer(&asking, "yes").await.expect(200);
    older.until(&run, &["complete"]).await;
}
