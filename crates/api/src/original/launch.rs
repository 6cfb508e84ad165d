//! `POST /agent/launch`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use piton_core::{Event, Recorded, TASK_CHARS_MAX};
use utoipa::ToSchema;

use super::body::Members;
use super::{OriginalError, OriginalInvalid, state};
use crate::api::Shared;
use crate::problem::{Kind, Problem};
use crate::v1::DEFAULT_TENANT;

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct LaunchRequest {
    #[schema(max_length = 200_000)]
    input_prompt: String,
    /// An agent's name; without it the default agent.
    agent: Option<String>,
}

/// Launch an agent
#[utoipa::path(
    post,
    path = "/agent/launch",
    tag = "original",
    operation_id = "original_launch",
    request_body = LaunchRequest,
    responses(
        (status = 200, description = "The initial state", body = state::State),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = 429, description = "As many runs wait for a worker as may: nothing was launched", body = OriginalError,
            headers(("Retry-After" = u32, description = "Seconds to wait before the next try"))),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn launch(State(api): Shared, mut members: Members) -> Result<Json<state::State>, Problem> {
    let task = members.bounded_text("input_prompt", TASK_CHARS_MAX);
    let name = members.optional_text("agent");
    let agent = api.agent(name.as_deref());
    if agent.is_none() && name.is_some() {
        members.wrong(
            "agent",
            "value_error",
            format!("There is no such agent: known are {}", api.agent_names()),
        );
    }
    members.done()?;
    let agent = agent.ok_or_else(|| Problem::new(Kind::Internal, "There is no default agent"))?;
    let launched = api
        .store
        .launch(piton_store::Launch {
            run: api.next_run_id(),
            agent: agent.clone(),
            task: task.clone(),
            max_steps: agent.max_steps,
            tenant: DEFAULT_TENANT.to_owned(),
            labels: BTreeMap::new(),
            priority: 0,
            idempotency: None,
        })
        .await?;
    let row = launched.run;
    // The run's whole history so far: no need to read it back.
    let event = Event::Launched {
        agent: row.run.agent.clone(),
        agent_name: row.agent_name.clone(),
        task,
        max_steps: row.run.max_steps,
        limits: row.run.limits,
    };
    let first = Recorded { seq: 1, at_ms: row.created_at_ms, event };
    Ok(Json(state::State::new(row, &[first])))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Method;
    use serde_json::{Value, json};

    use crate::world::World;

    #[tokio::test]
    async fn a_launch_returns_the_initial_state() {
        let world = World::new().await;
        let state = world.post("/agent/launch", &json!({ "input_prompt": "2+2?" })).await.expect(200);
        let mut expected = json!({
            "id": "", "steps": 0, "status": "running", "context": [{ "role": "user", "content": "2+2?" }],
            "pending_tool_calls": [], "error": null, "final_answer": null,
        });
        expected["id"] = state["id"].clone();
        assert_eq!(state.to_string(), expected.to_string());
        let id = state["id"].as_str().expect("an id");
        assert_eq!(world.get(&format!("/agent/state/{id}")).await.expect(200), state);
    }

    #[tokio::test]
    async fn it_takes_what_the_original_took() {
        let world = World::new().await;
        for (kind, body) in [
            ("application/json", json!({ "input_prompt": "" })),
            ("application/json", json!({ "input_prompt": "x", "more": [1] })),
            ("application/json", json!({ "input_prompt": "x", "agent": null })),
            ("application/json", json!({ "input_prompt": "x", "agent": "brief" })),
            ("application/json", json!({ "input_prompt": "NUL \0 and \u{202e}bidi" })),
            ("text/plain", json!({ "input_prompt": "x" })),
        ] {
            let headers = [("content-type", kind)];
            let state =
                world.call(Method::POST, "/agent/launch", &headers, body.to_string()).await.expect(200);
            assert_eq!(state["context"][0]["content"], body["input_prompt"]);
            let id = state["id"].as_str().expect("an id");
            assert_eq!(world.get(&format!("/agent/state/{id}")).await.expect(200), state);
        }
    }

    #[tokio::test]
    async fn what_is_no_launch_is_422_and_says_why() {
        let world = World::new().await;
        let long = format!("{{\"input_prompt\": \"{}\"}}", "x".repeat(200_001));
        let cases: [(&str, Value); 8] = [
            ("", json!([{ "type": "missing", "loc": ["body"], "msg": "Field required" }])),
            ("{}", json!([{ "type": "missing", "loc": ["body", "input_prompt"], "msg": "Field required" }])),
            (
                "{\"input_prompt\": 5}",
                json!([{ "type": "string_type", "loc": ["body", "input_prompt"], "msg": "Input should be a valid string" }]),
            ),
            (
                "{\"input_prompt\": null}",
                json!([{ "type": "string_type", "loc": ["body", "input_prompt"], "msg": "Input should be a valid string" }]),
            ),
            (
                "[1]",
                json!([{
                    "type": "model_attributes_type", "loc": ["body"],
                    "msg": "Input should be a valid dictionary or object to extract fields from",
                }]),
            ),
            (
                "{\n not json",
                json!([{
                    "type": "json_invalid", "loc": ["body", 3],
                    "msg": "JSON decode error: key must be a string at line 2 column 2",
                }]),
            ),
            (
                &long,
                json!([{
                    "type": "string_too_long", "loc": ["body", "input_prompt"],
                    "msg": "String should have at most 200000 characters",
                }]),
            ),
            (
                "{\"agent\": \"nobody\"}",
                json!([
                    { "type": "missing", "loc": ["body", "input_prompt"], "msg": "Field required" },
                    {
                        "type": "value_error", "loc": ["body", "agent"],
                        "msg": "There is no such agent: known are default, brief",
                    },
                ]),
            ),
        ];
        for (body, detail) in cases {
            let answer = world.post_text("/agent/launch", body.to_owned()).await;
            assert_eq!(answer.expect(422)["detail"].to_string(), detail.to_string());
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        let runs = world.get("/v1/runs").await.expect(200);
        assert_eq!(runs["runs"], json!([]), "nothing was launched");
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_413() {
        let world = World::new().await;
        let body = Body::from(vec![b' '; crate::request::BODY_BYTES_MAX + 1]);
        let answer = world.post_text("/agent/launch", body).await;
        assert_eq!(
            answer.problem(),
            "413 body-too-large: The body is larger than 1048576 bytes, which is the limit"
        );
    }
}
