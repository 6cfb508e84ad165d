//! An OpenAI-compatible model that says what it is told to. It keeps no dialogue: which reply comes next is read
//! from the request, so a client that was killed gets the reply again that it lost. What it keeps is a record of the
//! requests it saw, with everything a strict provider would have refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::dialogue::{Api, Dialogue};
use crate::script::{Call, Fault, Say, Script, Turn, Words};

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    pub api: Api,
    pub at: Instant,
    pub turn: usize,
    pub authorization: Option<String>,
    pub body: Value,
    pub dialogue: Dialogue,
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    scripts: HashMap<String, Script>,
    seen: HashMap<String, Vec<Seen>>,
    /// Tries per task and turn: faults are spent on the first of them.
    tries: HashMap<(String, usize), usize>,
    /// When requests came, by tag and argument.
    arrivals: HashMap<(String, String), Vec<Instant>>,
    violations: Vec<String>,
    /// What every request meets with now.
    trouble: Option<Fault>,
    latency: Duration,
    has_no_responses: bool,
    /// Requests are not kept, only counted.
    forgets_bodies: bool,
    requests: usize,
    refused: usize,
}

impl ScriptedModel {
    /// Listens on an ephemeral port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the scripted model");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/responses", post(responses))
            .route("/v1/chat/completions", post(chat))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the scripted model serves");
        });
        Self { address, shared, server }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Tasks with `[tag]` or `[tag:argument]` in them get these replies; the empty tag is for all others.
    pub fn script(&self, tag: &str, script: impl Into<Script>) {
        self.memory().scripts.insert(tag.to_owned(), script.into());
    }

    /// The endpoint has no Responses API: 404, as llama.cpp and many others answer.
    pub fn without_responses(&self) {
        self.memory().has_no_responses = true;
    }

    /// Every reply takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.memory().latency = latency;
    }

    /// Until further notice every request meets with this, whatever the script says.
    pub fn set_trouble(&self, trouble: Option<Fault>) {
        self.memory().trouble = trouble;
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Only counts requests: for thousands of runs.
    pub fn forget_bodies(&self) {
        self.memory().forgets_bodies = true;
    }

    /// The requests for tasks with this tag, in the order they came.
    pub fn seen(&self, tag: &str) -> Vec<Seen> {
        self.memory().seen.get(tag).cloned().unwrap_or_default()
    }

    /// When the requests for tasks with `[tag:argument]` came, in order; known of all, whatever is forgotten.
    pub fn arrivals(&self, tag: &str, argument: &str) -> Vec<Instant> {
        let key = (tag.to_owned(), argument.to_owned());
        self.memory().arrivals.get(&key).cloned().unwrap_or_default()
    }

    pub fn requests(&self) -> usize {
        self.memory().requests
    }

    /// Requests to the Responses API that the endpoint has not.
    pub fn refused(&self) -> usize {
        self.memory().refused
    }

    /// Everything a strict provider would have refused, in any request so far.
    pub fn violations(&self) -> Vec<String> {
        self.memory().violations.clone()
    }

    /// # Panics
    /// When a request was not one that a strict provider takes.
    pub fn assert_every_request_was_valid(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "a strict provider would have refused: {violations:#?}");
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory()
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().expect("no request panics while it holds the memory")
    }

    /// What the request gets, and the turn it is about.
    fn hear(
        &self,
        api: Api,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<(Say, Option<Fault>, usize), String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let dialogue = Dialogue::read(api, &body);
        let (tag, argument) = tag_of(dialogue.task());
        let turn = Turn {
            tag: tag.clone(),
            argument,
            task: dialogue.task().to_owned(),
            done: dialogue.done(),
            outputs: dialogue.outputs(),
            tools: dialogue.tools.clone(),
        };
        let mut memory = self.memory();
        let refused = dialogue.violations.iter().map(|why| format!("[{tag}] after {}: {why}", turn.done));
        memory.violations.extend(refused.collect::<Vec<_>>());
        memory.requests += 1;
        let of_this_task = (turn.tag.clone(), turn.argument.clone());
        memory.arrivals.entry(of_this_task).or_default().push(Instant::now());
        if !memory.forgets_bodies {
            let authorization =
                headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let seen = Seen { api, at: Instant::now(), turn: turn.done, authorization, body, dialogue };
            memory.seen.entry(tag.clone()).or_default().push(seen);
        }
        let said = memory.scripts.get(&tag).map(|script| script.say(&turn));
        let mut say = match said {
            Some(Some(say)) => say,
            Some(None) => {
                let why = format!("[{tag}] the script ended, and a reply was asked for after {}", turn.done);
                memory.violations.push(why.clone());
                return Err(why);
            }
            None => {
                let why = format!("no script for the tag {tag:?} of {:?}", clipped(&turn.task));
                memory.violations.push(why.clone());
                return Err(why);
            }
        };
        let tries = memory.tries.entry((turn.task.clone(), turn.done)).or_default();
        let scripted = say.always.clone().or_else(|| say.faults.get(*tries).cloned());
        *tries += 1;
        let fault = memory.trouble.clone().or(scripted);
        say.latency += memory.latency;
        Ok((say, fault, turn.done))
    }
}

async fn responses(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let has_none = {
        let mut memory = shared.memory();
        memory.refused += usize::from(memory.has_no_responses);
        memory.has_no_responses
    };
    if has_none {
        return error(StatusCode::NOT_FOUND, "Not Found");
    }
    reply(&shared, Api::Responses, &headers, &body).await
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    reply(&shared, Api::Chat, &headers, &body).await
}

async fn reply(shared: &Shared, api: Api, headers: &HeaderMap, body: &Bytes) -> Response {
    let (say, fault, turn) = match shared.hear(api, headers, body) {
        Ok(heard) => heard,
        Err(why) => return error(StatusCode::BAD_REQUEST, &why),
    };
    if let Some(gate) = &say.gate {
        gate.wait().await;
    }
    tokio::time::sleep(say.latency).await;
    match fault {
        None => {}
        Some(Fault::Late(by)) => tokio::time::sleep(by).await,
        Some(fault) => return fail(fault).await,
    }
    let body = match api {
        Api::Responses => responses_body(&say, turn),
        Api::Chat => chat_body(&say, turn),
    };
    axum::Json(body).into_response()
}

async fn fail(fault: Fault) -> Response {
    match fault {
        Fault::Status { status, retry_after_s } => {
            let status = StatusCode::from_u16(status).expect("a scripted status is a status");
            let mut response = error(status, "scripted fault");
            if let Some(seconds) = retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Fault::Hang => std::future::pending().await,
        Fault::Cut => {
            let first = futures::stream::once(async { Ok(Bytes::from_static(b"{\"id\":\"resp_1\",\"out")) });
            let cut = futures::stream::once(async { Err(std::io::Error::other("scripted cut")) });
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(first.chain(cut)))
                .into_response()
        }
        Fault::InvalidJson => {
            ([(header::CONTENT_TYPE, "application/json")], "{\"id\": \"resp_1\", \"output\": [")
                .into_response()
        }
        Fault::OtherJson => axum::Json(json!({ "hello": ["world"] })).into_response(),
        Fault::Late(_) => unreachable!("a late reply is a reply"),
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": null } });
    (status, axum::Json(body)).into_response()
}

fn call_id(call: &Call, turn: usize, index: usize) -> String {
    call.call_id.clone().unwrap_or_else(|| format!("call_{turn}_{index}"))
}

fn bare_json(call: &Call) -> String {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
    json!({ "name": call.name, "arguments": arguments }).to_string()
}

fn responses_body(say: &Say, turn: usize) -> Value {
    let message = |text: &str| {
        json!({
            "type": "message", "id": format!("msg_{turn}"), "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
        })
    };
    let output: Vec<Value> = match &say.words {
        Words::Calls { text, calls } => {
            let calls = calls.iter().enumerate().map(|(index, call)| {
                json!({
                    "type": "function_call", "id": format!("fc_{turn}_{index}"), "status": "completed",
                    "call_id": call_id(call, turn, index), "name": call.name, "arguments": call.arguments,
                })
            });
            text.as_deref().map(message).into_iter().chain(calls).collect()
        }
        Words::Text(text) => vec![message(text)],
        Words::CallInText(call) => vec![message(&bare_json(call))],
        Words::Empty => vec![],
    };
    let (status, details) = if say.cut_off {
        ("incomplete", json!({ "reason": "max_output_tokens" }))
    } else {
        ("completed", Value::Null)
    };
    json!({
        "id": format!("resp_{turn}"), "object": "response", "created_at": 1_700_000_000, "status": status,
        "error": null, "incomplete_details": details, "instructions": null, "model": "scripted-model",
        "output": output, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0, "tools": [],
        "tool_choice": "required", "metadata": {},
        "usage": { "input_tokens": 10, "input_tokens_details": { "cached_tokens": 0 },
                   "output_tokens": 5, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 15 },
    })
}

fn chat_body(say: &Say, turn: usize) -> Value {
    let (content, calls) = match &say.words {
        Words::Calls { text, calls } => (text.clone(), calls.as_slice()),
        Words::Text(text) => (Some(text.clone()), [].as_slice()),
        Words::CallInText(call) => (Some(bare_json(call)), [].as_slice()),
        Words::Empty => (None, [].as_slice()),
    };
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if !calls.is_empty() {
        message["tool_calls"] = calls
            .iter()
            .enumerate()
            .map(|(index, call)| {
                json!({ "id": call_id(call, turn, index), "type": "function",
                        "function": { "name": call.name, "arguments": call.arguments } })
            })
            .collect();
    }
    let finish = match (say.cut_off, calls.is_empty()) {
        (true, _) => "length",
        (false, true) => "stop",
        (false, false) => "tool_calls",
    };
    json!({
        "id": format!("chatcmpl-{turn}"), "object": "chat.completion", "created": 1_700_000_000,
        "model": "scripted-model",
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    })
}

/// `[tag]` or `[tag:argument]`, the first of the text; two empty texts when there is none.
fn tag_of(task: &str) -> (String, String) {
    let tag = task.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(tag, _)| tag);
    let (tag, argument) = tag.split_once(':').unwrap_or((tag, ""));
    (tag.to_owned(), argument.to_owned())
}

fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(model: &ScriptedModel, items: &[Value]) -> (u16, Value) {
        let body = json!({
            "model": "m", "tool_choice": "required", "instructions": "", "input": items,
            "tools": [{ "type": "function", "name": "add",
                        "parameters": { "type": "object", "additionalProperties": false } }],
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let response = client.post(format!("{}/responses", model.base_url())).json(&body).send().await;
        let response = response.expect("the scripted model answers");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    #[tokio::test]
    async fn the_next_reply_follows_from_the_request_alone() {
        let model = ScriptedModel::start().await;
        model.script(
            "two",
            [
                Say::calls(vec![Call::new("add", &json!({ "a": 1 })), Call::new("add", &json!({ "a": 2 }))]),
                Say::answer("done"),
            ],
        );
        let user = json!({ "role": "user", "content": "[two] add" });
        let mut items = vec![user];
        for _ in 0..2 {
            let (status, body) = ask(&model, &items).await;
            assert_eq!(
                (status, body["output"].as_array().map(Vec::len)),
                (200, Some(2)),
                "a retry is answered alike"
            );
        }
        for id in ["call_0_0", "call_0_1"] {
            items.push(json!({ "type": "function_call", "call_id": id, "name": "add", "arguments": "{}" }));
            items.push(json!({ "type": "function_call_output", "call_id": id, "output": "{}" }));
        }
        let (_, body) = ask(&model, &items).await;
        assert_eq!(body["output"][0]["name"], "final_answer");
        model.assert_every_request_was_valid();
        assert_eq!(model.seen("two").len(), 3);
    }

    #[tokio::test]
    async fn faults_are_spent_before_the_reply_and_a_missing_script_is_a_violation() {
        let model = ScriptedModel::start().await;
        model.script("busy", [Say::answer("at last").after(Fault::status(503)).after(Fault::status(429))]);
        let items = [json!({ "role": "user", "content": "[busy]" })];
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(ask(&model, &items).await.0);
        }
        assert_eq!(statuses, [503, 429, 200]);
        let (status, _) = ask(&model, &[json!({ "role": "user", "content": "no tag" })]).await;
        assert_eq!(status, 400);
        assert_eq!(model.violations().len(), 1);
    }
}
