//! `POST /v1/runs/{id}/release`.

use axum::Json;
use axum::extract::State;
use piton_core::Command;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// Release a quarantined run
///
/// A run that took several workers down with it goes on.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/release",
    tag = "runs",
    operation_id = "release_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "Running again", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not in the run's status", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn release(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    Ok(Json(api.store.command(id, Command::Release).await?.into()))
}
