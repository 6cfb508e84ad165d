//! `GET /v1/inbox`: what waits for a human, in all runs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::{Question, still_acting};
use super::shown::Time;
use super::unreadable::UnreadableRun;
use crate::api::Shared;
use crate::problem::{Problem, Problems};

/// More than anybody reads; the rest comes up as these are answered.
const ITEMS_MAX: u32 = 500;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Inbox {
    /// Oldest first, at most 500.
    items: Vec<InboxItem>,
    /// Runs that wait for somebody and cannot be read; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreadable: Vec<UnreadableRun>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InboxItem {
    #[schema(format = "uuid")]
    run_id: String,
    /// The agent's name.
    agent: String,
    task: String,
    question: Question,
    asked_at: Time,
}

/// List open questions and unknown outcomes
#[utoipa::path(
    get,
    path = "/v1/inbox",
    tag = "runs",
    operation_id = "inbox",
    responses((status = 200, description = "What waits for a human", body = Inbox), Problems)
)]
pub(crate) async fn inbox(State(api): Shared) -> Result<Json<Inbox>, Problem> {
    let inbox = api.store.inbox(ITEMS_MAX).await?;
    let mut shown = Vec::with_capacity(inbox.items.len());
    for item in inbox.items {
        let still_acting = still_acting(api.store.as_ref(), item.run, Some(&item.interrupt)).await;
        shown.push(InboxItem {
            run_id: item.run.to_string(),
            agent: item.agent_name,
            task: item.task,
            question: Question::new(&item.interrupt, item.pending.as_ref(), still_acting),
            asked_at: Time(item.asked_at_ms),
        });
    }
    let unreadable = inbox.unreadable.into_iter().map(UnreadableRun::from).collect();
    Ok(Json(Inbox { items: shown, unreadable }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn the_oldest_question_comes_first() {
        let world = World::new().await;
        assert_eq!(world.get("/v1/inbox").await.expect(200), json!({ "items": [] }));
        let undecided = world.undecided().await;
        world.clock.advance(1000);
        let waiting = world.waiting().await;
        world.paused().await;
        let inbox = world.get("/v1/inbox").await.expect(200);
        let items = inbox["items"].as_array().expect("items");
        let runs: Vec<&str> = items.iter().filter_map(|item| item["run_id"].as_str()).collect();
        assert_eq!(runs, [undecided.to_string(), waiting.to_string()]);
        assert_eq!(items[1]["question"], world.shown(waiting).await["question"]);
        assert_eq!(items[1]["asked_at"], "2026-01-01T00:00:01.000Z");
        assert_eq!((&items[1]["agent"], &items[1]["task"]), (&json!("default"), &json!("ask me")));
    }
}
