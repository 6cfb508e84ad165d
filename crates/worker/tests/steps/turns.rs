//! What a run that nobody disturbs goes through.

use piton_core::{CallId, Command, Event, Status};
use piton_store::Store;
use piton_testkit::{Call, Fault, Say};
use serde_json::json;

use crate::world::{World, story, sum};

#[tokio::test]
async fn two_tool_turns_and_an_answer_are_four_steps() {
    let world = World::new().await;
    world.model.script("two", [sum(1, 2), sum(3, 4), Say::answer("7")]);
    let run = world.launch("[two] add up").await;
    let worker = world.worker();
    let row = world.until(run, Status::Complete).await;
    assert_eq!((row.run.steps, row.run.final_answer.as_deref(), row.owner), (4, Some("7"), None));
    assert_eq!(
        world.kinds(run).await,
        [
            "launched",
            "model_replied",
            "tool_returned",
            "model_replied",
            "tool_returned",
            "model_replied",
            "completed"
        ]
    );
    world.model.assert_every_request_was_valid();
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_question_waits_without_a_job_and_goes_on_with_its_answer() {
    let world = World::new().await;
    world.model.script("ask", [Say::ask("which number?"), Say::answer("thanks")]);
    let run = world.launch("[ask] something").await;
    let worker = world.worker();
    let row = world.until(run, Status::WaitingHumanInput).await;
    assert_eq!(world.store.queue().await.expect("stats"), piton_store::QueueStats::default());
    let question = row.open_question();
    world.command(run, Command::Answer { question, answer: "5".to_owned() }).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!(row.run.steps, 4);
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn the_limit_rests_with_the_calls_still_pending() {
    let mut world = World::new().await;
    world.agent.max_steps = 2;
    world.model.script("limit", [sum(1, 1), sum(2, 2), Say::answer("4")]);
    let run = world.launch("[limit]").await;
    let worker = world.worker();
    let row = world.until(run, Status::MaxStepsReached).await;
    assert_eq!((row.run.steps, row.run.pending.len()), (2, 1));
    world.command(run, Command::Resume).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!((row.run.steps, row.run.max_steps), (4, 12));
    worker.stop().await;
}

#[tokio::test]
async fn calls_behind_a_question_stay_pending_until_it_is_answered() {
    let world = World::new().await;
    let three = Say::calls(vec![
        Call::new("sum_numbers", &json!({"a": 1, "b": 1})),
        Call::new("ask_human", &json!({"question": "go on?"})),
        Call::new("divide_numbers", &json!({"a": 1, "b": 0})),
    ]);
    world.model.script("three", [three, Say::answer("done")]);
    let run = world.launch("[three]").await;
    let worker = world.worker();
    let row = world.until(run, Status::WaitingHumanInput).await;
    assert_eq!((row.run.steps, row.run.pending.len()), (2, 2));
    let question = row.open_question();
    world.command(run, Command::Answer { question, answer: "yes".to_owned() }).await;
    world.until(run, Status::Complete).await;
    let failed = world.history(run).await.into_iter().find_map(|event| match event {
        Event::ToolFailed { error, .. } => Some(error),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("Division by zero"));
    world.model.assert_every_request_was_valid();
    worker.stop().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_asked_fails_the_run_and_a_resume_tries_again() {
    let world = World::new().await;
    let down = Say::answer("up again").after(Fault::status(500)).after(Fault::status(500));
    world.model.script("down", [down]);
    let run = world.launch("[down]").await;
    let worker = world.worker();
    let row = world.until(run, Status::Failed).await;
    assert!(row.run.error.as_deref().is_some_and(|error| error.contains("500")), "{:?}", row.run.error);
    world.command(run, Command::Resume).await;
    let row = world.until(run, Status::Complete).await;
    assert_eq!(row.run.error, None);
    worker.stop().await;
}

#[tokio::test]
async fn a_long_output_is_on_disk_before_the_next_call_begins() {
    let world = World::new().await;
    world.gate.close();
    let tell = || Call::new("tell", &json!({}));
    world.model.script("twice", [Say::calls(vec![tell(), tell()]), Say::answer("done")]);
    let run = world.launch("[twice]").await;
    let worker = world.worker();
    world.gate.reached(1).await;
    assert!(world.output(run, CallId::derive(run, 1, 0)).await == story());
    world.gate.open();
    world.until(run, Status::Complete).await;
    assert!(world.output(run, CallId::derive(run, 1, 1)).await == story());
    worker.stop().await;
    world.check().await;
}
