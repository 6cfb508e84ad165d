//! Where runs live: the only crate that speaks SQL.
//!
//! The store is the truth. A job is a wake-up that may come late, twice or not at all; a lease is a right that may
//! lapse; what decides is that every write of a worker is fenced by its epoch and the version it saw.

mod bell;
mod clock;
mod error;
mod examining;
mod floor;
mod judging;
mod launching;
mod lock;
mod moving;
mod next;
mod pace;
mod postgres;
mod pruning;
mod scheduling;
mod skew;
mod sqlite;
mod stepping;
mod trouble;
mod types;

pub use bell::{Bell, Listener, Ring};
pub use clock::Clock;
pub use error::{CommandError, Error};
pub use floor::BareCommits;
pub use lock::{Slots, WorkerLock};
pub use moving::{Move, Moved, Place, Progress, digests_at};
#[doc(hidden)]
pub use next::{Next, rehearse};
pub use pace::{Meter, PACE_AHEAD_MS, Pace, Places};
pub use postgres::{PostgresOptions, PostgresStore, ScratchDatabase};
pub use pruning::{Prunable, Prune, PruneBatch, Pruned};
pub use scheduling::{Due, HOLD_OFF_MAX_MS, HeldRuns, Only, PRIORITY_AGE_MS, PerName, Scheduling, Turns};
pub use skew::{JobsOf, LACKS_MAX, Lack, Lacking, Needs};
pub use sqlite::{SqliteOptions, SqliteStore, Synchronous};
pub use types::{
    Check, Claim, Commit, CommitOutcome, Death, Examination, FullOutput, IdempotencyKey, Inbox, InboxItem,
    JobKind, Lane, Launch, Launched, Lost, LostAttempt, LostWorker, Peer, PeerLock, QueueStats, Readiness,
    Repair, RunFilter, RunPage, RunRow, Standing, StepEnd, Tally, UnreadableRun, Verdict, WorkerRow,
};

use async_trait::async_trait;
use piton_core::{Agent, AgentDigest, CallId, Command, Epoch, Recorded, RunId, WorkerId};

/// One database of runs, shared by any number of processes.
///
/// Every method that changes something is one transaction; what it returned is on disk, save where it says
/// otherwise. Times are UTC milliseconds from [`Clock`].
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    // --- what the API asks -------------------------------------------------------------------------------

    /// Records a launch with its agent's definition and wakes the run. Under a key that was used before, the run of
    /// that time is returned, however long the queue.
    ///
    /// # Errors
    /// [`Error::QueueFull`] when as many runs wait for a worker as may; [`Error::IdempotencyMismatch`] when the key was
    /// used with another body; [`Error::Unavailable`] when the database cannot be written now.
    async fn launch(&self, launch: Launch) -> Result<Launched, Error>;

    /// Decides `command` on the run as it stands and records what follows.
    ///
    /// # Errors
    /// [`CommandError::NotFound`], [`CommandError::Refused`] with the reducer's reason, or [`CommandError::Store`].
    async fn command(&self, run: RunId, command: Command) -> Result<RunRow, CommandError>;

    /// `None` when there is no such run.
    async fn run(&self, run: RunId) -> Result<Option<RunRow>, Error>;

    /// Newest first; at most `filter.limit` rows, and the cursor for those after them. A row that cannot be read takes none of
    /// the others with it.
    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, Error>;

    /// The events after `after` (0: from the first), in order: at most `limit`, and at least one if there is one. There
    /// may be fewer where they are long, so that a page takes little memory: the last one is the run's version.
    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error>;

    /// The whole output of a call whose event shows only its beginning, part by part from 0 on; `None` after the last,
    /// and for any other call. A part is short enough to be held for everyone who reads one.
    async fn output(&self, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error>;

    /// Where each of these runs stands that exists: what a live view needs to see whether there is more to read.
    async fn standings(&self, runs: &[RunId]) -> Result<Vec<Standing>, Error>;

    /// The attempts at the run's steps that ended with their worker, oldest first.
    async fn lost_attempts(&self, run: RunId) -> Result<Vec<LostAttempt>, Error>;

    /// The worker that began the run's open call and lost the run since, if its process is still there: what it began
    /// may yet happen. A worker that itself gave the call up has let go of it.
    async fn still_acting(&self, run: RunId) -> Result<Option<WorkerId>, Error>;

    /// Open questions and unknown outcomes of all runs, oldest first, at most `limit` with those that cannot be read.
    async fn inbox(&self, limit: u32) -> Result<Inbox, Error>;

    /// The workers whose lease has not lapsed, and those that lapsed in the last minute.
    async fn workers(&self) -> Result<Vec<WorkerRow>, Error>;

    async fn queue(&self) -> Result<QueueStats, Error>;

    /// What became of the runs launched since then: at most the latest `limit` of them, counted by status and by the
    /// minute they finished in.
    async fn tally(&self, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Error>;

    /// Whether the database can be read and written now, and how durable its commits are.
    async fn readiness(&self) -> Readiness;

    // --- what a worker asks ------------------------------------------------------------------------------

    /// The definition that runs with this digest are pinned to.
    async fn agent(&self, digest: &AgentDigest) -> Result<Option<Agent>, Error>;

    /// Makes a worker known, with a lease of `lease_ms` from now.
    async fn register(&self, worker: &WorkerRow) -> Result<(), Error>;

    /// Prolongs the lease. `false` when the worker was declared dead meanwhile: it owns nothing any more.
    /// Not synced to disk.
    async fn renew(&self, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error>;

    /// Asks a worker to finish its steps under way, to take nothing new from now on, and to end. `false`: there is no
    /// such worker.
    async fn drain(&self, worker: &WorkerId) -> Result<bool, Error>;

    /// Whether the worker was asked to end so.
    async fn is_draining(&self, worker: &WorkerId) -> Result<bool, Error>;

    /// How many jobs of the lane are due and unclaimed that this process takes, counted up to `limit`: also those that a
    /// limit of its [`Scheduling`] keeps waiting.
    async fn due(&self, lane: Lane, limit: u32) -> Result<u32, Error>;

    /// Takes up to `limit` due jobs of the lane whose run has no owner, in the order of [`Scheduling`]: tenants in turn,
    /// and within each by age, where a priority counts as age. Not synced to disk.
    async fn claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error>;

    /// Takes up to `wanted` places for calls of a model endpoint, at most [`PACE_AHEAD_MS`] ahead; fewer or none where it
    /// is not its time yet. All processes share them. Not synced to disk.
    async fn take_places(&self, endpoint: &str, pace: Pace, wanted: u32) -> Result<Places, Error>;

    /// Counts what a call of a model endpoint used beyond its place. Not synced to disk.
    async fn spend(&self, endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error>;

    /// Leaves jobs of the agent alone until then, in this process only: what it waits for is not to be had before.
    fn hold_off(&self, agent: &str, until_ms: i64);

    /// Leaves runs of a definition alone from now on, in this process, and lets it be seen of the worker. At most
    /// [`LACKS_MAX`] of them. Not synced to disk.
    async fn lacks(&self, worker: &WorkerId, lack: &Lack) -> Result<(), Error>;

    /// Commits what a step has so far, or its end. See [`CommitOutcome`] for who may have come in between.
    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, Error>;

    /// Gives a run back unadvanced: it is no attempt, and its job has been due since `due_at_ms`, as when it was claimed.
    /// Nothing happens when another epoch holds it. Not synced to disk.
    async fn hand_back(
        &self,
        run: RunId,
        worker: &WorkerId,
        epoch: Epoch,
        due_at_ms: i64,
    ) -> Result<(), Error>;

    /// Gives back every run of `worker` but those it holds under these epochs, as [`Store::hand_back`] does: what it took by
    /// a claim whose reply was lost. Returns how many. Not synced to disk.
    async fn hand_back_all_but(&self, worker: &WorkerId, held: &[(RunId, Epoch)]) -> Result<u64, Error>;

    /// Every other worker that is registered, however long ago it fell silent.
    async fn peers(&self, me: &WorkerId) -> Result<Vec<Peer>, Error>;

    /// Ends a dead worker's ownership: its runs get a job each, and those it was busy with go apart. Returns how many
    /// runs there were. A live worker of that id (its lease was renewed since) is left alone.
    async fn recover(&self, lost: &LostWorker) -> Result<u64, Error>;

    /// Says good-bye: every run still held is handed back, the worker's row is removed.
    async fn retire(&self, worker: &WorkerId) -> Result<(), Error>;

    /// Derives missing wake-ups from the runs: each runnable one without owner and job gets a job. Returns how many.
    async fn sweep(&self) -> Result<u64, Error>;

    /// Makes those jobs due again that were due already, and are not by a clock that was set back. Returns how many.
    async fn clock_set_back(&self) -> Result<u64, Error>;

    /// Recovers what a dead process's worker held and finds out which runs may have taken it down. A death by its own
    /// doing counts against the run that alone can have caused it; the third in a row, with no whole step in between,
    /// quarantines it. Told again of the same death, nothing is counted twice.
    async fn died(&self, death: &Death) -> Result<Vec<Verdict>, Error>;

    /// Whether the runs are on their way to another database, so that workers hand back what they hold and take nothing.
    async fn is_leaving(&self) -> Result<bool, Error> {
        Ok(false)
    }

    // --- what an operator asks ---------------------------------------------------------------------------

    /// Deletes the first batch of the runs after `after` ([`Prune::BEGINNING`]: of all) that `prune` means, each with all that
    /// is kept of it. One process deletes at a time: where another does, nothing is deleted, and the same is to be asked again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also while the runs are being moved to another database, and afterwards.
    async fn prune(&self, prune: &Prune, after: RunId) -> Result<Pruned, Error>;

    /// Checks every invariant, one line each.
    async fn check(&self) -> Result<Vec<Check>, Error>;

    /// The bell that rings when something was written that concerns workers or watchers.
    fn bell(&self) -> &Bell;
}
