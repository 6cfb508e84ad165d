//! A run's events as a stream: history first, then whatever happens, each event exactly once and in order.
//!
//! A view holds at most one page of events in memory, and reads the next only when the client has taken this one.

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

/// Events in memory per view.
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
        let events = self.api.store.events(self.run, self.seq, PAGE).await?;
        let is_full = events.len() >= PAGE as usize;
        for recorded in &events {
            self.seq = recorded.seq;
            self.frames.extend(event_frame(&Event::from(recorded)));
        }
        if is_full {
            return Ok(());
        }
        let Some(row) = self.api.store.run(self.run).await? else {
            self.is_gone = true;
            return Ok(());
        };
        self.version = row.run.version;
        let run = Run::from(row);
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
