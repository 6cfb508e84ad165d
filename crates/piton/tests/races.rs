//! Many clients at one run: one winner, a clear 4xx for the rest, and a state that is valid. 20 rounds;
//! `PITON_ROUNDS` says otherwise.

use futures::future::join_all;
use piton_testkit::{Gate, Reply, Say, Script, ScriptedModel, World, deadline, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const CLIENTS: usize = 50;

fn rounds() -> usize {
    std::env::var("PITON_ROUNDS").map_or(20, |rounds| rounds.parse().expect("a number of rounds"))
}

fn winners(replies: &[Reply]) -> Vec<usize> {
    let won = replies.iter().enumerate().filter(|(_, reply)| reply.status == 200);
    won.map(|(place, _)| place).collect()
}

/// The rest was refused with a status and a reason that a client can act on.
fn assert_clear_refusals(replies: &[Reply]) {
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(matches!(reply.status, 400 | 409), "{} {}", reply.status, reply.text);
        assert!(!reply.detail().is_empty(), "{}", reply.text);
    }
}

async fn count(world: &World, id: &str, kind: &str) -> usize {
    world.events(id).await.iter().filter(|event| event["type"] == kind).count()
}

#[tokio::test]
async fn one_of_fifty_answers_is_taken() {
    let model = ScriptedModel::start().await;
    let echo = Script::by(|turn| match turn.outputs.first() {
        None => Say::ask("Which?"),
        Some(output) => Say::answer(output["answer"].as_str().unwrap_or("no answer")),
    });
    model.script("ask", echo);
    let world = World::new(PITON).model(&model).serve().await;
    for round in 0..rounds() {
        let id = world.launch("[ask]").await;
        let run = world.until(&id, &["waiting_human_input"]).await;
        let answers = (0..CLIENTS).map(async |client| {
            let text = format!("client {client}");
            if client % 2 == 0 {
                return world.answer(&run, &text).await;
            }
            world.post("/agent/provide_input", &json!({ "id": id, "answer": text })).await
        });
        let replies = join_all(answers).await;
        let winners = winners(&replies);
        assert_eq!(
            winners.len(),
            1,
            "round {round}: {:?}",
            replies.iter().map(|r| r.status).collect::<Vec<_>>()
        );
        assert_clear_refusals(&replies);
        let run = world.until(&id, &["complete"]).await;
        assert_eq!(run["final_answer"], format!("client {}", winners[0]), "the winner's answer counts");
        assert_eq!(count(&world, &id, "human_answered").await, 1);
        assert_eq!(run["steps"], 4);
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn one_of_fifty_resumes_resumes() {
    let model = ScriptedModel::start().await;
    for round in 0..rounds() {
        let gate = Gate::new();
        model.script(&format!("{round}"), [Say::answer("done").held_by(&gate)]);
    }
    let world = World::new(PITON).model(&model).serve().await;
    for round in 0..rounds() {
        let gate = Gate::new();
        let turns = [Say::call("sum_numbers", json!({ "a": 1, "b": 1 })).held_by(&gate), Say::answer("done")];
        model.script(&format!("{round}"), turns);
        let id = world.launch(&format!("[{round}]")).await;
        gate.reached(1).await;
        world.poke(&format!("/v1/runs/{id}/pause")).await.expect(200);
        gate.open();
        let recorded = until(deadline(), "the reply is recorded", async || {
            let run = world.run(&id).await;
            (run["turns"] == 1).then_some(run)
        });
        assert_eq!(recorded.await.expect("the reply is recorded while it is paused")["status"], "paused");
        // In every other round the run is held running, in the others it may be over before the last resume comes.
        if round % 2 == 0 {
            gate.close();
        }
        let resumes = (0..CLIENTS).map(async |client| {
            if client % 2 == 0 {
                return world.poke(&format!("/v1/runs/{id}/resume")).await;
            }
            world.post("/agent/resume", &json!({ "id": id })).await
        });
        let replies = join_all(resumes).await;
        gate.open();
        assert_eq!(winners(&replies).len(), 1, "round {round}");
        assert_clear_refusals(&replies);
        let run = world.until(&id, &["complete"]).await;
        assert_eq!((&run["steps"], &run["turns"]), (&json!(3), &json!(2)), "nothing ran twice");
        assert_eq!(count(&world, &id, "resumed").await, 1);
        assert_eq!(count(&world, &id, "tool_returned").await, 1);
    }
    model.assert_every_request_was_valid();
}

#[tokio::test]
async fn a_pause_never_overwrites_a_completion() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).serve().await;
    let (mut paused, mut completed) = (0, 0);
    for round in 0..rounds() {
        let gate = Gate::new();
        model.script(&format!("{round}"), [Say::answer("done").held_by(&gate)]);
        let id = world.launch(&format!("[{round}]")).await;
        gate.reached(1).await;
        let pauses = async {
            // A little later in each round, so that some come before, some after and some with the completion.
            tokio::time::sleep(std::time::Duration::from_micros(300 * (round as u64 % 20))).await;
            join_all((0..5).map(async |_| world.post("/agent/pause", &json!({ "id": id })).await)).await
        };
        let (replies, ()) = tokio::join!(pauses, async { gate.open() });
        assert!(winners(&replies).len() <= 1, "round {round}");
        assert_clear_refusals(&replies);
        if winners(&replies).is_empty() {
            completed += 1;
            let run = world.until(&id, &["complete"]).await;
            assert_eq!(run["final_answer"], "done");
            assert_eq!(count(&world, &id, "paused").await, 0);
            continue;
        }
        paused += 1;
        let replied = until(deadline(), "the reply is recorded", async || {
            let run = world.run(&id).await;
            assert_eq!(run["status"], "paused", "it stays paused: {run:#}");
            (run["turns"] == 1).then_some(run)
        });
        assert_eq!(replied.await.expect("the reply is kept")["final_answer"], Value::Null);
        world.post("/agent/resume", &json!({ "id": id })).await.expect(200);
        assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "done");
        assert_eq!(model.seen(&format!("{round}")).len(), 1, "the reply was not asked for again");
    }
    assert_eq!(paused + completed, rounds());
    model.assert_every_request_was_valid();
}
