//! Who may call. Four questions in this order, and the first "no" ends it:
//!
//! 1. Is the server called by a name of its own? Without an API key only loopback names and the listen address are:
//!    a page that rebinds its own name to this machine is refused.
//! 2. Is the page that calls, if it is one, of the server's own origin or of an allowed one?
//! 3. Does the caller know the API key, where one is set, by bearer or by the session cookie?
//! 4. A preflight asks the first two only, and is answered here.
//!
//! The web UI's files and `/healthz` need no key; `/readyz` keeps its details from callers without one.

mod gate;
mod key;
mod origin;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

use crate::api::{Api, ApiOptions};
use crate::problem::{Kind, Problem};
use gate::Gate;
use key::Key;
use origin::{Authority, Origin};

/// Whether the caller may see what is not for everybody: put into each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) is_known: bool,
}

#[derive(Debug)]
pub(crate) struct Access {
    key: Option<Key>,
    gate: Gate,
    any_host: bool,
    listen: IpAddr,
    allowed_origins: Vec<Origin>,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Asks the questions, and lets those in who may.
pub(crate) async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let access = &api.access;
    let (headers, uri, method) = (request.headers(), request.uri(), request.method());
    let foreign = match access.page(method, uri, headers) {
        Ok(foreign) => foreign,
        Err(problem) => return vary(problem.into_response()),
    };
    let response =
        if *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            preflight()
        } else {
            let caller = Caller { is_known: access.knows(headers, api.clock.now_ms()) };
            if caller.is_known || is_open(method, uri.path()) {
                request.extensions_mut().insert(caller);
                next.run(request).await
            } else {
                Problem::new(
                    Kind::Unauthorized,
                    "Send the API key as Authorization: Bearer KEY, or log in at the web UI",
                )
                .into_response()
            }
        };
    match foreign {
        Some(origin) => vary(allow(response, origin)),
        None => vary(response),
    }
}

/// Whether a path belongs to the API, as against the web UI.
pub(crate) fn is_api(path: &str) -> bool {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ["/agent", "/v1", "/docs", "/healthz", "/readyz"].into_iter().any(below) || path == "/openapi.json"
}

/// What needs no key.
fn is_open(method: &Method, path: &str) -> bool {
    let session = path == "/v1/session" && matches!(*method, Method::POST | Method::DELETE);
    !is_api(path) || session || matches!(path, "/healthz" | "/readyz")
}

impl Access {
    pub(crate) fn new(options: &ApiOptions) -> Self {
        let allowed_origins = options.allowed_origins.iter().filter_map(|text| {
            let origin = Origin::parse(text);
            if origin.is_none() {
                tracing::warn!(origin = %text, "an allowed origin is not one: expected such as https://ui.example.org");
            }
            origin
        });
        Self {
            key: options.api_key.as_ref().map(Key::new),
            gate: Gate::default(),
            any_host: options.api_key.is_some() || options.allow_anonymous,
            listen: options.listen.ip(),
            allowed_origins: allowed_origins.collect(),
        }
    }

    /// Checks host and origin; gives the origin of a page that is not ours but allowed.
    fn page(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
        let host = self.host(uri, headers)?;
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => self.origin(origin, &host, headers),
            (Some(_), Some(_)) => Err(origin_refused("It names several origins")),
            (None, _) => unnamed_page(method, uri, headers).map(|()| None),
        }
    }

    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let refused = |detail: String| Err(Problem::new(Kind::HostNotAllowed, detail));
        let mut hosts = headers.get_all(header::HOST).iter();
        let text = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            (None, _) => uri.authority().map(axum::http::uri::Authority::as_str),
            (Some(_), Some(_)) => None,
        };
        let Some(host) = text.and_then(Authority::parse) else {
            return refused("The request has no proper Host header".to_owned());
        };
        if self.any_host || host.is_loopback() || host.is_address(self.listen) {
            return Ok(host);
        }
        refused(format!(
            "Without an API key the server answers to localhost and its own address only, not to {:?}",
            host.name()
        ))
    }

    fn origin(
        &self,
        value: &HeaderValue,
        host: &Authority,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Problem> {
        let origin = value.to_str().ok().and_then(Origin::parse);
        let Some(origin) = origin else {
            return Err(origin_refused("Its origin is none"));
        };
        if origin.is_of(scheme(headers), host) {
            return Ok(None);
        }
        if self.allowed_origins.contains(&origin) {
            return Ok(Some(value.clone()));
        }
        Err(origin_refused(&format!(
            "{} is neither the server's own origin nor one of PITON_SERVER__ALLOWED_ORIGINS",
            value.to_str().unwrap_or_default()
        )))
    }

    /// Whether the caller may do everything.
    fn knows(&self, headers: &HeaderMap, now_ms: i64) -> bool {
        let Some(key) = &self.key else { return true };
        key.is_borne(headers) || key.is_in_session(headers, now_ms)
    }

    /// The cookie for a caller that knows the key; none where no key is set.
    ///
    /// # Errors
    /// A wrong key, after a while; or too many logins at once.
    pub(crate) async fn log_in(
        &self,
        given: &SecretString,
        headers: &HeaderMap,
        now_ms: i64,
    ) -> Result<Option<HeaderValue>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let is_secure = scheme(headers) == "https";
        self.gate.pass(|| key.matches(given)).await?;
        Ok(Some(key.cookie(now_ms, is_secure)))
    }

    pub(crate) fn log_out(&self) -> HeaderValue {
        key::no_cookie()
    }
}

/// A request that names no origin: a script, a navigation, or a page that loads something without saying so.
fn unnamed_page(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let is = |name: &HeaderName, what: &str| headers.get(name).is_some_and(|value| value == what);
    if !is(&SEC_FETCH_SITE, "cross-site") && !is(&SEC_FETCH_SITE, "same-site") {
        return Ok(());
    }
    let follows_link = *method == Method::GET
        && is(&SEC_FETCH_MODE, "navigate")
        && is(&SEC_FETCH_DEST, "document")
        && !is_api(uri.path());
    if follows_link { Ok(()) } else { Err(origin_refused("It comes from a page of another origin")) }
}

fn origin_refused(why: &str) -> Problem {
    Problem::new(Kind::OriginNotAllowed, format!("The request is refused: {why}"))
}

/// The scheme the caller used: ours is plain HTTP, and a proxy in front says if it speaks TLS.
fn scheme(headers: &HeaderMap) -> &'static str {
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    if first.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" }
}

/// What pages of allowed origins may send. Cookies are not among it: they use the bearer.
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key, last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn allow(mut response: Response, origin: HeaderValue) -> Response {
    const EXPOSED: &str = "location, idempotent-replayed, retry-after, x-request-id";
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    // The answer is refused to others here, and not by the browser's guess of who may embed it.
    let anywhere = HeaderValue::from_static("cross-origin");
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), anywhere);
    response
}

/// A cache must not serve one origin's answer to another.
fn vary(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}
