//! `POST /agent/resume`.

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
pub(crate) struct ResumeRequest {
    id: String,
}

/// Resume a state
#[utoipa::path(
    post,
    path = "/agent/resume",
    tag = "original",
    operation_id = "original_resume",
    request_body = ResumeRequest,
    responses(
        (status = 200, description = "The state, running again", body = state::State),
        (status = 400, description = "`Agent is waiting for human input`, or `Cannot resume agent. Current status: X.`",
            body = OriginalError),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = 409, description = "`Agent is already running for this state`", body = OriginalError),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn resume(State(api): Shared, mut members: Members) -> Result<Json<state::State>, Problem> {
    let id = members.text("id");
    members.done()?;
    let row = api.store.command(run_id(&id)?, Command::Resume).await.map_err(in_this_wire)?;
    Ok(Json(state::State::load(&api, row).await?))
}

fn in_this_wire(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => not_found(),
        CommandError::Refused(Refusal::AlreadyRunning) => {
            Problem::new(Kind::AlreadyRunning, "Agent is already running for this state")
        }
        CommandError::Refused(Refusal::WaitsForAnswer) => {
            Problem::new(Kind::WaitsForAnswer, "Agent is waiting for human input")
                .status(StatusCode::BAD_REQUEST)
        }
        CommandError::Refused(Refusal::NotInStatus { status, .. }) => {
            refused(Kind::WrongStatus, StatusCode::BAD_REQUEST, status, |word| {
                format!("Cannot resume agent. Current status: {word}.")
            })
        }
        other => other.into(),
    }
}
