//! `GET /v1/changes`: tells whoever shows lists when to look again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use piton_store::Listener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::events::too_many;
use crate::api::Shared;
use crate::problem::{Problem, Problems};

/// Changes within this time are told as one.
const APART: Duration = Duration::from_millis(250);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Follower {
    rings: Listener,
    stop: CancellationToken,
    was_told: bool,
    _place: OwnedSemaphorePermit,
}

/// Follow that something changed
///
/// A stream with a frame `event: changed` at once, and then whenever something was written, at most four a second. It
/// does not say what: look again at what you show. A change may go untold, so look now and then all the same.
#[utoipa::path(
    get,
    path = "/v1/changes",
    tag = "system",
    operation_id = "changes",
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"), Problems)
)]
pub(crate) async fn changes(State(api): Shared) -> Result<Response, Problem> {
    let place = Arc::clone(&api.followers).try_acquire_owned().map_err(|_| too_many())?;
    let follower =
        Follower { rings: api.store.bell().events(), stop: api.stop.clone(), was_told: false, _place: place };
    let frames = unfold(follower, async |mut follower| {
        if follower.was_told {
            let stop = follower.stop.clone();
            stop.run_until_cancelled(async {
                sleep(APART).await;
                follower.rings.heard().await;
            })
            .await?;
        }
        follower.was_told = true;
        Some((Ok::<_, Infallible>(Event::default().event("changed").data("{}")), follower))
    });
    let mut response =
        Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Method;
    use futures::StreamExt as _;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::ApiOptions;
    use crate::world::{World, options, request};

    #[tokio::test]
    async fn who_follows_is_told_at_once_and_of_every_change_but_not_too_often() {
        let world = World::new().await;
        let opened = world.open(request(Method::GET, "/v1/changes", &[], Body::empty())).await;
        assert_eq!(opened.headers()["content-type"], "text/event-stream");
        let mut frames = opened.into_body().into_data_stream();
        let mut next = async || {
            let chunk = timeout(Duration::from_secs(10), frames.next()).await.expect("in time");
            String::from_utf8(chunk.expect("a frame").expect("sent").to_vec()).expect("text")
        };
        assert_eq!(next().await, "event: changed\ndata: {}\n\n");
        let began = Instant::now();
        for _ in 0..20 {
            world.launch("go").await;
        }
        assert_eq!(next().await, "event: changed\ndata: {}\n\n");
        assert!(began.elapsed() >= APART, "twenty changes are told as one");
        world.launch("go on").await;
        assert_eq!(next().await, "event: changed\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn places_are_few_and_given_back() {
        let world = World::with(ApiOptions { live_clients_max: 1, ..options() }).await;
        let open = async || world.open(request(Method::GET, "/v1/changes", &[], Body::empty())).await;
        let first = open().await;
        assert_eq!(open().await.status(), 503);
        drop(first);
        assert_eq!(open().await.status(), 200);
    }
}
