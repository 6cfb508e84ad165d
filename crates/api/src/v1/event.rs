//! An event as the new wire shows it.

use piton_core::{FORMAT, Recorded};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::shown::Time;

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Counts from 1 in each run.
    id: u64,
    at: Time,
    /// `launched`, `model_replied`, `tool_returned` and so on.
    r#type: &'static str,
    /// The version of the event's format.
    v: u32,
    /// What belongs to an event of this type.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

impl From<&Recorded> for Event {
    fn from(recorded: &Recorded) -> Self {
        let mut data = match serde_json::to_value(&recorded.event) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => Map::new(),
        };
        // It stands beside the data; and what is taken out must not change the others' order.
        data.shift_remove("type");
        Self { id: recorded.seq, at: Time(recorded.at_ms), r#type: recorded.event.kind(), v: FORMAT, data }
    }
}

impl Event {
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.r#type
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_shows_its_own_members_without_the_type() {
        let event = piton_core::Event::Failed { error: "no model".to_owned() };
        let shown = Event::from(&Recorded { seq: 3, at_ms: 7, event });
        assert_eq!(
            serde_json::to_string(&shown).expect("JSON"),
            r#"{"id":3,"at":"1970-01-01T00:00:00.007Z","type":"failed","v":2,"data":{"error":"no model"}}"#
        );
    }
}
