//! One writer per process. It groups what concurrent steps and requests want to commit into one transaction and
//! one fsync; a reply leaves only after its group is on disk.
//!
//! An SQL error rolls the whole group back, the connection is replaced, and each member is tried again alone: there
//! are no savepoints, because SQLite gives them up with the transaction when the disk is full.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::bell::{Bell, Ring};
use crate::{Clock, Error};

/// Members of one transaction.
const GROUP_MAX: usize = 256;
/// Writes that may wait for their turn; who comes later waits to enter.
const WAITING_MAX: usize = 4096;

/// Something to be written in one transaction. It may be run more than once, so it must not count on its first try.
#[async_trait]
pub(super) trait Transact: Send + Sync + 'static {
    type Out: Send + 'static;

    /// Whether the reply has to wait for the disk, as far as the store is set to that at all. What need not survive a
    /// loss of power does not.
    const SYNCED: bool;

    /// Whether it has to whatever the store is set to: more than this transaction depends on it.
    fn synced_always(&self) -> bool {
        false
    }

    async fn run(&self, conn: &mut SqliteConnection, now_ms: i64)
    -> Result<(Self::Out, Option<Ring>), Fault>;
}

/// Why a transaction was not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(sqlx::Error),
    /// What was read cannot be understood: trying again does not help.
    Corrupt(String),
}

impl Fault {
    /// Whether reading, writing or syncing the file failed (`SQLITE_IOERR`).
    fn is_io(&self) -> bool {
        const IOERR: u32 = 10;
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == IOERR)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            Fault::Sql(error) => Self::Unavailable(plain(&error)),
        }
    }
}

/// The database's own words, without the wrapping.
pub(super) fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => inner.message().to_owned(),
        other => other.to_string(),
    }
}

/// Where writes are handed in.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Member>>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Writer {
    pub(super) fn start(options: SqliteConnectOptions, full: bool, clock: Clock, bell: Bell) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let trouble = Arc::new(Mutex::new(None));
        let turn = Turn {
            options,
            full,
            clock,
            bell,
            trouble: Arc::clone(&trouble),
            conn: None,
            synced: full,
            distrusted: false,
        };
        tokio::spawn(turn.serve(waiting));
        Self { queue, trouble }
    }

    /// Writes `what` with whatever else is waiting, and returns once that is on disk.
    pub(super) async fn write<T: Transact>(&self, what: T) -> Result<T::Out, Error> {
        let (reply, replied) = oneshot::channel();
        let member = Waiting { what, reply, out: None };
        let gone = || Error::Unavailable("the store is shutting down".to_owned());
        self.queue.send(Box::new(member)).await.map_err(|_| gone())?;
        replied.await.map_err(|_| gone())?
    }

    /// Why the last write failed, until one succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().ok().and_then(|trouble| trouble.clone())
    }
}

#[async_trait]
trait Member: Send {
    /// `full` is what the store is set to.
    fn synced(&self, full: bool) -> bool;
    async fn run(&mut self, conn: &mut SqliteConnection, now_ms: i64) -> Result<Option<Ring>, Fault>;
    fn done(self: Box<Self>);
    fn failed(self: Box<Self>, error: Error);
}

struct Waiting<T: Transact> {
    what: T,
    reply: oneshot::Sender<Result<T::Out, Error>>,
    out: Option<T::Out>,
}

#[async_trait]
impl<T: Transact> Member for Waiting<T> {
    fn synced(&self, full: bool) -> bool {
        (full && T::SYNCED) || self.what.synced_always()
    }

    async fn run(&mut self, conn: &mut SqliteConnection, now_ms: i64) -> Result<Option<Ring>, Fault> {
        let (out, ring) = self.what.run(conn, now_ms).await?;
        self.out = Some(out);
        Ok(ring)
    }

    fn done(self: Box<Self>) {
        if let Some(out) = self.out {
            // Whoever asked may have stopped waiting; what was written stands all the same.
            let _ = self.reply.send(Ok(out));
        }
    }

    fn failed(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

struct Turn {
    options: SqliteConnectOptions,
    full: bool,
    clock: Clock,
    bell: Bell,
    trouble: Arc<Mutex<Option<String>>>,
    conn: Option<SqliteConnection>,
    /// What `PRAGMA synchronous` is set to on the connection.
    synced: bool,
    /// A write or a sync failed, so that what the WAL holds may not be on disk.
    distrusted: bool,
}

/// Why a group was not written.
struct Broken {
    fault: Fault,
    /// Before any member had its turn.
    common: bool,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self { fault, common: false }
    }
}

/// Moves the whole WAL into the database file, synced, and begins it anew.
///
/// A kernel that failed to write pages back takes them for clean: a later sync succeeds without them, and a commit that
/// comes after them in the WAL would be lost with them at a loss of power. So nothing is acknowledged on top of them.
async fn bring_home(conn: &mut SqliteConnection) -> Result<(), Fault> {
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(conn).await?;
    if row.try_get::<i64, _>(0)? == 0 {
        return Ok(());
    }
    let why = "after an I/O error the log has to be emptied first, and somebody still reads it";
    Err(Fault::Sql(sqlx::Error::Io(std::io::Error::other(why))))
}

impl Turn {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Member>>) {
        while let Some(first) = waiting.recv().await {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = waiting.try_recv()
            {
                group.push(next);
            }
            self.write(group).await;
        }
        if let Some(conn) = self.conn.take() {
            let _ = conn.close().await;
        }
    }

    async fn write(&mut self, mut group: Vec<Box<dyn Member>>) {
        match self.transact(&mut group).await {
            Ok(ring) => {
                self.note(None);
                group.into_iter().for_each(Member::done);
                if let Some(ring) = ring {
                    self.bell.ring(ring);
                }
            }
            // One member's error is not its neighbours': each is tried again alone.
            Err(Broken { common: false, .. }) if group.len() > 1 => {
                for member in group {
                    Box::pin(self.write(vec![member])).await;
                }
            }
            Err(Broken { fault, .. }) => {
                let error = Error::from(fault);
                self.note(Some(&error));
                for member in group {
                    member.failed(error.clone());
                }
            }
        }
    }

    async fn transact(&mut self, group: &mut [Box<dyn Member>]) -> Result<Option<Ring>, Broken> {
        let result = self.try_transact(group).await;
        if let Err(broken) = &result {
            self.distrusted |= broken.fault.is_io();
            if let Some(mut conn) = self.conn.take() {
                // Whether a transaction is still open is not known after an error: the connection is not used again.
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut conn).await;
                let _ = conn.close().await;
            }
        }
        result
    }

    async fn try_transact(&mut self, group: &mut [Box<dyn Member>]) -> Result<Option<Ring>, Broken> {
        let synced = group.iter().any(|member| member.synced(self.full));
        let now_ms = self.clock.now_ms();
        let conn = self.begin(synced).await.map_err(|fault| Broken { fault, common: true })?;
        let mut loudest = None;
        for member in group {
            match member.run(conn, now_ms).await? {
                Some(Ring::Job) => loudest = Some(Ring::Job),
                Some(Ring::Events) => loudest = loudest.or(Some(Ring::Events)),
                None => {}
            }
        }
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await.map_err(Fault::from)?;
        Ok(loudest)
    }

    /// Gets the turn to write. Where that fails, no member is to blame.
    async fn begin(&mut self, synced: bool) -> Result<&mut SqliteConnection, Fault> {
        if self.conn.is_none() {
            let mut conn = self.options.connect().await?;
            if self.distrusted {
                bring_home(&mut conn).await?;
                self.distrusted = false;
            }
            self.conn = Some(conn);
            self.synced = self.full;
        }
        let Some(conn) = self.conn.as_mut() else {
            return Err(Fault::Corrupt("no connection".to_owned()));
        };
        if synced != self.synced {
            let pragma = if synced { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            sqlx::raw_sql(pragma).execute(&mut *conn).await?;
            self.synced = synced;
        }
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *conn).await?;
        Ok(conn)
    }

    fn note(&self, error: Option<&Error>) {
        if let Ok(mut trouble) = self.trouble.lock() {
            let now = error.map(ToString::to_string);
            if let Some(error) = &now
                && trouble.is_none()
            {
                tracing::warn!(%error, "the database does not take writes");
            } else if now.is_none() && trouble.is_some() {
                tracing::info!("the database takes writes again");
            }
            *trouble = now;
        }
    }
}
