//! What every engine makes of a launch.

use piton_core::AgentDigest;
use sha2::{Digest, Sha256};

/// How long an idempotency key is remembered.
pub(crate) const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters of the task that lists show.
const TASK_SHOWN_CHARS: usize = 200;

/// The digest a run is pinned to, with the text it is the digest of.
pub(crate) fn digest(definition: &str) -> AgentDigest {
    AgentDigest::new(hex::encode(Sha256::digest(definition.as_bytes())))
}

/// The beginning of a task on one line, fit for a list.
pub(crate) fn shown(task: &str) -> String {
    let line: String =
        task.chars().take(TASK_SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}
