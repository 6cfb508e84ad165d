//! The bounds that an agent sets for its runs, as the new wire shows them.

use serde::Serialize;
use utoipa::ToSchema;

/// What an agent's runs are held to, besides their steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Limits {
    /// A human is asked when the calls of this many replies in a row failed; 0 for never.
    tool_errors: u32,
    /// A human is asked when this many replies in a row made the same call and it came to the same end; 0 for never.
    repeated_calls: u32,
    /// Events after which a run fails.
    events: u32,
}

impl From<piton_core::Limits> for Limits {
    fn from(limits: piton_core::Limits) -> Self {
        Self {
            tool_errors: limits.tool_errors,
            repeated_calls: limits.repeated_calls,
            events: limits.events_max(),
        }
    }
}
