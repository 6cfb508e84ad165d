//! `GET /v1/runs/{id}/calls/{call}/output`: the whole of a tool's output where its event shows only the beginning.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use piton_core::{CallId, RunId};

use crate::api::{Api, Shared};
use crate::problem::{Kind, Problem, ProblemBody, Problems};
use crate::request::CallPath;

/// Read the whole of a long tool output
///
/// An event `tool_returned` or `tool_failed` with `full_bytes` shows only the beginning of what the tool gave back, as
/// the model was shown it. This is the rest too, as text that nothing should interpret.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/calls/{call}/output",
    tag = "runs",
    operation_id = "output",
    params(
        ("id" = String, Path, format = "uuid", description = "The run's id"),
        ("call" = String, Path, format = "uuid", description = "The call's id, as the event has it"),
    ),
    responses(
        (status = 200, description = "What the tool gave back", body = String, content_type = "text/plain",
            headers(("Content-Disposition" = String, description = "`attachment`, so that no browser shows it as a page"))),
        (status = 404, description = "No such run, or its event shows all there is", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn output(State(api): Shared, CallPath(run, call): CallPath) -> Result<Response, Problem> {
    let Some(first) = api.store.output(run, call, 0).await? else {
        if api.store.run(run).await?.is_none() {
            return Err(Problem::run_not_found(&run.to_string()));
        }
        return Err(Problem::new(
            Kind::OutputNotFound,
            "Nothing is kept of this call beside its event: that shows all there is",
        ));
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{call}.txt\"")),
    ];
    Ok((headers, Body::from_stream(parts(api, run, call, first))).into_response())
}

/// The output's parts. Each is read when the client has taken the one before it.
fn parts(
    api: Arc<Api>,
    run: RunId,
    call: CallId,
    first: String,
) -> impl Stream<Item = Result<String, piton_store::Error>> + Send {
    unfold((Some(first), 0), move |(held, part)| {
        let api = Arc::clone(&api);
        async move {
            if let Some(first) = held {
                return Some((Ok(first), (None, part + 1)));
            }
            let read = api.store.output(run, call, part).await.transpose()?;
            if let Err(error) = &read {
                // The client sees a response without its end, and knows that it is not whole.
                tracing::warn!(%error, %run, %call, "an output could not be read to its end");
            }
            Some((read, (None, part + 1)))
        }
    })
}

#[cfg(test)]
mod tests {
    use piton_core::CallId;
    use serde_json::json;

    use crate::world::{UNKNOWN, World};

    #[tokio::test]
    async fn a_long_output_is_given_back_whole_and_never_as_a_page() {
        let world = World::new().await;
        let whole = "<script>alert('é\0🧗')</script>\n".repeat(40_000);
        let (run, call) = world.with_long_output(&whole).await;
        let event = world.get(&format!("/v1/runs/{run}/events?after=2&limit=1")).await.expect(200);
        assert_eq!(event["events"][0]["data"]["full_bytes"], whole.len());
        let answer = world.get(&format!("/v1/runs/{run}/calls/{call}/output")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text() == whole, "{} of {} bytes", answer.body.len(), whole.len());
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let disposition = format!("attachment; filename=\"{call}.txt\"");
        assert_eq!(answer.header("content-disposition"), Some(&*disposition));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }

    #[tokio::test]
    async fn what_has_no_more_than_its_event_is_404() {
        let world = World::new().await;
        let (run, call) = world.with_long_output(&"x".repeat(100_000)).await;
        let other = CallId::derive(run, 9, 9);
        let answer = world.get(&format!("/v1/runs/{run}/calls/{other}/output")).await;
        let detail = "Nothing is kept of this call beside its event: that shows all there is";
        assert_eq!(answer.problem(), format!("404 output-not-found: {detail}"));
        let elsewhere = world.launch("another run").await;
        let answer = world.get(&format!("/v1/runs/{elsewhere}/calls/{call}/output")).await;
        assert!(answer.problem().starts_with("404 output-not-found: "));
        for run in [UNKNOWN, "no-uuid", "%ff"] {
            let answer = world.get(&format!("/v1/runs/{run}/calls/{call}/output")).await;
            assert!(answer.problem().starts_with("404 run-not-found: "), "{}", answer.problem());
        }
        for call in ["no-uuid", "..%2f..%2fetc%2fpasswd", "%00"] {
            let answer = world.get(&format!("/v1/runs/{run}/calls/{call}/output")).await;
            assert!(answer.problem().starts_with("404 output-not-found: "), "{}", answer.problem());
        }
        let answer = world.post(&format!("/v1/runs/{run}/calls/{call}/output"), &json!({})).await;
        assert!(answer.problem().starts_with("405 "), "{}", answer.problem());
    }
}
