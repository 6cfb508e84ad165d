//! What an engine with nothing else to do would write, for measurements to be held against.

use crate::Synchronous;

/// What a step writes, in bytes: two events, and the row of its run.
pub(crate) const EVENT: usize = 500;
pub(crate) const ROW: usize = 1_000;

/// Commits and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct BareCommits {
    /// In each transaction.
    pub group: usize,
    pub steps: usize,
    pub synchronous: Synchronous,
}
