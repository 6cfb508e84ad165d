//! What was ever written: each line of a golden file must be readable for good. Lines are added, never changed.

use std::collections::HashSet;

use piton_core::{Event, EventError, FORMAT, Limits, Run};

const V1: &str = include_str!("golden/events-v1.jsonl");
const V2: &str = include_str!("golden/events-v2.jsonl");
/// A fold as reducer 1 stored it.
const RUN_R1: &str = include_str!("golden/run-r1.json");

/// Reads each line as format `v` and writes it again. Returns how many types of event there are.
fn kinds(v: u32, lines: &str) -> usize {
    let mut kinds = HashSet::new();
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("json");
        let kind = value["type"].as_str().expect("a type");
        let event = Event::decode(kind, v, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(event.kind(), kind);
        let written: serde_json::Value = serde_json::from_str(&event.encode().expect("json")).expect("json");
        assert_eq!(written, value, "nothing is lost in between");
        kinds.insert(kind.to_owned());
    }
    kinds.len()
}

#[test]
fn every_event_ever_written_is_read() {
    assert_eq!(kinds(1, V1), 19, "one line for each type at least");
    assert_eq!(kinds(2, V2), 20, "one line for each type at least");
}

#[test]
fn a_newer_format_is_refused_and_not_guessed_at() {
    let error = Event::decode("paused", FORMAT + 1, r#"{"type":"paused"}"#).expect_err("newer");
    assert!(matches!(error, EventError::Newer { found } if found == FORMAT + 1));
    assert!(matches!(Event::decode("paused", 1, "{}"), Err(EventError::Unreadable { .. })));
}

#[test]
fn a_fold_that_reducer_1_stored_loads_and_goes_on() {
    let run: Run = serde_json::from_str(RUN_R1).expect("a run");
    assert_eq!(run.limits, Limits::default());
    let call = run.front().expect("a pending call").call.id;
    let run = run
        .apply(&Event::ToolReturned {
            call,
            result: serde_json::json!("paid"),
            took_ms: 1,
            attempt: 1,
            full_bytes: None,
        })
        .expect("legal");
    assert_eq!((run.version, run.pending.len()), (6, 0));
}
