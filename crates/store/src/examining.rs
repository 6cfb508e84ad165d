//! What is looked at when a database is examined, whichever engine keeps it: its rules, its histories, its workers.
//!
//! What depends on processes, and not on what is stored alone, is looked at twice before it is said.

use std::time::Duration;

use piton_core::{Event, EventError, Interrupt, REDUCER, Run, RunId, Status, WorkerId};

use crate::{Check, Error, Lost, LostWorker, Peer, PeerLock, Repair, RunRow, Store};

/// Findings that one line names; the rest are counted.
const NAMED_MAX: usize = 5;
/// Findings of one rule that are looked at again.
pub(crate) const AGAIN_MAX: usize = 1000;
/// Before the second look. Workers recover what a dead one held within a fraction of this.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);
/// Runs that are looked at in one read transaction.
pub(crate) const RUNS_PAGE: u32 = 64;
/// Runs that one repair rewrites.
const MENDABLE_MAX: usize = 1000;
/// Fixes of one kind that are named; the rest are counted.
const SAID_MAX: usize = 20;
/// Who looks, among the workers.
const ME: &str = "doctor";

const WORKERS_LIVE: &str = "every registered worker lives";
pub(crate) const AGENTS_KEPT: &str = "every run's agent definition is kept as it was";
pub(crate) const DURABLE: &str = "commits are as durable as configured";
pub(crate) const SCHEMA: &str = "the schema is this version's";
const FROM_BACKUP: &str = "restore the database from a backup";
pub(crate) const AGENTS_REMEDY: &str =
    "restore the database from a backup: their runs cannot go on as they were launched";

// --- what one statement can check ----------------------------------------------------------------------------

/// An invariant that one statement can check, in words that every engine understands.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// Selects, as `id`, what breaks it.
    pub(crate) breaks: String,
    /// Counts what is looked at.
    pub(crate) among: &'static str,
    unit: &'static str,
    remedy: &'static str,
}

pub(crate) fn rules(now_ms: i64, step_limit_ms: Option<u64>) -> Vec<Rule> {
    let overdue = step_limit_ms.map_or(i64::MIN, |limit| now_ms.saturating_sub_unsigned(limit));
    vec![
        Rule {
            name: "every run rests, or has a job or a worker",
            breaks: "SELECT id FROM runs WHERE status IN ('running', 'cancelling') AND owner IS NULL \
                     AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.run = runs.id)"
                .to_owned(),
            among: "SELECT count(*) FROM runs WHERE status IN ('running', 'cancelling')",
            unit: "runs",
            remedy: "start a worker, whose sweep gives each of them a job, or repair",
        },
        Rule {
            name: "every owner is a registered worker",
            breaks: "SELECT id FROM runs WHERE owner IS NOT NULL \
                     AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = runs.owner)"
                .to_owned(),
            among: "SELECT count(*) FROM runs WHERE owner IS NOT NULL",
            unit: "owned runs",
            remedy: "start a worker, whose sweep takes them back, or repair",
        },
        Rule {
            name: "no step is over its limit",
            breaks: format!(
                "SELECT id FROM runs WHERE owner IS NOT NULL AND updated_at < {overdue} \
                 AND coalesce(claimed_at, updated_at) < {overdue}"
            ),
            among: "SELECT count(*) FROM runs WHERE owner IS NOT NULL",
            unit: "owned runs",
            remedy: "look at the worker that holds it, and end its process if it stands still",
        },
        Rule {
            name: "every job is of a run that can advance",
            breaks: "SELECT jobs.run AS id FROM jobs LEFT JOIN runs ON runs.id = jobs.run \
                     WHERE runs.id IS NULL OR (runs.owner IS NULL AND runs.status NOT IN ('running', 'cancelling'))"
                .to_owned(),
            among: "SELECT count(*) FROM jobs",
            unit: "jobs",
            remedy: "harmless: a worker drops such a job when it takes it; repair drops it now",
        },
        Rule {
            name: "what is kept beside runs is of runs that are there",
            breaks: "SELECT run AS id FROM (SELECT run FROM outputs UNION SELECT run FROM lost_attempts \
                     UNION SELECT run FROM idempotency_keys) beside \
                     WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = beside.run)"
                .to_owned(),
            among: "SELECT (SELECT count(*) FROM outputs) + (SELECT count(*) FROM lost_attempts) + \
                    (SELECT count(*) FROM idempotency_keys)",
            unit: "outputs, lost attempts and idempotency keys",
            remedy: "runs were lost: restore the database from a backup",
        },
    ]
}

impl Rule {
    /// Says what broke it at the first look and still does, `among` so many.
    pub(crate) fn said(&self, again: Result<(Vec<String>, i64), Error>) -> Check {
        match again {
            Err(error) => unchecked(self.name, &error),
            Ok((found, among)) => Check {
                name: self.name,
                trouble: Found::of(found).trouble(self.remedy),
                looked_at: format!("{among} {}", self.unit),
            },
        }
    }
}

pub(crate) fn unchecked(name: &'static str, error: &Error) -> Check {
    Check {
        name,
        trouble: Some(format!("this could not be checked: {error}")),
        looked_at: "nothing".to_owned(),
    }
}

/// What a schema lacks of the one that the migrations make; both as names with what they are.
pub(crate) fn unlike(there: &[(String, String)], made: &[(String, String)]) -> Option<String> {
    let mut found = Found::default();
    let missing = made.iter().filter(|one| !there.contains(one));
    found.extend(missing.map(|(name, _)| {
        let is_there = there.iter().any(|(other, _)| other == name);
        format!("{name} {}", if is_there { "is another" } else { "is missing" })
    }));
    found.trouble(FROM_BACKUP)
}

/// What breaks one rule: the first few by name, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct Found {
    named: Vec<String>,
    count: usize,
}

impl Found {
    fn of(all: Vec<String>) -> Self {
        let mut found = Self::default();
        found.extend(all);
        found
    }

    pub(crate) fn add(&mut self, what: String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }

    pub(crate) fn extend(&mut self, all: impl IntoIterator<Item = String>) {
        all.into_iter().for_each(|what| self.add(what));
    }

    /// A line that names them, counts the rest, and says what to do.
    pub(crate) fn trouble(&self, remedy: &str) -> Option<String> {
        let rest = self.count - self.named.len();
        let rest = match rest {
            0 => String::new(),
            _ if self.count >= AGAIN_MAX => format!(" and {rest} more at least"),
            _ => format!(" and {rest} more"),
        };
        (self.count > 0).then(|| format!("{}{rest}: {remedy}", self.named.join(", ")))
    }
}

// --- workers -------------------------------------------------------------------------------------------------

/// A worker that gives no sign of life.
#[derive(Debug)]
pub(crate) struct Silent {
    peer: Peer,
    why: Lost,
}

impl Silent {
    /// A free lock says enough. Without one, or under one that is held, the lease must have lapsed by the wall clock;
    /// whether it is renewed all the same shows at the second look.
    fn at_first_sight(peer: Peer, now_ms: i64) -> Option<Self> {
        let lapsed = peer.expires_at_ms <= now_ms;
        let why = match peer.lock {
            PeerLock::Free => Lost::LockFree,
            PeerLock::Held | PeerLock::Unknown if lapsed => Lost::LeaseLapsed,
            PeerLock::Held | PeerLock::Unknown => return None,
        };
        Some(Self { peer, why })
    }

    /// How long it is watched: a lapsed lease for a `part`th of its length, in which a living worker renews it.
    pub(crate) fn patience(&self, part: u64) -> Duration {
        match self.why {
            Lost::LockFree => SETTLE,
            Lost::LeaseLapsed => SETTLE.max(Duration::from_millis(self.peer.lease_ms / part)),
        }
    }

    fn is(&self, later: &Self) -> bool {
        (&self.peer.id, self.peer.expires_at_ms) == (&later.peer.id, later.peer.expires_at_ms)
    }

    fn lost(self) -> LostWorker {
        let Peer { id, expires_at_ms, busy_with, .. } = self.peer;
        LostWorker { id, expires_at_ms, why: self.why, busy_with }
    }
}

/// The workers that give no sign of life at first sight.
pub(crate) async fn silent_peers(store: &dyn Store, now_ms: i64) -> Result<Vec<Silent>, Error> {
    let peers = store.peers(&WorkerId::new(ME)).await?;
    Ok(peers.into_iter().filter_map(|peer| Silent::at_first_sight(peer, now_ms)).collect())
}

/// Those of `first` that have given none since.
async fn still_silent(store: &dyn Store, now_ms: i64, first: &[Silent]) -> Result<Vec<Silent>, Error> {
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let again = silent_peers(store, now_ms).await?;
    Ok(again.into_iter().filter(|now| first.iter().any(|before| before.is(now))).collect())
}

pub(crate) async fn workers_alive(
    store: &dyn Store,
    now_ms: i64,
    first: Result<Vec<Silent>, Error>,
) -> Check {
    let registered = store.peers(&WorkerId::new(ME)).await.map_or(0, |peers| peers.len());
    let silent = match first {
        Ok(first) => still_silent(store, now_ms, &first).await,
        Err(error) => Err(error),
    };
    let mut found = Found::default();
    match silent {
        Ok(silent) => found.extend(silent.iter().map(|silent| {
            let held = silent.peer.lock == PeerLock::Held;
            let how =
                if held { "its process is there and does not renew its lease" } else { silent.why.as_str() };
            format!("{} ({how})", silent.peer.id)
        })),
        Err(error) => return unchecked(WORKERS_LIVE, &error),
    }
    Check {
        name: WORKERS_LIVE,
        trouble: found.trouble("start a worker, which takes back what these held, or repair"),
        looked_at: format!("{registered} workers"),
    }
}

/// Ends the ownership of workers that are gone, as any worker would: by a free lock at once, by a lapsed lease after
/// as long as the lease is, during which this process could write, as `probe` finds out, and they did not renew it.
pub(crate) async fn recover_the_dead(
    store: &dyn Store,
    now_ms: impl Fn() -> i64,
    probe: impl AsyncFn() -> Result<(), Error>,
) -> Result<Vec<Repair>, Error> {
    let first = silent_peers(store, now_ms()).await?;
    let lapsed = first.iter().filter(|silent| silent.why == Lost::LeaseLapsed);
    if let Some(wait) = lapsed.map(|silent| silent.patience(1)).max() {
        probe().await?;
        tokio::time::sleep(wait).await;
    }
    probe().await?;
    let mut said = Vec::new();
    for lost in still_silent(store, now_ms(), &first).await?.into_iter().map(Silent::lost) {
        let runs = store.recover(&lost).await?;
        said.push(done(format!("worker {} is gone ({}): {runs} runs go on", lost.id, lost.why.as_str())));
    }
    Ok(said)
}

// --- histories -----------------------------------------------------------------------------------------------

/// What a pass over all runs found.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    runs: u64,
    events: u64,
    /// Runs of a newer Piton's, which this one cannot judge.
    newer: u64,
    /// Their row is not the fold of their events.
    unlike: Found,
    /// Some of their events are missing, or cannot be read.
    broken: Found,
    /// Events of runs that are not there.
    strays: Found,
    last_stray: String,
    /// A call, or a question, that does not go with the run's status.
    dangling: Found,
    /// Those of `unlike` whose events fold, the first of them.
    pub(crate) mendable: Vec<RunId>,
}

/// A run's row, as far as it can be read.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Why it cannot be.
    pub(crate) row: Result<RunRow, String>,
    pub(crate) reducer: u32,
    pub(crate) status: String,
    pub(crate) version: u64,
    pub(crate) agent: String,
}

/// A history, folded as far as it goes.
#[derive(Debug)]
pub(crate) struct History {
    /// How many events there are without a gap.
    pub(crate) events: u64,
    pub(crate) last_at_ms: i64,
    pub(crate) story: Story,
}

#[derive(Debug)]
pub(crate) enum Story {
    /// Nothing was read yet.
    Empty,
    Folds(Box<Run>),
    /// It does not fold; why.
    Broken(String),
    /// A newer Piton wrote some of it.
    Newer,
}

impl History {
    pub(crate) const fn new() -> Self {
        Self { events: 0, last_at_ms: 0, story: Story::Empty }
    }

    /// Takes the next event.
    pub(crate) fn push(&mut self, seq: u64, at_ms: i64, kind: &str, v: u32, body: &str) {
        if matches!(self.story, Story::Broken(_) | Story::Newer) {
            return;
        }
        let expected = self.events + 1;
        if seq != expected {
            self.story = Story::Broken(format!("event {expected} is missing"));
            return;
        }
        let event = match Event::decode(kind, v, body) {
            Ok(event) => event,
            Err(EventError::Newer { .. }) => {
                self.story = Story::Newer;
                return;
            }
            Err(error @ EventError::Unreadable { .. }) => {
                self.story = Story::Broken(format!("event {seq}: {error}"));
                return;
            }
        };
        self.events = seq;
        self.last_at_ms = at_ms;
        let folded = match std::mem::replace(&mut self.story, Story::Empty) {
            Story::Folds(run) => run.apply(&event),
            _ => Run::begin(&event),
        };
        self.story = match folded {
            Ok(run) => Story::Folds(Box::new(run)),
            Err(error) => Story::Broken(format!("event {seq}: {error}")),
        };
    }
}

impl Pass {
    pub(crate) const fn count_event(&mut self) {
        self.events += 1;
    }

    /// An event of a run that is not there; those of one run come one after the other.
    pub(crate) fn stray(&mut self, run: &str) {
        if run != self.last_stray {
            run.clone_into(&mut self.last_stray);
            self.strays.add(run.to_owned());
        }
    }

    pub(crate) fn compare(&mut self, id: RunId, stored: &Stored, history: &History) {
        self.runs += 1;
        let run = match &history.story {
            _ if stored.reducer > REDUCER => {
                self.newer += 1;
                return;
            }
            Story::Newer => {
                self.newer += 1;
                return;
            }
            Story::Broken(why) => {
                self.broken.add(format!("{id} ({why})"));
                return;
            }
            Story::Empty => {
                self.broken.add(format!("{id} (it has no events)"));
                return;
            }
            Story::Folds(run) => run,
        };
        match stored.unlike(run) {
            Some(why) => {
                self.unlike.add(format!("{id} ({why})"));
                if self.mendable.len() < MENDABLE_MAX {
                    self.mendable.push(id);
                }
            }
            None => self.dangling.extend(dangling(run).map(|why| format!("{id} ({why})"))),
        }
    }
}

impl Stored {
    /// How it differs from what its events fold to.
    fn unlike(&self, run: &Run) -> Option<String> {
        let stored = match &self.row {
            Ok(stored) => stored,
            Err(why) => return Some(why.clone()),
        };
        if !stored.run.is_fold(run, self.reducer) {
            let of = |run: &Run| format!("{} at event {}", run.status, run.version);
            let (row, events) = (of(&stored.run), of(run));
            return Some(if row == events {
                format!("its row and its events both say {row}, and differ in the rest")
            } else {
                format!("its row says {row}, its events say {events}")
            });
        }
        if self.status != run.status.as_str() {
            return Some(format!("it is listed as {} and is {}", self.status, run.status));
        }
        if self.version != run.version {
            return Some(format!("it is listed at version {} and has {} events", self.version, run.version));
        }
        if self.agent != run.agent.as_str() {
            return Some("it is listed under another agent definition".to_owned());
        }
        if stored.finished_at_ms.is_some() != run.status.is_over() {
            return Some(format!("when it ended does not go with its being {}", run.status));
        }
        None
    }
}

/// A call that was begun where nobody will ask what became of it, or an interrupt that names no pending call.
fn dangling(run: &Run) -> Option<String> {
    let front = run.front();
    let names_front = |interrupt: &Interrupt| front.is_some_and(|front| front.call.id == interrupt.call());
    match (&run.interrupt, run.status) {
        (Some(interrupt @ Interrupt::UnknownOutcome { .. }), Status::Undecided) => {
            let is_begun = front.is_some_and(|front| front.started.is_some());
            (!names_front(interrupt) || !is_begun)
                .then(|| "what is to be decided is no call that was begun".to_owned())
        }
        (Some(interrupt @ Interrupt::Question { .. }), Status::WaitingHumanInput) => {
            (!names_front(interrupt)).then(|| "its question belongs to no pending call".to_owned())
        }
        (None, Status::Undecided | Status::WaitingHumanInput) => {
            Some(format!("it is {} and asks nothing", run.status))
        }
        (Some(_), status) => Some(format!("it is {status} and asks something")),
        (None, Status::Complete | Status::Failed | Status::Cancelled | Status::MaxStepsReached) => run
            .has_open_call()
            .then(|| format!("it is {} and a call that was begun has no result", run.status)),
        (None, Status::Running | Status::Paused | Status::Cancelling | Status::Quarantined) => None,
    }
}

/// What a pass over runs and events says, one line for each thing that can be wrong.
pub(crate) fn replayed(pass: Result<Pass, Error>) -> Vec<Check> {
    const FOLDS: &str = "every run is the fold of its events";
    const COMPLETE: &str = "every history is complete";
    const OWNED: &str = "every event belongs to a run";
    const CALLS: &str = "every open call and question is asked about";
    let pass = match pass {
        Ok(pass) => pass,
        Err(error) => return [FOLDS, COMPLETE, OWNED, CALLS].map(|name| unchecked(name, &error)).into(),
    };
    let newer = if pass.newer > 0 {
        format!("; {} of a newer Piton are left out", pass.newer)
    } else {
        String::new()
    };
    let (runs, events) = (format!("{} runs{newer}", pass.runs), format!("{} events", pass.events));
    let backup = "restore the database from a backup: events are not made up";
    vec![
        Check {
            name: FOLDS,
            trouble: pass.unlike.trouble("repair writes each row anew from its events"),
            looked_at: runs.clone(),
        },
        Check { name: COMPLETE, trouble: pass.broken.trouble(backup), looked_at: events.clone() },
        Check { name: OWNED, trouble: pass.strays.trouble(backup), looked_at: events },
        Check {
            name: CALLS,
            trouble: pass.dangling.trouble("find out what became of the call, and launch the run anew"),
            looked_at: runs,
        },
    ]
}

// --- repairs -------------------------------------------------------------------------------------------------

/// What became of a row that was to be written anew.
pub(crate) enum Rewritten {
    Done,
    Held(String),
    Moved,
}

impl Rewritten {
    pub(crate) fn said(self, run: RunId, events: u64, status: Status) -> Repair {
        match self {
            Self::Done => {
                done(format!("run {run}: its row is the fold of its {events} events again ({status})"))
            }
            Self::Held(owner) => left(format!(
                "run {run}: its row is not the fold of its events, and {owner} holds it: stop that worker first"
            )),
            Self::Moved => left(format!("run {run} went on meanwhile: repair again")),
        }
    }
}

/// What was mended among jobs and idempotency keys.
pub(crate) struct MendedJobs {
    pub(crate) given: Vec<String>,
    pub(crate) dropped: Vec<String>,
    pub(crate) keys: u64,
}

impl MendedJobs {
    pub(crate) fn said(self) -> Vec<Repair> {
        let mut said = each(self.given, |run| format!("run {run} had neither job nor worker: it has a job"));
        said.extend(each(self.dropped, |run| {
            format!("a job of run {run}, which cannot advance, is dropped")
        }));
        if self.keys > 0 {
            said.push(done(format!("{} idempotency keys that had expired are dropped", self.keys)));
        }
        said
    }
}

/// Runs that were taken back from owners that nobody knows, with these.
pub(crate) fn freed(orphans: Vec<(String, String)>) -> Vec<Repair> {
    each(orphans, |(run, owner)| {
        format!("run {run} was held by {owner}, which is not registered: it goes on")
    })
}

fn done(said: String) -> Repair {
    Repair { done: true, said }
}

pub(crate) fn left(said: String) -> Repair {
    Repair { done: false, said }
}

/// A line for each of these fixes, and one for those beyond the bound.
fn each<T>(fixes: Vec<T>, say: impl Fn(T) -> String) -> Vec<Repair> {
    let more = fixes.len().saturating_sub(SAID_MAX);
    let mut said: Vec<Repair> = fixes.into_iter().take(SAID_MAX).map(|fix| done(say(fix))).collect();
    if more > 0 {
        said.push(done(format!("and {more} more of these")));
    }
    said
}
