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
/// A run that took several workers down with it goes on. One that was paused before is paused again.
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/release",
    tag = "runs",
    operation_id = "release_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "Running again, or paused as it was", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not in the run's status", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn release(State(api): Shared, RunPath(id): RunPath) -> Result<Json<Run>, Problem> {
    let row = api.store.command(id, Command::Release).await?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn who_is_quarantined_goes_on_and_nobody_else() {
        let world = World::new().await;
        let run = world.quarantined().await;
        assert_eq!(world.shown(run).await["error"], "it took 3 workers down");
        let shown = world.poke(run, "release").await.expect(200);
        assert_eq!((&shown["status"], &shown["error"]), (&json!("running"), &json!(null)));
        let again = world.poke(run, "release").await;
        assert_eq!(again.problem(), "409 wrong-status: a run that is running cannot be released");
    }
}
