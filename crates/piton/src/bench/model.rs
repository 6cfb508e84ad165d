//! A model that costs next to nothing: it asks for one addition after the other and answers with the last sum. What it
//! says next is read from the request, so that an answer is right only if every tool call was carried out and kept.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The instructions of the agent that counts.
pub(super) const PROMPT: &str = "Count on from the number that you are given.";
/// Its tools.
pub(super) const TOOLS: [&str; 2] = ["sum_numbers", "final_answer"];
/// What the task says before its number.
const ASKED: &str = "count on from ";
/// How an output stands in a request, whichever way round its members are.
const OUTPUT: &str = "\"function_call_output\"";
/// What stands before the number in it.
const RESULT: &str = r#"{\"result\":"#;

/// How the model speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Replies to a task; the last of them is the answer.
    pub(super) turns: usize,
    pub(super) latency: Duration,
}

/// The task whose answer is [`answer`].
pub(super) fn task(from: u64) -> String {
    format!("{ASKED}{from}")
}

/// What a run of this task has to come to.
pub(super) fn answer(from: u64, turns: usize) -> String {
    (from + turns as u64 - 1).to_string()
}

/// Serves on a port of its own until the process ends.
pub(super) async fn serve(manner: Manner) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let manner = Arc::new(manner);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let manner = Arc::clone(&manner);
            let speak = service_fn(move |request| {
                let manner = Arc::clone(&manner);
                async move { Ok::<_, Infallible>(reply(*manner, request).await) }
            });
            // A client that goes away ends its connection, and nothing else.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), speak));
        }
    });
    Ok(address)
}

async fn reply(manner: Manner, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refusal(&error.to_string()),
    };
    let Some((turn, sum)) = std::str::from_utf8(&body).ok().and_then(read) else {
        return refusal("this model only counts");
    };
    if !manner.latency.is_zero() {
        tokio::time::sleep(manner.latency).await;
    }
    let (name, arguments) = if turn + 1 >= manner.turns {
        ("final_answer", format!(r#"{{\"answer\":\"{sum}\"}}"#))
    } else {
        ("sum_numbers", format!(r#"{{\"a\":{sum},\"b\":1}}"#))
    };
    let said = format!(
        r#"{{"id":"resp_{turn}","object":"response","status":"completed","model":"bench","output":[{{"type":"function_call","id":"fc_{turn}","call_id":"call_{turn}","name":"{name}","arguments":"{arguments}","status":"completed"}}],"usage":{{"input_tokens":100,"output_tokens":10,"total_tokens":110}}}}"#
    );
    json(200, said)
}

fn refusal(why: &str) -> Response<Full<Bytes>> {
    json(400, format!(r#"{{"error":{{"message":"{why}","type":"invalid_request_error"}}}}"#))
}

fn json(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// How many outputs a request holds, and the number that is to be counted on from: the last of them, or the task's own.
fn read(body: &str) -> Option<(usize, u64)> {
    let turn = body.matches(OUTPUT).count();
    let number = match body.rfind(OUTPUT) {
        Some(at) => {
            let item = &body[at..];
            &item[item.find(RESULT)? + RESULT.len()..]
        }
        None => &body[body.find(ASKED)? + ASKED.len()..],
    };
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    Some((turn, number[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_is_the_last_output_or_the_tasks_own() {
        let task = format!(r#"{{"type":"message","role":"user","content":"{}"}}"#, task(41));
        let output = r#"{"type":"function_call_output","call_id":"c","output":"{\"result\":42}"}"#;
        assert_eq!(read(&format!(r#"{{"input":[{task}]}}"#)), Some((0, 41)));
        assert_eq!(read(&format!(r#"{{"input":[{task},{output}]}}"#)), Some((1, 42)));
        assert_eq!(read("{}"), None);
        assert_eq!(answer(41, 3), "43");
    }
}
