//! Everything has a bound: the queue, request bodies, live views, tool outputs. Past it there is a clear refusal, or a
//! cut that says so; what is asked of a run that is there already is never refused for want of room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use piton_testkit::{Call, Gate, Reply, Say, ScriptedModel, World, deadline, pss_bytes, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

// --- the queue ---------------------------------------------------------------------------------------------

async fn launch_as(world: &World, key: &str, task: &str) -> Reply {
    let request = world.request(Method::POST, "/v1/runs").header("idempotency-key", key);
    world.send(request.json(&json!({ "task": task }))).await
}

fn assert_refused(reply: &Reply) {
    assert_eq!(reply.status, 429, "{}", reply.text);
    assert!(reply.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{reply:?}");
    assert!(reply.detail().contains("queue.waiting_max"), "{}", reply.text);
}

#[tokio::test]
async fn a_launch_past_the_bound_is_429_and_an_answer_a_resume_and_a_cancel_are_not() {
    let model = ScriptedModel::start().await;
    let gate = Gate::new();
    model.script("ask", [Say::ask("Well?"), Say::answer("thanks")]);
    model.script("hold", [Say::answer("held").held_by(&gate)]);
    model.script("go", [Say::answer("gone")]);
    let world = World::new(PITON)
        .model(&model)
        .env("PITON_QUEUE__WAITING_MAX", "10")
        .env("PITON_WORKER__CONCURRENCY", "1")
        .serve()
        .await;
    let (one, other) = (world.launch("[ask] one").await, world.launch("[ask] other").await);
    let one = world.until(&one, &["waiting_human_input"]).await;
    world.until(&other, &["waiting_human_input"]).await;
    // It keeps the only worker busy.
    let held = world.launch("[hold]").await;
    gate.reached(1).await;
    let mut runs = vec![held];
    for n in 0..10 {
        let run = launch_as(&world, &format!("k-{n}"), "[go]").await.expect(201);
        runs.push(run["id"].as_str().expect("an id").to_owned());
    }
    for _ in 0..2 {
        assert_refused(&launch_as(&world, "k-10", "[go]").await);
        assert_refused(&world.post("/v1/runs", &json!({ "task": "[go]" })).await);
        assert_refused(&world.post("/agent/launch", &json!({ "input_prompt": "[go]" })).await);
    }
    let again = launch_as(&world, "k-3", "[go]").await;
    assert_eq!(again.expect(201)["id"], runs[4], "it was launched before");
    let cancelled = runs.pop().expect("launched");
    world.answer(&one, "yes").await.expect(200);
    let input = json!({ "id": other, "answer": "yes" });
    world.post("/agent/provide_input", &input).await.expect(200);
    world.poke(&format!("/v1/runs/{}/pause", runs[1])).await.expect(200);
    world.poke(&format!("/v1/runs/{}/resume", runs[1])).await.expect(200);
    world.poke(&format!("/v1/runs/{cancelled}/cancel")).await.expect(200);
    assert_refused(&world.post("/v1/runs", &json!({ "task": "[go]" })).await);

    gate.open();
    let launched = until(deadline(), "a launch is taken again", async || {
        let reply = launch_as(&world, "k-10", "[go]").await;
        (reply.status == 201).then(|| reply.json())
    });
    runs.push(launched.await.expect("the queue drains")["id"].as_str().expect("an id").to_owned());
    runs.extend([one["id"].as_str().expect("an id").to_owned(), other]);
    for run in &runs {
        world.until(run, &["complete"]).await;
    }
    assert_eq!(world.run(&cancelled).await["status"], "cancelled");
}

#[tokio::test]
async fn a_flood_of_launches_costs_no_memory_and_holds_up_nobody() {
    const LAUNCHES: usize = 2_000;
    let mut world = World::new(PITON).workers(0).env("PITON_QUEUE__WAITING_MAX", "100").serve().await;
    let run = world.launch("what is 1+1?").await;
    let pid = world.server().pid();
    let (pause, resume) = (format!("/v1/runs/{run}/pause"), format!("/v1/runs/{run}/resume"));
    let task = "x".repeat(10_000);
    let launch = |_| {
        let (caller, task) = (world.caller(), task.clone());
        async move { caller.try_post("/v1/runs", &json!({ "task": task })).await.expect("a reply").status }
    };
    // The first hundred, and what the server needs to do its work at all.
    let first: Vec<u16> = stream::iter(0..500).map(launch).buffer_unordered(64).collect().await;
    assert_eq!(first.iter().filter(|status| **status == 201).count(), 99);
    let before = pss_bytes(pid).expect("the server runs");
    let flood = stream::iter(0..LAUNCHES).map(launch).buffer_unordered(64).collect::<Vec<u16>>();
    let (flood, ()) = tokio::join!(flood, async {
        for _ in 0..20 {
            world.poke(&pause).await.expect(200);
            world.poke(&resume).await.expect(200);
        }
    });
    let refused = flood.iter().filter(|status| **status == 429).count();
    // One may come in while the run is paused, and once it did there is no room for another.
    assert!(refused >= LAUNCHES - 1 && flood.iter().all(|status| matches!(status, 201 | 429)), "{refused}");
    let grown = pss_bytes(pid).expect("the server runs").saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
}

// --- tool outputs ------------------------------------------------------------------------------------------

/// Answers each GET with as many bytes as its query says, `?bytes=N`, and counts.
struct Source {
    port: u16,
    hits: Arc<AtomicUsize>,
}

/// What [`Source`] gives: all that text may hold, and different for each length.
fn text(bytes: usize) -> String {
    let line = format!("{bytes} <b>é🧗\u{0}\"\\ \u{202e}\n");
    let mut text = line.repeat(bytes / line.len() + 1);
    text.truncate(text.floor_char_boundary(bytes));
    text
}

impl Source {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Self::answer(stream));
            }
        });
        Self { port, hits }
    }

    async fn answer(mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head);
        let asked = head.split("bytes=").nth(1).and_then(|rest| rest.split([' ', '&', '.']).next());
        let body = text(asked.and_then(|digits| digits.parse().ok()).expect("a length"));
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        // A caller that stops reading at its bound closes the connection.
        let _sent = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    }

    /// An agent with `read` and `take`, which read from here; the second is never repeated by itself.
    fn agent(&self) -> String {
        let port = self.port;
        let tool = |name: &str, effect: &str| {
            format!(
                r#"
[[http_tool]]
name = "{name}"
description = "Gives a text of so many bytes"
method = "GET"
url = "http://127.0.0.1:{port}/"
effect = "{effect}"
allow_private = true
parameters = {{ type = "object", properties = {{ bytes = {{ type = "number" }}, n = {{ type = "number" }} }}, required = ["bytes"] }}
"#
            )
        };
        let head = "name = \"default\"\ndescription = \"d\"\ninstructions = \"i\"\nmax_steps = 100\n\
                    tools = [\"final_answer\"]\n";
        [head, &tool("read", "pure"), &tool("take", "at_most_once")].concat()
    }
}

/// The events by which tools returned.
async fn returned(world: &World, run: &str) -> Vec<Value> {
    let events = world.events(run).await.into_iter();
    events.filter(|event| event["type"] == "tool_returned").map(|event| event["data"].clone()).collect()
}

async fn whole(world: &World, run: &str, call: &Value) -> Reply {
    let call = call.as_str().expect("a call's id");
    world.get(&format!("/v1/runs/{run}/calls/{call}/output")).await
}

#[tokio::test]
async fn a_long_output_is_kept_whole_whoever_is_killed_and_the_model_sees_its_beginning() {
    const SIZES: [usize; 4] = [100, 70_000, 3_000_000, 5_000_000];
    let (model, source) = (ScriptedModel::start().await, Source::start().await);
    let gate = Gate::new();
    let calls = [("read", SIZES[0]), ("read", SIZES[1]), ("take", SIZES[2]), ("read", SIZES[3])];
    let calls = calls.map(|(tool, bytes)| Call::new(tool, &json!({ "bytes": bytes })));
    model.script("long", [Say::calls(calls.to_vec()), Say::answer("read").held_by(&gate)]);
    let mut world = World::new(PITON).model(&model).agent("default", &source.agent()).serve().await;
    let run = world.launch("[long]").await;
    gate.reached(1).await;
    for pid in world.worker_pids() {
        world.kill_worker(pid);
    }
    world.restart().await;
    gate.open();
    world.until(&run, &["complete"]).await;

    let ends = returned(&world, &run).await;
    assert_eq!(ends.len(), SIZES.len());
    for (end, bytes) in ends.iter().zip(SIZES) {
        let whole = whole(&world, &run, &end["call"]).await;
        if bytes == SIZES[0] {
            assert_eq!(whole.status, 404, "its event shows all there is");
            assert!(end["full_bytes"].is_null());
            continue;
        }
        assert_eq!((whole.status, whole.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        assert!(whole.text == text(bytes), "{} of {bytes} bytes", whole.text.len());
        assert_eq!(end["full_bytes"], whole.text.len());
        let shown = end["result"].as_str().expect("a text");
        assert!(end["result"].to_string().len() <= 64 * 1024, "{} bytes", shown.len());
        assert!(shown.ends_with(&format!(" of {} bytes shown]", whole.text.len())), "{bytes}");
        assert!(whole.text.starts_with(shown.split('…').next().expect("a beginning")));
    }
    let last = model.seen("long").pop().expect("the model was asked");
    let outputs = last.dialogue.outputs();
    assert_eq!(outputs.len(), SIZES.len());
    assert!(outputs.iter().all(|output| output.to_string().len() <= 64 * 1024 + 100));
    assert_eq!(
        source.hits.load(Ordering::SeqCst),
        SIZES.len(),
        "each was on disk before the model was asked again"
    );
    let doctor = world.cli(&["doctor"]).await;
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}

#[tokio::test]
async fn an_output_beyond_every_bound_says_so_in_both_places() {
    const BOUND: usize = 16 << 20;
    let (model, source) = (ScriptedModel::start().await, Source::start().await);
    model.script("huge", [Say::call("read", json!({ "bytes": BOUND + 1_000_000 })), Say::answer("read")]);
    let world = World::new(PITON).model(&model).agent("default", &source.agent()).serve().await;
    let run = world.launch("[huge]").await;
    world.until(&run, &["complete"]).await;
    let end = returned(&world, &run).await.pop().expect("it returned");
    let marker = format!("longer than {BOUND} bytes]");
    assert!(end["result"].as_str().is_some_and(|shown| shown.ends_with(&marker)));
    let whole = whole(&world, &run, &end["call"]).await;
    let text = text(BOUND + 1_000_000);
    let kept = &text[..text.floor_char_boundary(BOUND)];
    assert!(whole.text.starts_with(kept), "{} bytes", whole.text.len());
    assert!(whole.text[kept.len()..].starts_with("… [cut after ") && whole.text.ends_with(&marker));
    assert_eq!(end["full_bytes"], whole.text.len());
}

// --- live views --------------------------------------------------------------------------------------------

/// A view of a run's events that reads nothing but its status line.
async fn stalled_view(world: &World, run: &str) -> TcpStream {
    // The place of one that has just left is free as soon as the server notices.
    let view = until(deadline(), "a place", async || try_stalled_view(world, run).await);
    view.await.expect("there is a place")
}

async fn try_stalled_view(world: &World, run: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let mut stream = socket.connect(([127, 0, 0, 1], world.port()).into()).await.expect("a connection");
    let request = format!(
        "GET /v1/runs/{run}/events HTTP/1.1\r\nhost: 127.0.0.1:{}\r\naccept: text/event-stream\r\n\r\n",
        world.port()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    (status == *b"HTTP/1.1 200").then_some(stream)
}

/// Follows a run to its end; how many bytes that was.
async fn followed(world: &World, run: &str) -> Result<usize, u16> {
    let request = world.request(Method::GET, &format!("/v1/runs/{run}/events"));
    let response = request.header("accept", "text/event-stream").send().await.expect("a reply");
    if response.status() != 200 {
        return Err(response.status().as_u16());
    }
    let (mut bytes, mut chunks, mut tail) = (0, response.bytes_stream(), Vec::new());
    while let Some(chunk) = tokio::time::timeout(deadline(), chunks.next()).await.expect("the end") {
        let chunk = chunk.expect("a whole stream");
        bytes += chunk.len();
        tail.extend_from_slice(&chunk);
        if String::from_utf8_lossy(&tail).contains("event: completed") {
            break;
        }
        tail.drain(..tail.len().saturating_sub(100));
    }
    Ok(bytes)
}

#[tokio::test]
async fn clients_that_read_nothing_cost_little_and_there_are_only_so_many() {
    const VIEWS: usize = 30;
    let (model, source) = (ScriptedModel::start().await, Source::start().await);
    model.forget_bodies();
    // 128 outputs: a history of several MiB.
    let turn = |turn: usize| {
        let call = |n| Call::new("read", &json!({ "bytes": 40_000, "n": turn * 64 + n }));
        Say::calls((0..64).map(call).collect())
    };
    model.script("much", [turn(0), turn(1), Say::answer("read")]);
    let mut world = World::new(PITON)
        .model(&model)
        .agent("default", &source.agent())
        .env("PITON_SERVER__LIVE_CLIENTS_MAX", &(VIEWS + 1).to_string())
        .serve()
        .await;
    let run = world.launch("[much]").await;
    world.until(&run, &["complete"]).await;
    let pid = world.server().pid();
    let history = followed(&world, &run).await.expect("a place");
    assert!(history > 6 << 20, "{history}");
    let before = pss_bytes(pid).expect("the server runs");
    let mut stalled = join_all((0..=VIEWS).map(|_| stalled_view(&world, &run))).await;
    assert_eq!(followed(&world, &run).await, Err(503), "one too many");
    assert_eq!(world.run(&run).await["status"], "complete", "all else goes on");
    stalled.pop();
    // Who reads gets everything, as soon as there is a place and however many read nothing.
    let taken = until(deadline(), "a place is given back", async || followed(&world, &run).await.ok());
    assert!(taken.await.expect("the place of the one who left is free") > 6 << 20);
    let grown = pss_bytes(pid).expect("the server runs").saturating_sub(before);
    assert!(grown < (VIEWS as u64 + 16) << 20, "{} MiB more for {VIEWS} views", grown >> 20);
}

// --- request bodies ----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_body_that_is_too_large_is_413_wherever_a_body_is_read() {
    let world = World::new(PITON).workers(0).api_key("a-key-of-its-own").serve().await;
    let run = world.launch("what is 1+1?").await;
    let before = world.run(&run).await;
    let large = json!({ "task": "x".repeat(1 << 20) }).to_string();
    for (path, limit) in [
        ("/v1/runs".to_owned(), "1048576"),
        (format!("/v1/runs/{run}/answer"), "1048576"),
        ("/v1/session".to_owned(), "4096"),
        ("/agent/launch".to_owned(), "1048576"),
        ("/agent/provide_input".to_owned(), "1048576"),
        ("/agent/resume".to_owned(), "1048576"),
        ("/agent/pause".to_owned(), "1048576"),
    ] {
        let request = world.request(Method::POST, &path).header("content-type", "application/json");
        let whole = world.send(request.body(large.clone())).await;
        assert_eq!(whole.status, 413, "{path}: {}", whole.text);
        assert!(whole.detail().contains(limit), "{path}: {}", whole.text);
        // Without its length, so that it has to be counted.
        let pieces =
            stream::iter(large.clone().into_bytes().chunks(10_000).map(<[u8]>::to_vec).collect::<Vec<_>>());
        let body = reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
        let request = world.request(Method::POST, &path).header("content-type", "application/json");
        let piecewise = world.send(request.body(body)).await;
        assert_eq!((piecewise.status, piecewise.detail()), (413, whole.detail()), "{path}");
    }
    for verb in ["pause", "resume", "cancel"] {
        // These read none: what comes all the same is no reason to refuse, and is not kept.
        let request = world.request(Method::POST, &format!("/v1/runs/{run}/{verb}"));
        let reply = world.send(request.body(large.clone()).timeout(Duration::from_secs(20))).await;
        assert!(reply.status < 500, "{verb}: {} {}", reply.status, reply.text);
    }
    assert_eq!(before["status"], "running");
    assert_eq!(world.run(&run).await["status"], "cancelled");
}
