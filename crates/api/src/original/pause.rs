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
        other => other.into(),
    }
}
