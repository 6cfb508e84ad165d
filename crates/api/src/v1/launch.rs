//! `POST /v1/runs`: launches a run.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use piton_core::{Agent, TASK_CHARS_MAX};
use piton_store::IdempotencyKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::{Checks, JsonBody};

pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Says that a launch was made before, under the same key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const KEY_CHARS_MAX: usize = 255;
const MAX_STEPS_MAX: u32 = 1000;
const PRIORITY_MAX: i32 = 100;
const LABELS_MAX: usize = 32;
const LABEL_KEY_CHARS_MAX: usize = 64;
const LABEL_VALUE_CHARS_MAX: usize = 256;
const TENANT_CHARS_MAX: usize = 64;

/// Where runs belong that name no tenant.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// What to launch.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Launch {
    /// What the agent is to do, in plain language.
    #[schema(min_length = 1, max_length = 200_000)]
    task: String,
    /// The agent's name; without it the default agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// The agent's own limit, where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    max_steps: Option<u32>,
    /// At most 32, to find the run by. Keys are letters, digits and `. _ - /`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    /// Letters, digits and `. _ -`; without it `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    tenant: Option<String>,
    /// Higher goes first; without it 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i32>,
}

/// Launch a run
///
/// What was answered with 201 is on disk: a worker takes it up as soon as one is free. With an `Idempotency-Key` the
/// same launch may be sent again for 24 hours without launching twice.
#[utoipa::path(
    post,
    path = "/v1/runs",
    tag = "runs",
    operation_id = "launch",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "1 to 255 visible ASCII characters, unique per tenant for 24 hours")),
    request_body = Launch,
    responses(
        (status = 201, description = "The run as it stands; launched before, if `Idempotent-Replayed` says so",
            body = Run, headers(
                ("Location" = String, description = "Where the run is"),
                ("Idempotent-Replayed" = String, description = "`true` where the key was used before"))),
        (status = 422, description = "Not valid, or the key was used with another body",
            body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn launch(
    State(api): Shared,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Launch>,
) -> Result<Response, Problem> {
    let agent = api.agent(asked.agent.as_deref());
    let (agent, idempotency) = check(&asked, agent, &headers, || api.agent_names())?;
    let launch = piton_store::Launch {
        run: api.next_run_id(),
        max_steps: asked.max_steps.unwrap_or(agent.max_steps),
        agent: agent.clone(),
        task: asked.task,
        tenant: asked.tenant.unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
        labels: asked.labels.unwrap_or_default(),
        priority: asked.priority.unwrap_or_default(),
        idempotency,
    };
    let launched = api.store.launch(launch).await?;
    let mut response = (StatusCode::CREATED, Json(Run::from(launched.run.clone()))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/runs/{}", launched.run.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if launched.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn check<'a>(
    asked: &Launch,
    agent: Option<&'a Agent>,
    headers: &HeaderMap,
    known: impl FnOnce() -> String,
) -> Result<(&'a Agent, Option<IdempotencyKey>), Problem> {
    let mut checks = Checks::default();
    checks.require(!asked.task.trim().is_empty(), "task", || "must not be blank".to_owned());
    checks.require(asked.task.chars().nth(TASK_CHARS_MAX).is_none(), "task", || {
        format!("must not be longer than {TASK_CHARS_MAX} characters")
    });
    checks.require(
        asked.max_steps.is_none_or(|steps| (1..=MAX_STEPS_MAX).contains(&steps)),
        "max_steps",
        || format!("must lie between 1 and {MAX_STEPS_MAX}"),
    );
    checks.require(asked.priority.unwrap_or_default().abs() <= PRIORITY_MAX, "priority", || {
        format!("must lie between -{PRIORITY_MAX} and {PRIORITY_MAX}")
    });
    checks.require(asked.tenant.as_deref().is_none_or(is_tenant), "tenant", || {
        format!("must be 1 to {TENANT_CHARS_MAX} letters, digits or any of . _ -")
    });
    check_labels(asked.labels.iter().flatten(), &mut checks);
    let idempotency = match headers.get(IDEMPOTENCY_KEY) {
        None => None,
        Some(value) => {
            let key = value.to_str().ok().filter(|key| is_key(key));
            checks.require(key.is_some(), IDEMPOTENCY_KEY, || {
                format!("must be 1 to {KEY_CHARS_MAX} visible ASCII characters")
            });
            key.map(|key| IdempotencyKey { key: key.to_owned(), body_sha256: digest(asked) })
        }
    };
    checks.require(agent.is_some(), "agent", || format!("there is no such agent: known are {}", known()));
    checks.done()?;
    match agent {
        Some(agent) => Ok((agent, idempotency)),
        None => Err(Problem::invalid_field("agent", "there is no such agent")),
    }
}

fn check_labels<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>, checks: &mut Checks) {
    let mut count = 0;
    for (key, value) in labels {
        count += 1;
        if count > LABELS_MAX {
            checks.require(false, "labels", || format!("must not be more than {LABELS_MAX}"));
            return;
        }
        let name = || format!("labels.{}", key.chars().take(LABEL_KEY_CHARS_MAX).collect::<String>());
        checks.require(is_label_key(key), &name(), || {
            format!("a key must be 1 to {LABEL_KEY_CHARS_MAX} letters, digits or any of . _ - /")
        });
        checks.require(value.chars().nth(LABEL_VALUE_CHARS_MAX).is_none(), &name(), || {
            format!("a value must not be longer than {LABEL_VALUE_CHARS_MAX} characters")
        });
    }
}

fn is_key(text: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn is_tenant(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TENANT_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_label_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    (1..=LABEL_KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// The digest of what was asked for, however its JSON was laid out.
fn digest(asked: &Launch) -> String {
    // A struct of texts and numbers always has a JSON form.
    let body = serde_json::to_vec(asked).unwrap_or_default();
    hex::encode(Sha256::digest(body))
}
