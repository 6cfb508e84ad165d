//! Whatever the model does, a run ends as designed, and the next request is always one that a provider takes.

use std::time::Duration;

use piton_testkit::{Api, Call, Fault, Say, ScriptedModel, World};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// Quick tries, so that a hang or a failure for good does not take minutes.
async fn world(model: &ScriptedModel) -> World {
    let world = World::new(PITON).model(model);
    world.env("PITON_MODEL__TIMEOUT_MS", "1000").env("PITON_MODEL__TRIES_MAX", "3").serve().await
}

fn sum(a: i64, b: i64) -> Say {
    Say::call("sum_numbers", json!({ "a": a, "b": b }))
}

/// The notes on all replies of a run, in order.
async fn notes(world: &World, run: &Value) -> Vec<String> {
    let events = world.events(run["id"].as_str().expect("an id")).await;
    let notes = events.iter().filter_map(|event| event["data"]["notes"].as_array()).flatten();
    notes.map(|note| note.as_str().expect("a note is a text").to_owned()).collect()
}

/// What the tools gave, in order.
async fn outputs(world: &World, run: &Value) -> Vec<Value> {
    let id = run["id"].as_str().expect("an id");
    let context = world.get(&format!("/v1/runs/{id}/context")).await.expect(200);
    let items = context["items"].as_array().expect("a list of items");
    let outputs = items.iter().filter(|item| item["type"] == "function_call_output");
    outputs
        .map(|item| serde_json::from_str(item["output"].as_str().expect("a text")).expect("JSON in a text"))
        .collect()
}

#[tokio::test]
async fn passing_trouble_is_tried_again() {
    let model = ScriptedModel::start().await;
    let faults = [
        ("500", Fault::status(500)),
        ("503", Fault::status(503)),
        ("hang", Fault::Hang),
        ("cut", Fault::Cut),
        ("html", Fault::InvalidJson),
        ("other", Fault::OtherJson),
    ];
    for (tag, fault) in &faults {
        model.script(tag, [sum(2, 3).after(fault.clone()), Say::answer("5").after(fault.clone())]);
    }
    let world = world(&model).await;
    for (tag, _) in &faults {
        let run = world.run_to(&format!("[{tag}]"), "complete").await;
        assert_eq!(run["final_answer"], "5", "{tag}");
        assert_eq!(run["steps"], 3, "{tag}: tries are no steps");
        assert_eq!(model.seen(tag).len(), 4, "{tag}: two tries for each of two turns");
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn retry_after_is_kept() {
    let model = ScriptedModel::start().await;
    model.script("busy", [Say::answer("ok").after(Fault::Status { status: 429, retry_after_s: Some(2) })]);
    let world = world(&model).await;
    world.run_to("[busy]", "complete").await;
    let seen = model.seen("busy");
    assert_eq!(seen.len(), 2);
    let waited = seen[1].at - seen[0].at;
    assert!(waited >= Duration::from_millis(1900), "asked again after {waited:?}, told to wait 2 s");
}

#[tokio::test]
async fn lasting_trouble_fails_the_run_with_its_reason() {
    let model = ScriptedModel::start().await;
    let faults = [
        ("500", Fault::status(500)),
        ("hang", Fault::Hang),
        ("cut", Fault::Cut),
        ("json", Fault::InvalidJson),
    ];
    for (tag, fault) in &faults {
        model.script(tag, [sum(2, 3), Say::never(fault.clone())]);
    }
    let world = world(&model).await;
    for (tag, _) in &faults {
        let run = world.run_to(&format!("[{tag}]"), "failed").await;
        assert!(run["error"].as_str().is_some_and(|error| error.len() > 5), "{tag}: {run:#}");
        assert_eq!(model.seen(tag).len(), 1 + 3, "{tag}: three tries, no more");
        assert_eq!(outputs(&world, &run).await.len(), 1, "{tag}: the tool's result is kept");
    }
    let events = world.events(world.run_to("[500]", "failed").await["id"].as_str().expect("an id")).await;
    assert!(events.iter().any(|event| event["type"] == "model_failed"), "it is an event");
}

#[tokio::test]
async fn what_no_retry_helps_is_not_retried() {
    let model = ScriptedModel::start().await;
    for status in [400, 401, 403] {
        model.script(&status.to_string(), [Say::never(Fault::status(status))]);
    }
    let world = world(&model).await;
    for status in [400, 401, 403] {
        let run = world.run_to(&format!("[{status}]"), "failed").await;
        assert!(run["error"].as_str().unwrap_or_default().contains(&status.to_string()), "{run:#}");
        assert!(model.seen(&status.to_string()).len() <= 2, "a retry storm on {status}");
    }
    assert!(!world.logs().contains("sk-scripted"), "the key is in the log");
}

/// The oddities of one reply, over both APIs.
async fn oddities(model: &ScriptedModel, world: &World) {
    let call = |a: i64| Call::new("sum_numbers", &json!({ "a": a, "b": 1 }));

    model.script("text once", [Say::text("Let me think."), sum(2, 3), Say::answer("5")]);
    let run = world.run_to("[text once]", "complete").await;
    assert_eq!(run["final_answer"], "5", "asked to call a tool, it did");
    assert_eq!(notes(world, &run).await, ["text_only"]);

    model.script("text twice", [Say::text("Let me think."), Say::text("It is five.")]);
    let run = world.run_to("[text twice]", "complete").await;
    assert_eq!(run["final_answer"], "It is five.", "its plain text is its answer");

    model.script("empty once", [Say::empty(), sum(2, 3), Say::empty(), Say::answer("5")]);
    let run = world.run_to("[empty once]", "complete").await;
    assert_eq!(notes(world, &run).await, ["empty", "empty"]);

    model.script("empty", [Say::empty(), Say::empty(), Say::empty()]);
    let run = world.run_to("[empty]", "failed").await;
    assert!(run["error"].as_str().unwrap_or_default().contains("empty"), "{run:#}");

    let in_text = [
        Say::call_in_text("sum_numbers", &json!({ "a": 2, "b": 3 })),
        Say::call_in_text("final_answer", &json!({ "answer": "5" })),
    ];
    model.script("in text", in_text);
    let run = world.run_to("[in text]", "complete").await;
    assert_eq!(run["final_answer"], "5");
    let noted = notes(world, &run).await;
    assert_eq!(noted.iter().filter(|note| *note == "call_in_text").count(), 2, "{noted:?}");
    assert_eq!(outputs(world, &run).await[0]["result"].as_f64(), Some(5.0));

    let cut = Say::calls(vec![Call::raw("sum_numbers", "{\"a\": 2, \"b\"")]).cut_off();
    model.script("cut off", [cut, Say::answer("sorry")]);
    let run = world.run_to("[cut off]", "complete").await;
    let noted = notes(world, &run).await;
    assert!(
        noted.contains(&"cut_off".to_owned()) && noted.contains(&"bad_arguments".to_owned()),
        "{noted:?}"
    );
    assert!(outputs(world, &run).await[0]["result"].as_str().is_some_and(|text| text.starts_with("Error: ")));

    let twice = vec![call(1).with_id("call_x"), call(2).with_id("call_x"), call(3).with_id("")];
    model.script("same id", [Say::calls(twice), Say::answer("ok")]);
    let run = world.run_to("[same id]", "complete").await;
    assert_eq!(notes(world, &run).await, ["repeated_call_id"]);
    let results: Vec<Option<f64>> = outputs(world, &run).await.iter().map(|o| o["result"].as_f64()).collect();
    assert_eq!(results, [Some(2.0), Some(3.0), Some(4.0)], "in the order asked for");

    model.script("many", [Say::calls((0..70).map(call).collect()), Say::answer("ok")]);
    let run = world.run_to("[many]", "complete").await;
    assert_eq!(notes(world, &run).await, ["too_many_calls"]);
    assert_eq!(outputs(world, &run).await.len(), 64);

    let huge = format!("{{\"a\": 1, \"b\": 2, \"c\": \"{}\"}}", "x".repeat(1024 * 1024));
    model.script("huge", [Say::calls(vec![Call::raw("sum_numbers", &huge)]), Say::answer("ok")]);
    let run = world.run_to("[huge]", "complete").await;
    assert!(notes(world, &run).await.contains(&"clipped".to_owned()));

    let last = vec![call(1), Call::new("final_answer", &json!({ "answer": 42 })), call(2)];
    model.script("not last", [Say::calls(last)]);
    let run = world.run_to("[not last]", "complete").await;
    assert_eq!(run["final_answer"], "42", "an answer that is no text is taken as its text");
    assert_eq!(run["pending"], json!([]));

    let wordy = sum(2, 3).with_text("I shall add them.");
    model.script("wordy", [wordy, Say::answer("5")]);
    let run = world.run_to("[wordy]", "complete").await;
    assert_eq!(notes(world, &run).await, Vec::<String>::new(), "text beside a call is nothing odd");

    let odd = vec![Call::new("", &json!({})), Call::new("no such tool; drop table", &json!({}))];
    model.script("odd names", [Say::calls(odd), Say::answer("ok")]);
    world.run_to("[odd names]", "complete").await;

    let no_answer = Say::calls(vec![Call::raw("final_answer", "{}")]);
    model.script("no answer", [no_answer, Say::answer("ok")]);
    let run = world.run_to("[no answer]", "complete").await;
    assert_eq!(run["final_answer"], "ok", "an answer that is missing is an error that the model sees");

    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn every_oddity_of_a_reply_is_handled_over_responses() {
    let model = ScriptedModel::start().await;
    let world = world(&model).await;
    oddities(&model, &world).await;
    assert!(model.seen("many").iter().all(|seen| seen.api == Api::Responses));
}

#[tokio::test]
async fn every_oddity_of_a_reply_is_handled_over_chat() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).env("PITON_MODEL__API", "chat").serve().await;
    oddities(&model, &world).await;
    assert!(model.seen("many").iter().all(|seen| seen.api == Api::Chat));
}

#[tokio::test]
async fn an_endpoint_without_responses_is_asked_for_it_once() {
    let model = ScriptedModel::start().await;
    model.without_responses();
    model.script("chat", [sum(2, 3), Say::answer("5")]);
    let world = world(&model).await;
    for _ in 0..2 {
        assert_eq!(world.run_to("[chat]", "complete").await["final_answer"], "5");
    }
    assert_eq!(model.refused(), 1, "the worker remembers");
    assert!(model.seen("chat").iter().all(|seen| seen.api == Api::Chat));
    model.assert_every_request_was_valid();
}
