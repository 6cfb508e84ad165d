//! `GET /v1/runs/{id}/events/{event}/prompt`: what the model was sent to get a reply, rendered again and checked.

use axum::Json;
use axum::extract::State;
use piton_core::{Context, Event};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::problem::{Kind, Problem, ProblemBody, Problems};
use crate::request::EventPath;

/// The request that brought a reply.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Prompt {
    /// `responses` or `chat`: which of OpenAI's APIs it was sent to.
    api: String,
    /// The request's body: JSON, as text.
    body: String,
    /// Whether the body has the recorded hash: these are the bytes that were sent. Otherwise settings changed since,
    /// and it is as it would be sent today.
    is_same: bool,
    /// The recorded SHA-256, in hex.
    sha256: String,
    /// The last event that it was built from.
    through: u64,
}

/// Show what a model was asked
///
/// Prompts are not stored: this one is rendered again from the run's events, and its hash compared with the recorded.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/events/{event}/prompt",
    tag = "runs",
    operation_id = "show_prompt",
    params(
        ("id" = String, Path, format = "uuid", description = "The run's id"),
        ("event" = u64, Path, minimum = 1, description = "The id of a `model_replied`"),
    ),
    responses(
        (status = 200, description = "The request", body = Prompt),
        (status = 404, description = "No such run, or that event is no reply of a model", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn prompt(
    State(api): Shared,
    EventPath(run, event): EventPath,
) -> Result<Json<Prompt>, Problem> {
    let row = api.store.run(run).await?.ok_or_else(|| Problem::run_not_found(&run.to_string()))?;
    let found = api.store.events(run, event - 1, 1).await?;
    let Some(Event::ModelReplied { request: sent, .. }) = found.first().map(|recorded| &recorded.event)
    else {
        return Err(Problem::new(Kind::NotFound, format!("Event {event} is no reply of a model")));
    };
    let history = api.history(run, sent.through_seq).await?;
    let context: Context = history.iter().map(|recorded| &recorded.event).collect();
    let agent = api.store.agent(&row.run.agent).await?;
    let agent = agent.ok_or_else(|| Problem::new(Kind::NotFound, "The agent's definition is not there"))?;
    let again = api.options.prompts.again(&agent, &context, sent);
    Ok(Json(Prompt {
        api: sent.api.clone(),
        body: again.body,
        is_same: again.is_same,
        sha256: sent.sha256.clone(),
        through: sent.through_seq,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn a_prompt_is_rendered_from_the_events_before_its_reply() {
        let world = World::new().await;
        let run = world.launch("2+3?").await;
        world.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
        world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        let prompt = world.get(&format!("/v1/runs/{run}/events/2/prompt")).await.expect(200);
        assert_eq!(
            prompt,
            json!({ "api": "", "body": "default: 0 items", "is_same": true, "sha256": "", "through": 0 })
        );
    }

    #[tokio::test]
    async fn what_is_no_reply_has_none() {
        let world = World::new().await;
        let run = world.complete().await;
        for (event, detail) in [
            ("1", "Event 1 is no reply of a model"),
            ("99", "Event 99 is no reply of a model"),
            ("0", "Events are numbered from 1"),
            ("x", "Events are numbered from 1"),
        ] {
            let answer = world.get(&format!("/v1/runs/{run}/events/{event}/prompt")).await;
            assert_eq!(answer.problem(), format!("404 not-found: {detail}"));
        }
        let path = "/v1/runs/0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e/events/2/prompt";
        assert!(world.get(path).await.problem().starts_with("404 run-not-found"));
    }
}
