//! The web UI's files, out of the binary. A path that is no file is a page of the UI: its router knows which.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

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
        return serve(file_name(path), file, &headers);
    }
    if path != "/" && !wants_page(&headers) {
        return nothing();
    }
    match Dist::get("index.html") {
        Some(file) => serve("index.html", file, &headers),
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

fn serve(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    // Weak, for it may be sent compressed.
    let tag = format!("W/\"{}\"", &hex::encode(file.metadata.sha256_hash())[..32]);
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
        ([(header::CONTENT_TYPE, kind)], Body::from(file.data)).into_response()
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
