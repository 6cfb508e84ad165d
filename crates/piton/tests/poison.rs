//! Tools that take their worker down: the API stays up, the others go on, and the run that does it is not let loose
//! for ever.

use piton_testkit::{Call, Gate, Say, ScriptedModel, World, deadline, kill, until};
use serde_json::json;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

const TESTER: &str = r#"
    name = "tester"
    description = "Does harm on purpose"
    instructions = "Do it."
    tools = ["abort", "panic", "sleep", "sum_numbers", "final_answer"]
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
