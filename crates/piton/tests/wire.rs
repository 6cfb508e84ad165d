//! Every line of the original wire, against the real binary. The clients of the original server see what they saw.

use piton_testkit::{Call, Gate, Ledger, Say, Script, ScriptedModel, World};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

async fn world(model: &ScriptedModel) -> World {
    World::new(PITON).model(model).serve().await
}

fn id(state: &Value) -> &str {
    state["id"].as_str().expect("a state has an id")
}

fn context(state: &Value) -> &[Value] {
    state["context"].as_array().expect("a state has a context")
}

/// The outputs in a context, parsed.
fn outputs(state: &Value) -> Vec<Value> {
    let outputs = context(state).iter().filter(|item| item["type"] == "function_call_output");
    outputs.map(|item| parsed(&item["output"])).collect()
}

/// JSON that comes as a text.
fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().expect("a text")).expect("JSON in a text")
}

fn sum(a: i64, b: i64) -> Say {
    Say::call("sum_numbers", json!({ "a": a, "b": b }))
}

/// Launches a task and returns its state once it is complete.
async fn completed(world: &World, task: &str) -> Value {
    let launched = world.wire_launch(task).await;
    world.wire_until(id(&launched), "complete").await
}

#[tokio::test]
async fn a_launch_returns_the_initial_state() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let world = world(&model).await;

    let state = world.wire_launch("[slow] hello").await;
    let mut expected = json!({
        "steps": 0, "status": "running", "context": [{ "role": "user", "content": "[slow] hello" }],
        "pending_tool_calls": [], "error": null, "final_answer": null,
    });
    expected["id"] = state["id"].clone();
    assert_eq!(state, expected, "exactly these members");
    assert_eq!(id(&state).len(), 36, "a UUID");

    gate.reached(1).await;
    assert_eq!(world.wire_state(id(&state)).await, state, "the model has not replied yet");
    gate.open();
    world.wire_until(id(&state), "complete").await;
}

#[tokio::test]
async fn two_tool_turns_and_a_final_answer_are_four_steps() {
    let model = ScriptedModel::start().await;
    let product = Say::call("multiply_numbers", json!({ "a": 5, "b": 4 }));
    model.script("two", [sum(2, 3), product, Say::answer("20")]);
    let world = world(&model).await;

    let state = completed(&world, "[two] (2+3)*4?").await;
    assert_eq!(state["steps"], 4);
    assert_eq!(state["final_answer"], "20");
    assert_eq!(state["error"], Value::Null);
    assert_eq!(state["pending_tool_calls"], json!([]));

    let items = context(&state);
    assert_eq!(items.len(), 6, "{state:#}");
    assert_eq!(items[0], json!({ "role": "user", "content": "[two] (2+3)*4?" }));
    for (place, name) in [(1, "sum_numbers"), (3, "multiply_numbers"), (5, "final_answer")] {
        let item = items[place].as_object().expect("an item");
        let mut members: Vec<&str> = item.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["arguments", "call_id", "name", "type"]);
        assert_eq!((&item["type"], &item["name"]), (&json!("function_call"), &json!(name)));
    }
    assert_eq!(parsed(&items[1]["arguments"]), json!({ "a": 2, "b": 3 }));
    for (call, output, result) in [(1, 2, 5.0), (3, 4, 20.0)] {
        let item = items[output].as_object().expect("an item");
        let mut members: Vec<&str> = item.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["call_id", "output", "type"]);
        assert_eq!(item["type"], "function_call_output");
        assert_eq!(item["call_id"], items[call]["call_id"], "an output follows its call");
        assert_eq!(parsed(&item["output"])["result"].as_f64(), Some(result), "5 and 5.0 are the same number");
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn the_math_tools_calculate_and_their_errors_are_outputs() {
    let model = ScriptedModel::start().await;
    let cases = [
        ("sum_numbers", json!({ "a": 2, "b": 3.5 }), json!(5.5)),
        ("subtract_numbers", json!({ "a": 2.0, "b": 5 }), json!(-3)),
        ("multiply_numbers", json!({ "a": 1.5, "b": 4 }), json!(6)),
        ("divide_numbers", json!({ "a": 1, "b": 8 }), json!(0.125)),
        ("divide_numbers", json!({ "a": 1, "b": 0 }), json!("Error: Division by zero")),
        ("divide_numbers", json!({ "a": 1, "b": 0.0 }), json!("Error: Division by zero")),
        ("power", json!({ "base": 2, "exponent": 10 }), json!(1024)),
        ("power", json!({ "base": 4, "exponent": 0.5 }), json!(2)),
        ("square_root", json!({ "x": 2.25 }), json!(1.5)),
        ("square_root", json!({ "x": -1 }), json!("Error: Square root of negative number")),
    ];
    let calls = cases.iter().map(|(name, arguments, _)| Call::new(name, arguments)).collect();
    model.script("math", [Say::calls(calls), Say::answer("ok")]);
    let world = world(&model).await;

    let state = completed(&world, "[math]").await;
    let outputs = outputs(&state);
    assert_eq!(outputs.len(), cases.len());
    for ((name, arguments, expected), output) in cases.iter().zip(outputs) {
        let same = match (expected.as_f64(), output["result"].as_f64()) {
            (Some(expected), Some(result)) => (expected - result).abs() < 1e-12,
            _ => *expected == output["result"],
        };
        assert!(same, "{name} {arguments} gave {output}, not {expected}");
    }
}

#[tokio::test]
async fn a_result_that_is_no_finite_number_is_an_error() {
    let model = ScriptedModel::start().await;
    let calls = vec![
        Call::new("power", &json!({ "base": 10, "exponent": 1000 })),
        Call::new("multiply_numbers", &json!({ "a": 1e308, "b": 10 })),
        Call::new("power", &json!({ "base": -1, "exponent": 0.5 })),
        Call::new("power", &json!({ "base": 0, "exponent": -1 })),
    ];
    model.script("huge", [Say::calls(calls), Say::answer("ok")]);
    let world = world(&model).await;
    for output in outputs(&completed(&world, "[huge]").await) {
        let text = output["result"].as_str().unwrap_or_default();
        assert!(text.starts_with("Error: "), "{output}");
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn an_unknown_tool_and_bad_arguments_are_errors_that_the_model_sees() {
    let model = ScriptedModel::start().await;
    let calls = vec![
        Call::new("launch_rockets", &json!({})),
        Call::raw("sum_numbers", "{\"a\": 1, \"b\""),
        Call::raw("sum_numbers", "[1, 2]"),
        Call::raw("sum_numbers", ""),
        Call::new("sum_numbers", &json!({ "a": "two", "b": 3 })),
        Call::new("sum_numbers", &json!({ "a": 2 })),
        Call::new("sum_numbers", &json!({ "a": 2, "b": 3, "c": 4 })),
    ];
    model.script("bad", [Say::calls(calls), Say::answer("sorry")]);
    let world = world(&model).await;

    let state = completed(&world, "[bad]").await;
    let outputs = outputs(&state);
    assert_eq!(outputs[0], json!({ "result": "Error: Tool launch_rockets not found" }));
    assert_eq!(outputs.len(), 7);
    for output in &outputs {
        let text = output["result"].as_str().unwrap_or_default();
        assert!(text.starts_with("Error: "), "{output}");
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn the_raw_text_of_bad_arguments_stays_in_the_event_and_pending_shows_an_object() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    let broken = Call::raw("sum_numbers", "{\"a\": 1, \"b\"");
    model.script("raw", [Say::calls(vec![broken]).held_by(&gate), Say::answer("sorry")]);
    let world = world(&model).await;
    let id = id(&world.wire_launch("[raw]").await).to_owned();
    gate.reached(1).await;
    world.post("/agent/pause", &json!({ "id": id })).await.expect(200);
    gate.open();
    let state = pending_while_paused(&world, &id).await;
    assert_eq!(state["pending_tool_calls"][0]["arguments"], json!({}));

    world.post("/agent/resume", &json!({ "id": id })).await.expect(200);
    world.wire_until(&id, "complete").await;
    let events = world.events(&id).await;
    let replied = events.iter().find(|event| event["type"] == "model_replied").expect("a reply");
    assert_eq!(replied["data"]["calls"][0]["arguments"], "{\"a\": 1, \"b\"");
}

/// The state of a paused run once the reply that was on its way is recorded.
async fn pending_while_paused(world: &World, id: &str) -> Value {
    let state = piton_testkit::until(piton_testkit::deadline(), "a call is pending", async || {
        let state = world.wire_state(id).await;
        assert_eq!(state["status"], "paused", "{state:#}");
        (state["pending_tool_calls"] != json!([])).then_some(state)
    });
    state.await.expect("the reply is recorded while the run is paused")
}

#[tokio::test]
async fn a_question_waits_and_its_answer_goes_under_its_call_id() {
    let model = ScriptedModel::start().await;
    model.script("ask", [Say::ask("How old are you?"), Say::answer("42")]);
    let world = world(&model).await;
    let id = id(&world.wire_launch("[ask]").await).to_owned();

    let waiting = world.wire_until(&id, "waiting_human_input").await;
    assert_eq!(waiting["steps"], 2, "a reply, and the question put");
    assert_eq!(waiting["pending_tool_calls"], json!([]), "the question is carried out: it waits");
    let asked = context(&waiting).last().expect("an item").clone();
    assert_eq!((&asked["type"], &asked["name"]), (&json!("function_call"), &json!("ask_human")));
    assert_eq!(parsed(&asked["arguments"]), json!({ "question": "How old are you?" }));

    let answered =
        world.post("/agent/provide_input", &json!({ "id": id, "answer": "forty-two" })).await.expect(200);
    let output = &context(&answered)[2];
    assert_eq!(output["type"], "function_call_output");
    assert_eq!(output["call_id"], asked["call_id"]);
    assert_eq!(parsed(&output["output"]), json!({ "answer": "forty-two" }));

    let state = world.wire_until(&id, "complete").await;
    assert_eq!(state["steps"], 4);
    let again = world.post("/agent/provide_input", &json!({ "id": id, "answer": "late" })).await;
    assert_eq!(again.status, 400, "{}", again.text);
    assert_eq!(again.detail(), "State is not waiting for human input. Current status: complete");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_question_in_the_middle_of_several_calls_leaves_those_behind_it_pending() {
    let model = ScriptedModel::start().await;
    let calls = vec![
        Call::new("sum_numbers", &json!({ "a": 1, "b": 1 })),
        Call::new("ask_human", &json!({ "question": "And?" })),
        Call::new("multiply_numbers", &json!({ "a": 3, "b": 3 })),
    ];
    model.script("middle", [Say::calls(calls), Say::answer("ok")]);
    let world = world(&model).await;
    let id = id(&world.wire_launch("[middle]").await).to_owned();

    let waiting = world.wire_until(&id, "waiting_human_input").await;
    let names: Vec<&Value> = context(&waiting).iter().map(|item| &item["name"]).collect();
    assert_eq!(names, [&Value::Null, &json!("sum_numbers"), &Value::Null, &json!("ask_human")]);
    let pending = &waiting["pending_tool_calls"];
    assert_eq!(pending.as_array().map(Vec::len), Some(1), "{pending}");
    let mut expected =
        json!({ "name": "multiply_numbers", "arguments": { "a": 3, "b": 3 }, "type": "function_call" });
    expected["call_id"] = pending[0]["call_id"].clone();
    assert_eq!(pending[0], expected);

    world.post("/agent/provide_input", &json!({ "id": id, "answer": "go on" })).await.expect(200);
    let state = world.wire_until(&id, "complete").await;
    let outputs = outputs(&state);
    assert_eq!(outputs[1], json!({ "answer": "go on" }));
    assert_eq!(outputs[2]["result"].as_f64(), Some(9.0));
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn provide_input_with_a_call_id_answers_that_question_only() {
    let model = ScriptedModel::start().await;
    model.script("ask", [Say::ask("First?"), Say::ask("Second?"), Say::answer("ok")]);
    let world = world(&model).await;
    let id = id(&world.wire_launch("[ask]").await).to_owned();
    let first = world.wire_until(&id, "waiting_human_input").await;
    let first = context(&first).last().expect("an item")["call_id"].clone();

    let answer = |call_id: Value| json!({ "id": id, "answer": "yes", "call_id": call_id });
    assert_eq!(world.post("/agent/provide_input", &answer(json!("call_nobody_made"))).await.status, 409);
    world.post("/agent/provide_input", &answer(first.clone())).await.expect(200);
    let waits_again = piton_testkit::until(piton_testkit::deadline(), "the second question", async || {
        let state = world.wire_state(&id).await;
        (state["status"] == "waiting_human_input").then_some(state)
    });
    waits_again.await.expect("the second question is put");
    let late = world.post("/agent/provide_input", &answer(first)).await;
    assert_eq!(late.status, 409, "a late retry never answers the next question: {}", late.text);
    world.post("/agent/provide_input", &json!({ "id": id, "answer": "yes" })).await.expect(200);
    world.wire_until(&id, "complete").await;
}

#[tokio::test]
async fn a_pause_keeps_the_reply_that_was_on_its_way_pending() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("pause", [sum(2, 3).held_by(&gate), Say::answer("5")]);
    let world = world(&model).await;
    let launched = world.wire_launch("[pause]").await;
    let body = json!({ "id": id(&launched) });
    gate.reached(1).await;

    let paused = world.post("/agent/pause", &body).await.expect(200);
    assert_eq!((&paused["id"], &paused["status"]), (&launched["id"], &json!("paused")));
    gate.open();
    let state = pending_while_paused(&world, id(&launched)).await;
    let pending = &state["pending_tool_calls"];
    let mut expected =
        json!({ "name": "sum_numbers", "arguments": { "a": 2, "b": 3 }, "type": "function_call" });
    expected["call_id"] = pending[0]["call_id"].clone();
    assert_eq!(pending, &json!([expected]));
    assert_eq!(context(&state).len(), 1, "what is pending is not in the context");

    let again = world.post("/agent/pause", &body).await;
    assert_eq!(again.status, 400);
    let detail =
        "Cannot pause agent. Current status: paused. Only agents with status 'running' can be paused.";
    assert_eq!(again.detail(), detail);

    let resumed = world.post("/agent/resume", &body).await.expect(200);
    assert_eq!(resumed["id"], launched["id"]);
    let state = world.wire_until(id(&launched), "complete").await;
    assert_eq!(state["steps"], 3);
    let late = world.post("/agent/pause", &body).await;
    assert_eq!(late.status, 400);
    let detail =
        "Cannot pause agent. Current status: complete. Only agents with status 'running' can be paused.";
    assert_eq!(late.detail(), detail);
}

#[tokio::test]
async fn a_run_that_runs_or_waits_is_not_resumed() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("run", [Say::ask("Well?").held_by(&gate), Say::answer("ok")]);
    let world = world(&model).await;
    let launched = world.wire_launch("[run]").await;
    let body = json!({ "id": id(&launched) });
    gate.reached(1).await;

    let running = world.post("/agent/resume", &body).await;
    assert_eq!((running.status, running.detail().as_str()), (409, "Agent is already running for this state"));
    gate.open();
    world.wire_until(id(&launched), "waiting_human_input").await;
    let waiting = world.post("/agent/resume", &body).await;
    assert_eq!((waiting.status, waiting.detail().as_str()), (400, "Agent is waiting for human input"));
    let pause = world.post("/agent/pause", &body).await;
    let detail = "Cannot pause agent. Current status: waiting_human_input. Only agents with status 'running' can be paused.";
    assert_eq!((pause.status, pause.detail().as_str()), (400, detail));

    world.post("/agent/provide_input", &json!({ "id": id(&launched), "answer": "so" })).await.expect(200);
    world.wire_until(id(&launched), "complete").await;
    let complete = world.post("/agent/resume", &body).await;
    assert_eq!(complete.status, 400, "{}", complete.text);
    assert_eq!(complete.detail(), "Cannot resume agent. Current status: complete.");
}

#[tokio::test]
async fn a_resume_of_a_failed_run_tries_again() {
    let model = ScriptedModel::start().await;
    model.script("fail", [sum(1, 1), Say::never(piton_testkit::Fault::status(401))]);
    let world = world(&model).await;
    let launched = world.wire_launch("[fail]").await;
    let failed = world.wire_until(id(&launched), "failed").await;
    assert!(failed["error"].as_str().is_some_and(|error| !error.is_empty()), "{failed:#}");
    assert_eq!(outputs(&failed).len(), 1, "the step's tool results are kept");

    model.script("fail", [sum(1, 1), Say::answer("2")]);
    world.post("/agent/resume", &json!({ "id": id(&launched) })).await.expect(200);
    let state = piton_testkit::until(piton_testkit::deadline(), "complete", async || {
        let state = world.wire_state(id(&launched)).await;
        (state["status"] == "complete").then_some(state)
    });
    let state = state.await.expect("the run completes after the resume");
    assert_eq!(state["error"], Value::Null);
    assert_eq!(outputs(&state).len(), 1, "no tool is called twice");
}

#[tokio::test]
async fn the_limit_is_ten_steps_and_a_resume_grants_ten_more() {
    let model = ScriptedModel::start().await;
    model.script("forever", Script::by(|turn| sum(turn.done as i64, 1)));
    let world = world(&model).await;
    let launched = world.wire_launch("[forever]").await;

    for limit in [10, 20] {
        let reached = piton_testkit::until(piton_testkit::deadline(), "the limit", async || {
            let state = world.wire_state(id(&launched)).await;
            (state["status"] == "max_steps_reached" && state["steps"] == limit).then_some(state)
        });
        let state = reached.await.expect("the limit is reached");
        assert_eq!(
            state["pending_tool_calls"].as_array().map(Vec::len),
            Some(1),
            "asked for, not carried out"
        );
        assert_eq!(outputs(&state).len(), limit - 1);
        world.post("/agent/resume", &json!({ "id": id(&launched) })).await.expect(200);
    }
}

#[tokio::test]
async fn an_answer_grants_no_steps() {
    let model = ScriptedModel::start().await;
    let mut turns: Vec<Say> = (0..8).map(|n| sum(n, 1)).collect();
    turns.extend([Say::ask("Is that enough?"), Say::answer("yes")]);
    model.script("tight", turns);
    let world = world(&model).await;
    let launched = world.wire_launch("[tight]").await;

    let waiting = world.wire_until(id(&launched), "waiting_human_input").await;
    assert_eq!(waiting["steps"], 10);
    world.post("/agent/provide_input", &json!({ "id": id(&launched), "answer": "no" })).await.expect(200);
    let state = world.wire_until(id(&launched), "max_steps_reached").await;
    assert_eq!(outputs(&state).last(), Some(&json!({ "answer": "no" })), "what was answered is kept");
    world.post("/agent/resume", &json!({ "id": id(&launched) })).await.expect(200);
    let state = piton_testkit::until(piton_testkit::deadline(), "complete", async || {
        let state = world.wire_state(id(&launched)).await;
        (state["status"] == "complete").then_some(state)
    });
    assert_eq!(state.await.expect("the run completes")["final_answer"], "yes");
}

#[tokio::test]
async fn call_ids_are_unique_though_the_model_repeats_them() {
    let model = ScriptedModel::start().await;
    let call = |a: i64| Call::new("sum_numbers", &json!({ "a": a, "b": 0 })).with_id("call_same");
    let script = [
        Say::calls(vec![call(1), call(2)]),
        Say::calls(vec![call(3)]),
        Say::calls(vec![Call::new("final_answer", &json!({ "answer": "ok" })).with_id("call_same")]),
    ];
    model.script("same", script);
    let world = world(&model).await;

    let state = completed(&world, "[same]").await;
    let calls: Vec<&Value> = context(&state)
        .iter()
        .filter(|item| item["type"] == "function_call")
        .map(|item| &item["call_id"])
        .collect();
    let mut unique: Vec<&Value> = calls.clone();
    unique.sort_by_key(|id| id.to_string());
    unique.dedup();
    assert_eq!(unique.len(), 4, "{calls:?}");
    assert_eq!(calls[0], "call_same", "the first keeps its own");
    for pair in context(&state)[1..7].chunks(2) {
        assert_eq!(pair[0]["call_id"], pair[1]["call_id"]);
    }
    let results: Vec<Option<f64>> = outputs(&state).iter().map(|output| output["result"].as_f64()).collect();
    assert_eq!(results, [Some(1.0), Some(2.0), Some(3.0)]);
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_missing_or_mistyped_field_is_422_with_a_detail() {
    let model = ScriptedModel::start().await;
    let world = world(&model).await;
    let bodies = [
        ("/agent/launch", json!({})),
        ("/agent/launch", json!({ "input_prompt": 5 })),
        ("/agent/launch", json!({ "input_prompt": null })),
        ("/agent/launch", json!(["input_prompt"])),
        ("/agent/resume", json!({})),
        ("/agent/resume", json!({ "id": 5 })),
        ("/agent/pause", json!({})),
        ("/agent/pause", json!({ "id": ["x"] })),
        ("/agent/provide_input", json!({ "id": "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e" })),
        ("/agent/provide_input", json!({ "answer": "x" })),
        ("/agent/provide_input", json!({ "id": "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e", "answer": 7 })),
    ];
    for (path, body) in bodies {
        let reply = world.post(path, &body).await;
        assert_eq!(reply.status, 422, "{path} {body}: {}", reply.text);
        assert!(!reply.json()["detail"].is_null(), "{}", reply.text);
    }
    assert_eq!(model.requests(), 0, "nothing was launched");
}

#[tokio::test]
async fn an_unknown_state_is_404() {
    let model = ScriptedModel::start().await;
    let world = world(&model).await;
    for id in ["0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e", "no-uuid-at-all"] {
        let replies = [
            world.get(&format!("/agent/state/{id}")).await,
            world.post("/agent/resume", &json!({ "id": id })).await,
            world.post("/agent/pause", &json!({ "id": id })).await,
            world.post("/agent/provide_input", &json!({ "id": id, "answer": "x" })).await,
        ];
        for reply in replies {
            assert_eq!((reply.status, reply.detail().as_str()), (404, "State not found"), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_launch_takes_an_agent_by_name() {
    let model = ScriptedModel::start().await;
    model.script("plain", [Say::answer("ok")]);
    let agent = r#"
        name = "poet"
        description = "Answers in verse"
        instructions = "Answer in verse."
        model = "gpt-5-mini"
        max_steps = 3
        tools = ["final_answer"]
    "#;
    let world = World::new(PITON).model(&model).agent("poet", agent).serve().await;

    let body = json!({ "input_prompt": "[plain]", "agent": "poet" });
    let launched = world.post("/agent/launch", &body).await.expect(200);
    world.wire_until(id(&launched), "complete").await;
    let request = &model.seen("plain")[0];
    assert_eq!(request.body["model"], "gpt-5-mini");
    assert_eq!(request.dialogue.tools, ["final_answer"]);
    assert!(request.dialogue.instructions.contains("Answer in verse."));

    let body = json!({ "input_prompt": "[plain]", "agent": "nobody" });
    let refused = world.post("/agent/launch", &body).await;
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text);
    assert!(refused.detail().contains("agent"), "it names what is wrong: {}", refused.text);
}

#[tokio::test]
async fn the_model_is_called_as_the_original_called_it() {
    let model = ScriptedModel::start().await;
    model.script("plain", [Say::answer("ok")]);
    let world = world(&model).await;
    completed(&world, "[plain]").await;

    let request = &model.seen("plain")[0];
    assert_eq!(request.body["model"], "gpt-5");
    assert_eq!(request.body["reasoning"]["effort"], "low");
    assert_eq!(request.body["tool_choice"], "required");
    assert_eq!(request.authorization.as_deref(), Some("Bearer sk-scripted"));
    assert!(!request.dialogue.instructions.is_empty());
    let mut tools = request.dialogue.tools.clone();
    tools.sort();
    let expected = [
        "ask_human",
        "divide_numbers",
        "final_answer",
        "multiply_numbers",
        "power",
        "square_root",
        "subtract_numbers",
        "sum_numbers",
    ];
    assert_eq!(tools, expected);
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_cancelled_run_shows_as_failed_and_is_not_resumed() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("never").held_by(&gate)]);
    let world = world(&model).await;
    let launched = world.wire_launch("[slow]").await;
    gate.reached(1).await;
    world.poke(&format!("/v1/runs/{}/cancel", id(&launched))).await.expect(200);

    let state = world.wire_until(id(&launched), "failed").await;
    let error = state["error"].as_str().unwrap_or_default();
    assert!(error.to_lowercase().contains("cancel"), "{state:#}");
    let resume = world.post("/agent/resume", &json!({ "id": id(&launched) })).await;
    assert_eq!(resume.status, 400, "{}", resume.text);
    assert!(resume.detail().starts_with("Cannot resume agent. Current status: "), "{}", resume.text);
    gate.open();
}

#[tokio::test]
async fn an_unknown_outcome_shows_as_paused_and_says_what_to_decide() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    let agent = format!(
        r#"
        name = "clerk"
        description = "Books entries"
        instructions = "Book."
        tools = ["ask_human", "final_answer"]
        [[http_tool]]
        name = "book"
        description = "Books one entry"
        method = "POST"
        url = "{}"
        allow_private = true
        parameters = {{ type = "object", properties = {{ account = {{ type = "string" }} }}, additionalProperties = false }}
        "#,
        ledger.url("drop=always")
    );
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let world = World::new(PITON).model(&model).agent("clerk", &agent).serve().await;
    let body = json!({ "input_prompt": "[book]", "agent": "clerk" });
    let launched = world.post("/agent/launch", &body).await.expect(200);

    let state = world.wire_until(id(&launched), "paused").await;
    let error = state["error"].as_str().unwrap_or_default();
    assert!(error.contains("book"), "it names what to decide: {state:#}");
    let id = id(&launched);
    let resume = world.post("/agent/resume", &json!({ "id": id })).await;
    assert_eq!(resume.status, 400, "{}", resume.text);
    assert!(resume.detail().starts_with("Cannot resume agent. Current status: "), "{}", resume.text);
    let input = world.post("/agent/provide_input", &json!({ "id": id, "answer": "it happened" })).await;
    assert_eq!(input.status, 400, "provide_input answers nothing but ask_human: {}", input.text);

    assert_eq!(ledger.booked("a", 0).await.len(), 1);
    let run = world.run(id).await;
    let decision =
        json!({ "question": run["question"]["id"], "decision": "happened", "result": { "entry": 1 } });
    world.post(&format!("/v1/runs/{id}/answer"), &decision).await.expect(200);
    let state = piton_testkit::until(piton_testkit::deadline(), "complete", async || {
        let state = world.wire_state(id).await;
        (state["status"] == "complete").then_some(state)
    });
    let state = state.await.expect("the run completes once it is decided");
    assert_eq!(outputs(&state), [json!({ "result": { "entry": 1 } })]);
    assert_eq!(ledger.entries().await.len(), 1, "it was not called again");
    model.assert_every_request_was_valid();
}
