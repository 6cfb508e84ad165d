//! `POST /agent/provide_input`: answers the open `ask_human`, and nothing else.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use piton_core::{CallId, Command, Refusal, Status, TASK_CHARS_MAX};
use piton_store::{CommandError, RunRow};
use utoipa::ToSchema;

use super::body::Members;
use super::{OriginalError, OriginalInvalid, not_found, refused, run_id, state};
use crate::api::Shared;
use crate::problem::{Kind, Problem};

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct ProvideInputRequest {
    id: String,
    answer: String,
    /// The call id of the question that is meant: refused if another is open.
    call_id: Option<String>,
}

/// Answer the agent's question
#[utoipa::path(
    post,
    path = "/agent/provide_input",
    tag = "original",
    operation_id = "original_provide_input",
    request_body = ProvideInputRequest,
    responses(
        (status = 200, description = "The state with the answer", body = state::State),
        (status = 400, description = "`State is not waiting for human input. Current status: X`",
            body = OriginalError),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = 409, description = "Another question is open", body = OriginalError),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn provide_input(
    State(api): Shared,
    mut members: Members,
) -> Result<Json<state::State>, Problem> {
    let id = members.text("id");
    let answer = members.bounded_text("answer", TASK_CHARS_MAX);
    let call_id = members.optional_text("call_id");
    members.done()?;
    let run = run_id(&id)?;
    let question = match call_id {
        None => None,
        Some(call_id) => Some(named(&api.store.run(run).await?.ok_or_else(not_found)?, &call_id)?),
    };
    let command = Command::Answer { question, answer };
    let row = api.store.command(run, command).await.map_err(in_this_wire)?;
    Ok(Json(state::State::load(&api, row).await?))
}

/// The open question, if it goes by this call id.
fn named(row: &RunRow, call_id: &str) -> Result<CallId, Problem> {
    if row.run.status != Status::WaitingHumanInput {
        return Err(not_waiting(row.run.status));
    }
    let open = row.open_question();
    let open = row.run.pending.iter().find(|pending| Some(pending.call.id) == open);
    open.filter(|pending| pending.call.call_id == call_id)
        .map(|pending| pending.call.id)
        .ok_or_else(other_question)
}

fn in_this_wire(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => not_found(),
        CommandError::Refused(Refusal::NotWaiting { status }) => not_waiting(status),
        CommandError::Refused(Refusal::OtherKind { .. }) => not_waiting(Status::Undecided),
        CommandError::Refused(Refusal::OtherQuestion { .. }) => other_question(),
        other => other.into(),
    }
}

fn not_waiting(status: Status) -> Problem {
    refused(Kind::NotWaiting, StatusCode::BAD_REQUEST, status, |word| {
        format!("State is not waiting for human input. Current status: {word}")
    })
}

fn other_question() -> Problem {
    Problem::new(Kind::OtherQuestion, "Another question is open than the one that call_id names")
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::{Value, json};

    use crate::world::{UNKNOWN, World};

    const PATH: &str = "/agent/provide_input";

    #[tokio::test]
    async fn an_answer_goes_under_the_call_id_of_its_question() {
        let world = World::new().await;
        let run = world.waiting().await;
        let body = json!({ "id": run.to_string(), "answer": "seven" });
        let state = world.post(PATH, &body).await.expect(200);
        assert_eq!((&state["status"], &state["steps"]), (&json!("running"), &json!(2)));
        assert_eq!(state["pending_tool_calls"], json!([]));
        let expected = json!([
            { "role": "user", "content": "ask me" },
            {
                "type": "function_call", "name": "ask_human", "arguments": "{\"question\":\"How many?\"}",
                "call_id": "call_1_0",
            },
            { "type": "function_call_output", "call_id": "call_1_0", "output": "{\"answer\":\"seven\"}" },
        ]);
        assert_eq!(state["context"], expected);
        assert_eq!(
            world.post(PATH, &body).await.problem(),
            "400 not-waiting: State is not waiting for human input. Current status: running"
        );
    }

    #[tokio::test]
    async fn a_question_of_pitons_own_is_answered_as_any_other() {
        let world = World::new().await;
        let run = world.stuck().await;
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!(
            (&state["status"], &state["pending_tool_calls"]),
            (&json!("waiting_human_input"), &json!([]))
        );
        let asked = state["context"].as_array().and_then(|items| items.last()).expect("a question");
        assert_eq!((&asked["type"], &asked["name"]), (&json!("function_call"), &json!("ask_human")));
        let body = json!({ "id": run.to_string(), "answer": "walk", "call_id": asked["call_id"] });
        let state = world.post(PATH, &body).await.expect(200);
        let output = state["context"].as_array().and_then(|items| items.last()).expect("an answer");
        let expected = json!({
            "type": "function_call_output", "call_id": asked["call_id"], "output": "{\"answer\":\"walk\"}",
        });
        assert_eq!((&state["status"], output), (&json!("running"), &expected));
    }

    #[tokio::test]
    async fn who_does_not_wait_is_400_in_a_word_of_this_wire() {
        let world = World::new().await;
        let cases = [
            (world.launch("go").await, "running"),
            (world.paused().await, "paused"),
            (world.complete().await, "complete"),
            (world.failed().await, "failed"),
            (world.at_its_limit().await, "max_steps_reached"),
            (world.cancelled().await, "failed"),
            (world.quarantined().await, "failed"),
            (world.undecided().await, "paused"),
        ];
        for (run, word) in cases {
            let before = world.shown(run).await;
            for call_id in [Value::Null, json!("call_1_0")] {
                let body = json!({ "id": run.to_string(), "answer": "x", "call_id": call_id });
                assert_eq!(
                    world.post(PATH, &body).await.problem(),
                    format!("400 not-waiting: State is not waiting for human input. Current status: {word}")
                );
            }
            assert_eq!(world.shown(run).await, before);
        }
    }

    #[tokio::test]
    async fn a_call_id_has_to_be_the_open_questions() {
        let world = World::new().await;
        let run = world.waiting().await;
        let body = |call_id: Value| json!({ "id": run.to_string(), "answer": "x", "call_id": call_id });
        let other = "409 other-question: Another question is open than the one that call_id names";
        assert_eq!(world.post(PATH, &body(json!("call_0_0"))).await.problem(), other);
        assert_eq!(world.post(PATH, &body(json!(""))).await.problem(), other);
        world.post(PATH, &body(json!(5))).await.expect(422);
        world.post(PATH, &body(json!("call_1_0"))).await.expect(200);

        world.reply(run, &[("ask_human", json!({ "question": "And now?" }))]).await;
        assert_eq!(world.post(PATH, &body(json!("call_1_0"))).await.problem(), other, "a late retry");
        world.post(PATH, &body(Value::Null)).await.expect(200);
    }

    #[tokio::test]
    async fn nobody_there_is_404_and_a_bad_body_422() {
        let world = World::new().await;
        for id in [UNKNOWN, "no-uuid", ""] {
            for call_id in [Value::Null, json!("call_1_0")] {
                let body = json!({ "id": id, "answer": "x", "call_id": call_id });
                assert_eq!(world.post(PATH, &body).await.problem(), "404 run-not-found: State not found");
            }
        }
        let answer = world.post(PATH, &json!({ "id": 5 })).await.expect(422);
        let expected = json!([
            { "type": "string_type", "loc": ["body", "id"], "msg": "Input should be a valid string" },
            { "type": "missing", "loc": ["body", "answer"], "msg": "Field required" },
        ]);
        assert_eq!(answer["detail"], expected);
    }

    #[tokio::test]
    async fn of_fifty_answers_at_once_one_wins() {
        let world = World::new().await;
        let run = world.waiting().await;
        let bodies: Vec<Value> =
            (0..50).map(|n| json!({ "id": run.to_string(), "answer": n.to_string() })).collect();
        let answers = join_all(bodies.iter().map(|body| world.post(PATH, body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(
                lost.problem(),
                "400 not-waiting: State is not waiting for human input. Current status: running"
            );
        }
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!(state["context"].as_array().map(Vec::len), Some(3));
    }
}
