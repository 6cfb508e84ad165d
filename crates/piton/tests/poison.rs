//! Tools that take their worker down: the API stays up, the others go on, and the run that does it is not let loose
//! for ever.
#![expect(clippy::print_stderr, reason = "who skips a test says so")]

use std::collections::BTreeSet;

use piton_testkit::{Call, Gate, MemoryLimit, Say, ScriptedModel, World, deadline, kill, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

const TESTER: &str = r#"
    name = "tester"
    description = "Does harm on purpose"
    instructions = "Do it."
    tools = ["abort", "panic", "sleep", "block", "exhaust", "sum_numbers", "final_answer"]
"#;

async fn world(model: &ScriptedModel) -> World {
    let world = World::new(PITON).model(model).agent("tester", TESTER).env("PITON_TEST__TOOLS", "true");
    world.workers(2).serve().await
}

async fn launch(world: &World, task: &str) -> String {
    world.launch_with(&json!({ "task": task, "agent": "tester" })).await
}

#[tokio::test]
async fn test_tools_are_there_only_when_asked_for_and_said_aloud() {
    let world = World::new(PITON).agent("tester", TESTER);
    let refused = world.cli(&["serve"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("abort"), "without them the agent is refused: {said}");

    let model = ScriptedModel::start().await;
    let world = self::world(&model).await;
    let ready = world.get("/readyz").await.expect(200);
    assert_eq!(ready["test_tools"], true, "{ready:#}");
    assert!(world.logs().contains("PITON_TEST__TOOLS"), "the log says so: {}", world.logs());
}

#[tokio::test]
async fn a_tool_that_panics_is_an_error_that_the_model_sees() {
    let model = ScriptedModel::start().await;
    let calls = vec![Call::new("panic", &json!({})), Call::new("sum_numbers", &json!({ "a": 1, "b": 1 }))];
    model.script("panic", [Say::calls(calls), Say::answer("ok")]);
    let world = world(&model).await;
    world.workers_ready(2).await;
    let before = world.worker_pids();
    let id = launch(&world, "[panic]").await;
    world.until(&id, &["complete"]).await;
    let outputs = model.seen("panic").last().expect("a request").dialogue.outputs();
    assert!(outputs[0]["result"].as_str().is_some_and(|text| text.starts_with("Error: ")), "{outputs:?}");
    assert_eq!(outputs[1]["result"].as_f64(), Some(2.0));
    assert_eq!(world.worker_pids(), before, "the worker lives");
}

/// A run that aborts its worker whenever it is taken up.
async fn launch_poison(model: &ScriptedModel, world: &World) -> String {
    model.script("abort", [Say::call("abort", json!({})), Say::answer("never")]);
    launch(world, "[abort]").await
}

#[tokio::test]
async fn a_run_that_takes_workers_down_leaves_the_api_and_other_runs_alone() {
    let model = ScriptedModel::start().await;
    let sum = || Say::call("sum_numbers", json!({ "a": 1, "b": 1 }));
    model.script("good", [sum(), sum(), sum(), Say::answer("ok")]);
    let world = world(&model).await;
    let poison = launch_poison(&model, &world).await;
    let mut good = Vec::new();
    let killed_thrice = until(deadline(), "the run has taken three workers down", async || {
        good.push(launch(&world, "[good]").await);
        assert_eq!(world.get("/healthz").await.status, 200, "the API stays up");
        let run = world.run(&poison).await;
        (run["attempt"].as_u64() >= Some(3) || run["status"] == "quarantined").then_some(())
    });
    killed_thrice.await.expect("it does harm");
    for id in &good {
        assert_eq!(world.until(id, &["complete"]).await["final_answer"], "ok", "a bystander goes on");
    }
    world.poke(&format!("/v1/runs/{poison}/cancel")).await.expect(200);
    world.until(&poison, &["cancelled"]).await;
}

#[tokio::test]
async fn the_third_worker_that_a_run_takes_down_is_the_last() {
    let model = ScriptedModel::start().await;
    let world = world(&model).await;
    let poison = launch_poison(&model, &world).await;
    let run = world.until(&poison, &["quarantined"]).await;
    assert!(run["error"].as_str().is_some_and(|error| !error.is_empty()), "{run:#}");
    let state = world.wire_state(&poison).await;
    assert_eq!(state["status"], "failed", "the original wire has no word for it");
    let resume = world.post("/agent/resume", &json!({ "id": poison })).await;
    assert_eq!(
        (resume.status, resume.detail().contains("Cannot resume agent")),
        (400, true),
        "{}",
        resume.text
    );

    world.poke(&format!("/v1/runs/{poison}/release")).await.expect(200);
    let again = until(deadline(), "it is quarantined again", async || {
        let run = world.run(&poison).await;
        (run["status"] == "quarantined").then_some(())
    });
    again.await.expect("its call is still abort: released, it is as bad as before");
}

#[tokio::test]
async fn kills_from_outside_are_no_evidence_against_a_run() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("unlucky", [Say::answer("at last").held_by(&gate)]);
    let world = world(&model).await;
    let id = launch(&world, "[unlucky]").await;
    for kills in 1..=5 {
        gate.reached(kills).await;
        for worker in world.worker_pids() {
            kill(worker);
        }
    }
    gate.open();
    assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "at last");
}

/// The attempts at a run that took a worker down, and those that merely ended with one.
async fn lost_attempts(world: &World, id: &str) -> (usize, usize) {
    let lost = world.get(&format!("/v1/runs/{id}/lost-attempts")).await.expect(200);
    let lost = lost["lost_attempts"].as_array().expect("a list");
    let blamed = lost.iter().filter(|lost| lost["blamed"] == true).count();
    (blamed, lost.len() - blamed)
}

#[tokio::test]
async fn among_a_hundred_runs_in_flight_in_one_worker_only_the_poisonous_one_is_blamed() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    let sum = || Say::call("sum_numbers", json!({ "a": 1, "b": 1 }));
    model.script("good", [sum(), sum().held_by(&gate), sum(), Say::answer("ok")]);
    model.script("poison", [sum(), Say::call("abort", json!({})).held_by(&gate), Say::answer("never")]);
    let world = World::new(PITON).model(&model).agent("tester", TESTER).env("PITON_TEST__TOOLS", "true");
    let world = world.env("PITON_WORKER__CONCURRENCY", "128").workers(1).serve().await;
    let mut good = Vec::new();
    for _ in 0..50 {
        good.push(launch(&world, "[good]").await);
    }
    let poison = launch(&world, "[poison]").await;
    for _ in 50..100 {
        good.push(launch(&world, "[good]").await);
    }
    gate.reached(101).await;
    let workers = world.get("/v1/workers").await.expect(200);
    assert_eq!(workers["workers"][0]["runs"], 101, "all are in flight in one worker: {workers:#}");
    gate.open();

    let run = world.until(&poison, &["quarantined"]).await;
    let reason = run["error"].as_str().expect("a reason");
    assert!(reason.contains("3 times in a row") && reason.contains("SIGABRT"), "{reason}");
    assert_eq!(lost_attempts(&world, &poison).await, (3, 0), "quarantined after its third attempt");
    for id in &good {
        assert_eq!(world.until(id, &["complete"]).await["final_answer"], "ok");
        assert_eq!(lost_attempts(&world, id).await.0, 0, "none of the others is blamed");
    }
    let quarantined = world.get("/v1/runs?status=quarantined&limit=200").await.expect(200);
    assert_eq!(quarantined["runs"].as_array().map(Vec::len), Some(1));
}

/// Runs a poison beside a good run until it is quarantined, and returns the reason.
async fn quarantined(world: &World, model: &ScriptedModel, harm: (&str, Value)) -> String {
    model.script("harm", [Say::call(harm.0, harm.1), Say::answer("never")]);
    let poison = launch(world, "[harm]").await;
    let run = world.until(&poison, &["quarantined"]).await;
    assert_eq!(lost_attempts(world, &poison).await.0, 3);
    model.script("good", [Say::call("sum_numbers", json!({ "a": 1, "b": 1 })), Say::answer("ok")]);
    let good = launch(world, "[good]").await;
    assert_eq!(world.until(&good, &["complete"]).await["final_answer"], "ok");
    run["error"].as_str().expect("a reason").to_owned()
}

#[tokio::test]
async fn a_death_on_a_thread_that_no_run_was_seen_on_is_traced_to_its_run_all_the_same() {
    let model = ScriptedModel::start().await;
    let world = world(&model).await;
    let reason = quarantined(&world, &model, ("abort", json!({ "elsewhere": true }))).await;
    assert!(reason.contains("SIGABRT"), "{reason}");
}

#[tokio::test]
async fn a_step_that_blocks_its_thread_past_its_limit_is_poison() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).agent("tester", TESTER).env("PITON_TEST__TOOLS", "true");
    let world = world.env("PITON_WORKER__STEP_TIMEOUT_MS", "1000").workers(1).serve().await;
    let reason = quarantined(&world, &model, ("block", json!({ "ms": 60_000 }))).await;
    assert!(reason.contains("3 times in a row"), "{reason}");
}

#[tokio::test]
async fn a_run_that_takes_all_memory_is_poison_though_the_kernel_kills_its_worker_from_outside() {
    let Some(limit) = MemoryLimit::new(400 * 1024 * 1024) else {
        eprintln!("SKIPPED: no control group for memory can be made here (it takes root)");
        return;
    };
    let model = ScriptedModel::start().await;
    let mut world = world(&model).await;
    limit.hold(world.server().pid());
    let old: BTreeSet<u32> = world.worker_pids().into_iter().collect();
    old.iter().copied().for_each(kill);
    let replaced = until(deadline(), "the workers are replaced by limited ones", async || {
        let now = world.worker_pids();
        (now.len() == old.len() && now.iter().all(|pid| !old.contains(pid))).then_some(())
    });
    replaced.await.expect("the server starts others");
    let reason = quarantined(&world, &model, ("exhaust", json!({}))).await;
    assert!(reason.contains("out of memory"), "{reason}");
}
