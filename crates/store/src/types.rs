//! What goes into the store and comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use piton_core::{
    Agent, CallId, Command, Epoch, Event, Interrupt, Pending, Run, RunId, Status, Usage, WorkerId,
};

use crate::{Lack, Lacking};

/// Why a run may advance. A job holds ids only; what is to be done follows from the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    Launch,
    Resume,
    Answer,
    Step,
}

impl JobKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Resume => "resume",
            Self::Answer => "answer",
            Self::Step => "step",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "launch" => Self::Launch,
            "resume" => Self::Resume,
            "answer" => Self::Answer,
            _ => Self::Step,
        }
    }

    /// Why a run may advance that was told this.
    pub(crate) const fn after(command: &Command) -> Self {
        match command {
            Command::Answer { .. } | Command::Decide { .. } => Self::Answer,
            Command::Pause | Command::Resume | Command::Cancel | Command::Release => Self::Resume,
        }
    }
}

/// A launch to be recorded.
#[derive(Debug, Clone)]
pub struct Launch {
    pub run: RunId,
    pub agent: Agent,
    pub task: String,
    pub max_steps: u32,
    pub tenant: String,
    pub labels: BTreeMap<String, String>,
    /// Higher goes first; 0 is normal.
    pub priority: i32,
    pub idempotency: Option<IdempotencyKey>,
}

/// Unique per tenant for 24 hours.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub key: String,
    /// SHA-256 of the request's body, in hex: the same key with another body is an error.
    pub body_sha256: String,
}

#[derive(Debug, Clone)]
pub struct Launched {
    pub run: RunRow,
    /// The key was used before with the same body: this is the run of that time.
    pub replayed: bool,
}

/// A run with what the store keeps beside its fold.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub id: RunId,
    pub run: Run,
    pub agent_name: String,
    /// The task's first 200 characters, without control characters; the whole is in the first event.
    pub task: String,
    pub tenant: String,
    pub labels: BTreeMap<String, String>,
    pub priority: i32,
    /// The worker that holds the run now.
    pub owner: Option<WorkerId>,
    pub epoch: Epoch,
    /// Tries at the step under way; 0 between steps.
    pub attempt: u32,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub finished_at_ms: Option<i64>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub run: RunId,
    pub version: u64,
    pub status: Status,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Empty: any.
    pub statuses: Vec<Status>,
    /// Part of the task, or the beginning of an id.
    pub search: Option<String>,
    pub agent: Option<String>,
    pub tenant: Option<String>,
    /// The worker that holds them now.
    pub owner: Option<WorkerId>,
    /// Each must be there with this value.
    pub labels: BTreeMap<String, String>,
    /// The `next` of the page before.
    pub before: Option<RunId>,
    pub limit: u32,
}

#[derive(Debug, Clone)]
pub struct RunPage {
    pub runs: Vec<RunRow>,
    /// Those of the page whose rows cannot be read.
    pub unreadable: Vec<UnreadableRun>,
    pub next: Option<RunId>,
}

/// A run of which no more is known than what its row's plain columns say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRun {
    pub run: RunId,
    /// `None` where it is none that this version knows.
    pub status: Option<Status>,
    pub created_at_ms: i64,
    /// Whether a newer Piton wrote it, so that nothing is wrong with it.
    pub is_newer: bool,
}

/// A row of a list.
#[derive(Debug)]
pub(crate) enum Listed {
    Run(Box<RunRow>),
    Unreadable(UnreadableRun),
}

impl Listed {
    pub(crate) const fn run(&self) -> RunId {
        match self {
            Self::Run(row) => row.id,
            Self::Unreadable(unreadable) => unreadable.run,
        }
    }
}

impl RunPage {
    /// The first `limit` of the rows, of which there is one more where another page follows.
    pub(crate) fn of(mut listed: Vec<Listed>, limit: usize) -> Self {
        let more = listed.len() > limit;
        listed.truncate(limit);
        let next = listed.last().map(Listed::run).filter(|_| more);
        let (runs, unreadable) = apart(listed);
        Self { runs, unreadable, next }
    }
}

fn apart(listed: Vec<Listed>) -> (Vec<RunRow>, Vec<UnreadableRun>) {
    let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
    for listed in listed {
        match listed {
            Listed::Run(row) => runs.push(*row),
            Listed::Unreadable(run) => unreadable.push(run),
        }
    }
    (runs, unreadable)
}

/// What waits for a human, in all runs.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    pub items: Vec<InboxItem>,
    /// Runs that wait for somebody, and whose rows cannot be read.
    pub unreadable: Vec<UnreadableRun>,
}

impl Inbox {
    pub(crate) fn of(listed: Vec<Listed>) -> Self {
        let (runs, unreadable) = apart(listed);
        Self { items: runs.into_iter().filter_map(InboxItem::of).collect(), unreadable }
    }
}

/// An open question or unknown outcome.
#[derive(Debug, Clone)]
pub struct InboxItem {
    pub run: RunId,
    pub agent_name: String,
    pub task: String,
    pub interrupt: Interrupt,
    /// The call it is about.
    pub pending: Option<Pending>,
    pub asked_at_ms: i64,
}

impl InboxItem {
    /// `None` for a run that waits for nobody.
    pub(crate) fn of(row: RunRow) -> Option<Self> {
        Some(Self {
            interrupt: row.run.interrupt.clone()?,
            pending: row.run.front().cloned(),
            run: row.id,
            agent_name: row.agent_name,
            task: row.task,
            asked_at_ms: row.updated_at_ms,
        })
    }
}

/// A worker as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    pub id: WorkerId,
    pub host: String,
    pub pid: u32,
    pub concurrency: u32,
    pub version: String,
    pub started_at_ms: i64,
    pub lease_ms: u64,
    /// By the wall clock, so for people: another worker's lease is judged by whether this changes.
    pub expires_at_ms: i64,
    /// Runs it holds now. Not written, only read.
    pub runs: u32,
    /// Whether it takes nothing new any more. Not written, only read.
    pub draining: bool,
    /// The version of its reducer: runs of a newer one it leaves alone.
    pub reducer: u32,
    /// Definitions whose runs it leaves alone. Not written, only read.
    pub lacks: Vec<Lack>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Jobs that are due and unclaimed.
    pub due: u64,
    /// Jobs for later.
    pub later: u64,
    /// How long the oldest due job has waited.
    pub oldest_ms: u64,
    /// Runs that a worker holds now.
    pub owned: u64,
    /// Due runs that wait for a worker with something that no live one has.
    pub lacking: Vec<Lacking>,
}

/// How many of the runs launched of late came to the same, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub status: Status,
    /// The beginning of the minute they finished in; `None` for those that have not.
    pub finished_at_ms: Option<i64>,
    pub runs: u64,
}

impl Tally {
    /// What the ids of runs launched since then come after: they go by time.
    pub fn ids_after(since_ms: i64) -> String {
        let hex = format!("{:012x}", since_ms.max(0));
        let (high, low) = hex.split_at(8);
        format!("{high}-{low}")
    }
}

#[derive(Debug, Clone)]
pub struct Readiness {
    /// Why it is not ready; `None` when it is.
    pub trouble: Option<String>,
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    pub engine_version: String,
    /// `full` or `normal`.
    pub synchronous: &'static str,
    pub schema: u32,
}

/// Which runs a worker takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lane {
    /// Those that nothing is held against, many in one process.
    #[default]
    Common,
    /// Those that a worker was polling when it died: each in a process of its own, until a step of it is whole.
    Apart,
}

/// A run that was claimed for one step.
#[derive(Debug, Clone)]
pub struct Claim {
    pub run: RunId,
    pub fold: Run,
    pub epoch: Epoch,
    /// 1 for the first try at this step.
    pub attempt: u32,
    /// The ordinal that the next commit under this epoch bears.
    pub ordinal: u32,
    pub kind: JobKind,
    /// Since when its job had been due.
    pub due_at_ms: i64,
}

/// One commit of a step. Its key (`epoch`, `ordinal`) is unique in the run.
#[derive(Debug, Clone)]
pub struct Commit {
    pub run: RunId,
    pub worker: WorkerId,
    pub epoch: Epoch,
    pub ordinal: u32,
    /// The version the events were folded onto.
    pub base: u64,
    pub events: Vec<Event>,
    /// The run after them.
    pub after: Run,
    /// What these events were cut of.
    pub outputs: Vec<FullOutput>,
    pub end: StepEnd,
    /// Whether a run that waits goes first, where the step is done. Else the run's slice is not over.
    pub gives_way: bool,
    /// How long this may wait for others to share its sync to the disk with.
    pub patience: Duration,
}

/// The whole of a tool's output, kept beside the event that shows only its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullOutput {
    pub call: CallId,
    pub text: Arc<str>,
}

/// Bytes of one part of an output, at most: what reading it holds in memory.
const PART_BYTES: usize = 256 * 1024;

impl FullOutput {
    /// The text in parts, none of which ends within a character.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let mut text = &*self.text;
        std::iter::from_fn(move || {
            let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES));
            text = rest;
            (!part.is_empty()).then_some(part)
        })
    }
}

/// What becomes of the run's ownership with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// The step goes on under the same attempt.
    GoesOn,
    /// The same, and this is only for whoever watches: not synced to disk.
    Progress,
    /// The step is done. If the run is runnable, the committer keeps it for its next step, unless it gives way and another
    /// waits: then it gets a job and its turn comes.
    Done,
    /// The step is done, or given up as far as it got; if the run is runnable it gets a job, whoever waits.
    GiveBack,
}

#[derive(Debug, Clone)]
pub enum CommitOutcome {
    /// On disk. `kept` says whether the committer still owns the run, under the same epoch.
    Committed { version: u64, kept: bool },
    /// Another epoch owns the run: nothing was written, and nothing of it may be touched.
    Fenced,
    /// Commands were accepted meanwhile: nothing was written. The newer run, to merge the facts into.
    Behind { newer: Box<Run> },
}

/// Another worker, and whether its process is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub id: WorkerId,
    /// Changes with every renewal.
    pub expires_at_ms: i64,
    pub lease_ms: u64,
    pub lock: PeerLock,
    /// What its threads were polling, where a free lock tells.
    pub busy_with: Vec<RunId>,
}

/// What the lock that dies with a worker tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerLock {
    /// Its process is there, though it may stand still.
    Held,
    /// Its process is gone.
    Free,
    /// It has no lock here: only its lease tells.
    Unknown,
}

/// A worker that looks dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostWorker {
    pub id: WorkerId,
    /// The lease as it was when it looked dead: recovery checks that it is still the same.
    pub expires_at_ms: i64,
    pub why: Lost,
    /// What its threads were polling when it died: each of these may have taken it down.
    pub busy_with: Vec<RunId>,
}

/// How a worker's process ended, told by the process that had started it.
#[derive(Debug, Clone)]
pub struct Death {
    /// The name its incarnations' ids begin with.
    pub worker: WorkerId,
    /// For people, such as `signal 6 (SIGABRT)`.
    pub how: String,
    /// Whether it died by its own doing: an abort, a fault, out of memory. A kill from outside is no evidence.
    pub own_doing: bool,
}

/// What was made of a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run may have caused it: it goes on in a process of its own.
    Suspected(RunId),
    /// The run alone can have caused it, `deaths` in a row by now.
    Blamed { run: RunId, deaths: u32 },
    /// The third in a row: nobody takes the run up until an operator releases it.
    Quarantined(RunId),
}

/// An attempt that ended with its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostAttempt {
    pub worker: WorkerId,
    pub epoch: Epoch,
    pub attempt: u32,
    /// How many events the run had.
    pub version: u64,
    pub at_ms: i64,
    /// How the worker ended, for people.
    pub how: String,
    /// Whether the run took it down.
    pub blamed: bool,
}

/// How a worker's death shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Its process is gone: the kernel let go of its lock.
    LockFree,
    /// It did not renew its lease for as long as that is, by the taker's own clock. Counts only for a taker that could
    /// itself write meanwhile: a stalled disk is not everybody's death.
    LeaseLapsed,
}

impl Lost {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LockFree => "its process ended",
            Self::LeaseLapsed => "its lease lapsed",
        }
    }
}

/// How a database is examined.
#[derive(Debug, Clone, Copy, Default)]
pub struct Examination {
    /// Look at the whole file, however large it is.
    pub deep: bool,
    /// How long a step may take, by the workers' configuration; `None` leaves that check out.
    pub step_limit_ms: Option<u64>,
}

/// What a repair did, or why it left something as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub done: bool,
    pub said: String,
}

/// One invariant, checked.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: &'static str,
    /// `None` when it holds; else what was found and what to do.
    pub trouble: Option<String>,
    /// What was looked at, such as `1204 runs`.
    pub looked_at: String,
}

/// What a run's row and its usage add up to, for lists.
impl RunRow {
    pub const fn usage(&self) -> Usage {
        self.run.usage
    }

    /// The question's id, where one is open.
    pub fn open_question(&self) -> Option<CallId> {
        self.run.interrupt.as_ref().map(Interrupt::id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_make_up_the_whole() {
        let call = CallId::derive(RunId::from_uuid(uuid::Uuid::nil()), 1, 0);
        for text in [String::new(), "x".to_owned(), "🧗".repeat(PART_BYTES), "x".repeat(2 * PART_BYTES)] {
            let output = FullOutput { call, text: text.as_str().into() };
            let parts: Vec<&str> = output.parts().collect();
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= PART_BYTES));
            assert!(parts.len() <= text.len().div_ceil(PART_BYTES - 3));
        }
    }
}
