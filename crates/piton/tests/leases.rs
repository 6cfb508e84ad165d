//! Leases in peace: a step far longer than the lease is renewed and carried out once, and long calls at any concurrency
//! happen once each. Nothing is killed or frozen here, so that every takeover would be a mistake.
//!
//! Leases of two seconds here; with `PITON_LONG=1` the default of ten, with a step of 100 s and calls of 40 s.

use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{Ledger, Say, ScriptedModel, World, clerk, deadline, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const JOBS: u64 = 20;

fn is_long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

/// No shorter: a renewal waits for the disk like any write, and the disk is shared with whoever else is busy here.
fn lease() -> Duration {
    Duration::from_secs(if is_long() { 10 } else { 2 })
}

/// Two workers that could take over from one another.
async fn two_workers(model: &ScriptedModel, agent: &str, concurrency: u32) -> World {
    let world = World::new(PITON).model(model).env("PITON_TEST__TOOLS", "true").agent("clerk", agent);
    let world = world.env("PITON_WORKER__LEASE_MS", &lease().as_millis().to_string());
    let mut world = world.env("PITON_WORKER__CONCURRENCY", &concurrency.to_string()).serve().await;
    world.start_worker();
    world.workers_ready(2).await;
    world
}

/// A clerk whose calls may take their time.
fn patient(ledger: &Ledger, latency: Duration) -> String {
    let latency_ms = u64::try_from(latency.as_millis()).expect("a latency");
    clerk::agent(ledger, latency_ms).replace("timeout_ms = 10000", "timeout_ms = 110000")
}

/// Nobody was taken for dead, and no step was begun twice.
async fn assert_undisturbed(world: &World, id: &str) {
    let run = world.run(id).await;
    for event in world.events(id).await {
        let attempt = &event["data"]["attempt"];
        assert!(attempt.is_null() || *attempt == 1, "{event:#}");
        assert_ne!(event["type"], "outcome_unknown", "{event:#}");
    }
    assert_eq!(run["status"], "complete", "{run:#}");
}

#[tokio::test]
async fn a_step_ten_times_as_long_as_the_lease_is_carried_out_once() {
    let step = lease() * 10;
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    let booking = |line: u64| json!({ "account": "a", "line": line, "amount": 1 });
    model.script("slow model", [Say::answer("done").taking(step)]);
    model.script("slow book", [Say::call("book", booking(1)), Say::answer("done")]);
    model.script("slow post", [Say::call("post", booking(2)), Say::answer("done")]);
    let step_ms = u64::try_from(step.as_millis()).expect("a step");
    model.script("slow tool", [Say::call("sleep", json!({ "ms": step_ms })), Say::answer("done")]);
    let patient = patient(&ledger, step).replace("\"sum_numbers\", ", "\"sum_numbers\", \"sleep\", ");
    let world = two_workers(&model, &patient, 16).await;

    let runs = ["slow model", "slow book", "slow post", "slow tool"].map(async |tag| {
        let began = Instant::now();
        let body = json!({ "task": format!("[{tag}]"), "agent": "clerk" });
        let id = world.launch_with(&body).await;
        let over = until(step + deadline(), format!("{tag} is over"), async || {
            (world.run(&id).await["status"] == "complete").then_some(())
        });
        over.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(began.elapsed() >= step, "{tag} took only {:?}", began.elapsed());
        assert_undisturbed(&world, &id).await;
        model.seen(tag).len()
    });
    assert_eq!(join_all(runs).await, [1, 2, 2, 2], "the model was asked once for each reply");
    let mut booked: Vec<(u64, u64)> =
        ledger.entries().await.iter().map(|entry| (entry.line, entry.posts)).collect();
    booked.sort_unstable();
    assert_eq!(booked, [(1, 1), (2, 1)], "each effect once, by one request");
    let logs = world.logs();
    assert!(!logs.contains("vanished") && !logs.contains("the lease was lost"), "{logs}");
}

#[tokio::test]
async fn twenty_long_calls_are_twenty_effects_at_any_concurrency() {
    let call = lease() * if is_long() { 4 } else { 3 };
    let concurrencies: &[u32] = if is_long() { &[1, 2, 5, 10, 16, 64] } else { &[4, 10, 64] };
    join_all(concurrencies.iter().map(|concurrency| twenty_effects(*concurrency, call))).await;
}

async fn twenty_effects(concurrency: u32, call: Duration) {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    for n in 0..JOBS {
        let booking = json!({ "account": clerk::account(n), "line": 1, "amount": 1 });
        model.script(&n.to_string(), [Say::call("book", booking), Say::answer("done")]);
    }
    let world = two_workers(&model, &patient(&ledger, call), concurrency).await;
    let launches = (0..JOBS)
        .map(async |n| world.launch_with(&json!({ "task": format!("[{n}]"), "agent": "clerk" })).await);
    let ids = join_all(launches).await;
    let turns = JOBS.div_ceil(2 * u64::from(concurrency)) + 1;
    let limit = call * u32::try_from(turns).expect("a few turns") + Duration::from_secs(20);
    let over = until(limit, format!("concurrency {concurrency}: all are over"), async || {
        let open = world.get("/v1/runs?status=running,undecided&limit=200").await.expect(200);
        (open["runs"] == Value::Array(Vec::new())).then_some(())
    });
    over.await.unwrap_or_else(|error| panic!("{error}"));
    for id in &ids {
        assert_undisturbed(&world, id).await;
    }
    let entries = ledger.entries().await;
    let mut accounts: Vec<&str> = entries.iter().map(|entry| entry.account.as_str()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    assert_eq!((entries.len(), accounts.len()), (20, 20), "concurrency {concurrency}: {entries:?}");
}
