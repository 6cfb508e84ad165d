//! Claiming a run for a step, committing it, and giving it back.

use piton_core::{Command, Epoch, Event, Status};
use piton_store::{Claim, Commit, CommitOutcome, JobKind, Launch, Lost, StepEnd};

use crate::world::{START_MS, World, commit, failure, launch, lost};

promises![
    a_job_is_taken_once_by_priority_and_then_by_age,
    a_commit_under_another_epoch_writes_nothing,
    a_commit_whose_acknowledgement_was_lost_is_folded_once,
    a_command_in_between_makes_the_commit_wait_for_a_merge,
    a_command_to_a_held_run_leaves_a_job_that_only_the_holders_commit_removes,
    a_run_is_kept_for_its_next_step_unless_its_slice_is_over_and_another_waits,
    a_run_that_is_handed_back_was_no_attempt,
    a_run_that_is_handed_back_keeps_its_place,
    a_claim_whose_reply_was_lost_goes_back_and_what_is_held_does_not,
];

async fn a_job_is_taken_once_by_priority_and_then_by_age(world: World) {
    let mut ids = Vec::new();
    for (task, priority) in [("old", 0), ("young", 0), ("urgent", 5)] {
        let launch = Launch { priority, ..launch(task) };
        ids.push(world.store.launch(launch).await.expect("launched").run.id);
        world.clock.advance(1);
    }
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let (one, two) = tokio::join!(world.claim(&a), world.claim(&b));
    let mut claims = one;
    claims.extend(two);
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [ids[2], ids[0], ids[1]]);
    assert!(claims.iter().all(|claim| claim.epoch == Epoch(1) && claim.attempt == 1));
    assert!(world.claim(&a).await.is_empty());
    world.check().await;
}

async fn a_commit_under_another_epoch_writes_nothing(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let old = world.claim_one(&a).await;
    let lost = lost(&a, Lost::LeaseLapsed, &[]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 1);
    let before = world.row(run).await;
    let late = commit(&old, &a, 1, &[failure()], StepEnd::Done);
    assert!(matches!(world.store.commit(late.clone()).await.expect("answered"), CommitOutcome::Fenced));
    let new = world.claim_one(&b).await;
    assert_eq!((new.epoch, new.attempt), (Epoch(2), 2));
    assert!(matches!(world.store.commit(late).await.expect("answered"), CommitOutcome::Fenced));
    world.store.hand_back(run, &a, old.epoch, old.due_at_ms).await.expect("nothing");
    assert_eq!(world.row(run).await.owner, Some(b));
    assert_eq!(world.row(run).await.run, before.run);
    world.check().await;
}

async fn a_commit_whose_acknowledgement_was_lost_is_folded_once(world: World) {
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    for end in [StepEnd::GoesOn, StepEnd::GoesOn] {
        let outcome =
            world.store.commit(commit(&claim, &worker, 1, &[failure()], end)).await.expect("answered");
        assert!(matches!(outcome, CommitOutcome::Committed { version: 2, kept: true }));
    }
    let claim = Claim { fold: world.row(run).await.run, ..claim };
    for _ in 0..2 {
        let failed = [Event::Failed { error: "down".to_owned() }];
        let outcome = world.store.commit(commit(&claim, &worker, 2, &failed, StepEnd::Done)).await;
        assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { version: 3, kept: false }));
    }
    assert_eq!(world.store.events(run, 0, 10).await.expect("events").len(), 3);
    world.check().await;
}

async fn a_command_in_between_makes_the_commit_wait_for_a_merge(world: World) {
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    world.store.command(run, Command::Pause).await.expect("paused");
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    let CommitOutcome::Behind { newer } = outcome.expect("answered") else { panic!("behind") };
    assert_eq!((newer.status, newer.version), (Status::Paused, 2));
    assert_eq!(world.row(run).await.run.version, 2);
    // Nothing to add: the commit only lets go.
    let rest = Commit {
        base: 2,
        events: Vec::new(),
        after: *newer,
        ..commit(&claim, &worker, 1, &[], StepEnd::Done)
    };
    let outcome = world.store.commit(rest).await.expect("answered");
    assert!(matches!(outcome, CommitOutcome::Committed { version: 2, kept: false }));
    assert_eq!(world.row(run).await.owner, None);
    world.check().await;
}

async fn a_command_to_a_held_run_leaves_a_job_that_only_the_holders_commit_removes(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let claim = world.claim_one(&a).await;
    world.store.command(run, Command::Pause).await.expect("paused");
    world.store.command(run, Command::Resume).await.expect("resumed");
    assert!(world.claim(&b).await.is_empty(), "the run is held");
    assert_eq!(world.store.queue().await.expect("stats").due, 1);
    let now = Claim { fold: world.row(run).await.run, ..claim };
    let outcome =
        world.store.commit(commit(&now, &a, 1, &[failure()], StepEnd::Done)).await.expect("answered");
    assert!(matches!(outcome, CommitOutcome::Committed { kept: true, .. }));
    assert_eq!(world.store.queue().await.expect("stats").due, 0);
    world.check().await;
}

async fn a_run_is_kept_for_its_next_step_unless_its_slice_is_over_and_another_waits(world: World) {
    let first = world.launch("first").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: true, .. }));
    assert_eq!(world.row(first).await.attempt, 1, "the next step's first attempt has begun");
    world.clock.advance(5);
    let second = world.launch("second").await;
    world.clock.advance(5);
    let claim = Claim { fold: world.row(first).await.run, ..claim };
    let in_its_slice = Commit { gives_way: false, ..commit(&claim, &worker, 2, &[failure()], StepEnd::Done) };
    let outcome = world.store.commit(in_its_slice).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: true, .. }));
    let claim = Claim { fold: world.row(first).await.run, ..claim };
    let outcome = world.store.commit(commit(&claim, &worker, 3, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: false, .. }));
    assert_eq!(world.claim_one(&worker).await.run, second);
    let again = world.claim_one(&worker).await;
    assert_eq!((again.run, again.epoch, again.attempt, again.kind), (first, Epoch(2), 1, JobKind::Step));
    world.check().await;
}

async fn a_run_that_is_handed_back_was_no_attempt(world: World) {
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    world.store.hand_back(run, &worker, claim.epoch, claim.due_at_ms).await.expect("handed back");
    let claim = world.claim_one(&worker).await;
    assert_eq!((claim.epoch, claim.attempt), (Epoch(2), 1));
    world.store.retire(&worker).await.expect("retired");
    let other = world.worker("other").await;
    let claim = world.claim_one(&other).await;
    assert_eq!((claim.epoch, claim.attempt), (Epoch(3), 1));
    world.check().await;
}

async fn a_run_that_is_handed_back_keeps_its_place(world: World) {
    let first = world.launch("first").await;
    world.clock.advance(5);
    world.launch("second").await;
    let worker = world.worker("w").await;
    world.clock.advance(5);
    let claim = world.claim_one(&worker).await;
    assert_eq!((claim.run, claim.due_at_ms), (first, START_MS));
    world.clock.advance(5);
    world.store.hand_back(first, &worker, claim.epoch, claim.due_at_ms).await.expect("handed back");
    assert_eq!(world.claim_one(&worker).await.run, first);
    // One that says it was due later than now is due now.
    world.store.hand_back(first, &worker, Epoch(2), i64::MAX).await.expect("handed back");
    assert_eq!(world.claim(&worker).await.len(), 2);
}

async fn a_claim_whose_reply_was_lost_goes_back_and_what_is_held_does_not(world: World) {
    let (held, lost, resting) =
        (world.launch("held").await, world.launch("lost").await, world.launch("x").await);
    let (worker, other) = (world.worker("w").await, world.worker("other").await);
    assert_eq!(world.claim(&worker).await.len(), 3);
    let held_now = [(held, Epoch(1))];
    world.store.command(resting, Command::Pause).await.expect("paused");
    assert_eq!(world.store.hand_back_all_but(&other, &[]).await.expect("answered"), 0);
    assert_eq!(world.store.hand_back_all_but(&worker, &held_now).await.expect("answered"), 2);
    assert_eq!(world.store.hand_back_all_but(&worker, &held_now).await.expect("answered"), 0);
    assert_eq!(world.row(held).await.owner, Some(worker.clone()));
    assert_eq!(world.row(resting).await.owner, None);
    // It may hold an older claim of the very run: a step of which it does not know yet that it is done.
    let before = [(held, Epoch(0))];
    assert_eq!(world.store.hand_back_all_but(&worker, &before).await.expect("answered"), 1);
    assert_eq!(world.row(held).await.owner, None);
    world.store.command(held, Command::Pause).await.expect("paused");
    let claims = world.claim(&other).await;
    assert_eq!(claims.iter().map(|claim| (claim.run, claim.attempt)).collect::<Vec<_>>(), [(lost, 1)]);
    world.check().await;
}
