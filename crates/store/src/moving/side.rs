//! What a move asks of a database, at either end.

use async_trait::async_trait;

use super::tables::{Row, Table};
use crate::Error;

/// Which end of a move a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its runs go elsewhere.
    To,
    /// Its runs come from elsewhere.
    From,
}

impl Way {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::From => "from",
        }
    }
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Copying,
    /// Workers hand back what they hold and take nothing.
    Draining,
    /// Nothing is written.
    Closed,
    Done,
}

impl Stage {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Done => "done",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "copying" => Self::Copying,
            "draining" => Self::Draining,
            "closed" => Self::Closed,
            _ => Self::Done,
        }
    }
}

/// What a database knows of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The same at both ends.
    pub(crate) id: String,
    /// The other end.
    pub(crate) place: String,
    pub(crate) stage: Stage,
    /// At the target: the runs up to this one were copied once.
    pub(crate) copied_to: String,
}

/// A run and how many events it has.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) run: String,
    pub(crate) version: u64,
}

/// A run that changed since it was copied.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) listed: Listed,
    pub(crate) times: i64,
}

/// Rows of one owner that are asked for: those after the one with this key.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) of: String,
    pub(crate) after: Option<Row>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) runs: u64,
    pub(crate) keys: u64,
}

/// A database at one end of a move. Each method is one transaction.
#[async_trait]
pub(crate) trait Side: Send + Sync + std::fmt::Debug {
    // --- at either end -----------------------------------------------------------------------------------

    /// The number of its schema, and of the newest that this version knows.
    fn schema(&self) -> (u32, u32);

    async fn mark(&self, way: Way) -> Result<Option<Mark>, Error>;

    async fn count(&self) -> Result<Count, Error>;

    /// The runs after `after`, by id, at most `limit`.
    async fn runs_after(&self, after: &str, limit: u32) -> Result<Vec<Listed>, Error>;

    /// For each that is wanted, a page of its rows in the order of their keys.
    async fn read(&self, table: &'static Table, wanted: &[Wanted]) -> Result<Vec<Vec<Row>>, Error>;

    // --- at the source -----------------------------------------------------------------------------------

    /// Has every change from now on noted. Carried out again, it changes nothing.
    async fn watch(&self, mark: &Mark) -> Result<(), Error>;

    /// Takes the mark and all that goes with it away again.
    async fn unwatch(&self) -> Result<(), Error>;

    /// At most `limit` of those that changed since they were copied.
    async fn touched(&self, limit: u32) -> Result<Vec<Touched>, Error>;

    /// They were copied, as far as they did not change again.
    async fn settle(&self, touched: &[Touched]) -> Result<(), Error>;

    /// Runs that a worker holds which gives a sign of life.
    async fn held(&self) -> Result<u64, Error>;

    /// Sets the stage, from now on for as long.
    async fn set_stage(&self, stage: Stage, for_ms: u64) -> Result<(), Error>;

    /// The move is done, if nothing changed since it was copied and the database is closed still. From then on it stays
    /// closed.
    async fn leave(&self) -> Result<bool, Error>;

    // --- at the target -----------------------------------------------------------------------------------

    /// Notes that runs come from elsewhere: nobody else uses the database until they have.
    async fn expect(&self, mark: &Mark) -> Result<(), Error>;

    /// Deletes what is not only added to of these runs, so that it can be written anew.
    async fn clear(&self, runs: &[String]) -> Result<(), Error>;

    /// Deletes all there is of a run.
    async fn forget(&self, run: &str) -> Result<(), Error>;

    async fn write(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error>;

    async fn set_copied_to(&self, run: &str) -> Result<(), Error>;

    /// All runs have come: those that can advance have a job, and the database is for everybody.
    async fn arrive(&self) -> Result<(), Error>;
}

impl Mark {
    /// Why a database whose runs went elsewhere is not opened.
    pub(crate) fn went(&self, url: &str) -> Error {
        let (here, there) = (super::shown(url), &self.place);
        Error::Unusable(format!(
            "the runs of {here} were moved to {there}: set store.url to that. To go on here with the runs as they were then, \
             without what has happened to them since: piton migrate --from {here} --undo"
        ))
    }

    /// Why a database whose runs have not all come yet is not opened.
    pub(crate) fn comes(&self, url: &str) -> Error {
        let (here, there) = (super::shown(url), &self.place);
        Error::Unusable(format!(
            "the runs of {there} are being moved to {here}, and not all of them have come. If nobody is at it, go on with: \
             piton migrate --from {there} --to {here}"
        ))
    }
}
