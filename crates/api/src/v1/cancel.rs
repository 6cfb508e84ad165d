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
    let row = api.store.command(id, Command::Cancel).await?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use crate::world::World;

    #[tokio::test]
    async fn who_is_not_over_for_good_is_cancelled() {
        let world = World::new().await;
        for run in [
            world.launch("go").await,
            world.waiting().await,
            world.paused().await,
            world.failed().await,
            world.at_its_limit().await,
            world.quarantined().await,
        ] {
            assert_eq!(world.poke(run, "cancel").await.expect(200)["status"], "cancelled");
            let again = world.poke(run, "cancel").await;
            assert_eq!(again.problem(), "409 wrong-status: a run that is cancelled cannot be cancelled");
        }
        let complete = world.complete().await;
        let refused = world.poke(complete, "cancel").await;
        assert_eq!(refused.problem(), "409 wrong-status: a run that is complete cannot be cancelled");
    }

    #[tokio::test]
    async fn an_open_call_is_waited_for() {
        let world = World::new().await;
        let (run, _) = world.with_open_call().await;
        assert_eq!(world.poke(run, "cancel").await.expect(200)["status"], "cancelling");
        let again = world.poke(run, "cancel").await;
        assert_eq!(again.problem(), "409 wrong-status: a run that is cancelling cannot be cancelled again");
        let pause = world.poke(run, "pause").await;
        assert_eq!(pause.problem(), "409 wrong-status: a run that is cancelling cannot be paused");
    }

    #[tokio::test]
    async fn of_pauses_and_cancels_at_once_the_cancel_stays() {
        let world = World::new().await;
        let run = world.launch("go").await;
        let verbs = ["pause", "cancel", "resume"];
        let answers = join_all((0..60).map(|n| world.poke(run, verbs[n % 3]))).await;
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.status == 409));
        assert_eq!(world.shown(run).await["status"], "cancelled");
    }
}
