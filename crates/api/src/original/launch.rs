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
    };
    let first = Recorded { seq: 1, at_ms: row.created_at_ms, event };
    Ok(Json(state::State::new(row, &[first])))
}
