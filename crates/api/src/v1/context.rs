//! `GET /v1/runs/{id}/context`: what the model sees.

use axum::Json;
use axum::extract::State;
use piton_core::{Context, Item};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::RunPath;

/// The conversation as the model is shown it, without its instructions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContextView {
    #[schema(value_type = Vec<Object>)]
    items: Vec<Item>,
}

/// Show what the model sees
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/context",
    tag = "runs",
    operation_id = "show_context",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    responses(
        (status = 200, description = "The items, in the shape of the Responses API", body = ContextView),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn context(State(api): Shared, RunPath(id): RunPath) -> Result<Json<ContextView>, Problem> {
    let row = api.store.run(id).await?.ok_or_else(|| Problem::run_not_found(&id.to_string()))?;
    let history = api.history(id, row.run.version).await?;
    let context: Context = history.iter().map(|recorded| &recorded.event).collect();
    Ok(Json(ContextView { items: context.items().to_vec() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn the_context_is_the_whole_conversation() {
        let world = World::new().await;
        let run = world.launch("2+3?").await;
        world.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
        world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        let context = world.get(&format!("/v1/runs/{run}/context")).await.expect(200);
        let state = world.get(&format!("/agent/state/{run}")).await.expect(200);
        assert_eq!(context["items"], state["context"]);
        assert_eq!(context["items"].as_array().map(Vec::len), Some(4));
    }
}
