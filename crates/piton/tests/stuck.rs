//! Runs that go round in circles, against the real binary: a human is asked in the model's place, over either wire, and
//! the model is given the answer.

use piton_testkit::{Call, Say, Script, ScriptedModel, World};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

fn divide(by: usize) -> Say {
    Say::call("divide_numbers", json!({ "a": by, "b": 0 }))
}

/// `times` replies with a call that fails, then whatever the human's answer was as the final one.
fn failing(times: usize) -> Script {
    Script::by(move |turn| match turn.outputs.last() {
        Some(output) if output["answer"].is_string() => {
            Say::answer(output["answer"].as_str().unwrap_or_default())
        }
        _ if turn.done < times => divide(turn.done + 1),
        _ => Say::answer("I found my own way"),
    })
}

/// The same sum for ever, until a human says something.
fn repeating() -> Script {
    Script::by(|turn| match turn.outputs.last() {
        Some(output) if output["answer"].is_string() => {
            Say::answer(output["answer"].as_str().unwrap_or_default())
        }
        // The order of the members and a point do not make another call of it.
        _ if turn.done % 2 == 0 => Say::call("sum_numbers", json!({ "a": 1, "b": 2 })),
        _ => Say::call("sum_numbers", json!({ "b": 2.0, "a": 1 })),
    })
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

/// The last item of a state's context.
fn last(state: &Value) -> &Value {
    state["context"].as_array().and_then(|items| items.last()).expect("a context")
}

#[tokio::test]
async fn the_fourth_error_in_a_row_asks_over_the_new_wire_and_the_model_gets_the_answer() {
    let model = ScriptedModel::start().await;
    model.script("zero", failing(99));
    let world = World::new(PITON).model(&model).serve().await;

    let waiting = world.run_to("[zero] divide", "waiting_human_input").await;
    let question = &waiting["question"];
    assert_eq!((&question["kind"], &question["stuck"]), (&json!("question"), &json!("tool_errors")));
    assert_eq!(
        question["text"].as_str().expect("a text").lines().collect::<Vec<_>>(),
        [
            "This run seems to be stuck: tool calls failed 4 times in a row. The last one was divide_numbers with the \
             arguments {\"a\":4,\"b\":0}.",
            "Its error: Division by zero",
            "What should be done differently? Piton asks this, not the model. The model is given your answer and goes \
             on from there; to end the run instead, cancel it.",
        ]
    );
    assert_eq!(waiting["steps"], 5, "four replies and a question, not the whole limit");
    let inbox = world.get("/v1/inbox").await.expect(200);
    assert_eq!(inbox["items"][0]["question"], *question);

    let id = waiting["id"].as_str().expect("an id");
    world.answer(&waiting, "Say that it cannot be done").await.expect(200);
    let complete = world.until(id, &["complete"]).await;
    assert_eq!(complete["final_answer"], "Say that it cannot be done");
    let events = world.events(id).await;
    let asked = kinds(&events).iter().position(|kind| *kind == "stuck").expect("it asked");
    assert_eq!(
        &kinds(&events)[asked - 1..asked + 3],
        ["tool_failed", "stuck", "human_asked", "human_answered"]
    );
    assert_eq!(model.seen("zero").len(), 5, "the model was not asked in vain");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn the_same_call_with_the_same_result_asks_over_the_original_wire() {
    let model = ScriptedModel::start().await;
    model.script("round", repeating());
    let world = World::new(PITON).model(&model).serve().await;

    let id = world.wire_launch("[round] add").await["id"].as_str().expect("an id").to_owned();
    let state = world.wire_until(&id, "waiting_human_input").await;
    assert_eq!((&state["steps"], &state["pending_tool_calls"]), (&json!(5), &json!([])));
    assert_eq!(
        (&last(&state)["type"], &last(&state)["name"]),
        (&json!("function_call"), &json!("ask_human"))
    );
    let call_id = last(&state)["call_id"].as_str().expect("an id");
    let arguments: Value =
        serde_json::from_str(last(&state)["arguments"].as_str().expect("a text")).expect("JSON");
    let question = arguments["question"].as_str().expect("a question");
    assert!(
        question.starts_with(
            "This run seems to be stuck: the same tool call came 4 times in a row, to the same end each time. It was \
             sum_numbers with the arguments"
        ) && question.contains("Its result: 3"),
        "{question}"
    );
    let refused = world.post("/agent/resume", &json!({ "id": id })).await.expect(400);
    assert_eq!(refused["detail"], "Agent is waiting for human input");

    let answered =
        world.post("/agent/provide_input", &json!({ "id": id, "answer": "Three", "call_id": call_id })).await;
    let expected =
        json!({ "type": "function_call_output", "call_id": call_id, "output": "{\"answer\":\"Three\"}" });
    assert_eq!(*last(&answered.expect(200)), expected);
    assert_eq!(world.wire_until(&id, "complete").await["final_answer"], "Three");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn each_reason_is_answered_over_the_other_wire_too() {
    let model = ScriptedModel::start().await;
    model.script("zero", failing(99));
    model.script("round", repeating());
    let world = World::new(PITON).model(&model).serve().await;

    let id = world.wire_launch("[zero] divide").await["id"].as_str().expect("an id").to_owned();
    world.wire_until(&id, "waiting_human_input").await;
    world.post("/agent/provide_input", &json!({ "id": id, "answer": "Give up" })).await.expect(200);
    assert_eq!(world.wire_until(&id, "complete").await["final_answer"], "Give up");

    let waiting = world.run_to("[round] add", "waiting_human_input").await;
    assert_eq!(waiting["question"]["stuck"], "repeated_call");
    world.answer(&waiting, "Three").await.expect(200);
    let complete = world.until(waiting["id"].as_str().expect("an id"), &["complete"]).await;
    assert_eq!(complete["final_answer"], "Three");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn three_errors_in_a_row_are_the_models_to_recover_from() {
    let model = ScriptedModel::start().await;
    model.script("three", failing(3));
    // However many calls one reply asks for: the model did not see yet that the first of them failed.
    let six: Vec<Call> = (1..=6).map(|a| Call::new("divide_numbers", &json!({ "a": a, "b": 0 }))).collect();
    model.script("six", [Say::calls(six), Say::answer("I found my own way")]);
    let world = World::new(PITON).model(&model).serve().await;
    for task in ["[three] divide", "[six] divide"] {
        let run = world.run_to(task, "complete").await;
        assert_eq!(run["final_answer"], "I found my own way");
        let events = world.events(run["id"].as_str().expect("an id")).await;
        assert!(!kinds(&events).contains(&"stuck"));
    }
    model.assert_every_request_was_valid();
}

const HASTY: &str = r#"
name = "hasty"
instructions = "Be quick."
max_steps = 20
tools = ["sum_numbers", "divide_numbers", "final_answer"]
limits = { tool_errors = 2, repeated_calls = 0, events = 100 }
"#;

#[tokio::test]
async fn an_agents_own_limits_hold_also_where_it_has_no_ask_human() {
    let model = ScriptedModel::start().await;
    model.script("zero", failing(99));
    let world = World::new(PITON).model(&model).agent("hasty", HASTY).serve().await;
    let shown = world.get("/v1/agents/hasty").await.expect(200);
    assert_eq!(shown["limits"], json!({ "tool_errors": 2, "repeated_calls": 0, "events": 100 }));

    let id = world.launch_with(&json!({ "task": "[zero] divide", "agent": "hasty" })).await;
    let waiting = world.until(&id, &["waiting_human_input"]).await;
    assert_eq!((&waiting["steps"], &waiting["limits"]), (&json!(3), &shown["limits"]));
    world.answer(&waiting, "Enough").await.expect(200);
    assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "Enough");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_run_with_all_its_events_fails_says_so_and_is_not_resumed() {
    let model = ScriptedModel::start().await;
    model.script("round", repeating());
    let world = World::new(PITON).model(&model).agent("hasty", HASTY).serve().await;
    let id = world.launch_with(&json!({ "task": "[round] for ever", "agent": "hasty" })).await;
    // Each step of this run is two events, and it is granted more steps as often as it wants them.
    let over = loop {
        let run = world.until(&id, &["failed", "max_steps_reached"]).await;
        if run["status"] == "failed" {
            break run;
        }
        world.poke(&format!("/v1/runs/{id}/resume")).await.expect(200);
    };
    let error = over["error"].as_str().expect("an error");
    assert!(error.contains("may have 100: it ends here") && error.contains("limits.events"), "{error}");
    assert_eq!(over["version"], 101);

    let refused = world.poke(&format!("/v1/runs/{id}/resume")).await;
    assert_eq!(refused.expect(409)["type"], "urn:piton:problem:events-used-up");
    world.post("/agent/resume", &json!({ "id": id })).await.expect(400);
    assert_eq!(world.run(&id).await["version"], 101, "a refusal is no event");
    world.poke(&format!("/v1/runs/{id}/cancel")).await.expect(200);
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_run_that_waits_when_its_worker_and_server_are_killed_still_waits() {
    let model = ScriptedModel::start().await;
    model.script("zero", failing(99));
    let mut world = World::new(PITON).model(&model).serve().await;
    let waiting = world.run_to("[zero] divide", "waiting_human_input").await;
    world.restart().await;
    let id = waiting["id"].as_str().expect("an id");
    assert_eq!(world.run(id).await["question"], waiting["question"]);
    world.answer(&waiting, "Give up").await.expect(200);
    assert_eq!(world.until(id, &["complete"]).await["final_answer"], "Give up");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn the_practice_model_goes_on_after_a_question_that_it_did_not_put() {
    let agent = HASTY.replace("tool_errors = 2", "tool_errors = 1");
    let world = World::new(PITON).agent("hasty", &agent).serve().await;
    let id = world.launch_with(&json!({ "task": "What is 5 / 0?", "agent": "hasty" })).await;
    let waiting = world.until(&id, &["waiting_human_input"]).await;
    assert_eq!(waiting["question"]["stuck"], "tool_errors");
    world.answer(&waiting, "Never mind").await.expect(200);
    let answer = world.until(&id, &["complete"]).await["final_answer"].clone();
    assert!(answer.as_str().is_some_and(|answer| answer.contains("division by zero")), "{answer}");
}
