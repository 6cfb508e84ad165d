//! `GET /healthz`: is the process there. `GET /readyz`: can it be worked with.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use std::sync::Arc;

use crate::access::Caller;
use crate::api::{Api, Shared};
use crate::v1::StoreInfo;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Say that the process is there
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    operation_id = "healthz",
    security(()),
    responses((status = 200, description = "It is", body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// What is said by a server that still answers, and is about to stop.
const LEAVING: &str = "this server is about to stop: send requests to another one";

/// Whether launches are taken now. Callers without the API key, where one is set, see `status` only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ready` or `not_ready`.
    status: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Details {
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    store: StoreInfo,
    workers: WorkerCount,
    /// Whether the built-in practice model answers, for want of a real one.
    practice_model: bool,
    /// Whether tools that crash on purpose are there.
    test_tools: bool,
    /// What an operator should know, though it keeps nobody from working.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerCount {
    /// Those whose lease is in force.
    alive: u64,
}

/// Say whether the server can be worked with
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "readyz",
    security((), ("bearer" = []), ("session" = [])),
    responses(
        (status = 200, description = "Ready", body = Ready),
        (status = 503, description = "Not ready, and why", body = Ready),
    )
)]
pub(crate) async fn readyz(State(api): Shared, Extension(caller): Extension<Caller>) -> Response {
    let mut readiness = api.store.readiness().await;
    let is_leaving = api.options.leaving.is_cancelled();
    let trouble = is_leaving.then(|| LEAVING.to_owned()).or_else(|| readiness.trouble.take());
    let (code, status) = match &trouble {
        None => (StatusCode::OK, "ready"),
        Some(trouble) => {
            tracing::warn!(%trouble, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        }
    };
    let details = if caller.is_known { Some(details(&api, trouble, readiness.into()).await) } else { None };
    let mut response = (code, Json(Ready { status, details })).into_response();
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn details(api: &Api, reason: Option<String>, store: StoreInfo) -> Details {
    let now_ms = api.clock.now_ms();
    let alive = match api.store.workers().await {
        Ok(workers) => workers.iter().filter(|worker| worker.expires_at_ms > now_ms).count(),
        Err(_) => 0,
    };
    let options = &api.options;
    let warnings = [
        (reason.is_none() && alive == 0, "No worker is alive: runs are accepted, and wait for one"),
        (options.practice_model, "The practice model answers: set OPENAI_API_KEY for a real one"),
        (options.test_tools, "Test tools are on: agents may crash their workers on purpose"),
    ];
    let warnings = warnings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned());
    Details {
        reason,
        store,
        workers: WorkerCount { alive: u64::try_from(alive).unwrap_or(u64::MAX) },
        practice_model: options.practice_model,
        test_tools: options.test_tools,
        warnings: warnings.collect(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Method;
    use serde_json::json;

    use crate::ApiOptions;
    use crate::world::{World, options};

    #[tokio::test]
    async fn readiness_says_what_an_operator_should_know() {
        let world = World::with(ApiOptions { practice_model: true, test_tools: true, ..options() }).await;
        assert_eq!(world.get("/healthz").await.text(), "ok\n");
        let ready = world.get("/readyz").await.expect(200);
        assert_eq!((&ready["status"], &ready["workers"]["alive"]), (&json!("ready"), &json!(0)));
        assert_eq!((&ready["practice_model"], &ready["test_tools"]), (&json!(true), &json!(true)));
        assert_eq!(ready["store"]["synchronous"], "full");
        assert_eq!(ready["warnings"].as_array().map(Vec::len), Some(3));
        assert_eq!(ready.get("reason"), None);

        let run = world.launch("go").await;
        world.claim(run).await;
        let ready = world.get("/readyz").await.expect(200);
        assert_eq!(ready["workers"]["alive"], 1);
        assert_eq!(ready["warnings"].as_array().map(Vec::len), Some(2));
    }

    #[tokio::test]
    async fn a_server_that_is_about_to_stop_is_not_ready_and_answers() {
        let world = World::with(options()).await;
        world.leaving.cancel();
        let ready = world.get("/readyz").await.expect(503);
        assert_eq!(ready["reason"], super::LEAVING);
        world.launch("go").await;
    }

    #[tokio::test]
    async fn strangers_see_the_status_only() {
        let options = ApiOptions { api_key: Some("a long enough key".into()), ..options() };
        let world = World::with(options).await;
        assert_eq!(world.get("/readyz").await.expect(200), json!({ "status": "ready" }));
        let bearer = [("authorization", "Bearer a long enough key")];
        let known = world.call(Method::GET, "/readyz", &bearer, Body::empty()).await.expect(200);
        assert_eq!(known["store"]["engine"], "sqlite");
    }
}
