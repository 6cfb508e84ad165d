//! `GET /v1/runs/{id}/lost-attempts`: the attempts at a run's steps that ended with their worker.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::Time;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LostAttempts {
    /// Oldest first, at most 1000.
    lost_attempts: Vec<LostAttempt>,
}

/// An attempt that ended with its worker. Nothing of it was recorded but what the events say; another attempt went on
/// from there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LostAttempt {
    worker: String,
    epoch: u64,
    attempt: u32,
    /// The id of the run's last event then.
    version: u64,
    /// When its end was noticed.
    at: Time,
    /// How the worker ended, for people, such as `signal 9 (SIGKILL)`.
    how: String,
    /// Whether the run took it down: the third in a row quarantines the run.
    blamed: bool,
}

/// List the attempts that ended with their worker
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/lost-attempts",
    tag = "runs",
    operation_id = "lost_attempts",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "What was lost, and how", body = LostAttempts),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn lost_attempts(
    State(api): Shared,
    RunPath(id): RunPath,
) -> Result<Json<LostAttempts>, Problem> {
    if api.store.standings(&[id]).await?.is_empty() {
        return Err(Problem::run_not_found(&id.to_string()));
    }
    let lost = api.store.lost_attempts(id).await?;
    Ok(Json(LostAttempts { lost_attempts: lost.into_iter().map(LostAttempt::from).collect() }))
}

impl From<piton_store::LostAttempt> for LostAttempt {
    fn from(lost: piton_store::LostAttempt) -> Self {
        Self {
            worker: lost.worker.to_string(),
            epoch: lost.epoch.0,
            attempt: lost.attempt,
            version: lost.version,
            at: Time(lost.at_ms),
            how: lost.how,
            blamed: lost.blamed,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn each_death_is_listed_with_how_it_came() {
        let mut world = World::new().await;
        let run = world.launch("crash").await;
        let path = format!("/v1/runs/{run}/lost-attempts");
        assert_eq!(world.get(&path).await.expect(200), json!({ "lost_attempts": [] }));
        world.claim(run).await;
        world.worker_dies("signal 9 (SIGKILL)", false).await;
        world.worker = piton_core::WorkerId::new("another");
        let second = world.claim(run).await;
        let replied = world.replied(&second, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
        world.commit(&second, &[replied], piton_store::StepEnd::GoesOn).await;
        world.clock.advance(1000);
        world.worker_dies("signal 6 (SIGABRT)", true).await;
        let lost = world.get(&path).await.expect(200);
        let expected = json!([
            {
                "worker": "by-hand", "epoch": 1, "attempt": 1, "version": 1, "at": "2026-01-01T00:00:00.000Z",
                "how": "signal 9 (SIGKILL)", "blamed": false,
            },
            {
                "worker": "another", "epoch": 2, "attempt": 2, "version": 2, "at": "2026-01-01T00:00:01.000Z",
                "how": "signal 6 (SIGABRT)", "blamed": true,
            },
        ]);
        assert_eq!(lost["lost_attempts"], expected);
    }
}
