//! `GET /agent/state/{id}`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::{OriginalError, not_found, run_id, state};
use crate::api::Shared;
use crate::problem::Problem;

/// Show a state
#[utoipa::path(
    get,
    path = "/agent/state/{id}",
    tag = "original",
    operation_id = "original_state",
    params(("id" = String, Path, description = "The state's id")),
    responses(
        (status = 200, description = "The state as it is", body = state::State),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn show(
    State(api): Shared,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<state::State>, Problem> {
    let Path(id) = id.map_err(|_| not_found())?;
    let row = api.store.run(run_id(&id)?).await?.ok_or_else(not_found)?;
    Ok(Json(state::State::load(&api, row).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::world::{UNKNOWN, World};

    #[tokio::test]
    async fn what_is_not_there_is_404() {
        let world = World::new().await;
        for id in [UNKNOWN, "no-uuid", "%00", "%ff", "..%2f..%2fetc", &"x".repeat(5000)] {
            let answer = world.get(&format!("/agent/state/{id}")).await;
            assert_eq!(answer.problem(), "404 run-not-found: State not found");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }

    #[tokio::test]
    async fn a_call_is_pending_then_in_the_context_with_its_output() {
        let world = World::new().await;
        let run = world.launch("2+3, then 5*1?").await;
        world.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 })), ("book", json!("not {json"))]).await;
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!(state["steps"], 1);
        assert_eq!(state["context"], json!([{ "role": "user", "content": "2+3, then 5*1?" }]));
        assert_eq!(
            state["pending_tool_calls"].to_string(),
            json!([
                { "name": "sum_numbers", "arguments": { "a": 2, "b": 3 }, "call_id": "call_1_0", "type": "function_call" },
                { "name": "book", "arguments": {}, "call_id": "call_1_1", "type": "function_call" },
            ])
            .to_string()
        );

        world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!((&state["steps"], &state["status"]), (&json!(3), &json!("complete")));
        assert_eq!(state["final_answer"], "5");
        assert_eq!(state["pending_tool_calls"], json!([]));
        let expected = json!([
            { "role": "user", "content": "2+3, then 5*1?" },
            { "type": "function_call", "name": "sum_numbers", "arguments": "{\"a\":2,\"b\":3}", "call_id": "call_1_0" },
            { "type": "function_call_output", "call_id": "call_1_0", "output": "{\"result\":5}" },
            { "type": "function_call", "name": "book", "arguments": "{}", "call_id": "call_1_1" },
            { "type": "function_call_output", "call_id": "call_1_1", "output": "{\"result\":5}" },
            { "type": "function_call", "name": "final_answer", "arguments": "{\"answer\":\"5\"}", "call_id": "call_2_0" },
        ]);
        assert_eq!(state["context"].to_string(), expected.to_string());
    }

    #[tokio::test]
    async fn a_question_is_in_the_context_and_what_is_behind_it_pending() {
        let world = World::new().await;
        let run = world.launch("ask").await;
        let calls =
            [("ask_human", json!({ "question": "How many?" })), ("sum_numbers", json!({ "a": 1, "b": 1 }))];
        world.reply(run, &calls).await;
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!((&state["status"], &state["steps"]), (&json!("waiting_human_input"), &json!(2)));
        let last = state["context"].as_array().and_then(|items| items.last()).expect("an item");
        assert_eq!((&last["name"], &last["call_id"]), (&json!("ask_human"), &json!("call_1_0")));
        assert_eq!(state["pending_tool_calls"].as_array().map(Vec::len), Some(1));
        assert_eq!(state["pending_tool_calls"][0]["name"], "sum_numbers");
    }

    #[tokio::test]
    async fn every_status_has_a_word_of_this_wire() {
        let world = World::new().await;
        let (cancelling, _) = world.with_open_call().await;
        world.poke(cancelling, "cancel").await.expect(200);
        let undecided = world.undecided().await;
        let quarantined = world.quarantined().await;
        let cases = [
            (world.launch("go").await, "running", Value::Null),
            (world.waiting().await, "waiting_human_input", Value::Null),
            (world.paused().await, "paused", Value::Null),
            (world.complete().await, "complete", Value::Null),
            (world.failed().await, "failed", json!("401 from the model")),
            (world.at_its_limit().await, "max_steps_reached", Value::Null),
            (cancelling, "running", Value::Null),
            (world.cancelled().await, "failed", json!("cancelled")),
            (
                quarantined,
                "failed",
                json!(format!(
                    "quarantined: it took 3 workers down. Let it go on with POST /v1/runs/{quarantined}/release"
                )),
            ),
            (
                undecided,
                "paused",
                json!(format!(
                    "undecided: whether book took effect is unknown. Decide it in the web UI or with \
                     POST /v1/runs/{undecided}/answer"
                )),
            ),
        ];
        for (run, status, error) in cases {
            let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
            assert_eq!((&state["status"], &state["error"]), (&json!(status), &error), "{state:#}");
            let members: Vec<&String> = state.as_object().expect("an object").keys().collect();
            let all = ["id", "steps", "status", "context", "pending_tool_calls", "error", "final_answer"];
            assert_eq!(members, all);
        }
    }
}
