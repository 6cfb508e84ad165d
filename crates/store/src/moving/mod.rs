//! Moving every run from one database to another, whichever engine is at either end, while the first is being used.
//!
//! Triggers at the source note each run that changes, in the transaction that changes it. So a run may be copied at any
//! time and in any state: what changes later is copied again. When little is left, workers are asked to hand back
//! what they hold, and for a moment nothing is written: the rest is copied, and one transaction at the source decides that
//! the runs are the target's from now on, if by then nothing changed that was not copied. Up to that moment they are the
//! source's.
//!
//! Every pause is for a few seconds and ends by itself. A move that is killed at any moment holds nobody up, and goes on
//! where it was when it is started again.

mod side;
mod tables;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use side::{Count, Listed, Mark, Side, Stage, Touched, Wanted, Way};
#[cfg(test)]
use tables::{AGENTS, LEFT_BEHIND};
pub(crate) use tables::{Column, FLEETING, Kind, Row, TABLES, Table, Value};

use crate::{Clock, Error, PostgresOptions, PostgresStore, Scheduling, SqliteOptions, SqliteStore};

/// What a source refuses writes with.
pub(crate) const REFUSAL: &str = "the runs of this database are being moved to another one";

/// Runs that are copied together, at most.
const RUNS: u32 = 64;
/// Events that these have, at most, unless there is but one run.
const EVENTS: u64 = 2048;
/// Runs that may be left when workers are asked to hand back, and of these when nothing is written any more.
const NEARLY: u32 = 64;
/// How long the source stays paused without being told again.
const PAUSE: Duration = Duration::from_secs(10);
/// How long the source is closed at most. What is not done by then is given up for now.
const CLOSED: Duration = Duration::from_secs(4);
/// How often that may happen before somebody is told.
const TRIES: u32 = 10;
/// How long workers may take to hand back what they hold.
const DRAIN: Duration = Duration::from_secs(120);
/// Between two looks at what they hold.
const LOOK: Duration = Duration::from_millis(100);

/// A database at one end of a move.
#[derive(Debug, Clone)]
pub struct Place {
    /// `sqlite://PATH` or `postgres://USER@HOST/DATABASE`.
    pub url: String,
    /// PostgreSQL's, where the URL holds none.
    pub password: Option<SecretString>,
    /// Where this machine's workers on a PostgreSQL database keep their locks.
    pub lock_dir: PathBuf,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Runs that were looked at, of how many there were when it was last counted.
    Copying { done: u64, of: u64 },
    /// Runs that changed meanwhile and were copied again, so far.
    CatchingUp { again: u64 },
    /// Runs that workers have yet to hand back.
    Draining { held: u64 },
    /// Nothing is written at the source.
    Closed,
    /// The source is given up.
    Done,
}

/// What a move came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub runs: u64,
    /// How long the source refused launches and commands before the runs were the target's.
    pub closed: Duration,
    /// Runs that workers held all the same: they go on as after a worker's death.
    pub held: u64,
}

/// Two databases, the runs of one of which go to the other.
#[derive(Debug)]
pub struct Move {
    source: Arc<dyn Side>,
    target: Arc<dyn Side>,
    places: (String, String),
    mark: Mark,
    /// Agents that are at the target.
    agents: HashSet<String>,
}

async fn open(place: &Place) -> Result<Arc<dyn Side>, Error> {
    if place.url.starts_with("postgres") {
        let options = PostgresOptions {
            waiting_max: u64::MAX,
            lock_dir: place.lock_dir.clone(),
            password: place.password.clone(),
            scheduling: Scheduling::default(),
        };
        return Ok(Arc::new(PostgresStore::open_to_move(&place.url, options, Clock::system()).await?));
    }
    let options = SqliteOptions { waiting_max: u64::MAX, ..SqliteOptions::default() };
    Ok(Arc::new(SqliteStore::open_to_move(&place.url, options, Clock::system()).await?))
}

async fn open_source(place: &Place) -> Result<Arc<dyn Side>, Error> {
    if !place.url.starts_with("postgres") && !SqliteStore::is_there(&place.url)? {
        return Err(Error::Unusable(format!("there is no database at {}: nothing to move", place.url)));
    }
    open(place).await
}

/// The URL without a password, as it may be shown and kept.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    format!("{scheme}://{user}@{host}")
}

impl Move {
    /// Opens both ends and finds out whether this move can begin, or go on.
    ///
    /// # Errors
    /// [`Error::Unusable`] when there is no source, when the target holds runs of another origin, or when either has a
    /// schema of another version; [`Error::Unavailable`] when either cannot be reached.
    pub async fn open(from: &Place, to: &Place) -> Result<Self, Error> {
        let places = (shown(&from.url), shown(&to.url));
        if places.0 == places.1 {
            return Err(Error::Unusable(format!("{} is both ends of the move: nothing to move", places.0)));
        }
        let source = open_source(from).await?;
        let going = source.mark(Way::To).await?;
        if let Some(going) = going.as_ref().filter(|going| going.place != places.1) {
            let is_done = going.stage == Stage::Done;
            return Err(Error::Unusable(format!(
                "the runs of {} {} {}, not to {}. To give that up: piton migrate --from {} --undo",
                places.0,
                if is_done { "were moved to" } else { "are on their way to" },
                going.place,
                places.1,
                places.0
            )));
        }
        let target = open(to).await?;
        for (side, place) in [(&source, &places.0), (&target, &places.1)] {
            let (schema, newest) = side.schema();
            if schema != newest {
                return Err(Error::Unusable(format!(
                    "{place} has schema {schema}, and this version of Piton moves schema {newest}: use the Piton of that schema"
                )));
            }
        }
        let coming = target.mark(Way::From).await?;
        let mark = match (going, coming) {
            (Some(going), Some(coming)) if going.id == coming.id => going,
            (going, _) if target.count().await? == Count::default() => going.unwrap_or_else(|| Mark {
                id: Uuid::now_v7().to_string(),
                place: places.1.clone(),
                stage: Stage::Copying,
                copied_to: String::new(),
            }),
            (_, Some(coming)) if coming.stage != Stage::Done => {
                return Err(Error::Unusable(format!(
                    "runs of {} are being moved to {}, and these would come between them: name another target",
                    coming.place, places.1
                )));
            }
            _ => {
                return Err(Error::Unusable(format!(
                    "{} holds runs already: name an empty database as the target",
                    places.1
                )));
            }
        };
        Ok(Self { source, target, places, mark, agents: HashSet::new() })
    }

    /// Takes the mark of a move away from `place`, done or not: its runs go on there as they are.
    ///
    /// # Errors
    /// As [`Move::open`]; [`Error::Unusable`] when there is no mark.
    pub async fn undo(place: &Place) -> Result<String, Error> {
        let source = open_source(place).await?;
        let Some(mark) = source.mark(Way::To).await? else {
            let place = shown(&place.url);
            return Err(Error::Unusable(format!(
                "the runs of {place} were not moved anywhere: nothing to undo"
            )));
        };
        source.unwatch().await?;
        Ok(mark.place)
    }

    /// Moves all runs, and returns once the target is for everybody. May be killed at any moment and begun again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when either end cannot be read or written, the disk being full perhaps, or when the source
    /// changes faster than it can be copied; [`Error::Corrupt`] when what was copied does not read as it was.
    pub async fn run(&mut self, mut tell: impl FnMut(Progress) + Send) -> Result<Moved, Error> {
        let mut closed = Duration::ZERO;
        let mut held = 0;
        if self.mark.stage != Stage::Done {
            let coming = Mark { place: self.places.0.clone(), ..self.mark.clone() };
            self.target.expect(&coming).await.map_err(|error| self.at_target(error))?;
            self.source.watch(&self.mark).await.map_err(|error| self.at_source(error))?;
            self.copy_all(&mut tell).await?;
            self.catch_up(NEARLY, None, &mut tell).await?;
            (closed, held) = self.switch(&mut tell).await?;
        }
        self.target.arrive().await.map_err(|error| self.at_target(error))?;
        tell(Progress::Done);
        Ok(Moved { runs: self.target.count().await?.runs, closed, held })
    }

    /// Every run once, by id, from where it was left.
    async fn copy_all(&mut self, tell: &mut (impl FnMut(Progress) + Send)) -> Result<(), Error> {
        let left_at = self.target.mark(Way::From).await?.map(|mark| mark.copied_to).unwrap_or_default();
        let (mut after, mut done) = (left_at, self.target.count().await?.runs);
        let mut of = self.source.count().await?.runs;
        loop {
            tell(Progress::Copying { done, of });
            let mut runs =
                self.source.runs_after(&after, RUNS).await.map_err(|error| self.at_source(error))?;
            keep_few(&mut runs, |listed| listed.version);
            let Some(last) = runs.last().map(|listed| listed.run.clone()) else { return Ok(()) };
            let ids: Vec<String> = runs.into_iter().map(|listed| listed.run).collect();
            self.copy(&ids).await?;
            self.target.set_copied_to(&last).await.map_err(|error| self.at_target(error))?;
            after = last;
            done += ids.len() as u64;
            of = of.max(done);
        }
    }

    /// Copies what changed, until no more than `nearly` runs are left, or until then.
    async fn catch_up(
        &mut self,
        nearly: u32,
        until: Option<Instant>,
        tell: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), Error> {
        let mut again = 0;
        loop {
            let mut touched =
                self.source.touched(RUNS.max(nearly + 1)).await.map_err(|error| self.at_source(error))?;
            let is_late = until.is_some_and(|until| Instant::now() >= until);
            if touched.len() <= nearly as usize || is_late {
                return Ok(());
            }
            keep_few(&mut touched, |touched| touched.listed.version);
            let ids: Vec<String> = touched.iter().map(|touched| touched.listed.run.clone()).collect();
            self.copy(&ids).await?;
            self.source.settle(&touched).await.map_err(|error| self.at_source(error))?;
            again += ids.len() as u64;
            tell(Progress::CatchingUp { again });
        }
    }

    /// Workers hand back what they hold; the source is closed; what is left is copied; the runs are the target's.
    async fn switch(&mut self, tell: &mut (impl FnMut(Progress) + Send)) -> Result<(Duration, u64), Error> {
        let patience = Instant::now() + DRAIN;
        for _ in 0..TRIES {
            let held = self.drain(patience, tell).await?;
            // Closed for as long as the source itself keeps to; given up a little earlier.
            let closed_at = Instant::now();
            self.set_stage(Stage::Closed, CLOSED).await?;
            tell(Progress::Closed);
            let until = closed_at + CLOSED - Duration::from_millis(500);
            self.catch_up(0, Some(until), tell).await?;
            if Instant::now() < until && self.leave().await? {
                return Ok((closed_at.elapsed(), held));
            }
            self.set_stage(Stage::Draining, PAUSE).await?;
        }
        self.set_stage(Stage::Copying, Duration::ZERO).await?;
        Err(Error::Unavailable(format!(
            "{} changes faster than it can be copied: start again when less goes on there; what was copied stays",
            self.places.0
        )))
    }

    /// Copies what changes until the workers hold nothing any more, or their time is up. Returns how many runs they hold.
    async fn drain(
        &mut self,
        patience: Instant,
        tell: &mut (impl FnMut(Progress) + Send),
    ) -> Result<u64, Error> {
        let mut told = None;
        loop {
            self.set_stage(Stage::Draining, PAUSE).await?;
            let held = self.source.held().await.map_err(|error| self.at_source(error))?;
            self.catch_up(0, Some(Instant::now() + LOOK), tell).await?;
            let left = self.source.touched(NEARLY + 1).await.map_err(|error| self.at_source(error))?;
            let is_late = Instant::now() >= patience;
            if is_late || (held == 0 && left.len() <= NEARLY as usize) {
                return Ok(held);
            }
            if told.replace(held) != Some(held) {
                tell(Progress::Draining { held });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn set_stage(&self, stage: Stage, length: Duration) -> Result<(), Error> {
        let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.source.set_stage(stage, for_ms).await.map_err(|error| self.at_source(error))
    }

    /// Counts, and decides.
    async fn leave(&self) -> Result<bool, Error> {
        let (there, here) = tokio::try_join!(self.source.count(), self.target.count())?;
        if there != here {
            return Err(Error::Corrupt(format!(
                "{} has {} runs and {} idempotency keys, and {} has {} and {}",
                self.places.0, there.runs, there.keys, self.places.1, here.runs, here.keys
            )));
        }
        self.source.leave().await.map_err(|error| self.at_source(error))
    }

    /// Copies all there is of these runs, and reads it back.
    async fn copy(&mut self, runs: &[String]) -> Result<(), Error> {
        self.target.clear(runs).await.map_err(|error| self.at_target(error))?;
        let mut sent = tables::Digests::default();
        let mut missing: BTreeSet<&str> = runs.iter().map(String::as_str).collect();
        for table in TABLES {
            let mut wanted = all_of(runs);
            while !wanted.is_empty() {
                let pages = self.source.read(table, &wanted).await.map_err(|error| self.at_source(error))?;
                wanted = rest(table, &wanted, &pages);
                let rows: Vec<Row> = pages.into_iter().flatten().collect();
                if table.name == tables::RUNS.name {
                    for run in rows.iter().filter_map(|row| row.first()) {
                        if let Value::Text(run) = run {
                            missing.remove(run.as_str());
                        }
                    }
                    self.copy_agents(&rows).await?;
                }
                sent.add(table, &rows);
                if !rows.is_empty() {
                    self.target.write(table, rows).await.map_err(|error| self.at_target(error))?;
                }
            }
        }
        for run in missing {
            self.target.forget(run).await.map_err(|error| self.at_target(error))?;
        }
        let sent = sent.finish();
        let written = digests(self.target.as_ref(), runs).await.map_err(|error| self.at_target(error))?;
        match runs.iter().find(|run| sent.get(*run) != written.get(*run)) {
            None => Ok(()),
            Some(run) => Err(Error::Corrupt(format!(
                "run {run} does not read at {} as it was written: the move was stopped, and {} is as it was",
                self.places.1, self.places.0
            ))),
        }
    }

    /// Copies the agents of these runs that are not at the target yet.
    async fn copy_agents(&mut self, runs: &[Row]) -> Result<(), Error> {
        let named: BTreeSet<String> = runs
            .iter()
            .filter_map(|row| match row.get(tables::AGENT_COLUMN) {
                Some(Value::Text(digest)) if !self.agents.contains(digest) => Some(digest.clone()),
                _ => None,
            })
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let wanted = all_of(&named);
        let rows = self.source.read(&tables::AGENTS, &wanted).await.map_err(|error| self.at_source(error))?;
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        self.target.write(&tables::AGENTS, rows).await.map_err(|error| self.at_target(error))?;
        self.agents.extend(named);
        Ok(())
    }

    fn at_source(&self, error: Error) -> Error {
        at(&self.places.0, error)
    }

    fn at_target(&self, error: Error) -> Error {
        at(&self.places.1, error)
    }
}

/// The digest of every run at a place, by its id: of its row but for who holds it, its events, outputs, lost attempts and
/// idempotency keys. It is the same on either engine.
///
/// # Errors
/// As [`Move::open`].
pub async fn digests_at(place: &Place) -> Result<Vec<(String, String)>, Error> {
    let side = open_source(place).await?;
    let (mut after, mut all) = (String::new(), Vec::new());
    loop {
        let mut runs = side.runs_after(&after, RUNS).await?;
        keep_few(&mut runs, |listed| listed.version);
        let Some(last) = runs.last() else { return Ok(all) };
        after.clone_from(&last.run);
        let ids: Vec<String> = runs.into_iter().map(|listed| listed.run).collect();
        all.extend(digests(side.as_ref(), &ids).await?);
    }
}

async fn digests(
    side: &dyn Side,
    runs: &[String],
) -> Result<std::collections::BTreeMap<String, String>, Error> {
    let mut digests = tables::Digests::default();
    for table in TABLES.into_iter().filter(|table| table.is_durable) {
        let mut wanted = all_of(runs);
        while !wanted.is_empty() {
            let pages = side.read(table, &wanted).await?;
            pages.iter().for_each(|rows| digests.add(table, rows));
            wanted = rest(table, &wanted, &pages);
        }
    }
    Ok(digests.finish())
}

fn all_of<'a>(of: impl IntoIterator<Item = &'a String>) -> Vec<Wanted> {
    of.into_iter().map(|of| Wanted { of: of.clone(), after: None }).collect()
}

/// What is left to read where a page was full.
fn rest(table: &Table, wanted: &[Wanted], pages: &[Vec<Row>]) -> Vec<Wanted> {
    let is_full = |rows: &&Vec<Row>| rows.len() == table.page;
    wanted
        .iter()
        .zip(pages)
        .filter_map(|(wanted, rows)| {
            let last = Some(rows).filter(is_full)?.last()?;
            let after = last.get(..table.key).map(<[Value]>::to_vec);
            Some(Wanted { of: wanted.of.clone(), after })
        })
        .collect()
}

/// Leaves the first runs that are few enough to be copied at once, and one at least.
fn keep_few<T>(runs: &mut Vec<T>, version: impl Fn(&T) -> u64) {
    let mut events = 0;
    let few = runs.iter().take(RUNS as usize).take_while(|run| {
        events += version(run);
        events <= EVENTS
    });
    let few = few.count().max(1);
    runs.truncate(few);
}

fn at(place: &str, error: Error) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(format!(
            "{place}: {why}. What was copied stays: start again when that is mended"
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_neither_shown_nor_kept() {
        for (url, without) in [
            ("postgres://piton:se:cr@t@h:5432/d?sslmode=require", "postgres://piton@h:5432/d"),
            ("postgres://piton@h/d", "postgres://piton@h/d"),
            ("sqlite://data/piton.db", "sqlite://data/piton.db"),
        ] {
            assert_eq!(shown(url), without);
        }
    }

    /// A column that somebody adds is moved, or is said to stay behind.
    #[tokio::test]
    async fn every_column_of_every_table_is_moved_or_stays_behind_on_purpose() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("piton.db");
        let url = format!("sqlite://{}", path.display());
        let _store =
            SqliteStore::open(&url, SqliteOptions::default(), Clock::system()).await.expect("a store");
        let raw = rusqlite::Connection::open(path).expect("a connection");
        let mut read = raw
            .prepare(
                "SELECT t.name, c.name FROM pragma_table_list t, pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
            )
            .expect("a statement");
        let columns = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
        let columns: Vec<(String, String)> = columns.map(|column| column.expect("a column")).collect();
        assert!(columns.len() > 50, "{columns:?}");
        assert_known(&columns);
    }

    fn assert_known(columns: &[(String, String)]) {
        for (table, column) in columns {
            let is_moved = TABLES
                .iter()
                .chain([&&AGENTS])
                .any(|moved| moved.name == table && moved.columns.iter().any(|moved| moved.name == column));
            let is_left =
                LEFT_BEHIND.iter().any(|(left, _)| left == table || *left == format!("{table}.{column}"));
            assert!(is_moved != is_left, "{table}.{column}: add it to moving/tables.rs");
        }
    }
}
