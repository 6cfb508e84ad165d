//! A random worker or the server is SIGKILLed every 300 ms and started again, while runs with effects go on. Every
//! run ends right; what nobody can know is shown and decided by asking the ledger, as a human would.
//!
//! One seed of 20 s here; `PITON_LONG=1` makes it ten seeds of 500 runs, `PITON_SEED` picks one seed.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use piton_testkit::{Ledger, Reply, ScriptedModel, World, clerk, deadline, until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const KILL_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
struct Figures {
    server_kills: u32,
    worker_kills: u32,
    happened: u32,
    did_not_happen: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_run_ends_right_whoever_is_killed() {
    let long = std::env::var_os("PITON_LONG").is_some();
    let one: Option<u64> = std::env::var("PITON_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds: Vec<u64> =
        one.map_or_else(|| if long { (1..=10).collect() } else { vec![1] }, |seed| vec![seed]);
    let (runs, span) = if long { (500, Duration::from_secs(60)) } else { (150, Duration::from_secs(20)) };
    for seed in seeds {
        storm(seed, runs, span).await;
    }
}

/// Launches `runs` over `span` while somebody kills, then lets calm return and checks everything.
async fn storm(seed: u64, runs: u64, span: Duration) {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.set_latency(Duration::from_millis(25));
    model.forget_bodies();
    let mut world =
        World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 15)).workers(2).serve().await;
    world.start_worker();
    world.workers_ready(3).await;

    let mut rng = StdRng::seed_from_u64(seed);
    let mut figures = Figures::default();
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    let began = Instant::now();
    let mut next_kill = began + KILL_EVERY;
    while began.elapsed() < span || (ids.len() as u64) < runs {
        if Instant::now() >= next_kill && began.elapsed() < span {
            next_kill += KILL_EVERY;
            if rng.random_range(0..4) == 0 {
                world.kill_server();
                world.start_server();
                figures.server_kills += 1;
            } else if world.kill_random_worker(&mut rng).is_some() {
                figures.worker_kills += 1;
            }
        }
        let due = (began.elapsed().as_secs_f64() / span.as_secs_f64() * runs as f64) as u64 + 1;
        for n in ids.len() as u64..due.min(runs) {
            match launch(&world, n).await {
                Some(id) => ids.insert(n, id),
                None => break,
            };
        }
        decide_what_is_unknown(&world, &ledger, &mut figures).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.ready().await;
    let calm = Instant::now();
    let all_over = until(deadline() * 2, "no run is left", async || {
        decide_what_is_unknown(&world, &ledger, &mut figures).await;
        let open =
            world.get("/v1/runs?status=running,undecided,waiting_human_input&limit=1").await.expect(200);
        (open["runs"] == json!([])).then_some(())
    });
    if let Err(error) = all_over.await {
        let open = world.get("/v1/runs?status=running,undecided,waiting_human_input&limit=3").await;
        let (workers, queue) = (world.get("/v1/workers").await, world.get("/v1/queue").await);
        panic!("seed {seed}: {error}: {} {} {}", open.text, workers.text, queue.text);
    }
    let calm = calm.elapsed();

    let mut trouble = Vec::new();
    for (n, id) in &ids {
        trouble.extend(clerk::trouble_with_run(*n, &world.run(id).await));
        let events = world.events(id).await;
        let gap = events.iter().enumerate().find(|(place, event)| event["id"] != place + 1);
        trouble.extend(gap.map(|(place, _)| format!("run {n}: event {} is missing", place + 1)));
    }
    let entries = ledger.entries().await;
    trouble.extend(clerk::trouble_with_ledger(runs, &entries));
    let repeats: u64 = entries.iter().map(|entry| entry.posts - 1).sum();
    eprintln!(
        "seed {seed}: {runs} runs, {figures:?}, {repeats} idempotent repeats, over {calm:?} after the last kill"
    );
    assert!(
        trouble.is_empty(),
        "seed {seed}, {} troubles, such as {:#?}",
        trouble.len(),
        &trouble[..trouble.len().min(5)]
    );
    assert!(figures.server_kills > 0 && figures.worker_kills > 0, "nobody was killed: {figures:?}");
    model.assert_every_request_was_valid();

    // The last of the killed may lie unburied for a moment.
    let mut said = String::new();
    let well = until(deadline(), "doctor finds nothing", async || {
        let doctor = world.cli(&["doctor"]).await;
        said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        doctor.status.success().then_some(())
    });
    let well = well.await;
    assert!(well.is_ok(), "seed {seed}: {said}");
}

/// Launches run `n` under a key of its own; `None` while the server is down. Tried again, it is the same run.
async fn launch(world: &World, n: u64) -> Option<String> {
    let body = json!({ "task": clerk::task(n), "agent": "clerk" });
    let request = world.request(Method::POST, "/v1/runs").header("Idempotency-Key", format!("run-{n}"));
    let reply = world.try_send(request.json(&body)).await.ok()?;
    if reply.status == 503 {
        return None;
    }
    Some(reply.expect(201)["id"].as_str().expect("a run has an id").to_owned())
}

/// Looks each unknown outcome up in the ledger and says what is there.
async fn decide_what_is_unknown(world: &World, ledger: &Ledger, figures: &mut Figures) {
    let Some(inbox) = try_get(world, "/v1/inbox").await else { return };
    for item in inbox.json()["items"].as_array().into_iter().flatten() {
        let question = &item["question"];
        assert_eq!(question["kind"], "unknown_outcome", "nobody asked a question: {item:#}");
        let arguments = arguments_of(&question["call"]);
        let account = arguments["account"].as_str().expect("a booking names its account");
        let line = arguments["line"].as_u64().expect("a booking names its line");
        let booked = ledger.booked(account, line).await;
        let decision = match booked.first() {
            Some(entry) => {
                json!({ "question": question["id"], "decision": "happened", "result": { "entry": entry.entry } })
            }
            None => json!({ "question": question["id"], "decision": "did_not_happen" }),
        };
        let id = item["run_id"].as_str().expect("an item names its run");
        let request = world.request(Method::POST, &format!("/v1/runs/{id}/answer")).json(&decision);
        let Ok(reply) = world.try_send(request).await else { return };
        match (reply.status, booked.is_empty()) {
            (200, false) => figures.happened += 1,
            (200, true) => figures.did_not_happen += 1,
            // Decided already by a request whose reply was lost, or not to be decided yet.
            (409 | 503, _) => {}
            _ => panic!("deciding {decision} gave {} {}", reply.status, reply.text),
        }
    }
}

/// Arguments as an object, whether they are shown as one or as the model's text.
fn arguments_of(call: &Value) -> Value {
    match &call["arguments"] {
        Value::String(text) => serde_json::from_str(text).expect("the arguments are JSON"),
        other => other.clone(),
    }
}

async fn try_get(world: &World, path: &str) -> Option<Reply> {
    world.try_send(world.request(Method::GET, path)).await.ok().filter(|reply| reply.status == 200)
}
