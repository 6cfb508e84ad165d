//! `GET /v1/queue`: how much work waits.

use axum::Json;
use axum::extract::State;
use piton_store::QueueStats;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::problem::{Problem, Problems};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queue {
    /// Jobs that wait for a worker.
    due: u64,
    /// Jobs for later.
    later: u64,
    /// Milliseconds the oldest due job has waited.
    oldest_ms: u64,
    /// Runs that a worker holds now.
    owned: u64,
    /// Of those that are due: which wait for a worker with something that no live one has.
    lacking: Vec<Lacking>,
}

/// Runs that no live worker can advance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lacking {
    agent: String,
    /// What a worker would have to have, in words: `the tool weigh`.
    what: String,
    runs: u64,
}

/// Show the queue's depth
#[utoipa::path(
    get,
    path = "/v1/queue",
    tag = "system",
    operation_id = "queue",
    responses((status = 200, description = "The queue", body = Queue), Problems)
)]
pub(crate) async fn queue(State(api): Shared) -> Result<Json<Queue>, Problem> {
    let stats = api.store.queue().await?;
    let QueueStats { due, later, oldest_ms, owned, lacking } = stats;
    let lacking = lacking.into_iter();
    let lacking = lacking.map(|piton_store::Lacking { agent, what, runs }| Lacking { agent, what, runs });
    Ok(Json(Queue { due, later, oldest_ms, owned, lacking: lacking.collect() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn the_queue_counts_what_waits_and_what_is_held() {
        let world = World::new().await;
        let run = world.launch("one").await;
        world.clock.advance(250);
        let due = json!({ "due": 1, "later": 0, "oldest_ms": 250, "owned": 0, "lacking": [] });
        assert_eq!(world.get("/v1/queue").await.expect(200), due);
        world.claim(run).await;
        let owned = json!({ "due": 0, "later": 0, "oldest_ms": 0, "owned": 1, "lacking": [] });
        assert_eq!(world.get("/v1/queue").await.expect(200), owned);
    }
}
