//! Tools that are HTTP requests, as agent files declare them.
//!
//! A call is one request with the arguments as JSON body (a GET: as query) and the call's id as `Idempotency-Key`.
//! What a call came to is decided here and nowhere else:
//!
//! | what happened | outcome |
//! |---|---|
//! | 2xx | the body: JSON if it parses, else text; `null` if empty |
//! | 2xx, body cut off or too long | what there is of it as text, with a marker: the effect took place |
//! | any other status | failed, with the status and the body |
//! | refused address, no such host, no connection, a header without a value | failed: nothing was sent |
//! | time limit passed or connection lost after sending began | unknown |
//!
//! Redirects: a GET follows 301, 302, 303, 307 and 308, any other method only 307 and 308, which say that nothing was
//! done yet; a 301, 302 or 303 to those is an error, because following it would either lose the body or act
//! twice. At most five, never from https to http, and never with the declared headers to another origin.
//!
//! No proxy, no cookie, no retry: one call is one effect. Few large bodies are held at once: a call that has read the
//! beginning of one more waits, within its limit, until one of them is on disk.

mod address;
mod body;
mod client;
mod declared;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use piton_core::{HttpMethod, HttpTool};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::output::Output;
use crate::{ToolError, ToolInput};
use body::{Body, ERROR_BODY_BYTES_MAX};
use client::{Clients, Connection};
use secrets::Secrets;

pub use body::HTTP_BODY_BYTES_MAX;
pub use declared::{HTTP_TIMEOUT_MS, HTTP_TIMEOUT_MS_DEFAULT, check_header, check_url};

/// Redirects that one call follows.
pub const HTTP_REDIRECTS_MAX: usize = 5;

/// Large bodies that are held at once.
const LARGE_AT_ONCE: usize = 4;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The means to call declared HTTP tools.
#[derive(Debug)]
pub(crate) struct HttpCalls {
    clients: Clients,
    /// Places for large bodies.
    large: Arc<Semaphore>,
    /// Where `env:NAME` is looked up.
    env: fn(&str) -> Option<String>,
}

impl Default for HttpCalls {
    fn default() -> Self {
        Self {
            clients: Clients::default(),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            env: |name| std::env::var(name).ok(),
        }
    }
}

impl HttpCalls {
    /// One call of `tool`. No secret is in the result or in the error, also where the server sends it back.
    pub(crate) async fn call(&self, tool: &HttpTool, input: ToolInput<'_>) -> Result<Output, ToolError> {
        let mut secrets = Secrets::default();
        let headers = declared::resolve(&tool.headers, self.env, &mut secrets).map_err(ToolError::Failed)?;
        let timeout_ms = tool.timeout_ms.clamp(*HTTP_TIMEOUT_MS.start(), *HTTP_TIMEOUT_MS.end());
        let call = Call {
            clients: &self.clients,
            large: &self.large,
            connection: Connection::of(tool.allow_private, input.spec.effect, timeout_ms),
            method: method(tool.method),
            timeout_ms,
            ends_at: Instant::now() + Duration::from_millis(timeout_ms),
            secrets,
        };
        match call.perform(tool, headers, &input).await {
            Ok(body) => Ok(body.into_output(&call.secrets)),
            Err(error) => Err(error.map(|text| call.secrets.redact_text(text))),
        }
    }
}

/// What stays the same over the hops of one call.
struct Call<'a> {
    clients: &'a Clients,
    large: &'a Arc<Semaphore>,
    connection: Connection,
    method: Method,
    timeout_ms: u64,
    ends_at: Instant,
    secrets: Secrets,
}

impl Call<'_> {
    async fn perform(
        &self,
        tool: &HttpTool,
        mut headers: HeaderMap,
        input: &ToolInput<'_>,
    ) -> Result<Body, ToolError> {
        let failed = ToolError::Failed;
        let mut url = declared::parse(&tool.url).map_err(failed)?;
        let mut json = None;
        let arguments = input.arguments.as_object();
        if self.method == Method::GET {
            add_query(&mut url, arguments);
        } else {
            json = Some(input.arguments.to_string());
        }
        for _ in 0..=HTTP_REDIRECTS_MAX {
            self.check(&url)?;
            let mut request = self
                .clients
                .client(self.connection)
                .map_err(failed)?
                .request(self.method.clone(), url.clone())
                .header(IDEMPOTENCY_KEY, input.key.to_string());
            if let Some(json) = &json {
                request = request.header(CONTENT_TYPE, "application/json").body(json.clone());
            }
            // Last, so that a declared content type takes the place of ours.
            let response = self.send(request.headers(headers.clone()), &url).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(body::read(response, HTTP_BODY_BYTES_MAX, self.ends_at, self.large).await);
            }
            let location = response.headers().get(LOCATION);
            let Some(next) = redirect(&self.method, status, location, &url)? else {
                let body = body::read(response, ERROR_BODY_BYTES_MAX, self.ends_at, self.large).await;
                return Err(failed(format!("HTTP {status}{}", body.into_explanation(&self.secrets))));
            };
            if next.origin() != url.origin() {
                headers.clear();
            }
            url = next;
        }
        Err(failed(format!("more than {HTTP_REDIRECTS_MAX} redirects, the last one to {}", shown(&url))))
    }

    fn check(&self, url: &Url) -> Result<(), ToolError> {
        declared::check_scheme(url).map_err(ToolError::Failed)?;
        if self.connection.allow_private {
            return Ok(());
        }
        address::check_literal(url, self.clients.reach.is_public).map_err(ToolError::Failed)
    }

    async fn send(&self, request: reqwest::RequestBuilder, url: &Url) -> Result<Response, ToolError> {
        match tokio::time::timeout_at(self.ends_at, request.send()).await {
            Err(_) => Err(ToolError::Unknown(format!(
                "{} gave no answer within {} ms",
                shown(url),
                self.timeout_ms
            ))),
            Ok(Ok(response)) => Ok(response),
            // Connecting includes the look-up and the TLS handshake: nothing of the request was sent.
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                Err(ToolError::Failed(format!("cannot connect to {}: {}", shown(url), root_cause(&error))))
            }
            Ok(Err(error)) => Err(ToolError::Unknown(format!(
                "the connection to {} broke before the answer came: {}",
                shown(url),
                root_cause(&error)
            ))),
        }
    }
}

/// Where an answer with `status` and `location` to a request of `url` sends the call on to, if it does.
fn redirect(
    method: &Method,
    status: StatusCode,
    location: Option<&HeaderValue>,
    url: &Url,
) -> Result<Option<Url>, ToolError> {
    let repeats = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let rewrites =
        matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER);
    let Some(location) = location.filter(|_| repeats || rewrites) else {
        return Ok(None);
    };
    let failed = |text: String| ToolError::Failed(format!("HTTP {status} redirects to {text}"));
    let location = String::from_utf8_lossy(location.as_bytes());
    let mut next = url.join(&location).map_err(|_| failed("something that is no URL".to_owned()))?;
    // User and password in a redirect would become an Authorization header.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    if rewrites && method != Method::GET {
        return Err(failed(format!(
            "{}; a {method} is not sent on, and the server may have carried it out",
            shown(&next)
        )));
    }
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(failed(format!("{}, which is not encrypted; that is not followed", shown(&next))));
    }
    Ok(Some(next))
}

/// Adds the arguments as people write a query: lists as repeated keys, `null` as nothing, objects as JSON.
fn add_query(url: &mut Url, arguments: Option<&Map<String, Value>>) {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (name, value) in arguments.into_iter().flatten() {
        match value {
            Value::Array(items) => pairs.extend(items.iter().map(|item| (name.as_str(), query_text(item)))),
            Value::Null => {}
            other => pairs.push((name, query_text(other))),
        }
    }
    // An empty list of pairs would still add a question mark.
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
}

fn query_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

const fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

/// A URL as errors name it: without its query, where arguments and keys are.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The innermost cause: the one that says what happened, not which layer noticed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
