//! Several worker processes on one database: every answer right, every effect exactly once, no step lost or doubled.
//! 60 runs; 500 with `PITON_LONG=1`.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use piton_testkit::{Ledger, ScriptedModel, World, clerk};
use serde_json::json;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

#[tokio::test]
async fn three_workers_book_every_line_exactly_once() {
    let runs: u64 = if std::env::var_os("PITON_LONG").is_some() { 500 } else { 60 };
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.set_latency(std::time::Duration::from_millis(5));
    let mut world =
        World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 2)).workers(2).serve().await;
    world.start_worker();
    world.workers_ready(3).await;

    let ids: Vec<(u64, String)> = stream::iter(0..runs)
        .map(async |n| (n, world.launch_with(&json!({ "task": clerk::task(n), "agent": "clerk" })).await))
        .buffer_unordered(16)
        .collect()
        .await;
    let mut trouble = Vec::new();
    let mut workers = HashSet::new();
    for (n, id) in &ids {
        let run = world.until(id, &["complete"]).await;
        trouble.extend(clerk::trouble_with_run(*n, &run));
        let events = world.events(id).await;
        let mut times: HashMap<String, u32> = HashMap::new();
        for (place, event) in events.iter().enumerate() {
            assert_eq!(event["id"], place + 1, "events are numbered without a gap");
            let what = match event["type"].as_str().expect("a type") {
                "tool_started" | "tool_returned" => format!("{} of {}", event["type"], event["data"]["call"]),
                "model_replied" => format!("turn {}", event["data"]["turn"]),
                _ => continue,
            };
            *times.entry(what).or_default() += 1;
            workers.extend(event["data"]["worker"].as_str().map(str::to_owned));
        }
        trouble.extend(
            times.iter().filter(|(_, times)| **times > 1).map(|doubled| format!("run {n}: {doubled:?}")),
        );
        let (started, returned, turns) = (clerk::LINES / 2, 2 * clerk::LINES, 2 * clerk::LINES + 1);
        if times.len() as u64 != started + returned + turns {
            trouble.push(format!("run {n}: a step is lost: {times:?}"));
        }
    }
    trouble.extend(clerk::trouble_with_ledger(runs, &ledger.entries().await));
    assert!(
        trouble.is_empty(),
        "{} troubles, such as {:#?}",
        trouble.len(),
        &trouble[..trouble.len().min(5)]
    );
    assert!(workers.len() >= 2, "the work was not shared: {workers:?}");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn sixteen_clients_with_one_idempotency_key_launch_one_run() {
    let model = ScriptedModel::start().await;
    model.script("one", [piton_testkit::Say::answer("ok")]);
    let world = World::new(PITON).model(&model).serve().await;
    let launches: Vec<(u16, String)> = stream::iter(0..16)
        .map(async |_| {
            let request =
                world.request(reqwest::Method::POST, "/v1/runs").header("Idempotency-Key", "the-key");
            let reply = world.try_send(request.json(&json!({ "task": "[one]" }))).await?;
            let id = reply.json()["id"].as_str().unwrap_or_default().to_owned();
            Ok::<_, reqwest::Error>((reply.status, id))
        })
        .buffer_unordered(16)
        .try_collect()
        .await
        .expect("every launch is answered");
    let ids: HashSet<&String> = launches.iter().map(|(_, id)| id).collect();
    assert!(launches.iter().all(|(status, _)| *status == 201), "{launches:?}");
    assert_eq!(ids.len(), 1, "{launches:?}");

    let request = world.request(reqwest::Method::POST, "/v1/runs").header("Idempotency-Key", "the-key");
    let other = world.send(request.json(&json!({ "task": "[one] another" }))).await;
    assert_eq!(other.status, 422, "{}", other.text);
    let request = world.request(reqwest::Method::POST, "/v1/runs").header("Idempotency-Key", "the-key");
    let replay = world.send(request.json(&json!({ "task": "[one]" }))).await;
    assert_eq!((replay.status, replay.header("Idempotent-Replayed")), (201, Some("true")));
}

#[tokio::test]
async fn a_worker_for_some_runs_leaves_the_others_to_the_next() {
    let model = ScriptedModel::start().await;
    model.script("n", piton_testkit::Script::by(|_| piton_testkit::Say::answer("ok")));
    let mut world = World::new(PITON).model(&model).workers(0).serve().await;
    let other = world.launch_with(&json!({ "task": "[n] theirs", "tenant": "other" })).await;
    let mine = world.launch_with(&json!({ "task": "[n] ours", "tenant": "acme" })).await;
    world.start_worker_with(&[("PITON_WORKER__ONLY", "tenant=acme")]);
    world.until(&mine, &["complete"]).await;
    // It had its turn before: the other was launched first.
    assert_eq!(world.events(&other).await.len(), 1);
    assert_eq!(world.run(&other).await["attempt"], 0);
    world.start_worker();
    world.until(&other, &["complete"]).await;
}
