//! `GET /v1/runs/{id}/events`: a run's history, as JSON or as a stream that goes on.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::event::Event;
use super::live;
use crate::api::{EVENTS_AT_ONCE, Shared};
use crate::problem::{Kind, Problem, ProblemBody, Problems};
use crate::request::{Params, RunPath};

const LIMIT_MAX: u32 = 1000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    events: Vec<Event>,
    /// Goes into `after` to get the next page; null when this is all there is now.
    #[schema(required = true)]
    next_after: Option<u64>,
}

/// Read a run's events, or follow them
///
/// With `Accept: text/event-stream` the events come as a stream: first those after `Last-Event-ID` (or `after`), then
/// each as it happens, as `id: SEQ`, `event: TYPE`, `data: EVENT`. A frame `event: run` without an id has the run as
/// `data`, once the history is there and whenever the run changed with an event.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}/events",
    tag = "runs",
    operation_id = "events",
    params(
        ("id" = String, Path, format = "uuid", description = "The run's id"),
        ("after" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64, description = "Only events after this id; 0 if not given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000,
            description = "Events on a page, fewer where they are long; 500 if not given. A stream has no limit"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen, for a stream"),
    ),
    responses(
        (status = 200, description = "A page of events, or a stream", content(
            (EventPage = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 400, description = "The Last-Event-ID is not one of this run's", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not valid", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn events(
    State(api): Shared,
    RunPath(id): RunPath,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let after = params.number("after", 0..=MAX_ID).unwrap_or_default();
    let limit = params.number("limit", 1..=LIMIT_MAX.into()).unwrap_or(EVENTS_AT_ONCE.into());
    params.done()?;
    let is_stream = wants_stream(&headers);
    // Before the run is read: what happens from here on is not missed.
    let watch = if is_stream { Some(api.feed.watch(id).ok_or_else(too_many)?) } else { None };
    let row = api.store.run(id).await?.ok_or_else(|| Problem::run_not_found(&id.to_string()))?;
    if let Some(watch) = watch {
        let after = last_event_id(&headers, row.run.version)?.unwrap_or(after);
        if after > row.run.version {
            let problem = format!("is beyond {}, the run's last event", row.run.version);
            return Err(Problem::invalid_field("after", problem));
        }
        return Ok(streamed(live::stream(api, watch, id, after)));
    }
    let limit = u32::try_from(limit).unwrap_or(LIMIT_MAX);
    let recorded = api.store.events(id, after, limit).await?;
    // Long events make a page shorter, and more may have happened since the run was read.
    let is_full = recorded.len() >= limit as usize;
    let next_after = recorded.last().map(|last| last.seq).filter(|last| is_full || *last < row.run.version);
    let events = recorded.iter().map(Event::from).collect();
    Ok(Json(EventPage { events, next_after }).into_response())
}

/// Beyond this a JSON number is not exact everywhere.
const MAX_ID: u64 = (1 << 53) - 1;

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|list| list.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream"))
}

fn last_event_id(headers: &HeaderMap, version: u64) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    if value.is_empty() {
        // How a client may say that it has seen none.
        return Ok(None);
    }
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.and_then(|digits| digits.parse().ok()) {
        Some(seq) if seq <= version => Ok(Some(seq)),
        _ => Err(Problem::new(
            Kind::BadLastEventId,
            format!("It has to be a number from 0 to {version}, the run's last event"),
        )),
    }
}

pub(super) fn too_many() -> Problem {
    Problem::new(Kind::TooManyStreams, "Too many live views are open. Close one, or read the events as JSON")
        .retry_after_s(5)
}

fn streamed(pieces: impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers a response before it passes it on would hold the events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Method;
    use serde_json::json;

    use crate::ApiOptions;
    use crate::world::{World, options, request};

    #[tokio::test]
    async fn pages_follow_one_another() {
        let world = World::new().await;
        let run = world.complete().await;
        let all = world.get(&format!("/v1/runs/{run}/events")).await.expect(200);
        let types: Vec<_> =
            all["events"].as_array().expect("events").iter().map(|event| &event["type"]).collect();
        assert_eq!(types, ["launched", "model_replied", "completed"]);
        assert_eq!(all["next_after"], json!(null));
        assert_eq!(all["events"][0]["data"]["task"], "answer");
        assert_eq!(
            all["events"][2],
            json!({
                "id": 3, "at": "2026-01-01T00:00:00.000Z", "type": "completed", "v": 2, "data": { "answer": "42" },
            })
        );
        let first = world.get(&format!("/v1/runs/{run}/events?limit=2")).await.expect(200);
        assert_eq!((&first["next_after"], &first["events"][1]["id"]), (&json!(2), &json!(2)));
        let second = world.get(&format!("/v1/runs/{run}/events?limit=2&after=2")).await.expect(200);
        assert_eq!(second, json!({ "events": [all["events"][2]], "next_after": null }));
        let none = world.get(&format!("/v1/runs/{run}/events?after=99")).await.expect(200);
        assert_eq!(none, json!({ "events": [], "next_after": null }));
    }

    #[tokio::test]
    async fn long_events_make_a_page_shorter_and_it_says_that_there_are_more() {
        let world = World::new().await;
        let long = "x".repeat(100_000);
        let run = world.launch(&long).await;
        for n in 0..4 {
            world.reply(run, &[("ask_human", json!({ "question": format!("{n} {long}") }))]).await;
            let question = world.shown(run).await["question"]["id"].clone();
            let answer = json!({ "question": question, "answer": "go on" });
            world.post(&format!("/v1/runs/{run}/answer"), &answer).await.expect(200);
        }
        let (mut ids, mut after, mut pages) = (Vec::new(), 0, 0);
        loop {
            let page =
                world.get(&format!("/v1/runs/{run}/events?after={after}&limit=1000")).await.expect(200);
            ids.extend(
                page["events"].as_array().expect("events").iter().filter_map(|event| event["id"].as_u64()),
            );
            pages += 1;
            match page["next_after"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(ids, (1..=13).collect::<Vec<_>>());
        assert!(pages >= 3, "{pages}");
        let seen = world.follow(run, None).await.until("run").await;
        assert_eq!(seen.len(), 14, "{seen:?}");
    }

    #[tokio::test]
    async fn a_live_view_too_many_is_told_to_come_back_and_events_can_be_read_all_the_same() {
        let world = World::with(ApiOptions { live_clients_max: 2, ..options() }).await;
        let run = world.launch("go").await;
        let (first, _second) = (world.follow(run, None).await, world.follow(run, None).await);
        let path = format!("/v1/runs/{run}/events");
        let stream = [("accept", "text/event-stream")];
        let opened = world.open(request(Method::GET, &path, &stream, Body::empty())).await;
        assert_eq!(opened.status(), 503);
        let third = world.call(Method::GET, &path, &stream, Body::empty()).await;
        let detail = "Too many live views are open. Close one, or read the events as JSON";
        assert_eq!(third.problem(), format!("503 too-many-streams: {detail}"));
        assert_eq!(third.header("retry-after"), Some("5"));
        world.get(&path).await.expect(200);
        drop(first);
        world.follow(run, None).await.until("run").await;
    }

    #[tokio::test]
    async fn bad_parameters_are_named() {
        let world = World::new().await;
        let run = world.launch("go").await;
        for query in ["after=x", "after=-1", "after=1.5", "limit=0", "limit=1001", "limit=x", "afetr=1"] {
            let answer = world.get(&format!("/v1/runs/{run}/events?{query}")).await;
            let name = query.split('=').next().expect("a name");
            assert!(
                answer.problem().starts_with(&format!("422 invalid-request: {name}: ")),
                "{}",
                answer.problem()
            );
        }
    }

    #[tokio::test]
    async fn a_bad_last_event_id_is_400() {
        let world = World::new().await;
        let run = world.complete().await;
        let path = format!("/v1/runs/{run}/events");
        for last in ["x", "-1", "+1", "1.5", "4", "99999999999999999999999", "1; DROP", "ä"] {
            let headers = [("accept", "text/event-stream"), ("last-event-id", last)];
            let answer = world.call(Method::GET, &path, &headers, Body::empty()).await;
            assert_eq!(
                answer.problem(),
                "400 bad-last-event-id: It has to be a number from 0 to 3, the run's last event"
            );
        }
        let headers = [("accept", "text/event-stream")];
        let beyond = world.call(Method::GET, &format!("{path}?after=4"), &headers, Body::empty()).await;
        assert_eq!(beyond.problem(), "422 invalid-request: after: is beyond 3, the run's last event");
    }
}
