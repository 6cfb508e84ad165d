//! The bounds: those that hold for every run, whatever its agent says, and those that an agent may set.

use serde::{Deserialize, Serialize};

/// How many steps a resume grants a run that had reached its limit.
pub const RESUME_STEPS: u32 = 10;
/// Characters of a task.
pub const TASK_CHARS_MAX: usize = 200_000;
/// Calls that one reply may ask for; what lies beyond is dropped, and the reply's event says so.
pub const CALLS_PER_REPLY_MAX: usize = 64;
/// Bytes of one call's arguments, as the model wrote them.
pub const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one tool output as it is kept and shown to the model.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of text that are kept of one reply.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Replies in a row without a call and without a text, after which the run fails.
pub const EMPTY_REPLIES_MAX: u32 = 3;
/// Events of one run, whatever its agent says.
pub const EVENTS_MAX: u32 = 1_000_000;

/// The bounds that an agent may set for its runs. A run keeps those that it was launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// A human is asked when the calls of this many replies in a row failed; 0 for never.
    pub tool_errors: u32,
    /// A human is asked when this many replies in a row made the same call and it came to the same end; 0 for never.
    pub repeated_calls: u32,
    /// Events after which the run fails; at most [`EVENTS_MAX`].
    pub events: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tool_errors: 4, repeated_calls: 4, events: 50_000 }
    }
}

impl Limits {
    /// Whether these are the ones that hold where nothing is said. They are not written down then, so that a
    /// definition without limits has the digest that it had before there were any.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Events that a run may have.
    pub fn events_max(&self) -> u32 {
        self.events.min(EVENTS_MAX)
    }
}

/// Cuts `text` to at most `max` bytes at a character's edge, with a marker that says how much is missing.
pub fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… [cut: {} of {} bytes shown]", &text[..end], end, text.len())
}
