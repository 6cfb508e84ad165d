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
    let row = api.store.command(id, Command::Resume).await?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn who_rests_goes_on() {
        let world = World::new().await;
        for (run, max_steps) in
            [(world.paused().await, 10), (world.failed().await, 10), (world.at_its_limit().await, 11)]
        {
            let shown = world.poke(run, "resume").await.expect(200);
            assert_eq!((&shown["status"], &shown["error"]), (&json!("running"), &json!(null)));
            assert_eq!(shown["max_steps"], max_steps);
        }
    }

    #[tokio::test]
    async fn who_does_not_rest_is_refused() {
        let world = World::new().await;
        for (run, problem) in [
            (world.launch("go").await, "409 already-running: the run is running already"),
            (world.waiting().await, "409 waits-for-answer: the run waits for an answer"),
            (world.complete().await, "409 wrong-status: a run that is complete cannot be resumed"),
            (world.cancelled().await, "409 wrong-status: a run that is cancelled cannot be resumed"),
            (world.quarantined().await, "409 wrong-status: a run that is quarantined cannot be resumed"),
            (world.undecided().await, "409 wrong-status: a run that is undecided cannot be resumed"),
        ] {
            assert_eq!(world.poke(run, "resume").await.problem(), problem);
        }
    }

    #[tokio::test]
    async fn of_fifty_resumes_at_once_one_wins() {
        let world = World::new().await;
        let run = world.failed().await;
        let answers = join_all((0..50).map(|_| world.poke(run, "resume"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(lost.problem(), "409 already-running: the run is running already");
        }
    }
}
