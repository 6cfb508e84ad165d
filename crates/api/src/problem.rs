//! What went wrong, as `application/problem+json` (RFC 9457). The only file that turns errors into responses:
//! internals are logged here and never sent.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use piton_core::Refusal;
use piton_store::{CommandError, Error as StoreError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The sorts of problem. Each has one stable slug, which clients may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MalformedJson,
    InvalidRequest,
    IdempotencyKeyReused,
    BadLastEventId,
    NotFound,
    RunNotFound,
    AgentNotFound,
    OutputNotFound,
    WorkerNotFound,
    MethodNotAllowed,
    BodyTooSlow,
    BodyTooLarge,
    UnsupportedMediaType,
    NotWaiting,
    OtherQuestion,
    OtherKindOfAnswer,
    StillActing,
    AlreadyRunning,
    WaitsForAnswer,
    EventsUsedUp,
    WrongStatus,
    Unauthorized,
    HostNotAllowed,
    OriginNotAllowed,
    TooManyLogins,
    QueueFull,
    StoreUnavailable,
    TooManyStreams,
    TimedOut,
    Internal,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON"),
            Self::InvalidRequest => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid")
            }
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key belongs to another request",
            ),
            Self::BadLastEventId => {
                (StatusCode::BAD_REQUEST, "bad-last-event-id", "The Last-Event-ID is not one of this run's")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::RunNotFound => (StatusCode::NOT_FOUND, "run-not-found", "There is no such run"),
            Self::AgentNotFound => (StatusCode::NOT_FOUND, "agent-not-found", "There is no such agent"),
            Self::WorkerNotFound => (StatusCode::NOT_FOUND, "worker-not-found", "There is no such worker"),
            Self::OutputNotFound => {
                (StatusCode::NOT_FOUND, "output-not-found", "There is no more of this output")
            }
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method")
            }
            Self::BodyTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body did not arrive in time")
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is larger than is allowed")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body has to be JSON")
            }
            Self::NotWaiting => (StatusCode::CONFLICT, "not-waiting", "The run waits for no answer"),
            Self::OtherQuestion => (StatusCode::CONFLICT, "other-question", "Another question is open"),
            Self::OtherKindOfAnswer => (
                StatusCode::CONFLICT,
                "other-kind-of-answer",
                "The open question wants another kind of answer",
            ),
            Self::StillActing => {
                (StatusCode::CONFLICT, "still-acting", "The worker that began the call is still there")
            }
            Self::AlreadyRunning => (StatusCode::CONFLICT, "already-running", "The run is running already"),
            Self::WaitsForAnswer => (StatusCode::CONFLICT, "waits-for-answer", "The run waits for an answer"),
            Self::EventsUsedUp => {
                (StatusCode::CONFLICT, "events-used-up", "The run has as many events as it may have")
            }
            Self::WrongStatus => {
                (StatusCode::CONFLICT, "wrong-status", "The run's status does not allow this")
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "An API key is needed"),
            Self::HostNotAllowed => {
                (StatusCode::FORBIDDEN, "host-not-allowed", "The server does not answer to this name")
            }
            Self::OriginNotAllowed => {
                (StatusCode::FORBIDDEN, "origin-not-allowed", "Pages of this origin may not call the server")
            }
            Self::TooManyLogins => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-logins", "Too many logins at once")
            }
            Self::QueueFull => {
                (StatusCode::TOO_MANY_REQUESTS, "queue-full", "As many runs wait for a worker as may")
            }
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store cannot be used now")
            }
            Self::TooManyStreams => {
                (StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "Too many live views are open")
            }
            Self::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed-out", "The request took too long"),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong inside the server")
            }
        }
    }
}

/// What a client whose launch found no room is told to wait. Workers take up many runs in that time.
const QUEUE_RETRY_S: u32 = 5;
/// Why a run may not be there that was there once.
const DELETED: &str = ": it may have been deleted, as runs are that were over for longer than they are kept";

/// A member of a request that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The member, parameter or header, such as `labels.team`.
    pub(crate) field: String,
    pub(crate) problem: String,
}

/// An error response.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    status: StatusCode,
    retry_after_s: Option<u32>,
    /// `detail`, then what else this one carries.
    members: Box<Map<String, Value>>,
}

impl Problem {
    /// `detail` is a text; on the original wire a list, for a body that is not valid.
    pub(crate) fn new(kind: Kind, detail: impl Into<Value>) -> Self {
        let members = Map::from_iter([("detail".to_owned(), detail.into())]);
        Self { kind, status: kind.parts().0, retry_after_s: None, members: Box::new(members) }
    }

    /// A request whose members are not as they have to be: all of them, not only the first.
    pub(crate) fn invalid(errors: &[FieldError]) -> Self {
        let each: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.field, error.problem)).collect();
        Self::new(Kind::InvalidRequest, each.join("; ")).with("errors", json!(errors))
    }

    pub(crate) fn invalid_field(field: &str, problem: impl Into<String>) -> Self {
        Self::invalid(&[FieldError { field: field.to_owned(), problem: problem.into() }])
    }

    /// Adds a member beside those every problem has.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Answers with another status code than the kind's own: the original wire has its own codes.
    pub(crate) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) const fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn run_not_found(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(Kind::RunNotFound, format!("There is no run {id:?}{DELETED}"))
    }

    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Kind::Internal, "The server's log says what went wrong")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a request was turned away");
                Self::new(
                    Kind::StoreUnavailable,
                    "The store cannot be used now; nothing was changed. Try again",
                )
                .retry_after_s(1)
            }
            StoreError::IdempotencyMismatch { run } => Self::new(
                Kind::IdempotencyKeyReused,
                "This Idempotency-Key was used in the last 24 hours with another body",
            )
            .with("run_id", run.to_string()),
            StoreError::QueueFull { waiting, max } => Self::new(
                Kind::QueueFull,
                format!(
                    "{waiting} runs wait for a worker, and no more than {max} may (queue.waiting_max). Nothing was \
                     launched. Try again later, start more workers, or raise the limit"
                ),
            )
            .with("waiting", waiting)
            .with("waiting_max", max)
            .retry_after_s(QUEUE_RETRY_S),
            StoreError::Unusable(_) | StoreError::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let kind = match refusal {
            Refusal::NotWaiting { .. } => Kind::NotWaiting,
            Refusal::OtherQuestion { .. } => Kind::OtherQuestion,
            Refusal::OtherKind { .. } => Kind::OtherKindOfAnswer,
            Refusal::StillActing { .. } => Kind::StillActing,
            Refusal::AlreadyRunning => Kind::AlreadyRunning,
            Refusal::WaitsForAnswer => Kind::WaitsForAnswer,
            Refusal::EventsUsedUp { .. } => Kind::EventsUsedUp,
            Refusal::NotInStatus { .. } => Kind::WrongStatus,
        };
        let problem = Self::new(kind, refusal.to_string());
        match refusal {
            Refusal::NotWaiting { status } | Refusal::NotInStatus { status, .. } => {
                problem.with("run_status", status.as_str())
            }
            Refusal::OtherQuestion { open } => problem.with("open_question", open.to_string()),
            Refusal::EventsUsedUp { events, .. } => problem.with("events", *events),
            Refusal::StillActing { worker } => problem.with("worker", worker.to_string()),
            Refusal::OtherKind { .. } | Refusal::AlreadyRunning | Refusal::WaitsForAnswer => problem,
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound => Self::new(Kind::RunNotFound, format!("There is no such run{DELETED}")),
            CommandError::Refused(refusal) => Self::from(&refusal),
            CommandError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, slug, title) = self.kind.parts();
        let mut body = json!({
            "type": format!("urn:piton:problem:{slug}"),
            "title": title,
            "status": self.status.as_u16(),
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(*self.members);
        }
        let mut response =
            (self.status, [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], body.to_string())
                .into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"piton\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What an error response looks like; some carry further members, such as `run_status` or `open_question`.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct ProblemBody {
    /// `urn:piton:problem:` and a stable slug.
    r#type: String,
    title: String,
    /// The HTTP status code.
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// Each member that is not as it has to be, where the slug is `invalid-request`.
    #[schema(required = false)]
    errors: Option<Vec<FieldError>>,
}

/// In an endpoint's document: any other error is a [`Problem`] too.
pub(crate) struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description("Anything else that went wrong")
            .content(PROBLEM_JSON, content)
            .build();
        [("default".to_owned(), response.into())].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: Problem) -> (u16, Option<String>) {
        let response = problem.into_response();
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = text(header::CONTENT_TYPE).expect("a type");
        assert_eq!(kind, PROBLEM_JSON);
        (response.status().as_u16(), text(header::RETRY_AFTER))
    }

    #[test]
    fn a_run_with_all_its_events_is_said_to_have_them() {
        let problem = Problem::from(&Refusal::EventsUsedUp { events: 50_001, verb: "resumed" });
        assert_eq!(problem.members["events"], 50_001);
        assert_eq!(shown(problem), (409, None));
    }

    #[tokio::test]
    async fn what_the_store_says_is_logged_and_not_sent() {
        for (error, status, retry) in [
            (StoreError::Unavailable("disk I/O error at /secret".to_owned()), 503, Some("1".to_owned())),
            (StoreError::Unusable("/secret is no database".to_owned()), 500, None),
            (StoreError::Corrupt("/secret".to_owned()), 500, None),
        ] {
            let problem = Problem::from(error);
            let response = problem.clone().into_response();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            assert!(!String::from_utf8_lossy(&body).contains("secret"));
            assert_eq!(shown(problem), (status, retry));
        }
    }
}
