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
    /// Higher goes first within its tenant: each step counts as a minute of waiting. Without it 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i32>,
}

/// Launch a run
///
/// What was answered with 201 is on disk: a worker takes it up as soon as one is free. With an `Idempotency-Key` the
/// same launch may be sent again for 24 hours without launching twice.
///
/// When as many runs wait for a worker as may (`queue.waiting_max`), a launch is refused with 429. Only launches are:
/// what is asked of a run that is there already is taken however long the queue, as is a launch that was taken before.
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
        (status = 429, description = "As many runs wait for a worker as may: nothing was launched",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds to wait before the next try"))),
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
    let run = Run::of(api.store.as_ref(), launched.run.clone()).await;
    let mut response = (StatusCode::CREATED, Json(run)).into_response();
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
    checks.require(
        (-PRIORITY_MAX..=PRIORITY_MAX).contains(&asked.priority.unwrap_or_default()),
        "priority",
        || format!("must lie between -{PRIORITY_MAX} and {PRIORITY_MAX}"),
    );
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

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use futures::future::join_all;
    use piton_store::SqliteOptions;
    use serde_json::{Value, json};

    use crate::world::{World, options};

    async fn launch_as(world: &World, key: &str, body: &Value) -> crate::world::Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        world.call(Method::POST, "/v1/runs", &headers, body.to_string()).await
    }

    #[tokio::test]
    async fn a_launch_is_created_with_what_was_asked_for() {
        let world = World::new().await;
        let body = json!({
            "task": " 2+2?\n", "agent": "brief", "max_steps": 7, "labels": { "team": "a", "x/y": "" },
            "tenant": "acme", "priority": -3,
        });
        let answer = world.post("/v1/runs", &body).await;
        let run = answer.expect(201);
        let id = run["id"].as_str().expect("an id");
        assert_eq!(answer.header("location"), Some(format!("/v1/runs/{id}").as_str()));
        assert_eq!(answer.header("idempotent-replayed"), None);
        let digest = run["agent"]["digest"].as_str().expect("a digest");
        assert_eq!(digest.len(), 64);
        let expected = json!({
            "id": id, "status": "running", "agent": { "name": "brief", "digest": digest }, "task": "2+2?",
            "steps": 0, "max_steps": 7,
            "limits": { "tool_errors": 4, "repeated_calls": 4, "events": 50_000 }, "turns": 0, "version": 1, "tenant": "acme",
            "labels": { "team": "a", "x/y": "" }, "priority": -3,
            "usage": { "input_tokens": 0, "output_tokens": 0 }, "error": null, "final_answer": null,
            "question": null, "was_paused": false, "pending": [], "owner": null, "attempt": 0, "epoch": 0,
            "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z", "finished_at": null,
        });
        assert_eq!(run.to_string(), expected.to_string());
        assert_eq!(world.get(&format!("/v1/runs/{id}")).await.expect(200), run);
        let events = world.get(&format!("/v1/runs/{id}/events")).await.expect(200);
        assert_eq!(events["events"][0]["data"]["task"], " 2+2?\n", "the whole task is in the event");
    }

    #[tokio::test]
    async fn a_launch_that_finds_the_queue_full_is_429_and_nothing_else_is() {
        let bound = SqliteOptions { waiting_max: 3, ..SqliteOptions::default() };
        let world = World::over(bound, options()).await;
        let waiting = world.waiting().await;
        let paused = world.paused().await;
        let body = json!({ "task": "x" });
        let first = launch_as(&world, "k", &body).await.expect(201);
        let cancelled = world.launch("y").await;
        world.launch("z").await;
        for _ in 0..2 {
            let refused = launch_as(&world, "new", &body).await;
            assert_eq!(
                refused.problem(),
                "429 queue-full: 3 runs wait for a worker, and no more than 3 may (queue.waiting_max). Nothing was \
                 launched. Try again later, start more workers, or raise the limit"
            );
            assert_eq!(refused.header("retry-after"), Some("5"));
            assert_eq!((&refused.json()["waiting"], &refused.json()["waiting_max"]), (&json!(3), &json!(3)));
            let original = world.post("/agent/launch", &json!({ "input_prompt": "x" })).await;
            assert_eq!(original.expect(429)["detail"], refused.json()["detail"]);
            assert_eq!(original.header("retry-after"), Some("5"));
            assert_eq!(original.header("content-type"), Some("application/json"));
        }
        let again = launch_as(&world, "k", &body).await;
        assert_eq!(again.expect(201), first);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let question = world.shown(waiting).await["question"]["id"].clone();
        let answer = json!({ "question": question, "answer": "42" });
        world.post(&format!("/v1/runs/{waiting}/answer"), &answer).await.expect(200);
        world.poke(paused, "resume").await.expect(200);
        for _ in 0..3 {
            world.poke(cancelled, "cancel").await;
        }
        assert_eq!(
            world.get("/v1/queue").await.expect(200)["due"],
            4,
            "two more than may, and the cancelled one gone"
        );
        assert_eq!(launch_as(&world, "new", &body).await.status, 429);
        world.poke(waiting, "cancel").await.expect(200);
        world.poke(paused, "cancel").await.expect(200);
        assert_eq!(launch_as(&world, "new", &body).await.expect(201)["status"], "running");
    }

    #[tokio::test]
    async fn what_is_left_out_is_the_agents_or_plain() {
        let world = World::new().await;
        let run =
            world.post("/v1/runs", &json!({ "task": "x", "labels": null, "agent": null })).await.expect(201);
        assert_eq!((&run["agent"]["name"], &run["max_steps"]), (&json!("default"), &json!(10)));
        assert_eq!(
            (&run["tenant"], &run["priority"], &run["labels"]),
            (&json!("default"), &json!(0), &json!({}))
        );
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_named_and_nothing_launched() {
        let world = World::new().await;
        let many: serde_json::Map<String, Value> = (0..33).map(|n| (n.to_string(), json!(""))).collect();
        let tags = |key: &str, value: &str| json!({ "task": "x", "labels": { key: value } });
        let cases = [
            (json!({}), "body: missing field `task`"),
            (json!({ "task": 5 }), "task: invalid type: integer `5`, expected a string"),
            (json!({ "task": null }), "task: invalid type: null, expected a string"),
            (json!(["x"]), "body: must be an object"),
            (json!("x"), "body: must be an object"),
            (json!({ "task": " \n\t" }), "task: must not be blank"),
            (json!({ "task": "x".repeat(200_001) }), "task: must not be longer than 200000 characters"),
            (
                json!({ "task": "x", "tsak": "y" }),
                "tsak: unknown field `tsak`, expected one of `task`, `agent`, `max_steps`, `labels`, `tenant`, `priority`",
            ),
            (
                json!({ "task": "x", "agent": "nobody" }),
                "agent: there is no such agent: known are default, brief",
            ),
            (json!({ "task": "x", "max_steps": 0 }), "max_steps: must lie between 1 and 1000"),
            (json!({ "task": "x", "max_steps": 1001 }), "max_steps: must lie between 1 and 1000"),
            (json!({ "task": "x", "max_steps": -1 }), "max_steps: invalid value: integer `-1`, expected u32"),
            (
                json!({ "task": "x", "max_steps": 1.5 }),
                "max_steps: invalid type: floating point `1.5`, expected u32",
            ),
            (json!({ "task": "x", "priority": 101 }), "priority: must lie between -100 and 100"),
            (json!({ "task": "x", "priority": -101 }), "priority: must lie between -100 and 100"),
            (json!({ "task": "x", "priority": i32::MIN }), "priority: must lie between -100 and 100"),
            (json!({ "task": "x", "tenant": "" }), "tenant: must be 1 to 64 letters, digits or any of . _ -"),
            (
                json!({ "task": "x", "tenant": "a b" }),
                "tenant: must be 1 to 64 letters, digits or any of . _ -",
            ),
            (
                json!({ "task": "x", "labels": { "a": 1 } }),
                "labels.a: invalid type: integer `1`, expected a string",
            ),
            (json!({ "task": "x", "labels": many }), "labels: must not be more than 32"),
            (tags("", "x"), "labels.: a key must be 1 to 64 letters, digits or any of . _ - /"),
            (tags("a:b", "x"), "labels.a:b: a key must be 1 to 64 letters, digits or any of . _ - /"),
            (tags("a", &"x".repeat(257)), "labels.a: a value must not be longer than 256 characters"),
            (
                json!({ "task": "", "priority": 1000 }),
                "task: must not be blank; priority: must lie between -100 and 100",
            ),
        ];
        for (body, detail) in cases {
            let answer = world.post("/v1/runs", &body).await;
            assert_eq!(answer.problem(), format!("422 invalid-request: {detail}"));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            let field = detail.split(": ").next().expect("a field");
            assert_eq!(answer.json()["errors"][0]["field"], field);
        }
        assert_eq!(world.get("/v1/runs").await.expect(200)["runs"], json!([]));
    }

    #[tokio::test]
    async fn what_is_no_json_is_400_415_or_413() {
        let world = World::new().await;
        for (body, detail) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("not json", "expected ident at line 1 column 2"),
            ("{\"task\": \"x\"} {", "trailing characters at line 1 column 15"),
            ("{\"task\": \"\\ud800\"}", "unexpected end of hex escape at line 1 column 17"),
        ] {
            let answer = world.post_text("/v1/runs", body).await;
            assert_eq!(answer.problem(), format!("400 malformed-json: The body is not JSON: {detail}"));
        }
        for headers in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/jsonx")]]
        {
            let answer = world.call(Method::POST, "/v1/runs", headers, "{\"task\": \"x\"}").await;
            assert_eq!(
                answer.problem(),
                "415 unsupported-media-type: Send JSON, with the header Content-Type: application/json"
            );
        }
        for kind in ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"] {
            let headers = [("content-type", kind)];
            world.call(Method::POST, "/v1/runs", &headers, "{\"task\": \"x\"}").await.expect(201);
        }
        let large = vec![b'x'; 10 << 20];
        assert_eq!(
            world.post_text("/v1/runs", large).await.problem(),
            "413 body-too-large: The body is larger than 1048576 bytes, which is the limit"
        );
        let deep = "[".repeat(100_000);
        world.post_text("/v1/runs", format!("{{\"task\": {deep}")).await.expect(422);
    }

    #[tokio::test]
    async fn the_same_key_and_body_launch_once_however_often_and_laid_out() {
        let world = World::new().await;
        let body = json!({ "task": "pay", "labels": { "a": "1", "b": "2" } });
        let turned = json!({ "labels": { "b": "2", "a": "1" }, "task": "pay" });
        let answers = join_all((0..50).map(|n| {
            let body = if n % 2 == 0 { &body } else { &turned };
            launch_as(&world, "k1", body)
        }));
        let answers = answers.await;
        let first = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
        assert_eq!(first.count(), 1);
        let run = answers[0].expect(201);
        for answer in &answers {
            assert_eq!(answer.expect(201), run);
            assert_eq!(answer.header("location"), answers[0].header("location"));
        }
        assert_eq!(world.get("/v1/runs").await.expect(200)["runs"], json!([run]));
    }

    #[tokio::test]
    async fn a_key_is_of_its_body_its_tenant_and_its_day() {
        let world = World::new().await;
        let first = launch_as(&world, "k1", &json!({ "task": "pay" })).await.expect(201);
        let other = launch_as(&world, "k1", &json!({ "task": "say" })).await;
        assert_eq!(
            other.problem(),
            "422 idempotency-key-reused: This Idempotency-Key was used in the last 24 hours with another body"
        );
        assert_eq!(other.json()["run_id"], first["id"]);
        let tenant = launch_as(&world, "k1", &json!({ "task": "pay", "tenant": "acme" })).await;
        assert_ne!(tenant.expect(201)["id"], first["id"]);
        world.clock.advance(24 * 60 * 60 * 1000);
        assert_ne!(launch_as(&world, "k1", &json!({ "task": "pay" })).await.expect(201)["id"], first["id"]);
    }

    #[tokio::test]
    async fn a_key_is_bounded() {
        let world = World::new().await;
        launch_as(&world, &"k".repeat(255), &json!({ "task": "x" })).await.expect(201);
        for key in ["", "a b", "ä", &"k".repeat(256)] {
            let answer = launch_as(&world, key, &json!({ "task": "x" })).await;
            assert_eq!(
                answer.problem(),
                "422 invalid-request: Idempotency-Key: must be 1 to 255 visible ASCII characters"
            );
        }
    }
}
