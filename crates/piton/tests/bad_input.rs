//! Bad requests, bad databases, bad configuration: each gets a clear error, and nothing is lost.
#![expect(clippy::print_stderr, reason = "a test that cannot be made here says so")]

use std::fs::{self, File};
use std::net::TcpListener;

use piton_testkit::{Reply, Say, ScriptedModel, Tmpfs, World, deadline, until};
use reqwest::Method;
use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const UNKNOWN: &str = "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e";

fn is_refusal(reply: &Reply) -> bool {
    (400..500).contains(&reply.status) && !reply.json()["detail"].is_null()
}

/// What `piton serve` says of a world in which it cannot work.
async fn refused(world: &World) -> String {
    let output = world.cli(&["serve", "--workers", "1"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it served: {said}");
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!said.contains(word), "{said}");
    }
    assert!(!said.trim().is_empty() && said.len() < 4000, "{} bytes: {said}", said.len());
    said
}

// --- requests ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_and_launch_nothing() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).serve().await;
    let paths = [
        "/agent/launch".to_owned(),
        "/agent/resume".to_owned(),
        "/agent/pause".to_owned(),
        "/agent/provide_input".to_owned(),
        "/v1/runs".to_owned(),
        format!("/v1/runs/{UNKNOWN}/answer"),
        "/v1/session".to_owned(),
    ];
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 10] = [
        b"",
        b"not json",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"{\"task\": {\"a\": 1}, \"input_prompt\": [1], \"id\": {}, \"answer\": 5, \"api_key\": 7}",
        b"\xff\xfe\x00\x80",
        b"{\"task\": \"\\ud800\", \"input_prompt\": \"\\ud800\", \"id\": \"\\ud800\"}",
        deep.as_bytes(),
    ];
    for path in &paths {
        for body in &bodies {
            let request = world.request(Method::POST, path).header("content-type", "application/json");
            let reply = world.send(request.body(body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!(is_refusal(&reply), "{path} {shown}: {} {}", reply.status, reply.text);
        }
        let request = world.request(Method::POST, path).header("content-type", "text/plain").body("{}");
        let reply = world.send(request).await;
        assert!(is_refusal(&reply), "{path} as text/plain: {} {}", reply.status, reply.text);
    }
    let wrong = [
        json!({ "task": "x", "agent": "nobody" }),
        json!({ "task": "x", "max_steps": 0 }),
        json!({ "task": "x", "max_steps": -1 }),
        json!({ "task": "x", "max_steps": 1e30 }),
        json!({ "task": "x", "labels": { "a": 1 } }),
        json!({ "task": "x", "labels": "a" }),
        json!({ "task": "x", "priority": "high" }),
        json!({ "task": "" }),
    ];
    for body in wrong {
        let reply = world.post("/v1/runs", &body).await;
        assert!(is_refusal(&reply), "{body}: {} {}", reply.status, reply.text);
    }
    assert_eq!(world.get("/v1/runs").await.expect(200)["runs"], json!([]), "nothing was launched");
    assert_eq!(model.requests(), 0);
}

#[tokio::test]
async fn a_body_of_ten_mib_is_413() {
    let world = World::new(PITON).serve().await;
    let body = json!({ "task": "x".repeat(10 << 20), "input_prompt": "x".repeat(10 << 20) });
    for path in ["/v1/runs", "/agent/launch"] {
        let reply = world.post(path, &body).await;
        assert_eq!(reply.status, 413, "{path}: {}", reply.text);
        assert!(is_refusal(&reply), "{}", reply.text);
    }
    let too_long = world.post("/v1/runs", &json!({ "task": "x".repeat(200_001) })).await;
    assert_eq!(too_long.status, 422, "beyond the limit of a task: {}", too_long.text);
}

#[tokio::test]
async fn long_prompts_and_odd_characters_arrive_as_they_were_sent() {
    let model = ScriptedModel::start().await;
    let echo = piton_testkit::Script::by(|turn| match turn.outputs.first() {
        None => Say::ask("And what do you say?"),
        Some(output) => Say::answer(output["answer"].as_str().unwrap_or_default()),
    });
    model.script("odd", echo);
    let world = World::new(PITON).model(&model).serve().await;
    let texts = [
        format!("[odd] {}", "long ".repeat(20_000)),
        "[odd] NUL \0 inside, \u{1}\u{7f} too".to_owned(),
        "[odd] \u{202e}bidi\u{2066} \u{200b}\u{feff} \u{fffd} 👩‍🚀 \u{10ffff}".to_owned(),
        "[odd] '; DROP TABLE runs; -- \\ \" </script>".to_owned(),
    ];
    for text in &texts {
        let launched = world.wire_launch(text).await;
        let id = launched["id"].as_str().expect("an id");
        let state = world.wire_until(id, "waiting_human_input").await;
        assert_eq!(state["context"][0]["content"], *text);
        assert_eq!(
            model.seen("odd").last().expect("a request").dialogue.task(),
            text,
            "the model sees it too"
        );
        world.post("/agent/provide_input", &json!({ "id": id, "answer": text })).await.expect(200);
        assert_eq!(world.wire_until(id, "complete").await["final_answer"], *text);
        assert_eq!(world.run(id).await["status"], "complete");
    }
    for query in ["q=%00", "q=%27%25_%5C", "q=%E2%80%AE", "q=DROP", "label=a:%00"] {
        world.get(&format!("/v1/runs?{query}")).await.expect(200);
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn unknown_ids_and_bad_parameters_are_refused() {
    let model = ScriptedModel::start().await;
    model.script("ok", [Say::answer("ok")]);
    let world = World::new(PITON).model(&model).serve().await;
    for id in [UNKNOWN, "no-uuid", "0", "%00", "..%2f..%2fetc%2fpasswd", &"x".repeat(5000)] {
        for path in ["", "/events", "/context"] {
            let reply = world.get(&format!("/v1/runs/{id}{path}")).await;
            assert!(is_refusal(&reply), "{id}{path}: {} {}", reply.status, reply.text);
        }
        for verb in ["pause", "resume", "cancel", "release"] {
            let reply = world.poke(&format!("/v1/runs/{id}/{verb}")).await;
            assert!(is_refusal(&reply), "{id}/{verb}: {} {}", reply.status, reply.text);
        }
    }
    assert_eq!(world.get(&format!("/v1/runs/{UNKNOWN}")).await.status, 404);
    assert_eq!(world.get("/v1/agents/nobody").await.status, 404);
    assert_eq!(world.get("/v1/no-such-thing").await.status, 404);
    assert_eq!(world.send(world.request(Method::DELETE, "/v1/runs")).await.status, 405);

    let run = world.run_to("[ok]", "complete").await;
    let id = run["id"].as_str().expect("an id");
    for event_id in ["x", "-1", "1.5", "99999999999999999999999", "1; DROP"] {
        let request = world.request(Method::GET, &format!("/v1/runs/{id}/events"));
        let request = request.header("accept", "text/event-stream").header("last-event-id", event_id);
        let reply = world.send(request).await;
        assert_eq!(reply.status, 400, "Last-Event-ID {event_id}: {}", reply.text);
        assert!(is_refusal(&reply), "{}", reply.text);
    }
    for query in ["after=x", "after=-1", "limit=x", "limit=-1"] {
        let reply = world.get(&format!("/v1/runs/{id}/events?{query}")).await;
        assert!(is_refusal(&reply), "events?{query}: {} {}", reply.status, reply.text);
    }
    for query in ["status=bogus", "cursor=bogus", "limit=x", "limit=-1", "label=nocolon"] {
        let reply = world.get(&format!("/v1/runs?{query}")).await;
        assert!(is_refusal(&reply), "runs?{query}: {} {}", reply.status, reply.text);
    }
    let answer = json!({ "question": UNKNOWN, "answer": "x" });
    assert_eq!(world.post(&format!("/v1/runs/{id}/answer"), &answer).await.status, 409);
}

// --- databases ---------------------------------------------------------------------------------------------

/// A world whose database holds one finished run; its server is stopped.
async fn with_a_run(mut world: World) -> (World, String) {
    world = world.serve().await;
    let run = world.run_to("what is 2+3?", "complete").await;
    world.stop().await;
    (world, run["id"].as_str().expect("an id").to_owned())
}

/// Starts the server again, and finds the run.
async fn finds(mut world: World, id: &str) {
    world.restart().await;
    assert_eq!(world.run(id).await["status"], "complete", "nothing is lost");
}

#[tokio::test]
async fn a_missing_database_is_made_or_named() {
    let world = World::new(PITON);
    let missing = world.path("not/there/yet/piton.db");
    let mut world = world.env("PITON_STORE__URL", &format!("sqlite://{}", missing.display())).serve().await;
    assert!(missing.exists());
    world.stop().await;

    let below_a_file = World::new(PITON).file("file.txt", "I am no folder");
    let path = below_a_file.path("file.txt/piton.db");
    let world = below_a_file.env("PITON_STORE__URL", &format!("sqlite://{}", path.display()));
    let said = refused(&world).await;
    assert!(said.contains("file.txt"), "{said}");

    let world = World::new(PITON).env("PITON_STORE__URL", "mongodb://nowhere");
    let said = refused(&world).await;
    assert!(said.contains("mongodb") && said.contains("sqlite"), "{said}");
}

#[tokio::test]
async fn a_foreign_database_is_left_as_it_is() {
    let foreign = include_bytes!("fixtures/foreign.db").to_vec();
    let text = b"This is a shopping list, not a database. Milk, bread, butter. ".repeat(100);
    for (name, bytes) in [("recipes.db", foreign), ("list.txt", text)] {
        let world = World::new(PITON);
        let path = world.path(name);
        fs::write(&path, &bytes).expect("the file can be written");
        let world = world.env("PITON_STORE__URL", &format!("sqlite://{}", path.display()));
        let said = refused(&world).await;
        assert!(said.contains(name), "it names the file: {said}");
        assert_eq!(fs::read(&path).expect("the file"), bytes, "{name} was changed");
    }
}

#[tokio::test]
async fn a_locked_database_is_named_and_loses_nothing() {
    let (world, id) = with_a_run(World::new(PITON)).await;
    let file =
        File::options().read(true).write(true).open(world.path("data/piton.db")).expect("the database");
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it open");
    let said = refused(&world).await;
    assert!(said.contains("piton.db") && said.contains("lock"), "{said}");
    drop(file);
    finds(world, &id).await;
}

#[tokio::test]
async fn a_read_only_disk_is_named_and_loses_nothing() {
    let world = World::new(PITON);
    let Some(disk) = Tmpfs::mount(&world.path("data"), 64 << 20) else {
        eprintln!("SKIPPED: a_read_only_disk_is_named_and_loses_nothing needs root, to mount a disk");
        return;
    };
    let (world, id) = with_a_run(world).await;
    disk.make_read_only(true);
    let said = refused(&world).await;
    assert!(said.contains("piton.db") && said.to_lowercase().contains("read"), "{said}");
    disk.make_read_only(false);
    finds(world, &id).await;
}

#[tokio::test]
async fn a_full_disk_refuses_launches_and_loses_nothing() {
    let world = World::new(PITON);
    let Some(_disk) = Tmpfs::mount(&world.path("data"), 8 << 20) else {
        eprintln!("SKIPPED: a_full_disk_refuses_launches_and_loses_nothing needs root, to mount a disk");
        return;
    };
    let mut world = world.serve().await;
    let before = world.run_to("what is 2+3?", "complete").await["id"].as_str().expect("an id").to_owned();

    fs::write(world.path("data/filler"), vec![0; 16 << 20]).expect_err("the disk is smaller than that");
    let mut accepted = Vec::new();
    let full = until(deadline(), "a launch is refused for want of room", async || {
        let reply =
            world.post("/v1/runs", &json!({ "task": format!("what is 1+1? {}", "x".repeat(50_000)) })).await;
        if reply.status == 201 {
            accepted.push(reply.json()["id"].as_str().expect("an id").to_owned());
            return None;
        }
        Some(reply)
    });
    let full = full.await.expect("a full disk shows");
    assert_eq!(full.status, 503, "{}", full.text);
    assert!(!full.json()["detail"].is_null(), "{}", full.text);
    assert_eq!(world.run(&before).await["status"], "complete", "what is there can be read");

    fs::remove_file(world.path("data/filler")).expect("the filler is there");
    let launched = until(deadline(), "a launch is accepted again", async || {
        let reply = world.post("/v1/runs", &json!({ "task": "what is 20+22?" })).await;
        (reply.status == 201).then(|| reply.json())
    });
    accepted.push(launched.await.expect("room is noticed")["id"].as_str().expect("an id").to_owned());
    for id in &accepted {
        world.until(id, &["complete"]).await;
    }
    world.restart().await;
    for id in accepted.iter().chain([&before]) {
        assert_eq!(world.run(id).await["status"], "complete", "nothing that was accepted is lost");
    }
}

// --- start -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_port_in_use_is_named() {
    let world = World::new(PITON);
    let _taken = TcpListener::bind(("127.0.0.1", world.port())).expect("the port is ours");
    let said = refused(&world).await;
    assert!(said.contains(&world.port().to_string()), "{said}");
}

#[tokio::test]
async fn a_bad_configuration_names_file_and_key() {
    let cases = [
        ("[server]\nlisen = \"127.0.0.1:3000\"\n", vec!["piton.toml", "lisen"]),
        ("[sever]\nlisten = \"127.0.0.1:3000\"\n", vec!["piton.toml", "sever"]),
        ("[worker]\nconcurrency = \"many\"\n", vec!["piton.toml", "concurrency"]),
        ("[worker]\nconcurrency = 0\n", vec!["concurrency"]),
        ("[worker\n", vec!["piton.toml"]),
    ];
    for (content, words) in cases {
        let said = refused(&World::new(PITON).file("config/piton.toml", content)).await;
        assert!(words.iter().all(|word| said.contains(word)), "{content:?}: not all of {words:?} in {said}");
    }
    let cases = [
        ("PITON_SERVER__LISTEN", "nonsense", "listen"),
        ("PITON_WORKER__LEASE_MS", "soon", "lease_ms"),
        ("PITON_WORKER__NO_SUCH_KEY", "1", "no_such_key"),
        ("PITON_MODEL__API", "telepathy", "api"),
    ];
    for (name, value, key) in cases {
        let said = refused(&World::new(PITON).env(name, value)).await.to_lowercase();
        assert!(said.contains(key), "{name}={value}: {said}");
        assert!(said.contains(&name.to_lowercase()), "it names the variable {name}: {said}");
    }
    let world = World::new(PITON).env("PITON_PORT_3000_TCP", "tcp://10.0.0.1:3000").serve().await;
    assert!(world.logs().contains("PITON_PORT_3000_TCP"), "warned about, not refused: {}", world.logs());
}

#[tokio::test]
async fn a_bad_agent_file_is_named_with_its_line() {
    let good = "name = \"a\"\ndescription = \"d\"\ninstructions = \"i\"\n";
    let cases = [
        (format!("{good}tools = [\"sum_numbers\"\nmax = 3\n"), vec!["broken.toml", "5"]),
        (format!("{good}tools = [\"no_such_tool\"]\n"), vec!["broken.toml", "no_such_tool"]),
        (format!("{good}tools = []\nmax_step = 3\n"), vec!["broken.toml", "max_step"]),
        (format!("{good}tools = \"sum_numbers\"\n"), vec!["broken.toml", "4"]),
        ("description = \"d\"\ninstructions = \"i\"\ntools = []\n".to_owned(), vec!["broken.toml", "name"]),
        (
            "name = \"a\"\ndescription = \"d\"\nprompt = \"prompts/none.md\"\ntools = []\n".to_owned(),
            vec!["broken.toml", "none.md"],
        ),
        (
            format!(
                "{good}tools = []\n[[http_tool]]\nname = \"x\"\ndescription = \"d\"\nmethod = \"POST\"\nurl = \"not a url\"\nparameters = {{ type = \"object\" }}\n"
            ),
            vec!["broken.toml", "url"],
        ),
        (
            format!(
                "{good}tools = []\n[[http_tool]]\nname = \"x\"\ndescription = \"d\"\nmethod = \"POST\"\nurl = \"http://a.example/\"\neffect = \"sometimes\"\nparameters = {{ type = \"object\" }}\n"
            ),
            vec!["broken.toml", "sometimes"],
        ),
    ];
    for (content, words) in &cases {
        let said = refused(&World::new(PITON).agent("broken", content)).await;
        assert!(
            words.iter().all(|word| said.contains(word)),
            "not all of {words:?} in {said}\nfor {content}"
        );
    }
}

#[tokio::test]
async fn a_refused_request_leaves_a_run_as_it_was() {
    let model = ScriptedModel::start().await;
    model.script("ask", [Say::ask("Well?"), Say::answer("ok")]);
    let world = World::new(PITON).model(&model).serve().await;
    let id = world.launch("[ask]").await;
    let before = world.until(&id, &["waiting_human_input"]).await;
    let question = &before["question"]["id"];
    let refused: [(&str, Value); 6] = [
        ("answer", json!({ "question": UNKNOWN, "answer": "x" })),
        ("answer", json!({ "question": question, "answer": 5 })),
        ("answer", json!({ "question": question })),
        ("answer", json!({ "answer": "x" })),
        ("answer", json!({ "question": question, "decision": "did_not_happen" })),
        ("resume", Value::Null),
    ];
    for (verb, body) in refused {
        let reply = world.post(&format!("/v1/runs/{id}/{verb}"), &body).await;
        assert!(is_refusal(&reply), "{verb} {body}: {} {}", reply.status, reply.text);
        assert_eq!(world.run(&id).await, before, "{verb} {body} changed the run");
    }
    world.answer(&before, "fine").await.expect(200);
    world.until(&id, &["complete"]).await;
}
