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
    let row = api.store.command(id, Command::Pause).await?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
}

#[cfg(test)]
mod tests {
    use crate::world::World;

    #[tokio::test]
    async fn who_runs_is_paused_and_nobody_else() {
        let world = World::new().await;
        let run = world.launch("go").await;
        assert_eq!(world.poke(run, "pause").await.expect(200)["status"], "paused");
        let again = world.poke(run, "pause").await;
        assert_eq!(again.problem(), "409 wrong-status: a run that is paused cannot be paused");
        assert_eq!(again.json()["run_status"], "paused");
        for run in
            [world.waiting().await, world.complete().await, world.failed().await, world.undecided().await]
        {
            world.poke(run, "pause").await.expect(409);
        }
    }

    #[tokio::test]
    async fn a_body_is_passed_over() {
        let world = World::new().await;
        let run = world.launch("go").await;
        world.post_text(&format!("/v1/runs/{run}/pause"), "not json").await.expect(200);
    }
}
