//! `POST /v1/workers/{id}/drain`.

use axum::Json;
use axum::extract::{Path, State};
use piton_core::WorkerId;

use super::workers::Worker;
use crate::api::Shared;
use crate::problem::{Kind, Problem, ProblemBody, Problems};

/// Drain a worker
///
/// From now on it takes nothing new. It finishes its steps under way, and ends; their runs go on with other workers. One
/// that a server started is not started again before the server is.
#[utoipa::path(
    post,
    path = "/v1/workers/{id}/drain",
    tag = "system",
    operation_id = "drain_worker",
    params(("id" = String, Path, description = "The worker's id")),
    responses(
        (status = 200, description = "The worker, which ends soon", body = Worker),
        (status = 404, description = "No such worker", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn drain(State(api): Shared, Path(id): Path<String>) -> Result<Json<Worker>, Problem> {
    let id = WorkerId::new(id);
    let none = || Problem::new(Kind::WorkerNotFound, "There is no such worker: GET /v1/workers lists them");
    if !api.store.drain(&id).await? {
        return Err(none());
    }
    let now_ms = api.clock.now_ms();
    let row = api.store.workers().await?.into_iter().find(|row| row.id == id).ok_or_else(none)?;
    Ok(Json(Worker::new(row, now_ms)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn a_worker_that_drains_says_so_and_takes_nothing_new() {
        let world = World::new().await;
        let run = world.launch("go").await;
        world.claim(run).await;
        world.launch("later").await;
        let drained = world.post("/v1/workers/by-hand/drain", &json!({})).await.expect(200);
        assert_eq!((&drained["draining"], &drained["runs"]), (&json!(true), &json!(1)));
        assert_eq!(world.get("/v1/workers").await.expect(200)["workers"][0], drained);
        assert!(world.claims_nothing().await);
        assert_eq!(
            world.post("/v1/workers/nobody/drain", &json!({})).await.problem(),
            "404 worker-not-found: There is no such worker: GET /v1/workers lists them"
        );
    }
}
