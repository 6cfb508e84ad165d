//! Ids, each a type of its own so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {what}: expected {expected}")]
pub struct InvalidId {
    what: &'static str,
    expected: &'static str,
    found: String,
}

/// A run's id: a UUIDv7, so that ids sort by the time of launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

/// The id Piton gives a tool call when the reply that asks for it is recorded. It is derived from the run, the
/// turn and the call's place in the reply, so every attempt sees the same one; it is the idempotency key too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl RunId {
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl CallId {
    /// The id of call number `index` (from 0) of turn `turn` (from 1) of `run`.
    pub fn derive(run: RunId, turn: u32, index: usize) -> Self {
        Self(Uuid::new_v5(&run.0, format!("{turn}/{index}").as_bytes()))
    }

    /// The id of the question about this call that event number `seq` put.
    pub fn asked(self, seq: u64) -> Self {
        Self(Uuid::new_v5(&self.0, format!("asked/{seq}").as_bytes()))
    }

    /// The id of the question that Piton itself puts after this call.
    pub(crate) fn of_question(self) -> Self {
        Self(Uuid::new_v5(&self.0, b"stuck"))
    }

    /// The id that a call goes by on the wire where the provider gave it none.
    pub(crate) fn on_the_wire(self) -> String {
        format!("call_{}", self.0.simple())
    }
}

macro_rules! uuid_text {
    ($id:ident, $what:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
                    what: $what,
                    expected: "a UUID, such as 0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e",
                    found: text.chars().take(80).collect(),
                })
            }
        }
    };
}

uuid_text!(RunId, "run id");
uuid_text!(CallId, "question id");

/// The digest of an agent's whole definition: 64 hex digits of SHA-256. A run is pinned to one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentDigest(String);

/// One incarnation of a worker process, never used again by another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(String);

macro_rules! text_id {
    ($id:ident) => {
        impl $id {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(AgentDigest);
text_id!(WorkerId);

/// A run's fencing number. It grows with every claim; a write under an older one changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
