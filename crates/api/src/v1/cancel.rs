//! `POST /v1/runs/{id}/cancel`.

use axum::Json;
use axum::extract::State;
use piton_core::Command;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// Cancel a run
///
/// A model call is dropped. While an `at_most_once` call is open the run is `cancelling`, until its result is known.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/cancel",
    tag = "runs",
    operation_id = "cancel_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "Cancelled, or cancelling", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not in the run's status", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn cancel(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    Ok(Json(api.store.command(id, Command::Cancel).await?.into()))
}
