//! Whatever the model does, a run ends as docs/reliability.md says, after no more requests than it says, and the next
//! request is always one that a provider takes.
//!
//! `PITON_LONG=1` leaves the endpoint down for a minute instead of four seconds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{
    Api, Call, Fault, Gate, Ledger, Relay, Say, Script, ScriptedModel, World, clerk, deadline, until,
};
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

/// The most requests that any one reply took.
fn most_requests_for_a_reply(model: &ScriptedModel, tag: &str) -> usize {
    let mut requests: HashMap<(String, usize), usize> = HashMap::new();
    for seen in model.seen(tag) {
        *requests.entry((seen.dialogue.task().to_owned(), seen.turn)).or_default() += 1;
    }
    requests.into_values().max().unwrap_or_default()
}

async fn count(world: &World, run: &Value, kind: &str) -> usize {
    let events = world.events(run["id"].as_str().expect("an id")).await;
    events.iter().filter(|event| event["type"] == kind).count()
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

/// Many runs at once, and an endpoint that turns everybody away for a while.
#[tokio::test]
async fn a_storm_of_refusals_is_ridden_out() {
    let model = ScriptedModel::start().await;
    model.script("storm", [sum(2, 3), Say::answer("5")]);
    let world = World::new(PITON).model(&model).env("PITON_MODEL__TRIES_MAX", "6").serve().await;
    for status in [429, 500, 503] {
        model.set_trouble(Some(Fault::status(status)));
        let tasks: Vec<String> = (0..30).map(|n| format!("[storm] {status} {n}")).collect();
        let runs = join_all(tasks.iter().map(|task| world.launch(task))).await;
        let before = model.requests();
        let all_turned_away = until(deadline(), "everybody was turned away twice", async || {
            (model.requests() >= before + 2 * runs.len()).then_some(())
        });
        all_turned_away.await.unwrap_or_else(|error| panic!("{error}"));
        model.set_trouble(None);
        for run in &runs {
            assert_eq!(world.until(run, &["complete"]).await["final_answer"], "5", "{status}");
        }
    }
    let most = most_requests_for_a_reply(&model, "storm");
    assert!((3..=6).contains(&most), "{most} requests for one reply; 6 are allowed");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_storm_that_does_not_end_fails_every_run_after_its_tries() {
    let model = ScriptedModel::start().await;
    model.script("storm", [sum(2, 3), Say::never(Fault::Status { status: 429, retry_after_s: Some(1) })]);
    let world = world(&model).await;
    let tasks: Vec<String> = (0..30).map(|n| format!("[storm] {n}")).collect();
    let began = Instant::now();
    let runs = join_all(tasks.iter().map(|task| world.launch(task))).await;
    for run in &runs {
        let run = world.until(run, &["failed"]).await;
        assert!(run["error"].as_str().unwrap_or_default().contains("429"), "{run:#}");
        assert_eq!(run["turns"], 1, "what it had found out is kept");
    }
    assert_eq!(model.requests(), 30 * (1 + 3), "three tries each, no more");
    // Two waits of 1 s each, as the server asked.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_reply_that_comes_after_its_time_limit_is_not_recorded() {
    let model = ScriptedModel::start().await;
    let late = Fault::Late(Duration::from_millis(1500));
    model.script("late", [sum(2, 3).after(late.clone()), Say::answer("5")]);
    model.script("too late", [sum(2, 3), Say::never(late)]);
    let world = world(&model).await;
    let run = world.run_to("[late]", "complete").await;
    assert_eq!((model.seen("late").len(), count(&world, &run, "model_replied").await), (3, 2));

    let run = world.run_to("[too late]", "failed").await;
    assert_eq!((model.seen("too late").len(), count(&world, &run, "model_replied").await), (1 + 3, 1));
    let events = world.events(run["id"].as_str().expect("an id")).await;
    // The last of its late replies comes while this run goes on.
    model.script("next", [sum(1, 1).taking(Duration::from_millis(900)), Say::answer("2")]);
    world.run_to("[next]", "complete").await;
    assert_eq!(
        world.events(run["id"].as_str().expect("an id")).await,
        events,
        "what came late changes nothing"
    );
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_reply_to_a_run_that_was_cancelled_meanwhile_is_not_recorded() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("held", [sum(2, 3), Say::answer("5").held_by(&gate)]);
    let world = world(&model).await;
    let id = world.launch("[held]").await;
    gate.reached(1).await;
    world.poke(&format!("/v1/runs/{id}/cancel")).await.expect(200);
    let let_go = until(deadline(), "the worker lets go of it", async || {
        let run = world.run(&id).await;
        (run["status"] == "cancelled" && run["owner"].is_null()).then_some(run)
    });
    let run = let_go.await.unwrap_or_else(|error| panic!("{error}"));
    gate.open();
    let other = world.run_to("[held]", "complete").await;
    assert_eq!(world.run(&id).await, run, "it stands as it stood");
    assert_eq!(
        (count(&world, &run, "model_replied").await, count(&world, &other, "model_replied").await),
        (1, 2)
    );
    assert_eq!(model.seen("held").len(), 2 + 2, "nobody asked again");
}

/// An answer, an argument or a question of a mebibyte, and a reply beyond what is read.
#[tokio::test]
async fn what_is_too_long_is_cut_or_refused_and_never_acted_upon_by_half() {
    const MIB: usize = 1 << 20;
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    let long = "x".repeat(MIB);
    let booking = json!({ "account": long, "line": 1, "amount": 1 });
    model.script("book", [Say::call("book", booking), Say::answer("it was too long")]);
    model.script("answer", [Say::answer(&long), Say::answer("in short")]);
    model.script("endless", [Say::answer(&"x".repeat(5 * MIB))]);
    let world = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 0));
    let world = world.env("PITON_MODEL__TRIES_MAX", "3").serve().await;

    let id = world.launch_with(&json!({ "task": "[book]", "agent": "clerk" })).await;
    let run = world.until(&id, &["complete"]).await;
    assert!(
        outputs(&world, &run).await[0]["result"].as_str().is_some_and(|text| text.starts_with("Error: "))
    );
    assert_eq!(count(&world, &run, "tool_failed").await, 1, "it is known not to have happened");
    assert_eq!(ledger.entries().await, [], "arguments that were cut are not called with");

    let run = world.run_to("[answer]", "complete").await;
    assert_eq!(run["final_answer"], "in short", "an answer that was cut is none: {}", run["steps"]);

    let run = world.run_to("[endless]", "failed").await;
    assert_eq!(model.seen("endless").len(), 3, "{run:#}");
    assert_eq!(count(&world, &run, "model_replied").await, 0);
    model.assert_every_request_was_valid();
}

/// Ids that no provider would give, and one that was used before.
#[tokio::test]
async fn wrong_ids_are_replaced_before_they_are_sent_back() {
    let model = ScriptedModel::start().await;
    let ids = ["", "again", "again", "with spaces and ümlauts", "\u{0}", &"long".repeat(100), "call_1_0"];
    let script = Script::by({
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        move |turn| match ids.get(turn.done) {
            Some(id) => {
                Say::calls(vec![Call::new("sum_numbers", &json!({ "a": turn.done, "b": 1 })).with_id(id)])
            }
            None => Say::answer("done"),
        }
    });
    model.script("ids", script);
    let world = world(&model).await;
    let run = world.run_to("[ids]", "complete").await;
    let results: Vec<Option<f64>> =
        outputs(&world, &run).await.iter().map(|o| o["result"].as_f64()).collect();
    let expected: Vec<Option<f64>> = (0..ids.len()).map(|done| Some(done as f64 + 1.0)).collect();
    assert_eq!(results, expected, "each call has its own result");
    assert_eq!(model.seen("ids").len(), ids.len() + 1, "one request each");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_a_while_is_waited_for() {
    // The waits between 9 tries come to a minute at least, those between 6 to 7.5 s.
    let (down, tries) = match std::env::var_os("PITON_LONG") {
        Some(_) => (Duration::from_secs(60), "9"),
        None => (Duration::from_secs(4), "6"),
    };
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("down", [sum(2, 3), Say::answer("5").held_by(&gate)]);
    let mut relay = Relay::to(model.address());
    let world = World::new(PITON)
        .model(&model)
        .env("PITON_MODEL__BASE_URL", &format!("http://{}/v1", relay.address()));
    let world = world.env("PITON_MODEL__TRIES_MAX", tries).serve().await;
    let runs = join_all((0..10).map(async |n| world.launch(&format!("[down] {n}")).await)).await;
    gate.reached(10).await;
    // In the middle of a reply, and before the first request of others.
    relay.cut();
    let more = join_all((10..20).map(async |n| world.launch(&format!("[down] {n}")).await)).await;
    tokio::time::sleep(down).await;
    relay.mend();
    gate.open();
    let began = Instant::now();
    for run in runs.iter().chain(&more) {
        let over = until(down.max(deadline()), "it ends", async || {
            let run = world.run(run).await;
            (run["status"] != "running").then_some(run)
        });
        let run = over.await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&run["status"], &run["final_answer"]), (&json!("complete"), &json!("5")), "{run:#}");
    }
    assert!(began.elapsed() <= Duration::from_secs(31), "no wait is longer than 30 s: {:?}", began.elapsed());
    assert!(most_requests_for_a_reply(&model, "down") <= 2, "requests that did not arrive are none");
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn an_endpoint_that_stays_down_fails_the_run_until_somebody_resumes_it() {
    let model = ScriptedModel::start().await;
    model.script("down", [Say::answer("here again")]);
    let mut relay = Relay::to(model.address());
    relay.cut();
    let world = World::new(PITON)
        .model(&model)
        .env("PITON_MODEL__BASE_URL", &format!("http://{}/v1", relay.address()));
    let world = world.env("PITON_MODEL__TRIES_MAX", "3").serve().await;
    let run = world.run_to("[down]", "failed").await;
    assert!(run["error"].as_str().unwrap_or_default().contains("could not be reached"), "{run:#}");
    let id = run["id"].as_str().expect("an id");
    let events = world.events(id).await;
    let failed = events.iter().find(|event| event["type"] == "model_failed").expect("it is an event");
    assert_eq!(failed["data"]["tries"], 3, "three tries, no more");
    relay.mend();
    world.poke(&format!("/v1/runs/{id}/resume")).await.expect(200);
    assert_eq!(world.until(id, &["complete"]).await["final_answer"], "here again");
    assert_eq!(model.seen("down").len(), 1);
}
