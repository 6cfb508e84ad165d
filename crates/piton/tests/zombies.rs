//! A worker that stands still past its lease and then goes on: what it thought it owned is no longer its own.

use std::time::Duration;

use piton_testkit::{Call, Gate, Ledger, Say, ScriptedModel, World, deadline, thaw, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// Only the API, with short leases; workers are started by hand.
async fn world(model: &ScriptedModel, agent: &str) -> World {
    let world = World::new(PITON).model(model).agent("clerk", agent).workers(0);
    world.env("PITON_WORKER__LEASE_MS", "1000").serve().await
}

/// Books once, and once the effect has happened takes `latency_ms` to say so.
fn clerk(ledger: &Ledger, latency_ms: u64) -> String {
    let url = ledger.url(&format!("latency_ms={latency_ms}"));
    let parameters = r#"{ type = "object", properties = { account = { type = "string" } } }"#;
    format!(
        r#"
        name = "clerk"
        description = "Books entries"
        instructions = "Book."
        tools = ["sum_numbers", "ask_human", "final_answer"]
        [[http_tool]]
        name = "book"
        description = "Books one entry"
        method = "POST"
        url = "{url}"
        timeout_ms = 60000
        allow_private = true
        parameters = {parameters}
        "#
    )
}

async fn launch(world: &World, task: &str) -> String {
    world.launch_with(&json!({ "task": task, "agent": "clerk" })).await
}

/// Freezes a worker at a moment when it holds no lock on the database.
async fn freeze_between_writes(world: &World, pid: u32) {
    let caller = world.caller();
    let frozen = until(deadline(), "the worker is frozen between two writes", async || {
        piton_testkit::freeze_between_writes(pid, &caller).await.then_some(())
    });
    frozen.await.expect("it is not always writing");
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

#[tokio::test]
async fn a_thawed_worker_finds_itself_fenced() {
    let (model, ledger, gate) = (ScriptedModel::start().await, Ledger::spawn(), Gate::new());
    let calls = vec![Call::new("sum_numbers", &json!({ "a": 1, "b": 2 }))];
    model.script("slow", [Say::calls(calls), Say::answer("done").held_by(&gate)]);
    let mut world = world(&model, &clerk(&ledger, 0)).await;
    let first = world.start_worker();
    let id = launch(&world, "[slow]").await;
    gate.reached(1).await;
    freeze_between_writes(&world, first).await;
    world.start_worker();
    gate.reached(2).await;
    gate.open();
    let run = world.until(&id, &["complete"]).await;
    let events = world.events(&id).await;
    thaw(first);

    // The zombie gets its reply now. It may work again, on other runs, as another incarnation or the same.
    let other = launch(&world, "[slow]").await;
    world.until(&other, &["complete"]).await;
    assert_eq!(world.events(&id).await, events, "a finished run is not touched");
    assert_eq!(world.run(&id).await, run);
    assert_eq!(count(&events, "model_replied"), 2);
    assert_eq!(count(&events, "completed"), 1);
    world.workers_ready(2).await;
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_call_that_a_frozen_worker_began_is_put_to_a_human_and_never_made_again() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let mut world = world(&model, &clerk(&ledger, 3000)).await;
    let first = world.start_worker();
    let id = launch(&world, "[book]").await;
    let booked = until(deadline(), "the effect", async || {
        let booked = ledger.booked("a", 0).await;
        (!booked.is_empty()).then_some(booked)
    });
    booked.await.expect("the ledger books");
    freeze_between_writes(&world, first).await;
    world.start_worker();
    let run = world.until(&id, &["undecided"]).await;
    assert_eq!(run["question"]["kind"], "unknown_outcome", "{run:#}");
    assert_eq!(run["question"]["call"]["name"], "book", "{run:#}");
    assert!(run["question"]["started"]["worker"].is_string(), "it says who began it: {run:#}");
    let inbox = world.get("/v1/inbox").await.expect(200);
    assert_eq!(inbox["items"][0]["run_id"], json!(id), "it lies in the inbox: {inbox:#}");

    thaw(first);
    let decision =
        json!({ "question": run["question"]["id"], "decision": "happened", "result": { "entry": 1 } });
    let decided = world.post(&format!("/v1/runs/{id}/answer"), &decision).await;
    // The thawed worker may have told its result first: then there is nothing left to decide.
    assert!(matches!(decided.status, 200 | 409), "{} {}", decided.status, decided.text);
    let run = world.until(&id, &["complete"]).await;
    assert_eq!(run["final_answer"], "booked");
    assert_eq!(ledger.entries().await.len(), 1, "the effect happened once");
    let events = world.events(&id).await;
    assert_eq!(count(&events, "tool_started"), 1);
    assert!(count(&events, "tool_returned") <= 1);
}

#[tokio::test]
async fn a_call_that_did_not_happen_is_made_again_with_the_same_key() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let mut world = world(&model, &clerk(&ledger, 60_000)).await;
    world.start_worker();
    let id = launch(&world, "[book]").await;
    let booked = until(deadline(), "the effect", async || {
        let booked = ledger.booked("a", 0).await;
        (!booked.is_empty()).then_some(booked)
    });
    booked.await.expect("the ledger books");
    let mut rng = rand::rng();
    world.kill_random_worker(&mut rng).expect("a worker runs");
    let run = world.until(&id, &["undecided"]).await;
    // The human is wrong here, and the ledger sees it: the same key, so an idempotent one would book once.
    let decision = json!({ "question": run["question"]["id"], "decision": "did_not_happen" });
    world.post(&format!("/v1/runs/{id}/answer"), &decision).await.expect(200);
    let again = until(deadline(), "the call is made again", async || {
        let booked = ledger.booked("a", 0).await;
        (booked.len() == 2).then_some(booked)
    });
    let booked = again.await.expect("it is made again once a human said so");
    assert_eq!(booked[0].key, booked[1].key);
    assert!(!booked[0].key.is_empty());
}

#[tokio::test]
async fn a_cancel_waits_for_the_result_of_a_call_that_has_begun() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let mut world = world(&model, &clerk(&ledger, 1000)).await;
    world.start_worker();
    let id = launch(&world, "[book]").await;
    let booked =
        until(deadline(), "the effect", async || (!ledger.booked("a", 0).await.is_empty()).then_some(()));
    booked.await.expect("the ledger books");
    let cancelled = world.poke(&format!("/v1/runs/{id}/cancel")).await.expect(200);
    assert_eq!(cancelled["status"], "cancelling", "its result is still open");
    let run = world.until(&id, &["cancelled"]).await;
    assert_eq!(run["pending"], json!([]), "the result is recorded: {run:#}");
    assert_eq!(count(&world.events(&id).await, "tool_returned"), 1, "what a tool did is always recorded");
    assert_eq!(ledger.entries().await.len(), 1);
}

#[tokio::test]
async fn a_tool_past_its_time_limit_is_an_unknown_outcome() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let agent = clerk(&ledger, 60_000).replace("timeout_ms = 60000", "timeout_ms = 300");
    let mut world = world(&model, &agent).await;
    world.start_worker();
    let id = launch(&world, "[book]").await;
    let began = std::time::Instant::now();
    let run = world.until(&id, &["undecided"]).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(run["question"]["kind"], "unknown_outcome", "{run:#}");
    let decision = json!({ "question": run["question"]["id"], "decision": "abort" });
    world.post(&format!("/v1/runs/{id}/answer"), &decision).await.expect(200);
    world.until(&id, &["cancelled"]).await;
    assert_eq!(ledger.entries().await.len(), 1);
}
