//! The whole of an output, beside the event that shows its beginning.

use piton_core::{CallId, Command, RunId};
use piton_store::{Commit, CommitOutcome, FullOutput, Lost, StepEnd, Store};

use crate::world::{World, commit, failure, lost};

promises![
    an_output_is_kept_with_the_commit_that_carries_it,
    an_output_of_a_commit_that_does_not_stand_is_not_kept,
    an_output_is_kept_with_a_commit_that_is_tried_again,
];

/// Of several parts, and with all that text may hold.
fn text() -> String {
    "a\0é🧗\"\\\n".repeat(60_000)
}

fn with_output(commit: Commit, call: CallId) -> Commit {
    Commit { outputs: vec![FullOutput { call, text: text().into() }], ..commit }
}

async fn read(store: &dyn Store, run: RunId, call: CallId) -> String {
    let mut whole = String::new();
    let mut part = 0;
    while let Some(text) = store.output(run, call, part).await.expect("read") {
        whole += &text;
        part += 1;
    }
    whole
}

async fn an_output_is_kept_with_the_commit_that_carries_it(world: World) {
    let (run, other) = (world.launch("x").await, world.launch("y").await);
    let worker = world.worker("w").await;
    let claims = world.claim(&worker).await;
    let claim = claims.iter().find(|claim| claim.run == run).expect("claimed");
    let call = CallId::derive(run, 1, 0);
    assert_eq!(world.store.output(run, call, 0).await.expect("read"), None);
    let outcome =
        world.store.commit(with_output(commit(claim, &worker, 1, &[failure()], StepEnd::Done), call));
    assert!(matches!(outcome.await.expect("answered"), CommitOutcome::Committed { .. }));
    let elsewhere = world.engine.open(&world.clock).await;
    assert!(read(elsewhere.as_ref(), run, call).await == text());
    assert_eq!(read(elsewhere.as_ref(), run, CallId::derive(run, 1, 1)).await, "", "another call of the run");
    assert_eq!(read(elsewhere.as_ref(), other, call).await, "", "another run");
    world.check().await;
}

async fn an_output_of_a_commit_that_does_not_stand_is_not_kept(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let call = CallId::derive(run, 1, 0);
    let claim = world.claim_one(&a).await;
    world.store.command(run, Command::Pause).await.expect("paused");
    let behind = with_output(commit(&claim, &a, 1, &[failure()], StepEnd::Done), call);
    assert!(matches!(
        world.store.commit(behind.clone()).await.expect("answered"),
        CommitOutcome::Behind { .. }
    ));
    world.store.command(run, Command::Resume).await.expect("resumed");
    world.store.recover(&lost(&a, Lost::LeaseLapsed, &[])).await.expect("recovered");
    world.claim_one(&b).await;
    assert!(matches!(world.store.commit(behind).await.expect("answered"), CommitOutcome::Fenced));
    assert_eq!(world.store.output(run, call, 0).await.expect("read"), None);
}

async fn an_output_is_kept_with_a_commit_that_is_tried_again(world: World) {
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let call = CallId::derive(run, 1, 0);
    let claim = world.claim_one(&worker).await;
    let commit = with_output(commit(&claim, &worker, 1, &[failure()], StepEnd::GoesOn), call);
    for _ in 0..2 {
        let outcome = world.store.commit(commit.clone()).await.expect("answered");
        assert!(matches!(outcome, CommitOutcome::Committed { version: 2, .. }));
    }
    assert!(read(world.store.as_ref(), run, call).await == text());
}
