//! `GET /v1/queue`: how much work waits.

use axum::Json;
use axum::extract::State;
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
    Ok(Json(Queue { due: stats.due, later: stats.later, oldest_ms: stats.oldest_ms, owned: stats.owned }))
}
