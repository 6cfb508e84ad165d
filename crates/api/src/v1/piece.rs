//! A piece of a live view: some events of a run as frames, and the run as it is after them.
//!
//! It is read and written out once, and sent to everybody who watches the run from there.

use axum::body::Bytes;
use piton_core::RunId;
use piton_store::Store;
use serde::Serialize;

use super::event::Event;
use super::run::Run;

/// Events in a piece; fewer where they are long.
const EVENTS: u32 = 64;

#[derive(Debug)]
pub(crate) struct Piece {
    /// It holds the events after this one,
    pub(crate) after: u64,
    /// up to this one.
    pub(crate) seq: u64,
    /// The version of the run when it was read.
    pub(crate) version: u64,
    /// The run after these events; none where there are more to come.
    pub(crate) run: Option<Run>,
    frames: Bytes,
    /// How much of it is events.
    events: usize,
}

impl Piece {
    /// What comes after an event; `None` when there is no such run.
    pub(crate) async fn read(
        store: &dyn Store,
        run: RunId,
        after: u64,
    ) -> Result<Option<Self>, piton_store::Error> {
        let recorded = store.events(run, after, EVENTS).await?;
        let Some(row) = store.run(run).await? else { return Ok(None) };
        let (seq, version) = (recorded.last().map_or(after, |last| last.seq), row.run.version);
        let mut frames = Vec::new();
        for event in recorded.iter().map(Event::from) {
            put(&mut frames, Some(event.id()), event.kind(), &event);
        }
        let events = frames.len();
        let run = if seq < version { None } else { Some(Run::of(store, row).await) };
        if let Some(run) = &run {
            put(&mut frames, None, "run", run);
        }
        Ok(Some(Self { after, seq, version, run, frames: frames.into(), events }))
    }

    pub(crate) fn frames(&self) -> Bytes {
        self.frames.clone()
    }

    /// The same without the run.
    pub(crate) fn events(&self) -> Bytes {
        self.frames.slice(..self.events)
    }
}

/// What has no JSON form is left out, and nothing of ours has none. No JSON has a line break in it.
fn put(frames: &mut Vec<u8>, id: Option<u64>, event: &str, data: &impl Serialize) {
    let Ok(data) = serde_json::to_string(data) else { return };
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    frames.extend_from_slice(format!("{id}event: {event}\ndata: {data}\n\n").as_bytes());
}
