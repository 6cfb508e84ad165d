//! A run's events as a stream: history first, then whatever happens, each event exactly once and in order.
//!
//! A view holds at most one piece of events in memory, and reads the next only when the client has taken this one. A
//! client that takes nothing costs that piece, and is cut off after a while (`server::connections`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::stream::{once, unfold};
use futures::{Stream, StreamExt as _};
use piton_core::RunId;
use tokio::time::{sleep, timeout};

use super::piece::Piece;
use super::run::Run;
use crate::api::Api;
use crate::feed::Watch;

/// How long to wait before the store is asked again when it could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// What clients are told to wait before they come back: a second.
const RECONNECT: Bytes = Bytes::from_static(b"retry: 1000\n\n");
/// What a connection carries where nothing happens, so that nobody takes it for dead.
const STILL_HERE: Bytes = Bytes::from_static(b": still here\n\n");
const KEEP_ALIVE: Duration = Duration::from_secs(15);

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
}

/// The stream of a run's events after `after`. It ends with the server.
pub(crate) fn stream(
    api: Arc<Api>,
    watch: Watch,
    run: RunId,
    after: u64,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let live = Live { api, watch, run, seq: after, version: 0, shown: None };
    let pieces = unfold(live, async |mut live| {
        let stop = live.api.stop.clone();
        let frames = stop.run_until_cancelled(live.next()).await??;
        Some((Ok(frames), live))
    });
    once(async { Ok(RECONNECT) }).chain(pieces)
}

impl Live {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match timeout(KEEP_ALIVE, self.read()).await {
                Ok(Ok(piece)) => {
                    let piece = piece?;
                    let frames = self.take(&piece);
                    if !frames.is_empty() {
                        return Some(frames);
                    }
                }
                Ok(Err(error)) => {
                    // Ending the stream would be final for a browser that finds the server unavailable when it returns.
                    tracing::warn!(%error, run = %self.run, "a live view waits for the store");
                    sleep(AGAIN).await;
                    return Some(STILL_HERE);
                }
                Err(_) => return Some(STILL_HERE),
            }
        }
    }

    /// What there is to send, after waiting until there is something; `None` when the run is gone.
    async fn read(&mut self) -> Result<Option<Arc<Piece>>, piton_store::Error> {
        if self.shown.is_some() && self.version <= self.seq {
            self.watch.past(self.seq).await;
        }
        // Whoever comes first reads; the others wait here, and find it.
        let mut last = self.watch.last().await;
        if let Some(piece) = last.as_ref().filter(|piece| piece.after == self.seq && piece.seq > self.seq) {
            return Ok(Some(Arc::clone(piece)));
        }
        let piece = Piece::read(self.api.store.as_ref(), self.run, self.seq).await?.map(Arc::new);
        if let Some(piece) = &piece
            && last.as_ref().is_none_or(|last| last.seq <= piece.seq)
        {
            *last = Some(Arc::clone(piece));
        }
        Ok(piece)
    }

    /// Goes on behind the piece; what is new in it.
    fn take(&mut self, piece: &Piece) -> Bytes {
        (self.seq, self.version) = (piece.seq, piece.version);
        if piece.run.is_none() || piece.run == self.shown {
            return piece.events();
        }
        self.shown.clone_from(&piece.run);
        piece.frames()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

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
    async fn what_happens_in_quick_succession_comes_together() {
        let world = World::new().await;
        let launched = world.post("/v1/runs", &json!({ "task": "go", "max_steps": 100 })).await.expect(201);
        let run = launched["id"].as_str().expect("an id").parse().expect("a run id");
        let mut view = world.follow(run, None).await;
        view.until("run").await;
        let (before, begun) = (view.pieces, Instant::now());
        for n in 0..40 {
            world.reply(run, &[("sum_numbers", json!({ "a": n, "b": 3 }))]).await;
        }
        world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        let seen = view.until("completed").await;
        assert!(seen.len() > 80, "each event is there: {seen:?}");
        // One at once, one for each tenth of a second, and the end at once.
        let most = 2 + begun.elapsed().as_millis() / 100;
        assert!(u128::from(view.pieces - before) <= most, "{} pieces, not {most}", view.pieces - before);
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
