//! What happens to every request and response: a span, a time limit, headers that keep browsers strict.

use std::any::Any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use crate::access::is_api;
use crate::problem::{Kind, PROBLEM_JSON, Problem};

/// How long an endpoint may take to begin its answer. A body that dawdles is given up sooner.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const STRICT: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// One span per request. Neither bodies nor headers nor query strings go into it: they may hold secrets.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let id = request_id(request.headers());
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = matched.unwrap_or("(none)"),
        request_id = id.to_str().unwrap_or_default(),
        status = field::Empty,
        ms = field::Empty,
    );
    // Probes and files come often and say little.
    let is_quiet = matched.is_none_or(|path| matches!(path, "/healthz" | "/readyz"));
    async move {
        let mut response = next.run(request).await;
        let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Span::current().record("status", response.status().as_u16()).record("ms", ms);
        if is_quiet {
            tracing::debug!("answered");
        } else {
            tracing::info!("answered");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// The caller's own id where it is fit to be logged; else one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    static PROCESS: LazyLock<String> = LazyLock::new(|| Uuid::now_v7().simple().to_string());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let is_fit = |value: &&HeaderValue| {
        (1..=64).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(is_fit) {
        return given.clone();
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // The last digits of a UUIDv7 are its random ones.
    HeaderValue::try_from(format!("{}-{count}", &PROCESS[20..])).unwrap_or(HeaderValue::from_static("-"))
}

/// Adds what makes browsers strict, where an endpoint has not said otherwise, and keeps the API out of caches.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (is_api, is_original) = (is_api(path), path.starts_with("/agent/"));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in STRICT {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    // Clients of the original wire look for this very type before they read an error.
    if is_original && headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

pub(super) async fn time_limit(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!("a request took too long");
            let seconds = REQUEST_TIMEOUT.as_secs();
            let detail = format!(
                "There was no answer within {seconds} s. What was asked for may still be carried out"
            );
            Problem::new(Kind::TimedOut, detail).retry_after_s(5).into_response()
        }
    }
}

pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("(no message)"), "an endpoint panicked");
    Problem::new(Kind::Internal, "The server's log says what went wrong").into_response()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::http::{Method, StatusCode};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;
    use crate::ApiOptions;
    use crate::world::{World, options, request};

    #[tokio::test]
    async fn a_panic_is_500_and_keeps_its_reason() {
        async fn fails() -> &'static str {
            panic!("secret")
        }
        let router = Router::new().route("/", get(fails)).layer(CatchPanicLayer::custom(panicked));
        let response =
            router.oneshot(request(Method::GET, "/", &[], Body::empty())).await.expect("a response");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("urn:piton:problem:internal") && !text.contains("secret"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_does_not_answer_is_503() {
        let router = Router::new().route("/", get(std::future::pending::<()>)).layer(from_fn(time_limit));
        let response =
            router.oneshot(request(Method::GET, "/", &[], Body::empty())).await.expect("a response");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "5");
    }

    #[tokio::test]
    async fn a_request_is_logged_without_its_secrets() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let key = "hunter2hunter2";
        let world = World::with(ApiOptions { api_key: Some(key.into()), ..options() }).await;
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let login = format!("{{\"api_key\": \"{key}\"}}");
        assert_eq!(world.call(Method::POST, "/v1/session", &headers, login).await.status, 204);
        let path = format!("/v1/runs?q={key}");
        assert_eq!(world.call(Method::GET, &path, &headers, Body::empty()).await.status, 200);
        let body = format!("{{\"task\": \"{key}\"}}");
        assert_eq!(world.call(Method::POST, "/v1/runs", &headers, body).await.status, 201);
        assert_eq!(world.call(Method::GET, &format!("/{key}"), &headers, Body::empty()).await.status, 404);
        let said = log.text();
        assert!(!said.contains(key), "{said}");
        let line =
            said.lines().find(|line| line.contains("POST") && line.contains("answered")).expect("a line");
        for part in ["method=POST", "path=\"/v1/session\"", "request_id=", "status=204", "ms="] {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the log").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_response_has_an_id_the_callers_own_if_it_is_fit() {
        let world = World::new().await;
        let id = async |given: &str| {
            let answer =
                world.call(Method::GET, "/v1/queue", &[("x-request-id", given)], Body::empty()).await;
            answer.header("x-request-id").expect("an id").to_owned()
        };
        assert_eq!(id("trace-7").await, "trace-7");
        let (one, other) = (id("not fit").await, id(&"x".repeat(65)).await);
        assert!(one != other && one.len() < 40 && other.len() < 40, "{one} {other}");
    }

    #[tokio::test]
    async fn the_api_is_kept_out_of_caches_and_large_answers_are_compressed() {
        let world = World::new().await;
        let headers = [("accept-encoding", "gzip")];
        let large = world.call(Method::GET, "/v1/agents", &headers, Body::empty()).await;
        assert_eq!(large.header("content-encoding"), Some("gzip"));
        assert_eq!(large.header("cache-control"), Some("no-store"));
        let small = world.call(Method::GET, "/v1/queue", &headers, Body::empty()).await;
        assert_eq!(small.header("content-encoding"), None);
        let stream = [("accept-encoding", "gzip"), ("accept", "text/event-stream")];
        let run = world.launch("go").await;
        let path = format!("/v1/runs/{run}/events");
        let view = world.open(request(Method::GET, &path, &stream, Body::empty())).await;
        assert_eq!(view.headers().get("content-encoding"), None, "a stream is not held back");
    }
}
