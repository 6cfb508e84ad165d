//! `GET /v1/inbox`: what waits for a human, in all runs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::Question;
use super::shown::Time;
use crate::api::Shared;
use crate::problem::{Problem, Problems};

/// More than anybody reads; the rest comes up as these are answered.
const ITEMS_MAX: u32 = 500;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Inbox {
    /// Oldest first, at most 500.
    items: Vec<InboxItem>,
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
    let items = api.store.inbox(ITEMS_MAX).await?;
    let shown = items.into_iter().map(|item| InboxItem {
        run_id: item.run.to_string(),
        agent: item.agent_name,
        task: item.task,
        question: Question::new(&item.interrupt, item.pending.as_ref()),
        asked_at: Time(item.asked_at_ms),
    });
    Ok(Json(Inbox { items: shown.collect() }))
}
