//! What is asked of a run from outside.

use futures::future::join_all;
use piton_core::{
    CallId, CallKind, Command, Decision, EffectClass, Event, Refusal, RunId, Status, ToolCall, TurnRequest,
    Usage,
};
use piton_store::{CommandError, Lost, QueueStats, StepEnd};
use uuid::Uuid;

use crate::world::{START_MS, World, commit, lost};

promises![
    refusals_change_nothing,
    fifty_resumes_have_one_winner,
    a_call_is_not_made_again_while_the_worker_that_began_it_is_still_there,
];

async fn refusals_change_nothing(world: World) {
    let run = world.launch("x").await;
    world.store.command(run, Command::Cancel).await.expect("cancelled");
    let before = world.row(run).await;
    let refused = world.store.command(run, Command::Resume).await.expect_err("refused");
    assert!(matches!(refused, CommandError::Refused(Refusal::NotInStatus { .. })));
    assert_eq!(world.row(run).await, before);
    assert_eq!(before.finished_at_ms, Some(START_MS));
    assert_eq!(world.store.queue().await.expect("stats"), QueueStats::default());
    let unknown = RunId::from_uuid(Uuid::now_v7());
    assert!(matches!(world.store.command(unknown, Command::Pause).await, Err(CommandError::NotFound)));
}

async fn fifty_resumes_have_one_winner(world: World) {
    let run = world.launch("x").await;
    world.store.command(run, Command::Pause).await.expect("paused");
    let resumes = join_all((0..50).map(|_| world.store.command(run, Command::Resume))).await;
    assert_eq!(resumes.iter().filter(|resume| resume.is_ok()).count(), 1);
    assert_eq!(world.row(run).await.run.version, 3);
    world.check().await;
}

async fn a_call_is_not_made_again_while_the_worker_that_began_it_is_still_there(world: World) {
    let run = world.launch("x").await;
    let (frozen, other) = (world.worker("w-1").await, world.worker("w-2").await);
    world.engine.lock(&frozen);
    let claim = world.claim_one(&frozen).await;
    let call = ToolCall {
        id: CallId::derive(run, 1, 0),
        call_id: "c".to_owned(),
        name: "pay".to_owned(),
        arguments: "{}".to_owned(),
        kind: CallKind::Tool(EffectClass::AtMostOnce),
    };
    let replied = Event::ModelReplied {
        turn: 1,
        text: None,
        calls: vec![call.clone()],
        notes: Vec::new(),
        usage: Usage::default(),
        model: "m".to_owned(),
        request: TurnRequest::default(),
        attempt: 1,
    };
    let started = Event::ToolStarted {
        call: call.id,
        arguments_hash: String::new(),
        worker: frozen.clone(),
        epoch: claim.epoch,
        attempt: 1,
        at_ms: START_MS,
    };
    let begun = commit(&claim, &frozen, 1, &[replied, started], StepEnd::GoesOn);
    world.store.commit(begun).await.expect("committed");
    let lost = lost(&frozen, Lost::LeaseLapsed, &[]);
    world.store.recover(&lost).await.expect("recovered");
    let claim = world.claim_one(&other).await;
    let unknown = Event::OutcomeUnknown { call: call.id, reason: "gone".to_owned() };
    world.store.commit(commit(&claim, &other, 1, &[unknown], StepEnd::Done)).await.expect("committed");
    let question = world.row(run).await.open_question().expect("a question");
    let again = Command::Decide { question, decision: Decision::DidNotHappen };
    let refused = world.store.command(run, again.clone()).await.expect_err("it may still act");
    assert!(matches!(refused, CommandError::Refused(Refusal::StillActing { worker }) if worker == frozen));
    world.engine.die(&frozen, &[]);
    world.store.command(run, again).await.expect("its process is gone");
    assert_eq!(world.row(run).await.run.status, Status::Running);
    world.check().await;
}
