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
            "{} is neither the server's own origin, {}://{host}, nor one of PITON_SERVER__ALLOWED_ORIGINS",
            value.to_str().unwrap_or_default(),
            scheme(headers),
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

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::world::{Answer, World, options, request};

    const KEY: &str = "correct-horse-battery-staple";

    fn with_key() -> ApiOptions {
        ApiOptions { api_key: Some(SecretString::from(KEY)), ..options() }
    }

    async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
        world.call(Method::GET, path, headers, Body::empty()).await
    }

    async fn log_in(world: &World, key: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        let body = serde_json::json!({ "api_key": key }).to_string();
        world.call(Method::POST, "/v1/session", &headers, body).await
    }

    #[tokio::test]
    async fn with_a_key_every_documented_endpoint_needs_it_save_those_for_probes_and_the_login() {
        let world = World::with(with_key()).await;
        let document = serde_json::to_value(crate::openapi()).expect("JSON");
        let mut open = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("methods").keys() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
                let path = path.replace("{id}", crate::world::UNKNOWN).replace("{name}", "default");
                let without = world.call(method.clone(), &path, &[], Body::empty()).await;
                if without.status != StatusCode::UNAUTHORIZED {
                    open.push(format!("{method} {path}"));
                    continue;
                }
                assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"piton\""));
                let bearer = format!("Bearer {KEY}");
                // Its status only: a stream has no end.
                let with = request(method, &path, &[("authorization", &bearer)], Body::empty());
                assert_ne!(world.open(with).await.status(), StatusCode::UNAUTHORIZED, "{path}");
            }
        }
        assert_eq!(open, ["GET /healthz", "GET /readyz", "POST /v1/session", "DELETE /v1/session"]);
        for path in ["/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/v1/none", "/agent", "/v1"]
        {
            assert_eq!(get(&world, path, &[]).await.status, 401, "{path}");
        }
        for path in ["/", "/runs/1", "/v1x"] {
            assert_ne!(get(&world, path, &[("accept", "text/html")]).await.status, 401, "{path}");
        }
    }

    #[tokio::test]
    async fn only_the_whole_key_opens() {
        let world = World::with(with_key()).await;
        for value in
            ["", "Bearer", "Bearer wrong", "Bearer correct-horse-battery-stapl", "Basic Y29ycmVjdA==", KEY]
        {
            let answer = get(&world, "/v1/runs", &[("authorization", value)]).await;
            assert_eq!(answer.status, 401, "{value:?}");
            assert!(!answer.text().contains(KEY));
        }
        assert_eq!(get(&world, "/v1/runs", &[("authorization", &format!("Bearer {KEY}"))]).await.status, 200);
    }

    #[tokio::test]
    async fn a_browser_gets_in_by_the_login_and_out_again() {
        let world = World::with(with_key()).await;
        let refused = log_in(&world, "wrong", &[]).await;
        assert_eq!(refused.problem(), "401 unauthorized: That is not the API key");
        assert_eq!(refused.header("set-cookie"), None);

        let granted = log_in(&world, KEY, &[]).await;
        assert_eq!(granted.status, 204);
        let cookie = granted.header("set-cookie").expect("a cookie").to_owned();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("Secure"), "{cookie}");
        let cookie = cookie.split(';').next().expect("name and value");
        let others = format!("theme=dark; {cookie}; x=y");
        assert_eq!(get(&world, "/v1/runs", &[("cookie", &others)]).await.status, 200);
        assert_eq!(get(&world, "/v1/runs", &[("cookie", &format!("{cookie}0"))]).await.status, 401);
        let evil = [("cookie", cookie), ("origin", "http://evil.example")];
        assert_eq!(get(&world, "/v1/runs", &evil).await.status, 403);

        world.clock.advance(30 * 24 * 60 * 60 * 1000);
        assert_eq!(get(&world, "/v1/runs", &[("cookie", cookie)]).await.status, 401, "after 30 days");

        let out = world.call(Method::DELETE, "/v1/session", &[], Body::empty()).await;
        assert_eq!(out.status, 204);
        assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    }

    #[tokio::test]
    async fn a_login_is_a_small_body() {
        let world = World::with(with_key()).await;
        assert_eq!(log_in(&world, &"x".repeat(5000), &[]).await.status, 413);
        assert_eq!(world.post("/v1/session", &serde_json::json!({ "api_key": 7 })).await.status, 422);
    }

    #[tokio::test]
    async fn behind_tls_the_cookie_is_secure() {
        let world = World::with(with_key()).await;
        let cookie = log_in(&world, KEY, &[("x-forwarded-proto", "https")]).await;
        assert!(cookie.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")));
    }

    #[tokio::test]
    async fn a_login_without_a_key_set_is_no_matter() {
        let world = World::new().await;
        let answer = log_in(&world, "anything", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, None));
    }

    #[tokio::test]
    async fn without_a_key_the_server_answers_to_its_own_names_only() {
        let world = World::new().await;
        for host in
            ["localhost:3000", "LOCALHOST", "127.0.0.1:3000", "127.1.2.3", "[::1]:3000", "localhost.:3000"]
        {
            assert_eq!(get(&world, "/v1/runs", &[("host", host)]).await.status, 200, "{host}");
        }
        for host in
            ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "0.0.0.0:3000", "192.168.1.5"]
        {
            for path in ["/v1/runs", "/agent/state/x", "/", "/healthz", "/docs/"] {
                let answer = get(&world, path, &[("host", host)]).await;
                assert!(answer.problem().starts_with("403 host-not-allowed: "), "{host} {path}");
            }
        }
        for host in ["", "a b", "localhost:x"] {
            assert_eq!(get(&world, "/v1/runs", &[("host", host)]).await.status, 403, "{host:?}");
        }
    }

    #[tokio::test]
    async fn the_listen_address_is_a_name_of_the_servers_own() {
        let listen = ([192, 168, 1, 5], 3000).into();
        let world = World::with(ApiOptions { listen, ..options() }).await;
        assert_eq!(get(&world, "/v1/runs", &[("host", "192.168.1.5:3000")]).await.status, 200);
        assert_eq!(get(&world, "/v1/runs", &[("host", "192.168.1.6:3000")]).await.status, 403);
    }

    #[tokio::test]
    async fn with_a_key_or_a_plain_word_any_name_will_do() {
        let anonymous = World::with(ApiOptions { allow_anonymous: true, ..options() }).await;
        assert_eq!(get(&anonymous, "/v1/runs", &[("host", "piton.example")]).await.status, 200);
        let world = World::with(with_key()).await;
        let headers = [("host", "piton.example"), ("authorization", &*format!("Bearer {KEY}"))];
        assert_eq!(get(&world, "/v1/runs", &headers).await.status, 200);
    }

    #[tokio::test]
    async fn pages_of_other_origins_are_refused() {
        let world = World::new().await;
        for (origin, host, proto, status) in [
            ("http://localhost:3000", "localhost:3000", "", 200),
            ("http://[::1]:3000", "[::1]:3000", "", 200),
            ("https://localhost", "localhost", "https", 200),
            ("http://localhost", "localhost", "https", 403),
            ("https://localhost", "localhost", "", 403),
            ("http://localhost:3001", "localhost:3000", "", 403),
            ("http://127.0.0.1:3000", "localhost:3000", "", 403),
            ("http://evil.example", "localhost:3000", "", 403),
            ("null", "localhost:3000", "", 403),
            ("", "localhost:3000", "", 403),
            ("file://", "localhost:3000", "", 403),
        ] {
            let headers = [("origin", origin), ("host", host), ("x-forwarded-proto", proto)];
            let answer = get(&world, "/v1/runs", &headers).await;
            assert_eq!(answer.status, status, "{origin} at {host} {proto}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "origin"));
        }
        let refused = get(&world, "/v1/runs", &[("origin", "https://localhost:3000")]).await;
        assert_eq!(
            refused.problem(),
            "403 origin-not-allowed: The request is refused: https://localhost:3000 is neither the server's own \
             origin, http://127.0.0.1:3000, nor one of PITON_SERVER__ALLOWED_ORIGINS"
        );
        let evil = [("origin", "http://evil.example"), ("content-type", "text/plain")];
        let body = "{\"input_prompt\": \"x\"}";
        let simple = world.call(Method::POST, "/agent/launch", &evil, body).await;
        assert!(simple.problem().starts_with("403 origin-not-allowed: "), "{}", simple.problem());
        assert_eq!(world.get("/v1/runs").await.expect(200)["runs"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn what_a_page_loads_without_saying_so_is_refused_but_a_link_may_be_followed() {
        let world = World::new().await;
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "text/html")];
        let embedded = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), ("accept", "*/*")];
        let framed = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), ("accept", "text/html")];
        for (site, path, how, status) in [
            ("cross-site", "/", link, 200),
            ("cross-site", "/runs/1", link, 200),
            ("cross-site", "/v1/runs", link, 403),
            ("cross-site", "/", framed, 403),
            ("cross-site", "/v1/runs", embedded, 403),
            ("same-site", "/v1/runs", embedded, 403),
            ("same-origin", "/v1/runs", embedded, 200),
            ("none", "/v1/runs", link, 200),
        ] {
            let headers = [&how[..], &[("sec-fetch-site", site)]].concat();
            assert_eq!(get(&world, path, &headers).await.status, status, "{site} {path} {how:?}");
        }
    }

    #[tokio::test]
    async fn an_allowed_origin_may_call_and_is_told_so() {
        let origin = "https://ui.example";
        let allowed_origins = vec![origin.to_owned(), "nonsense".to_owned(), "null".to_owned()];
        let world = World::with(ApiOptions { allowed_origins, ..with_key() }).await;
        let bearer = format!("Bearer {KEY}");
        let headers = [("origin", origin), ("authorization", &*bearer), ("sec-fetch-site", "cross-site")];
        let answer = get(&world, "/v1/runs", &headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let unknown = get(&world, "/v1/runs", &[("origin", origin)]).await;
        assert_eq!(unknown.status, 401);
        assert_eq!(unknown.header("access-control-allow-origin"), Some(origin), "it can read why");

        let asked =
            [("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")];
        let preflight = async |origin| {
            let headers = [&asked[..], &[("origin", origin)]].concat();
            world.call(Method::OPTIONS, "/v1/runs", &headers, Body::empty()).await
        };
        let yes = preflight(origin).await;
        assert_eq!(yes.status, 204);
        assert_eq!(yes.header("access-control-allow-origin"), Some(origin));
        assert!(
            yes.header("access-control-allow-headers").is_some_and(|names| names.contains("idempotency-key"))
        );
        for origin in
            ["https://evil.example", "http://ui.example", "https://ui.example:8443", "null", "nonsense"]
        {
            let no = preflight(origin).await;
            assert_eq!(
                (no.status.as_u16(), no.header("access-control-allow-origin")),
                (403, None),
                "{origin}"
            );
        }
    }
}
