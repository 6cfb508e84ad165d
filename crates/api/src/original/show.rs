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
