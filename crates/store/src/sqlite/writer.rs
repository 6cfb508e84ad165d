//! One writer per process, on a thread of its own. It groups what concurrent steps and requests want to commit into one
//! transaction and one fsync; a reply leaves only after its group is on disk.
//!
//! An SQL error rolls the whole group back, the connection is replaced, and each member is tried again alone: there
//! are no savepoints, because SQLite gives them up with the transaction when the disk is full. A panic counts as one: it
//! is one member's, and the writer goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::fault::Fault;
use super::line::Line;
use super::open::{self, Synchronous};
use crate::bell::{Bell, Ring};
use crate::trouble::Trouble;
use crate::{Clock, Error};

/// Members of one transaction.
const GROUP_MAX: usize = 256;
/// Writes that may wait for their turn; who comes later waits to enter.
const WAITING_MAX: usize = 4096;

/// Something to be written in one transaction. It may be run more than once, so it must not count on its first try.
pub(super) trait Transact: Send + 'static {
    type Out: Send + 'static;

    /// How far the reply has to wait for the disk.
    fn durability(&self) -> Durability;

    /// How long it may wait for others to come into its group.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault>;
}

/// What has to be on disk before a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Nothing: it need not survive a loss of power, or power that takes it takes its writer too.
    Unsynced,
    /// Itself, as far as the store is set to that.
    AsSet,
    /// Itself, whatever the store is set to: more than this transaction depends on it.
    Synced,
}

/// Where writes are handed in.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Member>>,
    entrance: Arc<Semaphore>,
    trouble: Trouble,
}

/// What a writer works with.
pub(super) struct Terms {
    pub(super) path: PathBuf,
    pub(super) line: Line,
    pub(super) synchronous: Synchronous,
    pub(super) clock: Clock,
    pub(super) bell: Bell,
}

impl Writer {
    /// # Errors
    /// [`Error::Unavailable`] when there is no thread to be had.
    pub(super) fn start(terms: Terms) -> Result<Self, Error> {
        let (queue, waiting) = mpsc::channel();
        let trouble = Trouble::default();
        let turn = Turn {
            waiting,
            next: None,
            trouble: trouble.clone(),
            conn: None,
            is_synced: terms.synchronous == Synchronous::Full,
            is_distrusted: false,
            terms,
        };
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || turn.serve())
            .map_err(|error| Error::Unavailable(format!("no thread for writing: {error}")))?;
        Ok(Self { queue, entrance: Arc::new(Semaphore::new(WAITING_MAX)), trouble })
    }

    /// Writes `what` with whatever else is waiting, and returns once that is on disk.
    pub(super) async fn write<T: Transact>(&self, what: T) -> Result<T::Out, Error> {
        let gone = || Error::Unavailable("the store is shutting down".to_owned());
        let place = Arc::clone(&self.entrance).acquire_owned().await.map_err(|_| gone())?;
        let (reply, replied) = oneshot::channel();
        let member = Waiting { what, reply, out: None, _place: place };
        self.queue.send(Box::new(member)).map_err(|_| gone())?;
        replied.await.map_err(|_| gone())?
    }

    /// Why the last write failed, until one succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.now()
    }
}

trait Member: Send {
    fn durability(&self) -> Durability;
    fn patience(&self) -> Duration;
    fn run(&mut self, conn: &Connection, now_ms: i64) -> Result<Option<Ring>, Fault>;
    fn done(self: Box<Self>);
    fn failed(self: Box<Self>, error: Error);
}

struct Waiting<T: Transact> {
    what: T,
    reply: oneshot::Sender<Result<T::Out, Error>>,
    out: Option<T::Out>,
    _place: OwnedSemaphorePermit,
}

impl<T: Transact> Member for Waiting<T> {
    fn durability(&self) -> Durability {
        self.what.durability()
    }

    fn patience(&self) -> Duration {
        self.what.patience()
    }

    fn run(&mut self, conn: &Connection, now_ms: i64) -> Result<Option<Ring>, Fault> {
        let (out, ring) = self.what.run(conn, now_ms)?;
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
    waiting: mpsc::Receiver<Box<dyn Member>>,
    /// Who came for a group that could not take it in; the first of the next.
    next: Option<Box<dyn Member>>,
    terms: Terms,
    trouble: Trouble,
    conn: Option<Connection>,
    /// Whether `PRAGMA synchronous` is set to `FULL` on the connection.
    is_synced: bool,
    /// A write or a sync failed, so that what the WAL holds may not be on disk.
    is_distrusted: bool,
}

/// Why a group was not written.
struct Broken {
    fault: Fault,
    /// Before any member had its turn.
    is_common: bool,
}

impl<F: Into<Fault>> From<F> for Broken {
    fn from(fault: F) -> Self {
        Self { fault: fault.into(), is_common: false }
    }
}

/// Moves the whole WAL into the database file, synced, and begins it anew.
///
/// A kernel that failed to write pages back takes them for clean: a later sync succeeds without them, and a commit that
/// comes after them in the WAL would be lost with them at a loss of power. So nothing is acknowledged on top of them.
fn bring_home(conn: &Connection) -> Result<(), Fault> {
    let is_read: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_read {
        let why = "after an I/O error the log has to be emptied first, and somebody still reads it";
        return Err(Fault::NotNow(why));
    }
    Ok(())
}

impl Turn {
    fn serve(mut self) {
        let mut group = Vec::new();
        while let Some(first) = self.next.take().or_else(|| self.waiting.recv().ok()) {
            self.gather(first, &mut group);
            self.write(&mut group, true);
        }
    }

    /// Whoever waits, and whoever comes while the least patient of them still has time.
    fn gather(&self, first: Box<dyn Member>, group: &mut Vec<Box<dyn Member>>) {
        let mut until = Instant::now() + first.patience();
        group.push(first);
        while group.len() < GROUP_MAX {
            let next = self.waiting.try_recv().ok().or_else(|| {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() { None } else { self.waiting.recv_timeout(left).ok() }
            });
            let Some(next) = next else { return };
            let patience = next.patience();
            // Most have none, and need no clock to say so.
            until = if patience.is_zero() { Instant::now() } else { until.min(Instant::now() + patience) };
            group.push(next);
        }
    }

    /// Whoever came while the turn was waited for, up to the first who needs the disk where this group does not.
    fn let_in(&mut self, group: &mut Vec<Box<dyn Member>>) {
        while group.len() < GROUP_MAX && self.next.is_none() {
            let Ok(late) = self.waiting.try_recv() else { return };
            if self.is_synced || !self.needs_sync(late.as_ref()) {
                group.push(late);
            } else {
                self.next = Some(late);
            }
        }
    }

    fn needs_sync(&self, member: &dyn Member) -> bool {
        match member.durability() {
            Durability::Unsynced => false,
            Durability::AsSet => self.terms.synchronous == Synchronous::Full,
            Durability::Synced => true,
        }
    }

    /// Writes all of them and leaves none.
    fn write(&mut self, group: &mut Vec<Box<dyn Member>>, is_open: bool) {
        match self.transact(group, is_open) {
            Ok(ring) => {
                self.trouble.is_over();
                group.drain(..).for_each(Member::done);
                if let Some(ring) = ring {
                    self.terms.bell.ring(ring);
                }
            }
            // One member's error is not its neighbours': each is tried again alone.
            Err(Broken { is_common: false, .. }) if group.len() > 1 => {
                for member in std::mem::take(group) {
                    self.write(&mut vec![member], false);
                }
            }
            Err(Broken { fault, .. }) => {
                let error = Error::from(fault);
                self.trouble.begins(&error);
                group.drain(..).for_each(|member| member.failed(error.clone()));
            }
        }
    }

    fn transact(&mut self, group: &mut Vec<Box<dyn Member>>, is_open: bool) -> Result<Option<Ring>, Broken> {
        // What a panic leaves half-done is the connection, which went with it, and results that are written anew.
        let result = catch_unwind(AssertUnwindSafe(|| self.try_transact(group, is_open)))
            .unwrap_or_else(|_| Err(Fault::corrupt("a write panicked; the log says where").into()));
        if let Err(broken) = &result {
            self.is_distrusted |= broken.fault.is_io();
        }
        result
    }

    fn try_transact(
        &mut self,
        group: &mut Vec<Box<dyn Member>>,
        is_open: bool,
    ) -> Result<Option<Ring>, Broken> {
        let synced = group.iter().any(|member| self.needs_sync(member.as_ref()));
        // Whether a transaction is still open is not known after an error: closing the connection ends it.
        let conn = self.begin(synced).map_err(|fault| Broken { fault, is_common: true })?;
        if is_open {
            self.let_in(group);
        }
        let now_ms = self.terms.clock.now_ms();
        let mut loudest = None;
        for member in group {
            match member.run(&conn, now_ms)? {
                Some(Ring::Job) => loudest = Some(Ring::Job),
                Some(Ring::Events) => loudest = loudest.or(Some(Ring::Events)),
                None => {}
            }
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.conn = Some(conn);
        Ok(loudest)
    }

    /// Gets the turn to write. Where that fails, no member is to blame.
    fn begin(&mut self, synced: bool) -> Result<Connection, Fault> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let conn = open::writer(&self.terms.path, self.terms.synchronous)?;
                if self.is_distrusted {
                    bring_home(&conn)?;
                    self.is_distrusted = false;
                }
                self.is_synced = self.terms.synchronous == Synchronous::Full;
                conn
            }
        };
        if synced != self.is_synced {
            // SQLite carries this out when it is prepared, so it is not one to be kept prepared.
            conn.pragma_update(None, "synchronous", if synced { "FULL" } else { "NORMAL" })?;
            self.is_synced = synced;
        }
        let turn = self.terms.line.stand();
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        drop(turn);
        Ok(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Note {
        number: u32,
        panics: bool,
    }

    impl Transact for Note {
        type Out = u32;

        fn durability(&self) -> Durability {
            Durability::Unsynced
        }

        fn patience(&self) -> Duration {
            Duration::from_millis(200)
        }

        fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(u32, Option<Ring>), Fault> {
            conn.execute("CREATE TABLE IF NOT EXISTS notes (number INTEGER)", [])?;
            conn.execute("INSERT INTO notes VALUES (?)", [self.number])?;
            assert!(!self.panics, "as it was told");
            Ok((self.number, None))
        }
    }

    #[tokio::test]
    async fn a_write_that_panics_fails_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("piton.db");
        open::prepare(&path, dir.path()).expect("a database");
        let writer = Writer::start(Terms {
            path: path.clone(),
            line: Line::open(dir.path()).expect("a line"),
            synchronous: Synchronous::Full,
            clock: Clock::system(),
            bell: Bell::open(dir.path()),
        })
        .expect("a thread");
        let note = |number, panics| writer.write(Note { number, panics });
        let (first, second, third) = tokio::join!(note(1, false), note(2, true), note(3, false));
        assert_eq!((first.ok(), third.ok()), (Some(1), Some(3)));
        assert!(matches!(second, Err(Error::Corrupt(_))), "{second:?}");
        assert_eq!(note(4, false).await.ok(), Some(4), "the writer goes on");
        let conn = Connection::open(&path).expect("a connection");
        let mut read = conn.prepare("SELECT number FROM notes ORDER BY number").expect("prepared");
        let notes = read.query_map([], |row| row.get(0)).expect("read").collect::<Result<Vec<u32>, _>>();
        assert_eq!(notes.expect("numbers"), [1, 3, 4]);
    }
}
