//! The practice model over HTTP: both of OpenAI's APIs, as far as an agent needs them.

use std::future::Future;
use std::io;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::NAME;
use super::conversation::{Conversation, Request};
use super::reply::{Said, reply};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Serves until `stop` resolves, then finishes what was begun.
///
/// # Errors
/// Those of accepting connections.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let app = Router::new()
        .route("/v1/responses", post(responses))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .fallback(async || problem(StatusCode::NOT_FOUND, "There is no such path"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "This path takes another method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    // An answer is one small packet: waiting to fill it costs 40 ms a step.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn models() -> Json<Value> {
    Json(json!({
        "object": "list",
        "data": [{ "id": NAME, "object": "model", "created": 0, "owned_by": "piton" }],
    }))
}

async fn responses(body: Bytes) -> Response {
    let (conversation, said) = match understood(&body) {
        Ok(understood) => understood,
        Err(problem) => return problem,
    };
    let output = match said {
        Said::Calls(calls) => calls
            .into_iter()
            .zip(call_ids(&conversation))
            .map(|(call, id)| {
                json!({
                    "type": "function_call",
                    "id": format!("fc_{id}"),
                    "call_id": format!("call_{id}"),
                    "name": call.name,
                    "arguments": call.arguments.to_string(),
                    "status": "completed",
                })
            })
            .collect(),
        Said::Text(text) => vec![json!({
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        })],
    };
    let (input, output_tokens) = (tokens(body.len()), tokens(json_bytes(&output)));
    Json(json!({
        "id": format!("resp_{}", conversation.calls.len() + 1),
        "object": "response",
        "created_at": Timestamp::now().as_second(),
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "model": NAME,
        "output": output,
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "usage": {
            "input_tokens": input,
            "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output_tokens,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input + output_tokens,
        },
    }))
    .into_response()
}

async fn chat(body: Bytes) -> Response {
    let (conversation, said) = match understood(&body) {
        Ok(understood) => understood,
        Err(problem) => return problem,
    };
    let (message, finish_reason) = match said {
        Said::Calls(calls) => {
            let calls: Vec<Value> = calls
                .into_iter()
                .zip(call_ids(&conversation))
                .map(|(call, id)| {
                    let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
                    json!({ "id": format!("call_{id}"), "type": "function", "function": function })
                })
                .collect();
            (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
        }
        Said::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
    };
    let (input, output) = (tokens(body.len()), tokens(json_bytes(&message)));
    Json(json!({
        "id": format!("chatcmpl_{}", conversation.calls.len() + 1),
        "object": "chat.completion",
        "created": Timestamp::now().as_second(),
        "model": NAME,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason }],
        "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output },
    }))
    .into_response()
}

/// The conversation in a request's body and the reply to it, or what is wrong with the request.
#[expect(clippy::result_large_err, reason = "the error is the response")]
fn understood(body: &[u8]) -> Result<(Conversation, Said), Response> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("The body could not be read: {error}")))?;
    if request.stream == Some(true) {
        return Err(problem(
            StatusCode::BAD_REQUEST,
            "The practice model does not stream: leave out `stream`",
        ));
    }
    let conversation = Conversation::read(request);
    if conversation.tasks.is_empty() {
        return Err(problem(StatusCode::BAD_REQUEST, "There is no user message to answer"));
    }
    let said = reply(&conversation);
    Ok((conversation, said))
}

/// Numbers of the calls to come, unique as long as the history is whole.
fn call_ids(conversation: &Conversation) -> std::ops::RangeFrom<usize> {
    conversation.calls.len() + 1..
}

/// A guess at the count, as there is no tokenizer here: four bytes each.
fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

fn json_bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

/// An error as OpenAI shapes it.
fn problem(status: StatusCode, message: &str) -> Response {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
    (status, Json(json!({ "error": error }))).into_response()
}
