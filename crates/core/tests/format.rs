//! Events as they were ever written: each line of a golden file must be readable for good. Lines are added, never
//! changed.

use piton_core::{Event, EventError, FORMAT};

const V1: &str = include_str!("golden/events-v1.jsonl");

#[test]
fn every_event_ever_written_is_read() {
    let mut kinds = std::collections::HashSet::new();
    for line in V1.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("json");
        let kind = value["type"].as_str().expect("a type");
        let event = Event::decode(kind, 1, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(event.kind(), kind);
        let written: serde_json::Value = serde_json::from_str(&event.encode().expect("json")).expect("json");
        assert_eq!(written, value, "nothing is lost in between");
        kinds.insert(kind.to_owned());
    }
    assert_eq!(kinds.len(), 19, "one line for each type at least");
}

#[test]
fn a_newer_format_is_refused_and_not_guessed_at() {
    let error = Event::decode("paused", FORMAT + 1, r#"{"type":"paused"}"#).expect_err("newer");
    assert!(matches!(error, EventError::Newer { found } if found == FORMAT + 1));
    assert!(matches!(Event::decode("paused", 1, "{}"), Err(EventError::Unreadable { .. })));
}
