//! What every engine makes of a launch.

use piton_core::{AgentDigest, Event, IllegalEvent, Run};
use sha2::{Digest, Sha256};

use crate::Launch;

/// How long an idempotency key is remembered.
pub(crate) const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters of the task that lists show.
const TASK_SHOWN_CHARS: usize = 200;

/// The digest a run is pinned to, with the text it is the digest of.
pub(crate) fn digest(definition: &str) -> AgentDigest {
    AgentDigest::new(hex::encode(Sha256::digest(definition.as_bytes())))
}

/// A run's first event, and the run that it makes.
///
/// # Errors
/// [`IllegalEvent`] when the reducer makes no run of it.
pub(crate) fn begun(launch: &Launch, digest: &AgentDigest) -> Result<(Event, Run), IllegalEvent> {
    let event = Event::Launched {
        agent: digest.clone(),
        agent_name: launch.agent.name.clone(),
        task: launch.task.clone(),
        max_steps: launch.max_steps,
        limits: launch.agent.limits,
    };
    let run = Run::begin(&event)?;
    Ok((event, run))
}

/// The beginning of a task on one line, fit for a list.
pub(crate) fn shown(task: &str) -> String {
    let line: String =
        task.chars().take(TASK_SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}
