//! Where a run stands, in one word.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a run stands. One enum for SQL, REST and UI; the words are those of the original wire where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Running,
    /// A question is open.
    WaitingHumanInput,
    /// A call's outcome is unknown and a human has to decide it.
    Undecided,
    Paused,
    /// To be cancelled as soon as the result of an open call is known.
    Cancelling,
    Complete,
    Failed,
    Cancelled,
    MaxStepsReached,
    Quarantined,
}

impl Status {
    pub const ALL: [Self; 10] = [
        Self::Running,
        Self::WaitingHumanInput,
        Self::Undecided,
        Self::Paused,
        Self::Cancelling,
        Self::Complete,
        Self::Failed,
        Self::Cancelled,
        Self::MaxStepsReached,
        Self::Quarantined,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::WaitingHumanInput => "waiting_human_input",
            Self::Undecided => "undecided",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::MaxStepsReached => "max_steps_reached",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether a worker has something to do for the run: it then has a job or a live owner.
    pub const fn is_runnable(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }

    /// Whether the run is over for good. `failed` and `max_steps_reached` are not: they may be resumed.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled)
    }

    /// Whether nothing more happens unless somebody resumes or releases the run.
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Failed | Self::Cancelled | Self::MaxStepsReached | Self::Quarantined
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| InvalidStatus(text.chars().take(40).collect()))
    }
}

/// A text that is no [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a status: expected one of running, waiting_human_input, undecided, paused, cancelling, complete, \
     failed, cancelled, max_steps_reached, quarantined"
)]
pub struct InvalidStatus(String);
