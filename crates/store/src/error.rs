//! What can go wrong with the store, by what the caller can do about it.

use piton_core::{Refusal, RunId};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Full, read-only, locked for too long, an I/O error: try again later.
    #[error("the database cannot be used now: {0}")]
    Unavailable(String),
    /// Not a Piton database, or one of a newer version: trying again does not help.
    #[error("{0}")]
    Unusable(String),
    /// What is stored cannot be understood.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
    #[error("this Idempotency-Key was used for another request body, which launched run {run}")]
    IdempotencyMismatch { run: RunId },
    /// Try again when some of them have been taken up.
    #[error("{waiting} runs wait for a worker, and no more than {max} may")]
    QueueFull { waiting: u64, max: u64 },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("no such run")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] Error),
}
