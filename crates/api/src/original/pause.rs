//! `POST /agent/pause`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use piton_core::{Command, Refusal};
use piton_store::CommandError;
use utoipa::ToSchema;

use super::body::Members;
use super::{OriginalError, OriginalInvalid, not_found, refused, run_id, state};
use crate::api::Shared;
use crate::problem::{Kind, Problem};

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct PauseRequest {
    id: String,
}

/// Pause a state
#[utoipa::path(
    post,
    path = "/agent/pause",
    tag = "original",
    operation_id = "original_pause",
    request_body = PauseRequest,
    responses(
        (status = 200, description = "The state, paused", body = state::State),
        (status = 400, description = "`Cannot pause agent. Current status: X. Only agents with status 'running' can be \
            paused.`", body = OriginalError),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn pause(State(api): Shared, mut members: Members) -> Result<Json<state::State>, Problem> {
    let id = members.text("id");
    members.done()?;
    let row = api.store.command(run_id(&id)?, Command::Pause).await.map_err(in_this_wire)?;
    Ok(Json(state::State::load(&api, row).await?))
}

fn in_this_wire(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => not_found(),
        CommandError::Refused(Refusal::NotInStatus { status, .. }) => {
            refused(Kind::WrongStatus, StatusCode::BAD_REQUEST, status, |word| {
                format!(
                    "Cannot pause agent. Current status: {word}. Only agents with status 'running' can be paused."
                )
            })
        }
        CommandError::Refused(refusal @ Refusal::EventsUsedUp { .. }) => {
            Problem::from(&refusal).status(StatusCode::BAD_REQUEST)
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::{UNKNOWN, World};

    const PATH: &str = "/agent/pause";

    #[tokio::test]
    async fn who_runs_is_paused() {
        let world = World::new().await;
        let run = world.launch("go").await;
        let state = world.post(PATH, &json!({ "id": run.to_string() })).await.expect(200);
        assert_eq!((&state["status"], &state["id"]), (&json!("paused"), &json!(run.to_string())));
    }

    #[tokio::test]
    async fn who_does_not_run_is_refused_in_a_word_of_this_wire() {
        let world = World::new().await;
        let cases = [
            (world.paused().await, "paused"),
            (world.waiting().await, "waiting_human_input"),
            (world.complete().await, "complete"),
            (world.failed().await, "failed"),
            (world.at_its_limit().await, "max_steps_reached"),
            (world.cancelled().await, "failed"),
            (world.quarantined().await, "failed"),
            (world.undecided().await, "paused"),
        ];
        for (run, word) in cases {
            let before = world.shown(run).await;
            assert_eq!(
                world.post(PATH, &json!({ "id": run.to_string() })).await.problem(),
                format!(
                    "400 wrong-status: Cannot pause agent. Current status: {word}. \
                     Only agents with status 'running' can be paused."
                )
            );
            assert_eq!(world.shown(run).await, before);
        }
    }

    #[tokio::test]
    async fn nobody_there_is_404_and_a_bad_body_422() {
        let world = World::new().await;
        for id in [UNKNOWN, "no-uuid"] {
            let answer = world.post(PATH, &json!({ "id": id })).await;
            assert_eq!(answer.problem(), "404 run-not-found: State not found");
        }
        for body in [json!({}), json!({ "id": ["x"] }), json!("x")] {
            world.post(PATH, &body).await.expect(422);
        }
    }
}
