//! Calls of which nobody knows what became.

use std::sync::atomic::Ordering;
use std::time::Duration;

use piton_core::{CallId, Command, Decision, Refusal, Status};
use piton_store::{CommandError, Store};
use piton_testkit::Say;
use piton_tools::ToolError;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_call_whose_worker_vanished_is_undecided_and_never_made_again_by_itself() {
    let world = World::new().await;
    world.gate.close();
    world.model.script("lost", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[lost]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    worker.vanish().await;
    let second = world.worker();
    let row = world.until(run, Status::Undecided).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    let question = row.open_question().expect("a question");
    let happened = Decision::Happened { result: json!("paid, says the bank") };
    world.command(run, Command::Decide { question, decision: happened }).await;
    world.until(run, Status::Complete).await;
    assert_eq!(world.payments.load(Ordering::SeqCst), 1);
    world.model.assert_every_request_was_valid();
    second.stop().await;
    world.check().await;
}

#[tokio::test]
async fn an_unknown_outcome_that_did_not_happen_is_called_again_with_the_same_key() {
    let world = World::with(Err(ToolError::Unknown("the line went dead".to_owned()))).await;
    world.model.script("again", [Say::call("pay", json!({})), Say::answer("done")]);
    let run = world.launch("[again]").await;
    let worker = world.worker();
    let row = world.until(run, Status::Undecided).await;
    let question = row.open_question().expect("a question");
    world.command(run, Command::Decide { question, decision: Decision::DidNotHappen }).await;
    let mut rings = world.store.bell().events();
    while world.payments.load(Ordering::SeqCst) < 2 {
        let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
    }
    let row = world.until(run, Status::Undecided).await;
    let anew = row.open_question().expect("a question");
    assert_eq!(row.run.front().map(|front| front.call.id), Some(CallId::derive(run, 1, 0)), "the same key");
    let stale = Command::Decide { question, decision: Decision::DidNotHappen };
    let refused = world.store.command(run, stale).await;
    assert!(
        matches!(refused, Err(CommandError::Refused(Refusal::OtherQuestion { open })) if open == anew),
        "what was said of the first try is no word on the second: {refused:?}"
    );
    world.command(run, Command::Decide { question: anew, decision: Decision::Abort }).await;
    world.until(run, Status::Cancelled).await;
    worker.stop().await;
    world.check().await;
}
