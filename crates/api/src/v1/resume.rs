//! `POST /v1/runs/{id}/resume`.

use axum::Json;
use axum::extract::State;
use piton_core::Command;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// Resume a run
///
/// From `paused` and `failed` the run goes on; from `max_steps_reached` it goes on with 10 more steps.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/resume",
    tag = "runs",
    operation_id = "resume_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "Running again", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not in the run's status", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn resume(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    Ok(Json(api.store.command(id, Command::Resume).await?.into()))
}
