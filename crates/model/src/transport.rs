//! One try over HTTP, under async-openai's client: bounded, timed, and judged before that client sees a byte of it.
//! It neither repeats nor interprets a reply beyond "this is JSON".

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{Endpoint, ModelConfig, ModelConfigError};
use crate::retry::retry_after;

/// Bytes of a reply that are read; a longer one is refused.
const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an error's body that are read; the rest is left.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// Characters of a fault that are shown, the server's own words included.
const SHOWN_CHARS_MAX: usize = 400;

/// Why a try gave no reply. It may hold whatever the server wrote: [`Endpoint::redact`] it before [`short`] cuts it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nothing came, or it broke off.
    #[error("{0}")]
    Unreached(String),
    /// Something came that is no reply.
    #[error("the model's reply could not be read: {0}")]
    Unreadable(String),
    #[error("the model's server answered {status}{}", problem.said())]
    Refused { status: StatusCode, retry_after: Option<Duration>, problem: Problem },
    /// The reply itself says that the model failed.
    #[error("the model failed: {message}")]
    Failed { message: String, passes: bool },
}

/// What a provider says is wrong, as far as it can be made out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    /// `code`, else `type`.
    pub(crate) code: String,
    pub(crate) param: String,
}

impl Fault {
    /// Whether the same request may succeed a little later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreached(_) | Self::Unreadable(_) => true,
            Self::Failed { passes, .. } => *passes,
            Self::Refused { status, problem, .. } => match status.as_u16() {
                // Spent, not busy: no wait brings the money back.
                429 => problem.code != "insufficient_quota",
                501 => false,
                408 | 409 | 425 | 500.. => true,
                _ => false,
            },
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the endpoint lacks the path that was asked. A model that is not there is something else, though
    /// many servers answer 404 to both.
    pub(crate) fn is_missing_endpoint(&self) -> bool {
        let (status, problem) = match self {
            Self::Refused { status, problem, .. } => (status, problem),
            // LM Studio says so under a 200.
            Self::Failed { message, .. } => return message.starts_with("Unexpected endpoint"),
            Self::Unreached(_) | Self::Unreadable(_) => return false,
        };
        match status.as_u16() {
            405 | 501 => true,
            404 => !format!("{} {}", problem.code, problem.message).to_ascii_lowercase().contains("model"),
            _ => false,
        }
    }

    /// Whether the request is refused for the parameter `name`.
    pub(crate) fn blames(&self, name: &str) -> bool {
        match self {
            Self::Refused { status, problem, .. } => {
                matches!(status.as_u16(), 400 | 422)
                    && (problem.param.contains(name) || problem.message.contains(name))
            }
            _ => false,
        }
    }

    fn from_http(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            return Self::Unreached(format!("the model's server could not be reached: {}", deepest(&error)));
        }
        if error.is_timeout() {
            return Self::Unreached("the model gave no reply within the time limit".to_owned());
        }
        Self::Unreached(format!("the connection to the model's server broke off: {}", deepest(&error)))
    }
}

impl From<Fault> for OpenAIError {
    fn from(fault: Fault) -> Self {
        Self::Boxed(Box::new(fault))
    }
}

impl From<OpenAIError> for Fault {
    fn from(error: OpenAIError) -> Self {
        match error {
            OpenAIError::Boxed(boxed) => boxed
                .downcast::<Self>()
                .map_or_else(|other| Self::Unreadable(other.to_string()), |fault| *fault),
            OpenAIError::Reqwest(error) => Self::from_http(error),
            other => Self::Unreadable(other.to_string()),
        }
    }
}

fn deepest(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = error.to_string();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

impl Problem {
    /// Reads the body of an error in every shape that servers are known to use, and as plain text otherwise.
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(body) = serde_json::from_str::<Value>(&text) else {
            // A proxy's web page says nothing that the status does not.
            let message =
                if text.trim_start().starts_with('<') { String::new() } else { text.trim().to_owned() };
            return Self { message, ..Self::default() };
        };
        let error = body.get("error").unwrap_or(&body);
        let member =
            |names: &[&str]| names.iter().find_map(|name| error.get(name)).map(plain).unwrap_or_default();
        let message = match error {
            Value::String(text) => text.clone(),
            _ => member(&["message", "detail", "error", "title"]),
        };
        let mut code = member(&["code"]);
        if code.is_empty() || code.bytes().all(|byte| byte.is_ascii_digit()) {
            code = member(&["type"]);
        }
        Self { message, code, param: member(&["param"]) }
    }

    fn said(&self) -> String {
        if self.message.is_empty() { String::new() } else { format!(": {}", self.message) }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// One line of at most [`SHOWN_CHARS_MAX`] characters.
pub(crate) fn short(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The service that async-openai's client sends through.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
}

impl Transport {
    pub(crate) fn new(config: &ModelConfig, endpoint: &Endpoint) -> Result<Self, ModelConfigError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            // A dead HTTP/2 connection would otherwise be given every next try as well.
            .http2_keep_alive_interval(Duration::from_secs(15))
            // A redirected POST is seldom what anybody meant, and the key would go along.
            .redirect(reqwest::redirect::Policy::none());
        if endpoint.is_loopback() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| ModelConfigError::Http { why: deepest(&error) })?;
        Ok(Self { http })
    }

    pub(crate) fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    async fn send(http: reqwest::Client, request: HttpRequestFactory) -> Result<Response, Fault> {
        let mut response = http.execute(request.build().await?).await.map_err(Fault::from_http)?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(response.headers(), Timestamp::now());
            // The status says enough where the rest does not arrive.
            let body =
                read(&mut response, PROBLEM_BYTES_MAX).await.map_or_else(|_| Vec::new(), |(body, _)| body);
            return Err(Fault::Refused { status, retry_after, problem: Problem::read(&body) });
        }
        let (body, is_whole) = read(&mut response, REPLY_BYTES_MAX).await.map_err(Fault::from_http)?;
        if !is_whole {
            return Err(Fault::Unreadable(format!("it is longer than {REPLY_BYTES_MAX} bytes")));
        }
        // Checked here, because async-openai would write a body that it cannot read to the log.
        if let Err(error) = serde_json::from_slice::<&RawValue>(&body) {
            return Err(Fault::Unreadable(format!("it is not JSON ({error})")));
        }
        Ok(http::Response::new(body).into())
    }
}

/// The first `max` bytes of the body, and whether that is all of it.
async fn read(response: &mut Response, max: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let expected = response.content_length().unwrap_or(0).min(max as u64);
    let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or(max));
    while let Some(chunk) = response.chunk().await? {
        let room = max - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Fault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        Box::pin(Self::send(self.http.clone(), request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Fault {
        Fault::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            problem: Problem::read(body.as_bytes()),
        }
    }

    #[test]
    fn problems_are_read_in_every_shape() {
        for (body, message, code) in [
            (
                r#"{"error":{"message":"no  such\nmodel","type":"t","param":null,"code":"c"}}"#,
                "no  such\nmodel",
                "c",
            ),
            (r#"{"error":{"message":"m","type":"t","code":404}}"#, "m", "t"),
            (r#"{"error":"model 'x' not found"}"#, "model 'x' not found", ""),
            (r#"{"object":"error","message":"m","type":"NotFoundError","code":404}"#, "m", "NotFoundError"),
            (r#"{"detail":"Not Found"}"#, "Not Found", ""),
            (r#"{"detail":[{"loc":["body"]}]}"#, r#"[{"loc":["body"]}]"#, ""),
            ("<html>Bad gateway</html>", "", ""),
            ("upstream\nfailed", "upstream\nfailed", ""),
            ("", "", ""),
            ("[]", "", ""),
        ] {
            let problem = Problem::read(body.as_bytes());
            assert_eq!((problem.message.as_str(), problem.code.as_str()), (message, code), "{body}");
        }
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(short(&"x".repeat(500)), format!("{}…", "x".repeat(SHOWN_CHARS_MAX)));
        assert_eq!(short(&"x".repeat(SHOWN_CHARS_MAX)), "x".repeat(SHOWN_CHARS_MAX));
        assert!(short(&"word ".repeat(400)).chars().count() <= SHOWN_CHARS_MAX + 1);
        assert_eq!(short(" a\0b \u{7}c "), "a b c");
    }

    #[test]
    fn only_what_passes_is_asked_again() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
            assert!(refused(status, "").passes(), "{status}");
        }
        for status in [301, 307, 400, 401, 403, 404, 405, 413, 422, 501] {
            assert!(!refused(status, "").passes(), "{status}");
        }
        assert!(!refused(429, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#).passes());
    }

    #[test]
    fn a_missing_endpoint_is_told_from_a_missing_model() {
        for (status, body) in [
            (404, r#"{"detail":"Not Found"}"#),
            (404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#),
            (
                404,
                r#"{"error":{"message":"Invalid URL (POST /v1/responses)","type":"invalid_request_error"}}"#,
            ),
            (404, "404 page not found"),
            (404, ""),
            (405, r#"{"detail":"Method Not Allowed"}"#),
            (501, "the model server does not do that"),
        ] {
            assert!(refused(status, body).is_missing_endpoint(), "{status} {body}");
        }
        for (status, body) in [
            (404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#),
            (404, r#"{"error":"model 'x' not found, try pulling it first"}"#),
            (404, r#"{"message":"No endpoint for x","code":"model_not_found"}"#),
            (400, ""),
            (500, ""),
        ] {
            assert!(!refused(status, body).is_missing_endpoint(), "{status} {body}");
        }
    }
}
