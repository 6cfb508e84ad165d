//! Watching a run live: history first, then what happens, each event once; also across a server that was killed.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use piton_testkit::{Gate, Say, ScriptedModel, World, deadline};
use reqwest::Method;
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// One frame of a server-sent event stream.
#[derive(Debug)]
struct Frame {
    id: Option<u64>,
    event: String,
    data: Value,
}

/// The frames of a stream, comments passed over.
struct Watch {
    bytes: Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>,
    text: String,
}

impl Watch {
    async fn open(world: &World, id: &str, last_event_id: Option<u64>) -> Self {
        let mut request = world.request(Method::GET, &format!("/v1/runs/{id}/events"));
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("the server replies");
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().expect("a content type");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let bytes =
            response.bytes_stream().map(|piece| piece.map_or_else(|_| Vec::new(), |piece| piece.to_vec()));
        Self { bytes: Box::pin(bytes), text: String::new() }
    }

    /// The next frame; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(frame) = parse(&frame) {
                    return Some(frame);
                }
                continue;
            }
            let piece = tokio::time::timeout(deadline(), self.bytes.next());
            let piece = piece.await.expect("a frame or the end within the deadline")?;
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Ids of the events up to the first of this type.
    async fn ids_until(&mut self, event: &str) -> Vec<u64> {
        let mut ids = Vec::new();
        loop {
            let frame =
                self.next().await.unwrap_or_else(|| panic!("the stream ended before {event}: {ids:?}"));
            if let Some(id) = frame.id {
                assert_eq!(frame.data["id"], id, "{frame:?}");
                assert_eq!(frame.data["type"], frame.event, "{frame:?}");
                ids.push(id);
            }
            if frame.event == event {
                return ids;
            }
        }
    }
}

fn parse(frame: &str) -> Option<Frame> {
    let field = |name: &str| {
        let lines = frame.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<&str> = lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    let data = serde_json::from_str(&field("data")?).expect("the data of a frame is JSON");
    Some(Frame {
        id: field("id").map(|id| id.parse().expect("an event's id is its number")),
        event: field("event").unwrap_or_else(|| "message".to_owned()),
        data,
    })
}

/// A run that waits at the gate after its first tool.
async fn half_way(model: &ScriptedModel, world: &World) -> (String, Gate) {
    let gate = Gate::new();
    let sum = |a: i64| Say::call("sum_numbers", json!({ "a": a, "b": 1 }));
    model.script("watch", [sum(1), sum(2).held_by(&gate), Say::answer("3")]);
    let id = world.launch("[watch]").await;
    gate.reached(1).await;
    (id, gate)
}

#[tokio::test]
async fn history_comes_first_then_what_happens() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).serve().await;
    let (id, gate) = half_way(&model, &world).await;
    let mut watch = Watch::open(&world, &id, None).await;
    let mut ids = watch.ids_until("model_replied").await;
    ids.extend(watch.ids_until("tool_returned").await);
    gate.open();
    ids.extend(watch.ids_until("completed").await);
    let last = ids.last().copied().expect("events");
    assert_eq!(ids, (1..=last).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(world.events(&id).await.len() as u64, last, "all of them");
}

#[tokio::test]
async fn the_result_of_a_tool_is_seen_while_the_model_is_still_thinking() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).serve().await;
    let (id, gate) = half_way(&model, &world).await;
    let seen = piton_testkit::until(deadline(), "the tool's result", async || {
        world.events(&id).await.into_iter().find(|event| event["type"] == "tool_returned")
    });
    assert_eq!(seen.await.expect("progress is visible")["data"]["result"].as_f64(), Some(2.0));
    gate.open();
    world.until(&id, &["complete"]).await;
}

#[tokio::test]
async fn a_status_that_changes_is_told_with_the_whole_run() {
    let model = ScriptedModel::start().await;
    let world = World::new(PITON).model(&model).serve().await;
    let (id, gate) = half_way(&model, &world).await;
    let mut watch = Watch::open(&world, &id, None).await;
    gate.open();
    loop {
        let frame = watch.next().await.expect("the stream tells of the end");
        if frame.event == "run" && frame.data["status"] == "complete" {
            assert_eq!((&frame.data["id"], &frame.data["final_answer"]), (&json!(id), &json!("3")));
            assert_eq!(frame.id, None, "it is no event");
            return;
        }
    }
}

#[tokio::test]
async fn a_watcher_goes_on_where_it_was_when_the_server_is_killed() {
    let model = ScriptedModel::start().await;
    let mut world = World::new(PITON).model(&model).serve().await;
    let (id, gate) = half_way(&model, &world).await;
    let mut watch = Watch::open(&world, &id, None).await;
    let mut ids = watch.ids_until("model_replied").await;
    drop(watch);
    world.restart().await;
    gate.open();
    let mut watch = Watch::open(&world, &id, ids.last().copied()).await;
    ids.extend(watch.ids_until("completed").await);
    let last = ids.last().copied().expect("events");
    assert_eq!(ids, (1..=last).collect::<Vec<_>>(), "no event is missing, none comes twice");
}
