//! Runs against their histories: one pass over both in the order of their ids, page by page, so that it takes the same
//! memory whatever the length of either.

use std::collections::BTreeMap;
use std::str::FromStr;

use piton_core::{Event, EventError, Interrupt, REDUCER, Run, RunId, Status};
use rusqlite::{Connection, Row, params};

use super::check::Found;
use super::fault::Fault;
use super::rows::{RUN_COLUMNS, collect, run_row, signed, text};

/// Runs that are looked at in one read transaction.
const RUNS_PAGE: u32 = 64;
/// Runs that one repair rewrites.
const MENDABLE_MAX: usize = 1000;

/// What a pass over all runs found.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) runs: u64,
    pub(super) events: u64,
    /// Runs of a newer Piton's, which this one cannot judge.
    pub(super) newer: u64,
    /// Their row is not the fold of their events.
    pub(super) unlike: Found,
    /// Some of their events are missing, or cannot be read.
    pub(super) broken: Found,
    /// Events of runs that are not there.
    pub(super) strays: Found,
    /// A call, or a question, that does not go with the run's status.
    pub(super) dangling: Found,
    /// Those of `unlike` whose events fold, the first of them.
    pub(super) mendable: Vec<RunId>,
}

/// A history, folded as far as it goes.
#[derive(Debug)]
pub(super) struct History {
    /// How many events there are without a gap.
    pub(super) events: u64,
    pub(super) last_at_ms: i64,
    pub(super) story: Story,
}

#[derive(Debug)]
pub(super) enum Story {
    /// Nothing was read yet.
    Empty,
    Folds(Box<Run>),
    /// It does not fold; why.
    Broken(String),
    /// A newer Piton wrote some of it.
    Newer,
}

impl History {
    const fn new() -> Self {
        Self { events: 0, last_at_ms: 0, story: Story::Empty }
    }

    /// Takes the next event: `seq, at, type, v, body` from `column` on.
    fn push(&mut self, row: &Row<'_>, column: usize) -> Result<(), Fault> {
        if matches!(self.story, Story::Broken(_) | Story::Newer) {
            return Ok(());
        }
        let seq: u64 = row.get(column)?;
        let (kind, v, body) = (text(row, column + 2)?, row.get(column + 3)?, text(row, column + 4)?);
        let expected = self.events + 1;
        if seq != expected {
            self.story = Story::Broken(format!("event {expected} is missing"));
            return Ok(());
        }
        let event = match Event::decode(kind, v, body) {
            Ok(event) => event,
            Err(EventError::Newer { .. }) => {
                self.story = Story::Newer;
                return Ok(());
            }
            Err(error @ EventError::Unreadable { .. }) => {
                self.story = Story::Broken(format!("event {seq}: {error}"));
                return Ok(());
            }
        };
        self.events = seq;
        self.last_at_ms = row.get(column + 1)?;
        let folded = match std::mem::replace(&mut self.story, Story::Empty) {
            Story::Folds(run) => run.apply(&event),
            _ => Run::begin(&event),
        };
        self.story = match folded {
            Ok(run) => Story::Folds(Box::new(run)),
            Err(error) => Story::Broken(format!("event {seq}: {error}")),
        };
        Ok(())
    }
}

/// Folds one run's events anew.
pub(super) fn history(conn: &Connection, run: RunId) -> Result<History, Fault> {
    let mut history = History::new();
    let mut read = conn.prepare("SELECT seq, at, type, v, body FROM events WHERE run = ? ORDER BY seq")?;
    let mut rows = read.query([run.to_string()])?;
    while let Some(row) = rows.next()? {
        history.push(row, 0)?;
    }
    Ok(history)
}

/// Looks at every run and every event.
pub(super) fn pass(conn: &Connection) -> Result<Pass, Fault> {
    let mut pass = Pass::default();
    let mut after = String::new();
    loop {
        // What a page's runs and their events say is of one moment, whatever workers do meanwhile.
        let moment = conn.unchecked_transaction()?;
        let last = pass.page(&moment, &after)?;
        moment.rollback()?;
        match last {
            Some(last) => after = last,
            None => return Ok(pass),
        }
    }
}

impl Pass {
    /// Looks at the runs after `after` and at the events from there on. Returns the last run; `None` at the end.
    fn page(&mut self, conn: &Connection, after: &str) -> Result<Option<String>, Fault> {
        let mut read = conn.prepare_cached("SELECT id FROM runs WHERE id > ? ORDER BY id LIMIT ?")?;
        let ids: Vec<String> = collect(&mut read, params![after, RUNS_PAGE], |row| Ok(row.get(0)?))?;
        let last = (ids.len() == RUNS_PAGE as usize).then(|| ids.last().cloned()).flatten();
        let mut histories: BTreeMap<&str, History> =
            ids.iter().map(|id| (id.as_str(), History::new())).collect();
        self.read_events(conn, after, last.as_deref(), &mut histories)?;
        let mut read = conn.prepare_cached(&format!(
            "SELECT {RUN_COLUMNS}, status, version, agent_digest FROM runs WHERE id = ?"
        ))?;
        for (id, history) in &histories {
            let mut rows = read.query([id])?;
            if let Some(row) = rows.next()? {
                self.compare(row, id, history)?;
            }
        }
        Ok(last)
    }

    /// Reads the events of every run after `after` and up to `last`, whether or not there is such a run.
    fn read_events(
        &mut self,
        conn: &Connection,
        after: &str,
        last: Option<&str>,
        histories: &mut BTreeMap<&str, History>,
    ) -> Result<(), Fault> {
        const EVENTS: &str = "SELECT run, seq, at, type, v, body FROM events WHERE run > ?1";
        // A bound, and not an OR that there may be none: the search has to end where the page does.
        let (bound, params): (_, &[&dyn rusqlite::ToSql]) = match &last {
            Some(last) => (" AND run <= ?2", &[&after, last]),
            None => ("", &[&after]),
        };
        let mut read = conn.prepare_cached(&format!("{EVENTS}{bound} ORDER BY run, seq"))?;
        let mut rows = read.query(params)?;
        let mut stray = String::new();
        while let Some(row) = rows.next()? {
            self.events += 1;
            let of = text(row, 0)?;
            match histories.get_mut(of) {
                Some(history) => history.push(row, 1)?,
                None if of != stray => {
                    of.clone_into(&mut stray);
                    self.strays.add(stray.clone());
                }
                None => {}
            }
        }
        Ok(())
    }

    fn compare(&mut self, row: &Row<'_>, id: &str, history: &History) -> Result<(), Fault> {
        self.runs += 1;
        let reducer: u32 = row.get(6)?;
        let run = match &history.story {
            _ if reducer > REDUCER => {
                self.newer += 1;
                return Ok(());
            }
            Story::Newer => {
                self.newer += 1;
                return Ok(());
            }
            Story::Broken(why) => {
                self.broken.add(format!("{id} ({why})"));
                return Ok(());
            }
            Story::Empty => {
                self.broken.add(format!("{id} (it has no events)"));
                return Ok(());
            }
            Story::Folds(run) => run,
        };
        match unlike(row, run, reducer)? {
            Some(why) => {
                self.unlike.add(format!("{id} ({why})"));
                if self.mendable.len() < MENDABLE_MAX
                    && let Ok(id) = RunId::from_str(id)
                {
                    self.mendable.push(id);
                }
            }
            None => self.dangling.extend(dangling(run).map(|why| format!("{id} ({why})"))),
        }
        Ok(())
    }
}

/// How a run's row differs from what its events fold to.
fn unlike(row: &Row<'_>, run: &Run, reducer: u32) -> Result<Option<String>, Fault> {
    let stored = match run_row(row) {
        Ok(stored) => stored,
        Err(Fault::Corrupt(why)) => return Ok(Some(why)),
        Err(fault) => return Err(fault),
    };
    if !stored.run.is_fold(run, reducer) {
        let of = |run: &Run| format!("{} at event {}", run.status, run.version);
        let (row, events) = (of(&stored.run), of(run));
        return Ok(Some(if row == events {
            format!("its row and its events both say {row}, and differ in the rest")
        } else {
            format!("its row says {row}, its events say {events}")
        }));
    }
    let (status, version, agent) = (text(row, 14)?, row.get::<_, i64>(15)?, text(row, 16)?);
    if status != run.status.as_str() {
        return Ok(Some(format!("it is listed as {status} and is {}", run.status)));
    }
    if version != signed(run.version) {
        return Ok(Some(format!("it is listed at version {version} and has {} events", run.version)));
    }
    if agent != run.agent.as_str() {
        return Ok(Some("it is listed under another agent definition".to_owned()));
    }
    if stored.finished_at_ms.is_some() != run.status.is_over() {
        return Ok(Some(format!("when it ended does not go with its being {}", run.status)));
    }
    Ok(None)
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
