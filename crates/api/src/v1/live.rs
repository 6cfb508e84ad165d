//! A run's events as a stream: history first, then whatever happens, each event exactly once and in order.
//!
//! A view holds at most one page of events in memory, and reads the next only when the client has taken this one. A
//! client that takes nothing costs that page, and is cut off after a while (`server::connections`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse;
use futures::Stream;
use futures::stream::unfold;
use piton_core::RunId;
use tokio::time::sleep;

use super::event::Event;
use super::run::Run;
use crate::api::Api;
use crate::feed::Watch;

/// Events in memory per view; fewer where they are long.
const PAGE: u32 = 64;
/// How long to wait before the store is asked again when it could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// What clients are told to wait before they come back.
const RECONNECT: Duration = Duration::from_secs(1);

struct Live {
    api: Arc<Api>,
    watch: Watch,
    run: RunId,
    /// The last event that was read.
    seq: u64,
    /// The version of the run as it was last read.
    version: u64,
    /// The run as it was last sent.
    shown: Option<Run>,
    frames: VecDeque<sse::Event>,
    is_gone: bool,
}

/// The stream of a run's events after `after`. It ends with the server.
pub(crate) fn stream(
    api: Arc<Api>,
    watch: Watch,
    run: RunId,
    after: u64,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    let frames = VecDeque::from([sse::Event::default().retry(RECONNECT)]);
    let live = Live { api, watch, run, seq: after, version: 0, shown: None, frames, is_gone: false };
    unfold(live, async |mut live| {
        let stop = live.api.stop.clone();
        let frame = stop.run_until_cancelled(live.next()).await??;
        Some((Ok(frame), live))
    })
}

impl Live {
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.is_gone {
                return None;
            }
            if let Err(error) = self.read().await {
                // Ending the stream would be final for a browser that finds the server unavailable when it returns.
                tracing::warn!(%error, run = %self.run, "a live view waits for the store");
                sleep(AGAIN).await;
            }
        }
    }

    /// Reads what there is to send, after waiting until there is something.
    async fn read(&mut self) -> Result<(), piton_store::Error> {
        if self.shown.is_some() && self.version <= self.seq {
            self.watch.past(self.seq).await;
        }
        for recorded in &self.api.store.events(self.run, self.seq, PAGE).await? {
            self.seq = recorded.seq;
            self.frames.extend(event_frame(&Event::from(recorded)));
        }
        let Some(row) = self.api.store.run(self.run).await? else {
            self.is_gone = true;
            return Ok(());
        };
        self.version = row.run.version;
        if self.seq < self.version {
            return Ok(());
        }
        let run = Run::of(self.api.store.as_ref(), row).await;
        if self.shown.as_ref() != Some(&run) {
            self.frames.extend(sse::Event::default().event("run").json_data(&run));
            self.shown = Some(run);
        }
        Ok(())
    }
}

/// What has no JSON form is left out, and nothing of ours has none.
fn event_frame(event: &Event) -> Option<sse::Event> {
    sse::Event::default().id(event.id().to_string()).event(event.kind()).json_data(event).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn history_comes_first_then_what_happens() {
        let world = World::new().await;
        let run = world.launch("2+3?").await;
        let mut view = world.follow(run, None).await;
        assert_eq!(view.headers["content-type"], "text/event-stream");
        assert_eq!(view.headers["cache-control"], "no-store");
        assert_eq!(view.headers["x-accel-buffering"], "no");
        assert_eq!(view.until("run").await, ["1 launched", "run"]);
        world.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
        assert_eq!(view.until("run").await, ["2 model_replied", "run"]);
        world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        assert_eq!(view.until("completed").await, ["3 tool_returned", "4 model_replied", "5 completed"]);
        let last = view.next().await.expect("a frame");
        assert_eq!((last.id, last.event.as_str()), (None, "run"));
        assert_eq!(last.data, world.shown(run).await);
    }

    #[tokio::test]
    async fn a_view_goes_on_where_it_was() {
        let world = World::new().await;
        let run = world.complete().await;
        for (last, events) in [
            (None, vec!["1 launched", "2 model_replied", "3 completed", "run"]),
            (Some(""), vec!["1 launched", "2 model_replied", "3 completed", "run"]),
            (Some("0"), vec!["1 launched", "2 model_replied", "3 completed", "run"]),
            (Some("2"), vec!["3 completed", "run"]),
            (Some("3"), vec!["run"]),
        ] {
            assert_eq!(world.follow(run, last).await.until("run").await, events, "after {last:?}");
        }
    }

    #[tokio::test]
    async fn frames_are_events_as_json_shows_them() {
        let world = World::new().await;
        let run = world.complete().await;
        let all = world.get(&format!("/v1/runs/{run}/events")).await.expect(200);
        let mut view = world.follow(run, None).await;
        for event in all["events"].as_array().expect("events") {
            let frame = view.next().await.expect("a frame");
            assert_eq!(frame.data, *event);
            assert_eq!(frame.id, event["id"].as_u64());
            assert_eq!(event["type"], frame.event);
        }
    }

    #[tokio::test]
    async fn a_long_history_comes_whole() {
        let world = World::new().await;
        let run = world.launch("to and fro").await;
        for _ in 0..100 {
            world.poke(run, "pause").await.expect(200);
            world.poke(run, "resume").await.expect(200);
        }
        let seen = world.follow(run, None).await.until("run").await;
        assert_eq!(seen.len(), 202, "each event once, and the run");
        let ids = (1..=201).map(|id| id.to_string());
        assert!(seen.iter().zip(ids).all(|(frame, id)| frame.starts_with(&format!("{id} "))), "{seen:?}");
    }

    #[tokio::test]
    async fn many_views_of_many_runs_each_see_their_own() {
        let world = World::new().await;
        let runs = [world.launch("a").await, world.launch("b").await];
        let mut views = Vec::new();
        for n in 0..20 {
            let mut view = world.follow(runs[n % 2], None).await;
            view.until("run").await;
            views.push(view);
        }
        world.poke(runs[0], "pause").await.expect(200);
        world.poke(runs[1], "cancel").await.expect(200);
        for (n, view) in views.iter_mut().enumerate() {
            let expected: &[&str] =
                if n % 2 == 0 { &["2 paused", "run"] } else { &["2 cancel_requested", "3 cancelled", "run"] };
            assert_eq!(view.until("run").await, expected);
        }
    }

    #[tokio::test]
    async fn views_end_with_the_server() {
        let world = World::new().await;
        let run = world.launch("go").await;
        let mut view = world.follow(run, None).await;
        view.until("run").await;
        world.stop.cancel();
        assert_eq!(view.next().await, None);
    }
}
