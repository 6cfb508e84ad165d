//! Commands that come while a step is under way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use piton_core::{CallId, Command, Event, Status};
use piton_store::Store;
use piton_testkit::{Gate, Say};
use serde_json::{Value, json};

use crate::world::{World, story, sum};

#[tokio::test]
async fn a_pause_during_a_model_call_keeps_its_reply_and_begins_no_tool() {
    let world = World::new().await;
    let gate = Gate::new();
    let pay = Say::call("pay", json!({})).held_by(&gate);
    world.model.script("pause", [pay, Say::answer("done")]);
    let run = world.launch("[pause]").await;
    let worker = world.worker();
    gate.reached(1).await;
    world.command(run, Command::Pause).await;
    gate.open();
    // The reply is recorded, and the run has no owner any more.
    let mut rings = world.store.bell().events();
    let row = loop {
        let row = world.store.run(run).await.expect("read").expect("the run");
        if row.run.turns == 1 && row.owner.is_none() {
            break row;
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    };
    assert_eq!((row.run.status, row.run.pending.len()), (Status::Paused, 1));
    assert_eq!(world.payments.load(Ordering::SeqCst), 0);
    world.command(run, Command::Resume).await;
    world.until(run, Status::Complete).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    assert_eq!(
        world.kinds(run).await,
        [
            "launched",
            "paused",
            "model_replied",
            "resumed",
            "tool_started",
            "tool_returned",
            "model_replied",
            "completed"
        ]
    );
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_cancel_drops_the_model_call() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("cancel", [sum(1, 1).held_by(&gate)]);
    let run = world.launch("[cancel]").await;
    let worker = world.worker();
    gate.reached(1).await;
    world.command(run, Command::Cancel).await;
    world.until(run, Status::Cancelled).await;
    // The step lets go although the model never answers.
    let mut rings = world.store.bell().events();
    while world.store.run(run).await.expect("read").expect("the run").owner.is_some() {
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    }
    assert_eq!(world.kinds(run).await, ["launched", "cancel_requested", "cancelled"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_cancel_with_an_open_call_waits_for_its_result() {
    let world = World::new().await;
    world.gate.close();
    world.model.script("open", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[open]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    world.command(run, Command::Cancel).await;
    assert_eq!(world.store.run(run).await.expect("read").expect("the run").run.status, Status::Cancelling);
    world.gate.open();
    world.until(run, Status::Cancelled).await;
    assert_eq!(
        world.kinds(run).await,
        ["launched", "model_replied", "tool_started", "cancel_requested", "tool_returned", "cancelled"]
    );
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_long_output_is_kept_through_a_pause_that_came_while_its_call_was_under_way() {
    let world = World::with(Ok(Value::String(story()))).await;
    world.gate.close();
    world.model.script("pause", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[pause]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    world.command(run, Command::Pause).await;
    world.gate.open();
    world.until_kinds(run, &["launched", "model_replied", "tool_started", "paused", "tool_returned"]).await;
    let call = CallId::derive(run, 1, 0);
    assert!(world.output(run, call).await == story());
    let Some(Event::ToolReturned { full_bytes, result, .. }) = world.history(run).await.pop() else {
        panic!("it returned");
    };
    assert_eq!(full_bytes, Some(story().len() as u64));
    assert!(result.as_str().is_some_and(|shown| shown.ends_with(" bytes shown]")));
    world.command(run, Command::Resume).await;
    world.until(run, Status::Complete).await;
    assert!(world.output(run, call).await == story());
    worker.stop().await;
    world.check().await;
}
