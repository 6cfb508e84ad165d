//! The web UI's files, out of the binary. A path that is no file is a page of the UI: its router knows which.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::access::is_api;
use crate::problem::{Kind, Problem};

#[derive(RustEmbed)]
#[folder = "../../frontend/dist"]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><title>Piton</title>\
    <h1>The web UI is not in this build</h1>\
    <p>Build it and start again with <code>cargo xtask start</code>. \
    Everything is there over REST too: see <a href=\"/docs\">/docs</a>.</p>";

/// Answers whatever no endpoint answers.
pub(crate) async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let nothing =
        || Problem::new(Kind::NotFound, format!("There is nothing at {}", clipped(path))).into_response();
    if is_api(path) {
        return nothing();
    }
    if method != Method::GET && method != Method::HEAD {
        return match Dist::get(file_name(path)) {
            Some(_) => method_not_allowed(method).await,
            None => nothing(),
        };
    }
    if let Some(file) = Dist::get(file_name(path)) {
        return serve(file_name(path), file.data, file.metadata.sha256_hash(), &headers);
    }
    if path != "/" && !wants_page(&headers) {
        return nothing();
    }
    match Dist::get("index.html") {
        Some(file) => serve("index.html", file.data, file.metadata.sha256_hash(), &headers),
        None => Html(NOT_BUILT).into_response(),
    }
}

/// Answers a path that is there with a method that it has not; axum adds which ones it has.
pub(crate) async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not possible here: see the Allow header"))
        .into_response()
}

fn file_name(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    }
}

fn clipped(path: &str) -> String {
    path.chars().take(200).collect()
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|list| list.contains("text/html"))
}

fn serve(name: &str, data: Cow<'static, [u8]>, hash: [u8; 32], headers: &HeaderMap) -> Response {
    // Weak, for it may be sent compressed.
    let tag = format!("W/\"{}\"", &hex::encode(hash)[..32]);
    // The build puts the content's hash into the names below assets/.
    let caching =
        if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = mime_guess::from_path(name).first_or_octet_stream();
        let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
        let kind = HeaderValue::try_from(kind)
            .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
        ([(header::CONTENT_TYPE, kind)], Body::from(data)).into_response()
    };
    let sent = response.headers_mut();
    sent.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        sent.insert(header::ETAG, tag);
    }
    response
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|one| one.trim() == tag || one.trim() == "*")
}

#[cfg(test)]
mod tests {
    use crate::world::World;

    use super::*;

    async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> crate::world::Answer {
        world.call(Method::GET, path, headers, Body::empty()).await
    }

    #[tokio::test]
    async fn the_start_page_is_there_whether_the_ui_was_built_or_not() {
        let world = World::new().await;
        let page = world.get("/").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        for path in ["/runs/019b76da", "/inbox"] {
            let deep = get(&world, path, &[("accept", "text/html,*/*;q=0.8")]).await;
            assert_eq!(
                (deep.status.as_u16(), deep.text()),
                (200, page.text()),
                "the UI's router knows {path}"
            );
        }
        let policy = page.header("content-security-policy").expect("a policy");
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    }

    #[tokio::test]
    async fn what_is_neither_file_nor_page_is_404() {
        let world = World::new().await;
        for path in
            ["/robots.txt", "/assets/none.js", "/..%2f..%2fCargo.toml", "/../Cargo.toml", "//etc/passwd"]
        {
            let answer = world.get(path).await;
            assert!(answer.problem().starts_with("404 not-found: "), "{path}");
        }
        for path in ["/v1", "/v1/", "/v1/none", "/agent", "/agent/none", "/healthz/x"] {
            let answer = get(&world, path, &[("accept", "text/html")]).await;
            assert!(answer.problem().starts_with("404 not-found: "), "{path}");
        }
        let posted = world.post("/runs/1", &serde_json::json!({})).await;
        assert!(posted.problem().starts_with("404 not-found: "));
    }

    #[tokio::test]
    async fn another_method_is_405_and_says_which_there_are() {
        let world = World::new().await;
        let answer = world.call(Method::DELETE, "/v1/runs", &[], Body::empty()).await;
        assert_eq!(
            answer.problem(),
            "405 method-not-allowed: DELETE is not possible here: see the Allow header"
        );
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
        for method in [Method::PUT, Method::PATCH, Method::TRACE] {
            assert_eq!(world.call(method, "/agent/launch", &[], Body::empty()).await.status, 405);
        }
        let options = world.call(Method::OPTIONS, "/v1/runs", &[], Body::empty()).await;
        assert_eq!((options.status.as_u16(), options.header("allow")), (204, Some("GET,HEAD,POST")));
        let head = world.call(Method::HEAD, "/v1/runs", &[], Body::empty()).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    }

    #[test]
    fn hashed_files_are_kept_and_others_asked_for_again() {
        let body = Cow::Borrowed(&b"body"[..]);
        let serve = |name: &str, headers: &HeaderMap| serve(name, body.clone(), [7; 32], headers);
        let answer = serve("assets/index-1a2b.js", &HeaderMap::new());
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8");
        let tag = answer.headers()["etag"].clone();
        assert_eq!(serve("index.html", &HeaderMap::new()).headers()["cache-control"], "no-cache");
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]);
        let again = serve("index.html", &known);
        assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
    }
}
