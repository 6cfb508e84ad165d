//! `GET /v1/activity`: what became of the runs launched of late.

use axum::Json;
use axum::extract::State;
use piton_store::Tally;
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::{StatusName, Time};
use crate::api::Shared;
use crate::problem::{Problem, Problems};

/// How far back it looks.
const HOUR_MS: i64 = 3_600_000;
/// Runs that are counted at most, so that a busy hour costs no more than this: the latest.
const RUNS_MAX: u32 = 50_000;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Activity {
    /// Runs launched since then are counted, at most the latest 50,000.
    since: Time,
    counts: Vec<Count>,
}

/// How many runs came to the same in the same minute.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    status: StatusName,
    /// The beginning of the minute they finished in; null for those that have not.
    #[schema(required = true)]
    finished_at: Option<Time>,
    runs: u64,
}

/// Show what became of the runs launched in the last hour
#[utoipa::path(
    get,
    path = "/v1/activity",
    tag = "system",
    operation_id = "activity",
    responses((status = 200, description = "Runs by status, and by the minute they finished in", body = Activity), Problems)
)]
pub(crate) async fn activity(State(api): Shared) -> Result<Json<Activity>, Problem> {
    let since_ms = api.clock.now_ms() - HOUR_MS;
    let tallies = api.store.tally(since_ms, RUNS_MAX).await?;
    Ok(Json(Activity { since: Time(since_ms), counts: tallies.into_iter().map(Count::from).collect() }))
}

impl From<Tally> for Count {
    fn from(tally: Tally) -> Self {
        Self {
            status: StatusName(tally.status),
            finished_at: tally.finished_at_ms.map(Time),
            runs: tally.runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn runs_of_the_last_hour_are_counted_by_what_became_of_them() {
        let world = World::new().await;
        world.complete().await;
        world.clock.advance(3_600_001);
        world.complete().await;
        world.complete().await;
        world.launch("go on").await;
        let activity = world.get("/v1/activity").await.expect(200);
        assert_eq!(activity["since"], "2026-01-01T00:00:00.001Z");
        let mut counts = activity["counts"].as_array().expect("counts").clone();
        counts.sort_by_key(|count| count["status"].to_string());
        let expected = json!([
            { "status": "complete", "finished_at": "2026-01-01T01:00:00.000Z", "runs": 2 },
            { "status": "running", "finished_at": null, "runs": 1 },
        ]);
        assert_eq!(json!(counts), expected);
    }
}
