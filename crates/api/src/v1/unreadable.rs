//! A run whose row cannot be read, as lists show it beside the others.

use serde::Serialize;
use utoipa::ToSchema;

use super::shown::{StatusName, Time};

const NEWER: &str = "A newer version of Piton wrote this run, and this one cannot read it";
const DAMAGED: &str = "The run's row cannot be read: piton doctor says more, and piton doctor --repair writes it anew from its events";

/// A run that is there and cannot be read, with what is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnreadableRun {
    #[schema(format = "uuid")]
    id: String,
    /// Null where it is none that this version knows.
    #[schema(required = true)]
    status: Option<StatusName>,
    created_at: Time,
    /// Why, and what to do, for people.
    note: &'static str,
}

impl From<piton_store::UnreadableRun> for UnreadableRun {
    fn from(run: piton_store::UnreadableRun) -> Self {
        Self {
            id: run.run.to_string(),
            status: run.status.map(StatusName),
            created_at: Time(run.created_at_ms),
            note: if run.is_newer { NEWER } else { DAMAGED },
        }
    }
}

#[cfg(test)]
mod tests {
    use piton_core::{RunId, Status};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_known_is_shown_and_what_to_do_is_said() {
        let run = RunId::from_uuid(Uuid::from_u128(1));
        let damaged = piton_store::UnreadableRun {
            run,
            status: Some(Status::Paused),
            created_at_ms: 0,
            is_newer: false,
        };
        let shown = |run| serde_json::to_value(UnreadableRun::from(run)).expect("JSON");
        let newer = shown(piton_store::UnreadableRun { status: None, is_newer: true, ..damaged.clone() });
        assert_eq!((&newer["status"], &newer["note"]), (&json!(null), &json!(NEWER)));
        let expected = json!({
            "id": run.to_string(), "status": "paused", "created_at": "1970-01-01T00:00:00.000Z", "note": DAMAGED,
        });
        assert_eq!(shown(damaged), expected);
    }
}
