//! No generation of workers outlives its server; a dead worker is replaced; a stop hands back what it holds.

use std::time::Duration;

use piton_testkit::{Gate, Say, ScriptedModel, World, deadline, is_alive, kill, until};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

async fn gone(pids: &[u32], within: Duration) -> Result<(), String> {
    until(within, format!("{pids:?} are gone"), async || pids.iter().all(|pid| !is_alive(*pid)).then_some(()))
        .await
}

#[tokio::test]
async fn a_killed_server_leaves_no_worker_behind() {
    let mut world = World::new(PITON).workers(3).serve().await;
    world.workers_ready(3).await;
    let workers = world.worker_pids();
    assert_eq!(workers.len(), 3);
    world.kill_server();
    gone(&workers, Duration::from_secs(2)).await.expect("children notice that their server is gone");
}

#[tokio::test]
async fn a_killed_server_leaves_no_worker_behind_that_is_in_a_model_call() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let mut world = World::new(PITON).model(&model).workers(2).serve().await;
    world.workers_ready(2).await;
    let id = world.launch("[slow]").await;
    gate.reached(1).await;
    let workers = world.worker_pids();
    world.kill_server();
    gone(&workers, Duration::from_secs(2)).await.expect("a call does not keep a worker");
    world.restart().await;
    gate.open();
    world.until(&id, &["complete"]).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_run_goes_on() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let world = World::new(PITON).model(&model).workers(1).serve().await;
    world.workers_ready(1).await;
    for _ in 0..3 {
        let id = world.launch("[slow]").await;
        let before = world.worker_pids();
        kill(before[0]);
        let replaced = until(deadline(), "another worker runs", async || {
            let now = world.worker_pids();
            (now.len() == 1 && now != before).then_some(())
        });
        replaced.await.expect("a dead worker is replaced");
        gate.open();
        world.until(&id, &["complete"]).await;
    }
}

#[tokio::test]
async fn a_stop_is_graceful_and_hands_back() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let mut world =
        World::new(PITON).model(&model).workers(2).env("PITON_WORKER__SHUTDOWN_MS", "1000").serve().await;
    let id = world.launch("[slow]").await;
    gate.reached(1).await;
    let workers = world.worker_pids();
    let (code, took) = world.stop().await;
    assert_eq!(code, Some(0), "{}", world.logs());
    assert!(took < Duration::from_secs(5), "the stop took {took:?}");
    gone(&workers, Duration::from_secs(1)).await.expect("the workers stopped with their server");

    gate.open();
    world.restart().await;
    world.until(&id, &["complete"]).await;
    let events = world.events(&id).await;
    let replied = events.iter().find(|event| event["type"] == "model_replied").expect("a reply");
    assert_eq!(replied["data"]["attempt"], 1, "a step handed back is no attempt");
}

#[tokio::test]
async fn a_stopped_worker_hands_its_run_to_another_at_once() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    // With a lease far longer than the test: nothing here waits for one to lapse.
    let mut world = World::new(PITON)
        .model(&model)
        .workers(0)
        .env("PITON_WORKER__LEASE_MS", "600000")
        .env("PITON_WORKER__SHUTDOWN_MS", "1000")
        .serve()
        .await;
    let first = world.start_worker();
    let id = world.launch("[slow]").await;
    gate.reached(1).await;
    world.start_worker();
    world.workers_ready(2).await;
    piton_testkit::terminate(first);
    gone(&[first], Duration::from_secs(15)).await.expect("a worker stops");
    gate.open();
    world.until(&id, &["complete"]).await;
}

#[tokio::test]
async fn a_killed_workers_run_is_taken_over_before_its_lease_lapses() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let mut world =
        World::new(PITON).model(&model).workers(0).env("PITON_WORKER__LEASE_MS", "600000").serve().await;
    let first = world.start_worker();
    let id = world.launch("[slow]").await;
    gate.reached(1).await;
    world.start_worker();
    world.workers_ready(2).await;
    kill(first);
    gate.open();
    world.until(&id, &["complete"]).await;
}
