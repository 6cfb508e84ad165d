//! Runs against their histories: one pass over both in the order of their ids, page by page, so that it takes the same
//! memory whatever the length of either.

use std::collections::BTreeMap;
use std::str::FromStr;

use piton_core::{Event, EventError, Interrupt, REDUCER, Run, RunId, Status};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, QueryBuilder, Row, Sqlite, SqliteConnection};

use super::check::Found;
use super::rows::{RUN_COLUMNS, run_row, signed};
use super::writer::Fault;

/// Runs that are looked at in one read transaction.
const RUNS_PAGE: usize = 64;
/// Events that are in memory at once.
const EVENTS_PAGE: u32 = 256;
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
    fn push(&mut self, row: &SqliteRow, column: usize) -> Result<(), Fault> {
        if matches!(self.story, Story::Broken(_) | Story::Newer) {
            return Ok(());
        }
        let seq = u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default();
        let (kind, v, body): (&str, u32, &str) =
            (row.try_get(column + 2)?, row.try_get(column + 3)?, row.try_get(column + 4)?);
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
        self.last_at_ms = row.try_get(column + 1)?;
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
pub(super) async fn history(conn: &mut SqliteConnection, run: RunId) -> Result<History, Fault> {
    let mut history = History::new();
    let mut after = 0_i64;
    loop {
        let rows = sqlx::query(
            "SELECT seq, at, type, v, body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(run.to_string())
        .bind(after)
        .bind(EVENTS_PAGE)
        .fetch_all(&mut *conn)
        .await?;
        for row in &rows {
            history.push(row, 0)?;
        }
        let Some(last) = rows.last() else { return Ok(history) };
        after = last.try_get(0)?;
    }
}

/// Looks at every run and every event.
pub(super) async fn pass(conn: &mut SqliteConnection) -> Result<Pass, Fault> {
    let mut pass = Pass::default();
    let mut after = String::new();
    loop {
        // What a page's runs and their events say is of one moment, whatever workers do meanwhile.
        let mut moment = conn.begin().await?;
        let rows = pass.page(&mut moment, &after).await?;
        moment.rollback().await?;
        match rows {
            Some(last) => after = last,
            None => return Ok(pass),
        }
    }
}

impl Pass {
    /// Looks at the runs after `after` and at the events from there on. Returns the last run; `None` at the end.
    async fn page(&mut self, conn: &mut SqliteConnection, after: &str) -> Result<Option<String>, Fault> {
        let sql = format!(
            "SELECT {RUN_COLUMNS}, status, version, agent_digest FROM runs WHERE id > ? ORDER BY id LIMIT {RUNS_PAGE}"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).fetch_all(&mut *conn).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row.try_get::<String, _>(0)?);
        }
        let last = (rows.len() == RUNS_PAGE).then(|| ids.last().cloned()).flatten();
        let mut histories: BTreeMap<&str, History> =
            ids.iter().map(|id| (id.as_str(), History::new())).collect();
        self.read_events(conn, after, last.as_deref(), &mut histories).await?;
        for (row, id) in rows.iter().zip(&ids) {
            if let Some(history) = histories.remove(id.as_str()) {
                self.compare(row, id, &history)?;
            }
        }
        Ok(last)
    }

    /// Reads the events of every run after `after` and up to `last`, whether or not there is such a run.
    async fn read_events(
        &mut self,
        conn: &mut SqliteConnection,
        after: &str,
        last: Option<&str>,
        histories: &mut BTreeMap<&str, History>,
    ) -> Result<(), Fault> {
        let (mut run, mut seq, mut stray) = (after.to_owned(), i64::MAX, String::new());
        loop {
            let mut sql: QueryBuilder<Sqlite> =
                QueryBuilder::new("SELECT run, seq, at, type, v, body FROM events WHERE (run, seq) > (");
            sql.push_bind(&run).push(", ").push_bind(seq).push(")");
            // A bound, and not an OR that there may be none: the search has to end where the page does.
            if let Some(last) = last {
                sql.push(" AND run <= ").push_bind(last);
            }
            sql.push(" ORDER BY run, seq LIMIT ").push_bind(EVENTS_PAGE);
            let rows = sql.build().fetch_all(&mut *conn).await?;
            for row in &rows {
                self.events += 1;
                let of: &str = row.try_get(0)?;
                match histories.get_mut(of) {
                    Some(history) => history.push(row, 1)?,
                    None if of != stray => {
                        of.clone_into(&mut stray);
                        self.strays.add(stray.clone());
                    }
                    None => {}
                }
            }
            let Some(end) = rows.last() else { return Ok(()) };
            (run, seq) = (end.try_get(0)?, end.try_get(1)?);
        }
    }

    fn compare(&mut self, row: &SqliteRow, id: &str, history: &History) -> Result<(), Fault> {
        self.runs += 1;
        let reducer: u32 = row.try_get(6)?;
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
fn unlike(row: &SqliteRow, run: &Run, reducer: u32) -> Result<Option<String>, Fault> {
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
    let (status, version, agent): (&str, i64, &str) = (row.try_get(14)?, row.try_get(15)?, row.try_get(16)?);
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
