//! `GET /v1/runs/{id}`: shows one run.

use axum::Json;
use axum::extract::State;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// Show a run
#[utoipa::path(
    get,
    path = "/v1/runs/{id}",
    tag = "runs",
    operation_id = "show_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "The run as it stands", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn show(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    let row = api.store.run(id).await?.ok_or_else(|| Problem::run_not_found(&id.to_string()))?;
    Ok(Json(row.into()))
}
