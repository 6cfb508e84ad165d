//! The client against endpoints that misbehave in every way seen in the wild.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use piton_core::{EffectClass, Item, ReplyNote, RequestedCall, ToolKind, ToolSpec, Usage};
use piton_model::{Api, Ask, Backoff, ModelClient, ModelConfig, ModelFailure, Replied};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const KEY: &str = "sk-very-secret-key-42";
const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";

/// A server that gives the answers in order and the last one for ever, and keeps what it was asked.
struct Fake {
    server: MockServer,
}

impl Fake {
    async fn new(answers: Vec<ResponseTemplate>) -> Self {
        let next = Arc::new(AtomicUsize::new(0));
        Self::by(move |_| answers[next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone()).await
    }

    async fn by(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        Self { server }
    }

    fn client(&self, api: Api) -> ModelClient {
        client(&format!("{}/v1", self.server.uri()), api)
    }

    /// Path and body of each request so far.
    async fn asked(&self) -> Vec<(String, Value)> {
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().map(|request| (request.url.path().to_owned(), request.body_json().unwrap())).collect()
    }

    async fn paths(&self) -> Vec<String> {
        self.asked().await.into_iter().map(|(path, _)| path).collect()
    }
}

fn client(base_url: &str, api: Api) -> ModelClient {
    let config = ModelConfig {
        api,
        base_url: base_url.to_owned(),
        api_key: Some(KEY.into()),
        timeout_ms: 300,
        tries_max: 3,
        reasoning_effort: None,
        max_output_tokens: None,
    };
    ModelClient::new(config).unwrap().with_backoff(Backoff {
        first_ms: 1,
        max_ms: 4,
        retry_after_max_ms: 5000,
    })
}

fn tools() -> Vec<ToolSpec> {
    ["sum_numbers", "final_answer"]
        .map(|name| ToolSpec {
            name: name.to_owned(),
            description: format!("does {name}"),
            parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
            effect: EffectClass::Pure,
            kind: ToolKind::Builtin,
        })
        .to_vec()
}

fn items() -> Vec<Item> {
    let call = |id: &str| Item::Call {
        r#type: "function_call".to_owned(),
        name: "sum_numbers".to_owned(),
        arguments: r#"{"a":1,"b":2}"#.to_owned(),
        call_id: id.to_owned(),
    };
    let output = |id: &str| Item::Output {
        r#type: "function_call_output".to_owned(),
        call_id: id.to_owned(),
        output: r#"{"result":3}"#.to_owned(),
    };
    vec![
        Item::user("add"),
        call("c1"),
        output("c1"),
        call("c2"),
        output("c2"),
        Item::assistant("hm"),
        Item::user("go"),
    ]
}

async fn ask(client: &ModelClient) -> Result<Replied, ModelFailure> {
    let (items, tools) = (items(), tools());
    client.reply(&Ask { model: "m-1", instructions: "Be brief.", items: &items, tools: &tools }).await
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn status(status: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_json(json!({"error": {"message": message, "type": "t", "code": null}}))
}

fn response(output: Value) -> Value {
    json!({"id": "r", "object": "response", "status": "completed", "model": "m-1-large", "output": output,
           "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}})
}

fn response_call() -> Value {
    response(json!([
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "function_call", "id": "fc", "call_id": "call_1", "name": "sum_numbers",
         "arguments": "{\"a\":1,\"b\":2}", "status": "completed"},
    ]))
}

fn completion(message: Value, finish_reason: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m-1-large",
           "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
           "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}})
}

fn chat_call() -> Value {
    let call = json!({"id": "call_1", "type": "function",
                      "function": {"name": "sum_numbers", "arguments": "{\"a\":1,\"b\":2}"}});
    completion(json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
}

fn the_call() -> Vec<RequestedCall> {
    vec![RequestedCall {
        call_id: "call_1".to_owned(),
        name: "sum_numbers".to_owned(),
        arguments: r#"{"a":1,"b":2}"#.to_owned(),
    }]
}

/// What a body of either API is read as: text, names of calls, notes.
async fn read(api: Api, body: Value) -> (Option<String>, Vec<RequestedCall>, Vec<ReplyNote>) {
    let fake = Fake::new(vec![ok(body)]).await;
    let reply = ask(&fake.client(api)).await.unwrap().reply;
    (reply.text, reply.calls, reply.notes)
}

#[tokio::test]
async fn responses_are_asked_with_the_items_and_each_message_says_that_it_is_one() {
    let fake = Fake::new(vec![ok(response_call())]).await;
    let replied = ask(&fake.client(Api::Auto)).await.unwrap();
    assert_eq!(replied.reply.calls, the_call());
    assert_eq!(replied.reply.model, "m-1-large");
    assert_eq!(replied.reply.usage, Usage { input_tokens: 12, output_tokens: 3 });
    assert_eq!(replied.reply.notes, []);

    let (path, body) = fake.asked().await.remove(0);
    assert_eq!(path, RESPONSES);
    let mut input = serde_json::to_value(items()).unwrap();
    for message in input.as_array_mut().unwrap().iter_mut().filter(|item| item["role"].is_string()) {
        message["type"] = json!("message");
    }
    assert_eq!(body["input"], input);
    assert_eq!(body["instructions"], "Be brief.");
    assert_eq!(body["tool_choice"], "required");
    assert_eq!(body["reasoning"], json!({"effort": "low"}));
    assert_eq!(
        body["tools"][0],
        json!({"type": "function", "name": "sum_numbers", "description": "does sum_numbers", "strict": false,
               "parameters": {"type": "object", "properties": {}, "additionalProperties": false}})
    );
    let typed: async_openai::types::responses::CreateResponse = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed.tools).unwrap(), body["tools"]);
}

#[tokio::test]
async fn chat_is_asked_with_each_call_followed_by_its_output() {
    let fake = Fake::new(vec![ok(chat_call())]).await;
    let replied = ask(&fake.client(Api::Chat)).await.unwrap();
    assert_eq!(replied.reply.calls, the_call());
    assert_eq!(replied.reply.usage, Usage { input_tokens: 12, output_tokens: 3 });

    let (path, body) = fake.asked().await.remove(0);
    assert_eq!(path, CHAT);
    let roles: Vec<_> =
        body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "tool", "assistant", "user"]);
    assert_eq!(body["messages"][2]["tool_calls"][0]["id"], body["messages"][3]["tool_call_id"]);
    assert_eq!(body["tool_choice"], "required");
    assert_eq!(body.get("reasoning_effort"), None);
    let typed: async_openai::types::chat::CreateChatCompletionRequest = serde_json::from_value(body).unwrap();
    assert_eq!(typed.messages.len(), 8);
}

#[tokio::test]
async fn calls_side_by_side_are_one_message_in_chat() {
    let fake = Fake::new(vec![ok(chat_call())]).await;
    let mut items = items();
    items.swap(2, 3);
    let ask = Ask { model: "m", instructions: "", items: &items, tools: &[] };
    fake.client(Api::Chat).reply(&ask).await.unwrap();
    let (_, body) = fake.asked().await.remove(0);
    let roles: Vec<_> =
        body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "user"]);
    assert_eq!(body["messages"][1]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None), "no tools, no choice");
}

#[tokio::test]
async fn the_record_is_of_the_bytes_that_were_sent() {
    use sha2::Digest;
    let fake = Fake::new(vec![status(500, "busy"), ok(response_call())]).await;
    let request = ask(&fake.client(Api::Auto)).await.unwrap().request;
    let sent = fake.server.received_requests().await.unwrap();
    assert_eq!((request.api.as_str(), request.tries, request.through_seq), ("responses", 2, 0));
    for sent in &sent {
        assert_eq!(request.sha256, hex::encode(sha2::Sha256::digest(&sent.body)));
        assert_eq!(request.bytes, sent.body.len() as u64);
        assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}").as_str());
        assert_eq!(sent.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn configured_limits_and_effort_are_sent() {
    let fake =
        Fake::by(|request| ok(if request.url.path() == CHAT { chat_call() } else { response_call() })).await;
    for api in [Api::Responses, Api::Chat] {
        let config = ModelConfig {
            api,
            base_url: format!("{}/v1/", fake.server.uri()),
            api_key: None,
            timeout_ms: 1000,
            tries_max: 1,
            reasoning_effort: Some("high".to_owned()),
            max_output_tokens: Some(77),
        };
        ask(&ModelClient::new(config).unwrap()).await.unwrap();
    }
    let asked = fake.asked().await;
    assert_eq!(asked[0].1["reasoning"]["effort"], "high");
    assert_eq!(asked[0].1["max_output_tokens"], 77);
    assert_eq!(asked[1].1["reasoning_effort"], "high");
    assert_eq!(asked[1].1["max_completion_tokens"], 77);
    let sent = fake.server.received_requests().await.unwrap();
    assert!(sent.iter().all(|request| !request.headers.contains_key("authorization")), "no key, no header");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let busy = status(429, "slow down").insert_header("retry-after-ms", "250");
    let fake = Fake::new(vec![busy, ok(response_call())]).await;
    let begun = Instant::now();
    let replied = ask(&fake.client(Api::Auto)).await.unwrap();
    assert_eq!(replied.request.tries, 2);
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    assert!(replied.request.took_ms >= 250);
}

#[tokio::test]
async fn what_passes_is_tried_again_up_to_the_limit() {
    for code in [408, 409, 425, 429, 500, 502, 503] {
        let fake = Fake::new(vec![status(code, "busy"), status(code, "busy"), ok(response_call())]).await;
        assert_eq!(ask(&fake.client(Api::Auto)).await.unwrap().request.tries, 3, "{code}");
        let fake = Fake::new(vec![status(code, "still busy")]).await;
        let failure = ask(&fake.client(Api::Auto)).await.unwrap_err();
        assert_eq!(failure.tries, 3, "{code}");
        assert!(
            failure.error.contains(&code.to_string()) && failure.error.contains("still busy"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn what_does_not_pass_is_tried_once() {
    for code in [301, 400, 401, 403, 413, 422] {
        let fake = Fake::new(vec![status(code, "no"), ok(response_call())]).await;
        let failure = ask(&fake.client(Api::Auto)).await.unwrap_err();
        assert_eq!(failure.tries, 1, "{code}");
        assert_eq!(fake.asked().await.len(), 1, "{code}");
    }
    let broke = ResponseTemplate::new(429).set_body_json(
        json!({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
    );
    let failure = ask(&Fake::new(vec![broke]).await.client(Api::Auto)).await.unwrap_err();
    assert_eq!(failure.tries, 1);
}

#[tokio::test]
async fn a_hang_ends_at_the_time_limit() {
    let slow = ok(response_call()).set_delay(Duration::from_secs(60));
    let fake = Fake::new(vec![slow.clone(), ok(response_call())]).await;
    assert_eq!(ask(&fake.client(Api::Auto)).await.unwrap().request.tries, 2);
    let failure = ask(&Fake::new(vec![slow]).await.client(Api::Auto)).await.unwrap_err();
    assert_eq!(failure.error, "the model gave no reply within the time limit");
    assert_eq!(failure.tries, 3);
}

#[tokio::test]
async fn a_connection_that_is_cut_or_refused_is_tried_again_and_named() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"output\"", "garbage\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 16 * 1024];
                let _ = stream.read(&mut request).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let failure = ask(&client(&format!("http://{address}/v1"), Api::Auto)).await.unwrap_err();
        server.abort();
        assert_eq!(failure.tries, 3, "{answer}");
        assert!(failure.error.starts_with("the connection to the model's server broke off"), "{failure}");
        assert!(!failure.error.contains("http://"), "{failure}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = ask(&client(&format!("http://{closed}/v1"), Api::Auto)).await.unwrap_err();
    assert_eq!(failure.tries, 3);
    assert!(failure.error.starts_with("the model's server could not be reached: "), "{failure}");
}

#[tokio::test]
async fn a_body_that_is_no_reply_is_tried_again_and_named() {
    let text = |body: &str| ResponseTemplate::new(200).set_body_string(body);
    for body in [
        "",
        "<html>",
        "{\"output\": [",
        "[]",
        "{}",
        "\"hi\"",
        "null",
        "{\"output\": 3}",
        "{\"output\":[],\"x\":1e999}",
    ] {
        for api in [Api::Responses, Api::Chat] {
            let fake =
                Fake::new(vec![text(body), ok(if api == Api::Chat { chat_call() } else { response_call() })])
                    .await;
            assert_eq!(ask(&fake.client(api)).await.unwrap().request.tries, 2, "{body}");
            let failure = ask(&Fake::new(vec![text(body)]).await.client(api)).await.unwrap_err();
            assert_eq!(failure.tries, 3, "{body}");
            assert!(failure.error.starts_with("the model's reply could not be read: it "), "{failure}");
        }
    }
    let huge = format!("{{\"output\":[],\"x\":\"{}\"}}", "x".repeat(5 << 20));
    let failure = ask(&Fake::new(vec![text(&huge)]).await.client(Api::Auto)).await.unwrap_err();
    assert!(failure.error.contains("longer than 4194304 bytes"), "{failure}");
}

#[tokio::test]
async fn a_missing_responses_api_is_found_out_once() {
    for missing in [404, 405, 501] {
        let fake = Fake::by(move |request| match request.url.path() {
            CHAT => ok(chat_call()),
            _ => ResponseTemplate::new(missing).set_body_json(json!({"detail": "Not Found"})),
        })
        .await;
        let client = fake.client(Api::Auto);
        let first = ask(&client).await.unwrap();
        assert_eq!((first.request.api.as_str(), first.request.tries), ("chat", 2));
        let second = ask(&client).await.unwrap();
        assert_eq!((second.request.api.as_str(), second.request.tries), ("chat", 1));
        assert_eq!(fake.paths().await, [RESPONSES, CHAT, CHAT]);
        // Told to use Responses, it does not go elsewhere.
        let failure = ask(&fake.client(Api::Responses)).await.unwrap_err();
        assert!(failure.error.contains("no /responses"), "{failure}");
        assert_eq!(failure.tries, 1);
    }
}

#[tokio::test]
async fn a_missing_responses_api_that_is_told_of_under_a_200_is_found_out() {
    let fake = Fake::by(|request| match request.url.path() {
        CHAT => ok(chat_call()),
        _ => ok(json!({"error": "Unexpected endpoint or method. (POST /v1/responses)"})),
    })
    .await;
    assert_eq!(ask(&fake.client(Api::Auto)).await.unwrap().request.tries, 2);
}

#[tokio::test]
async fn a_missing_model_is_no_missing_endpoint() {
    let fake = Fake::new(vec![status(404, "The model `m-1` does not exist")]).await;
    let client = fake.client(Api::Auto);
    for _ in 0..2 {
        let failure = ask(&client).await.unwrap_err();
        assert_eq!(
            failure.error,
            "the model's server answered 404 Not Found: The model `m-1` does not exist"
        );
    }
    assert_eq!(fake.paths().await, [RESPONSES, RESPONSES]);
}

#[tokio::test]
async fn a_base_url_with_neither_api_teaches_nothing() {
    let fake = Fake::new(vec![status(404, "Not Found")]).await;
    let client = fake.client(Api::Auto);
    let failure = ask(&client).await.unwrap_err();
    assert!(failure.error.contains("neither /responses nor /chat/completions"), "{failure}");
    ask(&client).await.unwrap_err();
    assert_eq!(fake.paths().await, [RESPONSES, CHAT, RESPONSES, CHAT]);
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_from_then_on_for_that_model() {
    let fake = Fake::by(|request| {
        let body: Value = request.body_json().unwrap();
        if body["model"] != "m-1" {
            return ok(response_call());
        }
        let refuse = |message: &str, param: &str| {
            ResponseTemplate::new(400).set_body_json(json!({"error": {"message": message, "param": param}}))
        };
        if body.get("reasoning").is_some() {
            return refuse("Unsupported parameter", "reasoning.effort");
        }
        if body.get("tool_choice").is_some() {
            return refuse("tool_choice: only auto is supported", "");
        }
        ok(response_call())
    })
    .await;
    let client = fake.client(Api::Auto);
    assert_eq!(ask(&client).await.unwrap().request.tries, 3);
    assert_eq!(ask(&client).await.unwrap().request.tries, 1);
    let (items, tools) = (items(), tools());
    let other = Ask { model: "m-2", instructions: "", items: &items, tools: &tools };
    client.reply(&other).await.unwrap();
    let last = fake.asked().await.pop().unwrap().1;
    assert_eq!((&last["reasoning"]["effort"], &last["tool_choice"]), (&json!("low"), &json!("required")));

    // A server that goes on blaming what is no longer sent is not asked for ever.
    let fake = Fake::new(vec![status(400, "reasoning and tool_choice are bad")]).await;
    assert_eq!(ask(&fake.client(Api::Auto)).await.unwrap_err().tries, 3);
}

#[tokio::test]
async fn the_key_is_never_in_an_error() {
    let echo = |code| status(code, &format!("Incorrect API key provided: {KEY}. {}{KEY}", "x".repeat(330)));
    let failed =
        json!({"status": "failed", "error": {"code": "server_error", "message": format!("Bearer {KEY}")}});
    for answer in [echo(401), echo(500), ok(failed), ResponseTemplate::new(403).set_body_string(KEY)] {
        let failure = ask(&Fake::new(vec![answer]).await.client(Api::Auto)).await.unwrap_err();
        assert!(failure.error.contains("[API key]"), "{failure}");
        assert!(!failure.error.contains("secret"), "{failure}");
        assert!(failure.error.chars().count() <= 401, "{failure}");
    }
}

#[tokio::test]
async fn a_reply_that_says_the_model_failed_is_a_failure() {
    let failed = |code: &str| {
        ok(json!({"status": "failed", "output": [], "error": {"code": code, "message": "it broke"}}))
    };
    let fake = Fake::new(vec![failed("server_error"), ok(response_call())]).await;
    assert_eq!(ask(&fake.client(Api::Auto)).await.unwrap().request.tries, 2);
    let failure = ask(&Fake::new(vec![failed("invalid_prompt")]).await.client(Api::Auto)).await.unwrap_err();
    assert_eq!((failure.error.as_str(), failure.tries), ("the model failed: it broke", 1));
    let wrapped = ok(json!({"error": {"message": "upstream broke"}}));
    let failure = ask(&Fake::new(vec![wrapped]).await.client(Api::Chat)).await.unwrap_err();
    assert_eq!((failure.error.as_str(), failure.tries), ("the model failed: upstream broke", 3));
}

#[tokio::test]
async fn several_calls_keep_their_order_and_their_ids() {
    let call = |id: &str, arguments: Value| json!({"type": "function_call", "call_id": id, "name": "sum_numbers", "arguments": arguments});
    let body = response(json!([call("a", json!("{}")), call("a", json!({"a": 1})), call("", json!(null))]));
    let (_, calls, notes) = read(Api::Auto, body).await;
    let calls: Vec<_> = calls.iter().map(|c| (c.call_id.as_str(), c.arguments.as_str())).collect();
    assert_eq!(calls, [("a", "{}"), ("a", r#"{"a":1}"#), ("", "{}")]);
    assert_eq!(notes, []);

    let call = |id: Value| json!({"id": id, "function": {"name": "sum_numbers", "arguments": "{\"a\":1"}});
    let message =
        json!({"content": "", "tool_calls": [call(json!("x")), call(json!(7)), {"id": "nameless"}]});
    let (text, calls, _) = read(Api::Chat, completion(message, "stop")).await;
    let calls: Vec<_> = calls.iter().map(|c| (c.call_id.as_str(), c.arguments.as_str())).collect();
    assert_eq!(calls, [("x", "{\"a\":1"), ("", "{\"a\":1")]);
    assert_eq!(text, None);

    let message = json!({"role": "assistant", "function_call": {"name": "sum_numbers", "arguments": "{}"}});
    assert_eq!(read(Api::Chat, completion(message, "function_call")).await.1.len(), 1);
}

#[tokio::test]
async fn text_is_read_wherever_it_stands() {
    let message =
        |content: Value| response(json!([{"type": "message", "role": "assistant", "content": content}]));
    for (body, expected) in [
        (message(json!([{"type": "output_text", "text": "four", "annotations": []}])), Some("four")),
        (message(json!("four")), Some("four")),
        (message(json!([{"type": "refusal", "refusal": "I won't."}])), Some("I won't.")),
        (message(json!([{"type": "output_text", "text": "a"}, {"type": "x"}, {"text": "b"}])), Some("a\nb")),
        (message(json!(" \n")), None),
        (response(json!([])), None),
        (response(json!([{"type": "reasoning"}, {"type": "a_thing_of_next_year"}, 3])), None),
        (json!({"output": [], "output_text": "four"}), Some("four")),
    ] {
        let (text, calls, notes) = read(Api::Auto, body.clone()).await;
        assert_eq!((text.as_deref(), calls.len(), notes.len()), (expected, 0, 0), "{body}");
    }
    for (message, expected) in [
        (json!({"content": "four"}), Some("four")),
        (json!({"content": [{"type": "text", "text": "four"}]}), Some("four")),
        (json!({"content": null, "refusal": "I won't."}), Some("I won't.")),
        (json!({"content": null}), None),
        (json!({}), None),
    ] {
        let (text, calls, notes) =
            read(Api::Chat, completion(message.clone(), "a_reason_of_next_year")).await;
        assert_eq!((text.as_deref(), calls.len(), notes.len()), (expected, 0, 0), "{message}");
    }
}

#[tokio::test]
async fn calls_in_text_are_taken_as_calls() {
    let text = "```json\n{\"name\": \"sum_numbers\", \"arguments\": {\"a\":1,\"b\":2}}\n```";
    let expected = vec![RequestedCall { call_id: String::new(), ..the_call().remove(0) }];
    let body = response(json!([{"type": "message", "content": text}]));
    assert_eq!(
        read(Api::Auto, body).await,
        (Some(text.to_owned()), expected.clone(), vec![ReplyNote::CallInText])
    );
    let body = completion(json!({"content": text}), "stop");
    assert_eq!(read(Api::Chat, body).await, (Some(text.to_owned()), expected, vec![ReplyNote::CallInText]));
    let body = completion(json!({"content": text.replace("sum_numbers", "unheard_of")}), "stop");
    assert_eq!(read(Api::Chat, body).await.2, []);
}

#[tokio::test]
async fn a_reply_that_is_cut_off_says_so() {
    let cut = "{\"name\": \"sum_numbers\", \"arguments\": {\"a\":1,";
    let (text, calls, notes) = read(Api::Chat, completion(json!({"content": cut}), "length")).await;
    assert_eq!((text.as_deref(), calls.len(), notes), (Some(cut), 0, vec![ReplyNote::CutOff]));

    let mut body = response_call();
    body["status"] = json!("incomplete");
    body["incomplete_details"] = json!({"reason": "max_output_tokens"});
    body["output"][1]["arguments"] = json!("{\"a\":1,");
    let (_, calls, notes) = read(Api::Auto, body).await;
    assert_eq!((calls[0].arguments.as_str(), notes), ("{\"a\":1,", vec![ReplyNote::CutOff]));
}

#[tokio::test]
async fn missing_usage_and_model_are_no_fault() {
    for usage in [json!(null), json!({}), json!({"input_tokens": 5.0, "output_tokens": -1}), json!("many")] {
        let fake = Fake::new(vec![ok(json!({"output": [], "usage": usage}))]).await;
        let reply = ask(&fake.client(Api::Auto)).await.unwrap().reply;
        assert!(matches!(reply.usage, Usage { input_tokens: 0 | 5, output_tokens: 0 }), "{:?}", reply.usage);
        assert_eq!(reply.model, "");
    }
}
