//! Against servers on this machine, some of which misbehave.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use piton_core::{CallId, EffectClass, RunId, ToolKind, ToolSpec};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{any, body_json, header, method as with_method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::client::Reach;
use super::*;
use crate::{Ended, output};

fn tool(method: HttpMethod, url: impl Into<String>) -> HttpTool {
    HttpTool { method, url: url.into(), timeout_ms: 5_000, allow_private: true, headers: BTreeMap::new() }
}

fn post(url: impl Into<String>) -> HttpTool {
    tool(HttpMethod::Post, url)
}

fn get(url: impl Into<String>) -> HttpTool {
    tool(HttpMethod::Get, url)
}

fn key() -> CallId {
    CallId::derive(RunId::from_uuid(uuid::Uuid::nil()), 1, 0)
}

/// The call as [`crate::Registry`] makes it.
async fn ended(calls: &HttpCalls, tool: &HttpTool, effect: EffectClass, arguments: Value) -> Ended {
    let spec = ToolSpec {
        name: "book".to_owned(),
        description: String::new(),
        parameters: json!({}),
        effect,
        kind: ToolKind::Http(tool.clone()),
    };
    output::bounded(calls.call(tool, ToolInput { arguments, key: key(), spec: &spec }).await)
}

async fn call_with(
    calls: &HttpCalls,
    tool: &HttpTool,
    effect: EffectClass,
    arguments: Value,
) -> Result<Value, ToolError> {
    ended(calls, tool, effect, arguments).await.result
}

async fn call(tool: &HttpTool, arguments: Value) -> Result<Value, ToolError> {
    call_with(&world(), tool, EffectClass::AtMostOnce, arguments).await
}

/// The environment and the network of these tests: 127.0.0.1 counts as public, so that the way from a public address
/// to a private one can be tried.
fn world() -> HttpCalls {
    let mut calls = HttpCalls {
        env: |name| match name {
            "TOKEN" => Some("s3cret-token-value".to_owned()),
            _ => None,
        },
        ..HttpCalls::default()
    };
    calls.clients.reach = Reach {
        lookup: |host| {
            async move {
                match host.as_str() {
                    "inside.test" => Ok(vec![([10, 0, 0, 1], 0).into(), ([127, 0, 0, 2], 0).into()]),
                    "outside.test" => Ok(vec![([10, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into()]),
                    "hangs.test" => std::future::pending().await,
                    _ => Err(std::io::Error::other("no such host")),
                }
            }
            .boxed()
        },
        is_public: |address| address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address::is_public(address),
    };
    calls
}

#[track_caller]
fn failed(outcome: Result<Value, ToolError>) -> String {
    match outcome {
        Err(ToolError::Failed(error)) => error,
        other => panic!("expected a known failure, got {other:?}"),
    }
}

#[track_caller]
fn unknown(outcome: Result<Value, ToolError>) -> String {
    match outcome {
        Err(ToolError::Unknown(error)) => error,
        other => panic!("expected an unknown outcome, got {other:?}"),
    }
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(template).mount(&server).await;
    server
}

/// A server that reads each request whole, then does what `answer` does with the connection. Returns its URL.
async fn raw<F, Answered>(answer: F) -> String
where
    F: Fn(TcpStream) -> Answered + Send + Sync + 'static,
    Answered: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if read_request(&mut stream).await {
                tokio::spawn(answer(stream));
            }
        }
    });
    url
}

/// `false`: the peer closed before a whole request came.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some(head) = text.find("\r\n\r\n") {
            let length = text[..head].split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if request.len() >= head + 4 + length {
                return true;
            }
        }
        if stream.read_buf(&mut request).await.expect("a readable request") == 0 {
            return false;
        }
    }
}

async fn write(mut stream: TcpStream, text: &str) -> TcpStream {
    stream.write_all(text.as_bytes()).await.expect("the client reads");
    stream
}

// --- the request -----------------------------------------------------------------------------------------

#[tokio::test]
async fn arguments_go_as_json_body_with_the_key_of_the_call() {
    let server = MockServer::start().await;
    Mock::given(with_method("PUT"))
        .and(path("/entries"))
        .and(header("idempotency-key", key().to_string().as_str()))
        .and(header("content-type", "application/json"))
        .and(header("x-plain", "as it is"))
        .and(body_json(json!({"amount": 12.5, "lines": [1, {"a": null}]})))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 7, "ok": true})))
        .expect(1)
        .mount(&server)
        .await;
    let mut tool = tool(HttpMethod::Put, format!("{}/entries", server.uri()));
    tool.headers.insert("x-plain".to_owned(), "as it is".to_owned());
    let result = call(&tool, json!({"amount": 12.5, "lines": [1, {"a": null}]})).await;
    assert_eq!(result, Ok(json!({"id": 7, "ok": true})));
}

#[tokio::test]
async fn a_get_takes_its_arguments_as_query() {
    let server = MockServer::start().await;
    Mock::given(with_method("GET"))
        .and(query_param("fixed", "1"))
        .and(query_param("q", "a&b=ü c"))
        .and(query_param("n", "2.5"))
        .and(query_param("deep", r#"{"x":1}"#))
        .respond_with(|request: &Request| {
            assert!(request.body.is_empty());
            assert!(!request.headers.contains_key("content-type"));
            ResponseTemplate::new(200).set_body_string(request.url.query().unwrap_or_default())
        })
        .expect(1)
        .mount(&server)
        .await;
    let arguments = json!({"q": "a&b=ü c", "n": 2.5, "tag": ["x", "y"], "none": null, "deep": {"x": 1}});
    let result = call(&get(format!("{}/find?fixed=1", server.uri())), arguments).await;
    assert_eq!(result, Ok(json!("fixed=1&q=a%26b%3D%C3%BC+c&n=2.5&tag=x&tag=y&deep=%7B%22x%22%3A1%7D")));
}

#[tokio::test]
async fn a_get_without_arguments_keeps_its_url_as_declared() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(|request: &Request| ResponseTemplate::new(200).set_body_json(request.url.query()))
        .mount(&server)
        .await;
    assert_eq!(call(&get(server.uri()), json!({})).await, Ok(Value::Null));
}

// --- the answer ------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_2xx_body_is_the_result() {
    for (body, result) in [
        ("", Value::Null),
        ("null", Value::Null),
        ("[1, 2.5]", json!([1, 2.5])),
        ("plain text", json!("plain text")),
        ("{\"cut\": ", json!("{\"cut\": ")),
        ("1e999", json!("1e999")),
    ] {
        let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        assert_eq!(call(&post(server.uri()), json!({})).await, Ok(result), "{body}");
    }
    let server = answering(ResponseTemplate::new(204)).await;
    assert_eq!(call(&post(server.uri()), json!({})).await, Ok(Value::Null));
    let server = answering(ResponseTemplate::new(200).set_body_bytes(b"caf\xe9".to_vec())).await;
    assert_eq!(call(&post(server.uri()), json!({})).await, Ok(json!("caf\u{fffd}")));
}

#[tokio::test]
async fn any_other_status_is_a_failure_with_the_beginning_of_the_body() {
    for (status, shown) in [
        (304, "HTTP 304 Not Modified: why"),
        (302, "HTTP 302 Found: why"),
        (404, "HTTP 404 Not Found: why"),
        (429, "HTTP 429 Too Many Requests: why"),
        (500, "HTTP 500 Internal Server Error: why"),
        (599, "HTTP 599 <unknown status code>: why"),
    ] {
        let server = answering(ResponseTemplate::new(status).set_body_string(" why \n")).await;
        let error = failed(call(&post(server.uri()), json!({})).await);
        assert!(shown.starts_with(&error) || error == shown, "{error}");
    }
}

#[tokio::test]
async fn a_long_explanation_of_a_failure_is_kept_beside_its_beginning() {
    for (length, end) in [(10_000, "x"), (1 << 20, "x… [cut after 262144 bytes: longer than 262144 bytes]")]
    {
        let server = answering(ResponseTemplate::new(400).set_body_string("x".repeat(length))).await;
        let Ended { result, full } = ended(&world(), &get(server.uri()), EffectClass::Pure, json!({})).await;
        let error = failed(result);
        assert!(error.contains("[cut: ") && error.len() < 3_000, "{}", error.len());
        let full = full.expect("kept").text;
        assert!(full.starts_with("HTTP 400 Bad Request: xxx") && full.ends_with(end), "{}", full.len());
        assert!(full.len() >= length.min(1 << 18), "{}", full.len());
    }
}

#[tokio::test]
async fn a_long_body_is_kept_as_it_came_beside_its_beginning() {
    let rows: Vec<Value> = (0..60_000).map(|n| json!({ "n": n, "of": "é\u{0}" })).collect();
    let body = serde_json::to_string_pretty(&rows).expect("JSON");
    let server = answering(ResponseTemplate::new(200).set_body_string(&body)).await;
    let Ended { result, full } = ended(&world(), &get(server.uri()), EffectClass::Pure, json!({})).await;
    let text = result.expect("a result");
    let end = format!(" of {} bytes shown]", body.len());
    assert!(text.as_str().is_some_and(|text| text.starts_with("[\n  {\n") && text.ends_with(&end)));
    assert_eq!(full.map(|full| full.text), Some(body.into()));
}

#[tokio::test]
async fn a_body_beyond_every_bound_is_cut_and_says_so_twice() {
    let long = "é".repeat(HTTP_BODY_BYTES_MAX);
    let server = answering(ResponseTemplate::new(200).set_body_string(long)).await;
    let Ended { result, full } = ended(&world(), &get(server.uri()), EffectClass::Pure, json!({})).await;
    let result = result.expect("the effect took place");
    let text = result.as_str().expect("a text");
    let marker = " of 16777216 bytes shown; there was more: longer than 16777216 bytes]";
    assert!(text.ends_with(marker), "{}", &text[text.len() - 100..]);
    let full = full.expect("kept").text;
    assert!(full.ends_with("é… [cut after 16777216 bytes: longer than 16777216 bytes]"), "{}", full.len());
}

#[tokio::test]
async fn few_large_bodies_are_held_at_once_and_small_ones_do_not_wait() {
    let (calls, long) = (world(), "x".repeat(1_000_000));
    let large = answering(ResponseTemplate::new(200).set_body_string(&long)).await;
    let small = answering(ResponseTemplate::new(200).set_body_string("small")).await;
    let whole = async |timeout_ms| {
        let tool = HttpTool { timeout_ms, ..get(large.uri()) };
        ended(&calls, &tool, EffectClass::Pure, json!({})).await.full.expect("kept")
    };
    let mut held = Vec::new();
    for _ in 0..LARGE_AT_ONCE {
        held.push(whole(5_000).await);
    }
    let waited = whole(300).await.text;
    assert!(waited.ends_with(" bytes: other large outputs took up the room for it]"), "{}", waited.len());
    assert!(waited.len() < 300_000, "{}", waited.len());
    assert_eq!(call_with(&calls, &get(small.uri()), EffectClass::Pure, json!({})).await, Ok(json!("small")));
    let (next, ()) = tokio::join!(whole(5_000), async { drop(held.pop()) });
    assert_eq!(next.text.len(), long.len());
}

#[tokio::test]
async fn a_body_that_breaks_off_after_2xx_is_kept_because_the_effect_took_place() {
    let url = raw(|stream| async {
        write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 7").await;
    })
    .await;
    let result = call(&post(url), json!({})).await.expect("the effect took place");
    let text = result.as_str().expect("a text");
    assert!(text.starts_with("{\"id\": 7… [cut after 8 bytes: the connection broke"), "{text}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_kept_when_the_time_limit_passes() {
    let url = raw(|stream| async {
        let _open = write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 7").await;
        std::future::pending().await
    })
    .await;
    let tool = HttpTool { timeout_ms: 200, ..post(url) };
    assert_eq!(
        call(&tool, json!({})).await,
        Ok(json!("{\"id\": 7… [cut after 8 bytes: the time limit passed]"))
    );
}

// --- known and unknown -----------------------------------------------------------------------------------

#[tokio::test]
async fn what_was_never_sent_is_a_known_failure() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let error = failed(call(&post(format!("http://127.0.0.1:{port}/a?key=x")), json!({})).await);
    assert!(error.starts_with(&format!("cannot connect to http://127.0.0.1:{port}/a: ")), "{error}");
    assert!(error.contains("refused"), "{error}");

    let error = failed(call(&post("http://nowhere.test/"), json!({})).await);
    assert_eq!(error, "cannot connect to http://nowhere.test/: no such host");

    // Long enough that the quarter between the connection's limit and the call's is there on a busy machine too.
    let slow = HttpTool { timeout_ms: 2_000, ..post("http://hangs.test/") };
    let error = failed(call(&slow, json!({})).await);
    assert!(error.starts_with("cannot connect to http://hangs.test/: "), "{error}");
}

#[tokio::test]
async fn a_handshake_that_fails_is_a_known_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            write(stream, "this is no TLS\n").await;
        }
    });
    let error = failed(call(&post(&url), json!({})).await);
    assert!(error.starts_with(&format!("cannot connect to {url}: ")), "{error}");
}

#[tokio::test]
async fn no_answer_within_the_limit_is_unknown() {
    let url = raw(|stream| async {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let error = unknown(call(&HttpTool { timeout_ms: 200, ..post(&url) }, json!({})).await);
    assert_eq!(error, format!("{url} gave no answer within 200 ms"));
}

#[tokio::test]
async fn a_connection_lost_after_sending_is_unknown() {
    let url = raw(|stream| async { drop(stream) }).await;
    let error = unknown(call(&post(&url), json!({})).await);
    assert!(error.starts_with(&format!("the connection to {url} broke before the answer came")), "{error}");
    let url = raw(|stream| async { drop(write(stream, "HTTP/1.1 200 OK\r\ncontent-le").await) }).await;
    unknown(call(&post(url), json!({})).await);
    let url = raw(|stream| async { drop(write(stream, "what?\r\n\r\n").await) }).await;
    unknown(call(&post(url), json!({})).await);
}

#[tokio::test]
async fn an_effect_that_must_not_repeat_never_rides_on_a_used_connection() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let url = raw({
        let accepted = Arc::clone(&accepted);
        move |mut stream| {
            accepted.fetch_add(1, Ordering::Relaxed);
            async move {
                loop {
                    stream = write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await;
                    if !read_request(&mut stream).await {
                        return;
                    }
                }
            }
        }
    })
    .await;
    let calls = world();
    for (effect, connections) in [(EffectClass::Idempotent, 1), (EffectClass::AtMostOnce, 3)] {
        for _ in 0..3 {
            assert_eq!(call_with(&calls, &post(&url), effect, json!({})).await, Ok(json!(1)));
        }
        assert_eq!(accepted.swap(0, Ordering::Relaxed), connections, "{effect:?}");
    }
}

// --- redirects -------------------------------------------------------------------------------------------

fn to(status: u16, location: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", location)
}

#[tokio::test]
async fn a_get_follows_every_kind_of_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let server = MockServer::start().await;
        Mock::given(path("/a")).respond_with(to(status, "b?x=1")).expect(1).mount(&server).await;
        Mock::given(path("/b"))
            .and(query_param("x", "1"))
            .and(header("idempotency-key", key().to_string().as_str()))
            .respond_with(ResponseTemplate::new(200).set_body_string("there"))
            .expect(1)
            .mount(&server)
            .await;
        let result = call(&get(format!("{}/a", server.uri())), json!({"q": 1})).await;
        assert_eq!(result, Ok(json!("there")), "{status}");
    }
}

#[tokio::test]
async fn a_post_is_sent_on_only_where_the_server_says_that_nothing_was_done() {
    for status in [307, 308] {
        let server = MockServer::start().await;
        Mock::given(path("/a")).respond_with(to(status, "/b")).mount(&server).await;
        Mock::given(path("/b"))
            .and(with_method("POST"))
            .and(body_json(json!({"n": 1})))
            .and(header("idempotency-key", key().to_string().as_str()))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        assert_eq!(call(&post(format!("{}/a", server.uri())), json!({"n": 1})).await, Ok(Value::Null));
    }
    for status in [301, 302, 303] {
        let server = MockServer::start().await;
        Mock::given(path("/a")).respond_with(to(status, "/b?key=x")).expect(1).mount(&server).await;
        Mock::given(path("/b")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
        let error = failed(call(&post(format!("{}/a", server.uri())), json!({})).await);
        assert!(
            error.contains(&format!("redirects to {}/b; a POST is not sent on", server.uri())),
            "{error}"
        );
    }
}

#[tokio::test]
async fn redirects_end_after_five() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(to(307, "/again")).expect(6).mount(&server).await;
    let error = failed(call(&post(server.uri()), json!({})).await);
    assert!(error.starts_with("more than 5 redirects"), "{error}");
}

#[tokio::test]
async fn declared_headers_stay_with_their_origin() {
    let other = MockServer::start().await;
    Mock::given(any())
        .respond_with(|request: &Request| {
            let leaked =
                request.headers.contains_key("x-key") || request.headers.contains_key("authorization");
            ResponseTemplate::new(200).set_body_json(leaked)
        })
        .mount(&other)
        .await;
    let server = MockServer::start().await;
    let away = other.uri().replace("http://", "http://me:word@");
    Mock::given(path("/a")).respond_with(to(307, "/b")).mount(&server).await;
    Mock::given(path("/b"))
        .and(header("x-key", "s3cret-token-value"))
        .and(header("authorization", "Bearer s3cret-token-value"))
        .respond_with(to(307, &away))
        .expect(1)
        .mount(&server)
        .await;
    let mut tool = post(format!("{}/a", server.uri()));
    tool.headers.insert("x-key".to_owned(), "env:TOKEN".to_owned());
    tool.headers.insert("authorization".to_owned(), "Bearer env:TOKEN".to_owned());
    assert_eq!(call(&tool, json!({})).await, Ok(json!(false)));
}

#[tokio::test]
async fn a_redirect_leads_neither_inside_nor_to_another_scheme() {
    for (location, why) in [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is not on the public internet"),
        ("http://0x7f.2/", "127.0.0.2 is not on the public internet"),
        ("http://[::1]/", "::1 is not on the public internet"),
        ("http://inside.test/", "inside.test is not on the public internet"),
        ("file:///etc/passwd", "only http and https addresses"),
        ("http://", "something that is no URL"),
    ] {
        let server = answering(to(307, location)).await;
        let tool = HttpTool { allow_private: false, ..post(server.uri()) };
        let error = failed(call(&tool, json!({})).await);
        assert!(error.contains(why), "{location}: {error}");
    }
}

#[test]
fn a_redirect_never_leaves_encryption() {
    let url = Url::parse("https://a.example/x").expect("a URL");
    let follow = |location: &'static str| {
        redirect(&Method::GET, StatusCode::FOUND, Some(&HeaderValue::from_static(location)), &url)
    };
    assert_eq!(follow("/y").map(|next| next.map(String::from)), Ok(Some("https://a.example/y".to_owned())));
    assert!(
        matches!(follow("http://a.example/y"), Err(ToolError::Failed(error)) if error.contains("not encrypted"))
    );
}

// --- addresses -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_private_address_is_refused_unless_the_tool_allows_it() {
    let server = answering(ResponseTemplate::new(200).set_body_string("inside")).await;
    let allowed = post(server.uri());
    assert_eq!(
        call_with(&HttpCalls::default(), &allowed, EffectClass::Pure, json!({})).await,
        Ok(json!("inside"))
    );
    let refused = HttpTool { allow_private: false, ..allowed };
    let error = failed(call_with(&HttpCalls::default(), &refused, EffectClass::Pure, json!({})).await);
    assert!(error.starts_with("127.0.0.1 is not on the public internet"), "{error}");
    // The real look-up, of a name that every machine knows.
    let named = HttpTool { url: server.uri().replace("127.0.0.1", "localhost"), ..refused };
    let error = failed(call_with(&HttpCalls::default(), &named, EffectClass::Pure, json!({})).await);
    assert!(error.contains("localhost is not on the public internet"), "{error}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
}

#[tokio::test]
async fn of_a_name_with_several_addresses_only_the_public_ones_are_connected_to() {
    let server = answering(ResponseTemplate::new(200).set_body_string("hello")).await;
    let tool =
        |host: &str| HttpTool { allow_private: false, ..post(server.uri().replace("127.0.0.1", host)) };
    assert_eq!(call(&tool("outside.test"), json!({})).await, Ok(json!("hello")));
    let error = failed(call(&tool("inside.test"), json!({})).await);
    assert!(error.contains("inside.test is not on the public internet"), "{error}");
}

#[tokio::test]
async fn connections_that_a_private_tool_made_are_not_lent_to_others() {
    let server = answering(ResponseTemplate::new(200)).await;
    let calls = HttpCalls::default();
    let allowed = post(server.uri());
    assert_eq!(call_with(&calls, &allowed, EffectClass::Pure, json!({})).await, Ok(Value::Null));
    let refused = HttpTool { allow_private: false, ..post(server.uri().replace("127.0.0.1", "localhost")) };
    failed(call_with(&calls, &refused, EffectClass::Pure, json!({})).await);
}

// --- secrets ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn secrets_are_sent_and_never_come_back() {
    let secret = "s3cret-token-value";
    for template in [
        ResponseTemplate::new(200)
            .set_body_json(json!({"you sent": format!("Bearer {secret}"), secret: [secret]})),
        ResponseTemplate::new(200).set_body_string(format!("you sent {secret}")),
        ResponseTemplate::new(401).set_body_string(format!("bad token {secret}")),
        to(303, &format!("http://127.0.0.1:1/{secret}")),
        to(307, &format!("http://127.0.0.1:1/{secret}")),
        ResponseTemplate::new(200).set_body_string(secret.repeat(20_000)),
    ] {
        let server = answering(template).await;
        let mut tool = post(server.uri());
        tool.headers.insert("authorization".to_owned(), "Bearer env:TOKEN".to_owned());
        let shown = format!("{:?}", call(&tool, json!({})).await);
        assert!(shown.contains("[redacted]"), "{shown:.200}");
        assert!(!shown.contains("s3cret"), "{shown:.200}");
        let sent = server.received_requests().await.expect("recorded");
        assert_eq!(sent[0].headers["authorization"], format!("Bearer {secret}"));
    }
}

#[tokio::test]
async fn a_header_without_its_variable_is_a_known_failure_and_nothing_is_sent() {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut tool = post(server.uri());
    tool.headers.insert("authorization".to_owned(), "env:MISSING_TOKEN".to_owned());
    let error = failed(call(&tool, json!({})).await);
    assert_eq!(
        error,
        "the header authorization needs the environment variable MISSING_TOKEN, which is not set"
    );
    assert!(server.received_requests().await.expect("recorded").is_empty());
}

// --- the environment -------------------------------------------------------------------------------------

/// Proxies are read from the environment once per process, so this runs itself again in one of its own.
#[tokio::test]
async fn no_proxy_is_taken_from_the_environment() {
    if let Ok(url) = std::env::var("PITON_TEST_PROXIED_URL") {
        assert_eq!(call(&post(url), json!({})).await, Ok(json!("direct")));
        return;
    }
    let server = answering(ResponseTemplate::new(200).set_body_string("direct")).await;
    let child = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "http::tests::no_proxy_is_taken_from_the_environment"])
        .env("PITON_TEST_PROXIED_URL", server.uri())
        .envs(
            ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")),
        )
        .output()
        .await
        .expect("a child");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
}
