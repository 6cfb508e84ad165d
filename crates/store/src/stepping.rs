//! What every engine is asked to write for a worker's steps.

use std::sync::Arc;

use piton_core::{Epoch, RunId, WorkerId};

use crate::scheduling::{Chosen, Scheduler};
use crate::{Claim, Commit, Lane};

/// Takes due jobs for a worker that nobody has taken for dead.
pub(crate) struct TakeJobs {
    pub(crate) worker: WorkerId,
    pub(crate) lane: Lane,
    pub(crate) limit: u32,
    pub(crate) scheduler: Arc<Scheduler>,
}

/// What [`TakeJobs`] took.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) claims: Vec<Claim>,
    pub(crate) chosen: Chosen,
}

/// A worker's commit, and what it depends on whether the run is kept.
pub(crate) struct WriteCommit {
    pub(crate) commit: Commit,
    pub(crate) scheduler: Arc<Scheduler>,
}

/// Gives a run back unadvanced.
pub(crate) struct HandBack {
    pub(crate) run: RunId,
    pub(crate) worker: WorkerId,
    pub(crate) epoch: Epoch,
    pub(crate) due_at_ms: i64,
}

/// Gives back what a worker owns and does not know of.
pub(crate) struct HandBackAllBut {
    pub(crate) worker: WorkerId,
    pub(crate) held: Vec<(RunId, Epoch)>,
}
