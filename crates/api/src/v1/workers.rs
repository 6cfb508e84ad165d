//! `GET /v1/workers`: who carries runs out.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use piton_store::WorkerRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::Time;
use crate::api::Shared;
use crate::problem::{Problem, Problems};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    id: String,
    host: String,
    pid: u32,
    version: String,
    /// Runs it advances at once, at most.
    concurrency: u32,
    /// Runs it holds now.
    runs: u32,
    started_at: Time,
    lease_expires_at: Time,
    /// Whether its lease is in force.
    alive: bool,
    /// Whether it was asked to finish its steps, take nothing new and end.
    draining: bool,
    /// What it lacks for runs that it was given and leaves alone since, in words: `the tool weigh`.
    lacks: Vec<String>,
}

/// List workers: those with a lease, and those that lost theirs in the last minute
#[utoipa::path(
    get,
    path = "/v1/workers",
    tag = "system",
    operation_id = "list_workers",
    responses((status = 200, description = "The workers", body = Workers), Problems)
)]
pub(crate) async fn workers(State(api): Shared) -> Result<Json<Workers>, Problem> {
    let now_ms = api.clock.now_ms();
    let rows = api.store.workers().await?;
    Ok(Json(Workers { workers: rows.into_iter().map(|row| Worker::new(row, now_ms)).collect() }))
}

impl Worker {
    pub(super) fn new(row: WorkerRow, now_ms: i64) -> Self {
        let lacks: BTreeSet<String> = row.lacks.into_iter().map(|lack| lack.what).collect();
        let lacks = lacks.into_iter().collect();
        Self {
            id: row.id.to_string(),
            host: row.host,
            pid: row.pid,
            version: row.version,
            concurrency: row.concurrency,
            runs: row.runs,
            started_at: Time(row.started_at_ms),
            lease_expires_at: Time(row.expires_at_ms),
            alive: row.expires_at_ms > now_ms,
            draining: row.draining,
            lacks,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn a_worker_is_alive_as_long_as_its_lease() {
        let world = World::new().await;
        assert_eq!(world.get("/v1/workers").await.expect(200), json!({ "workers": [] }));
        let run = world.launch("go").await;
        world.claim(run).await;
        let mut expected = json!({ "workers": [{
            "id": "by-hand", "host": "here", "pid": 1, "version": "0.1.0", "concurrency": 1, "runs": 1,
            "started_at": "2026-01-01T00:00:00.000Z", "lease_expires_at": "2026-01-01T00:01:00.000Z", "alive": true,
            "draining": false, "lacks": [],
        }] });
        assert_eq!(world.get("/v1/workers").await.expect(200), expected);
        assert_eq!(world.shown(run).await["owner"], "by-hand");
        world.clock.advance(60_000);
        expected["workers"][0]["alive"] = json!(false);
        assert_eq!(world.get("/v1/workers").await.expect(200), expected);
    }
}
