//! `POST /v1/runs/{id}/pause`.

use axum::Json;
use axum::extract::State;
use piton_core::Command;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// Pause a run
///
/// Nothing more is begun until somebody resumes it; a call that was begun is awaited.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/pause",
    tag = "runs",
    operation_id = "pause_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "Paused. A model call under way is still recorded when it ends", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not in the run's status", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn pause(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    Ok(Json(api.store.command(id, Command::Pause).await?.into()))
}
