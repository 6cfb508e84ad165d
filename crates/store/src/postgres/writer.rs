//! One writer per process. It groups what concurrent steps and requests want to commit into one transaction and sends
//! their statements side by side; a reply leaves only after its group is committed.
//!
//! Every reply waits for the disk: a server may crash while the workers that it told live on, and a claim that it forgot it
//! would grant again, under the same epoch.
//!
//! An SQL error takes the whole group back, and each member is tried again alone. The runs that a group is about are
//! locked first, in the order of their ids, so that the groups of two processes never wait for each other in a circle.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use piton_core::RunId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::batch;
use super::conn::{Conn, SILENCE};
use super::fault::Fault;
use super::notify::Notifier;
use super::tls::Address;
use crate::bell::Ring;
use crate::stepping::WriteCommit;
use crate::trouble::Trouble;
use crate::{Clock, CommitOutcome, Error};

/// Members of one transaction.
const GROUP_MAX: usize = 256;
/// Writes that may wait for their turn; who comes later waits to enter.
const WAITING_MAX: usize = 4096;

/// Tries of one write whose transaction and another's were in each other's way.
const TRIES: u32 = 5;
/// Writes of one group that may each wait for a lock in vain.
const STUCK_MAX: u32 = 2;

/// What became of a write, and what there is to ring for.
pub(super) type Written<'a, T> = BoxFuture<'a, Result<(T, Option<Ring>), Fault>>;

/// Something to be written in one transaction. It may be run more than once, so it must not count on its first try.
pub(super) trait Transact: Send + Sync + 'static {
    type Out: Send + Sync + 'static;

    /// Itself, if it is a step's commit that may be written with others in one statement.
    fn as_commit(&self) -> Option<&WriteCommit> {
        None
    }

    /// What became of it where it was.
    fn settled(_outcome: CommitOutcome) -> Option<Self::Out> {
        None
    }

    /// The run whose row it changes, if it is one.
    fn run_id(&self) -> Option<RunId> {
        None
    }

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out>;
}

/// Where writes are handed in.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Box<dyn Member>>,
    entrance: Arc<Semaphore>,
    trouble: Trouble,
}

/// What a writer works with.
pub(super) struct Terms {
    pub(super) address: Arc<Address>,
    pub(super) clock: Clock,
    pub(super) notifier: Notifier,
}

impl Writer {
    /// Must be called inside a tokio runtime.
    pub(super) fn start(terms: Terms) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let trouble = Trouble::default();
        let turn = Turn { terms, trouble: trouble.clone(), conn: None };
        tokio::spawn(turn.serve(waiting));
        Self { queue, entrance: Arc::new(Semaphore::new(WAITING_MAX)), trouble }
    }

    /// Writes `what` with whatever else is waiting, and returns once that is committed.
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

trait Member: Send + Sync {
    fn as_commit(&self) -> Option<&WriteCommit>;
    fn settle(&mut self, outcome: CommitOutcome);
    fn run_id(&self) -> Option<RunId>;
    fn run<'a>(&'a mut self, conn: &'a Conn, now_ms: i64) -> BoxFuture<'a, Result<Option<Ring>, Fault>>;
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
    fn as_commit(&self) -> Option<&WriteCommit> {
        self.what.as_commit()
    }

    fn settle(&mut self, outcome: CommitOutcome) {
        self.out = T::settled(outcome);
    }

    fn run_id(&self) -> Option<RunId> {
        self.what.run_id()
    }

    fn run<'a>(&'a mut self, conn: &'a Conn, now_ms: i64) -> BoxFuture<'a, Result<Option<Ring>, Fault>> {
        Box::pin(async move {
            let (out, ring) = self.what.run(conn, now_ms).await?;
            self.out = Some(out);
            Ok(ring)
        })
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
    terms: Terms,
    trouble: Trouble,
    conn: Option<Conn>,
}

/// Why a group was not written.
struct Broken {
    fault: Fault,
    /// No member is to blame.
    is_common: bool,
}

/// What is left of a group whose commits were written, and how it is to be written.
enum Rest {
    None,
    Together,
    Apart,
}

/// Takes out of `waiting` the first for each run: members of a group do not see one another's writes in any order.
fn one_for_each_run(waiting: &mut Vec<Box<dyn Member>>) -> Vec<Box<dyn Member>> {
    let mut runs = HashSet::new();
    waiting.extract_if(.., |member| member.run_id().is_none_or(|run| runs.insert(run))).collect()
}

impl Turn {
    async fn serve(mut self, mut waiting: mpsc::UnboundedReceiver<Box<dyn Member>>) {
        let mut next = Vec::new();
        while !next.is_empty() || waiting.recv_many(&mut next, GROUP_MAX).await > 0 {
            let mut group = one_for_each_run(&mut next);
            match self.write_commits(&mut group).await {
                Ok(Rest::None) => continue,
                Ok(Rest::Together) => {}
                // A lock that one of them waits for in vain is not to be waited for once more by all.
                Ok(Rest::Apart) => {
                    self.write_each(group).await;
                    continue;
                }
                Err(fault) => {
                    self.refuse(&mut group, fault);
                    continue;
                }
            }
            let Err(broken) = self.write(&mut group).await else { continue };
            if broken.is_common {
                self.refuse(&mut group, broken.fault);
            } else {
                self.write_each(group).await;
            }
        }
    }

    /// One member's error is not its neighbours': each is tried again alone.
    async fn write_each(&mut self, group: Vec<Box<dyn Member>>) {
        let mut stuck = 0;
        let mut group = group.into_iter();
        while let Some(member) = group.next() {
            let mut alone = vec![member];
            let mut tries = 1;
            let broken = loop {
                match self.write(&mut alone).await {
                    Ok(()) => break None,
                    Err(broken) if broken.fault.is_of_the_order() && tries < TRIES => tries += 1,
                    Err(broken) => break Some(broken),
                }
            };
            let Some(Broken { fault, is_common }) = broken else { continue };
            stuck += u32::from(fault.is_of_waiting());
            if is_common || stuck == STUCK_MAX {
                // It is no single run that is locked: those who wait behind are not to wait for each of them in turn.
                alone.extend(group.by_ref());
            }
            self.refuse(&mut alone, fault);
        }
    }

    fn refuse(&self, group: &mut Vec<Box<dyn Member>>, fault: Fault) {
        let error = Error::from(fault);
        self.trouble.begins(&error);
        group.drain(..).for_each(|member| member.failed(error.clone()));
    }

    /// Writes the commits among them in one statement, and leaves those that did not fit it.
    ///
    /// # Errors
    /// Where no member is to blame. None of them was told of then.
    async fn write_commits(&mut self, group: &mut Vec<Box<dyn Member>>) -> Result<Rest, Fault> {
        let commits: Vec<_> = group.iter().filter_map(|member| member.as_commit()).collect();
        if commits.is_empty() {
            return Ok(Rest::Together);
        }
        let conn = self.connection().await?;
        let now_ms = self.terms.clock.now_ms();
        let writing = AssertUnwindSafe(batch::write(&conn, &commits, now_ms)).catch_unwind();
        let (mut written, ring) = match tokio::time::timeout(SILENCE, writing).await {
            Ok(Ok(Ok(written))) => written,
            // One member's error is not its neighbours': each is tried by itself.
            Ok(Ok(Err(fault))) if fault.is_of_the_statement() => {
                self.conn = Some(conn);
                return Ok(Rest::Apart);
            }
            Ok(Ok(Err(fault))) => return Err(fault),
            Ok(Err(_)) => return Ok(Rest::Apart),
            Err(_) => return Err(Fault::NotNow("PostgreSQL does not answer".to_owned())),
        };
        self.conn = Some(conn);
        let is_written = |member: &mut Box<dyn Member>| {
            let run = member.as_commit().map(|write| write.commit.run);
            let Some(outcome) = run.and_then(|run| written.remove(&run)) else { return false };
            member.settle(outcome);
            true
        };
        let done: Vec<_> = group.extract_if(.., is_written).collect();
        if !done.is_empty() {
            self.trouble.is_over();
            done.into_iter().for_each(Member::done);
            self.terms.notifier.ring(ring);
        }
        Ok(if group.is_empty() { Rest::None } else { Rest::Together })
    }

    async fn connection(&mut self) -> Result<Conn, Fault> {
        match self.conn.take().filter(|conn| !conn.is_closed()) {
            Some(conn) => Ok(conn),
            None => Conn::open(&self.terms.address).await,
        }
    }

    /// Writes all of them, and leaves them where that failed.
    async fn write(&mut self, group: &mut Vec<Box<dyn Member>>) -> Result<(), Broken> {
        // A panic is one member's, and the writer goes on with another connection.
        let transacted = AssertUnwindSafe(self.transact(group)).catch_unwind();
        let ring = match tokio::time::timeout(SILENCE, transacted).await {
            Ok(Ok(ring)) => ring?,
            Ok(Err(_)) => {
                let fault = Fault::corrupt("a write panicked; the log says where");
                return Err(Broken { fault, is_common: false });
            }
            // The connection went with the future. What became of the transaction is not known, as after any silence.
            Err(_) => {
                let fault = Fault::NotNow("PostgreSQL does not answer".to_owned());
                return Err(Broken { fault, is_common: true });
            }
        };
        self.trouble.is_over();
        group.drain(..).for_each(Member::done);
        if let Some(ring) = ring {
            self.terms.notifier.ring(ring);
        }
        Ok(())
    }

    async fn transact(&mut self, group: &mut [Box<dyn Member>]) -> Result<Option<Ring>, Broken> {
        let common = |fault| Broken { fault, is_common: true };
        let conn = self.connection().await.map_err(common)?;
        let mut runs: Vec<_> =
            group.iter().filter_map(|member| member.run_id()).map(|run| run.as_uuid()).collect();
        runs.sort_unstable();
        runs.dedup();
        let lock = "SELECT FROM runs WHERE id = ANY($1) ORDER BY id FOR UPDATE";
        conn.prepare(lock).await.map_err(common)?;
        let now_ms = self.terms.clock.now_ms();
        // All that is asked at once is sent in this order, without waiting for the replies in between.
        let begun = conn.batch("BEGIN");
        let locked = async {
            if runs.len() > 1 {
                conn.query(lock, &[&runs]).await?;
            }
            Ok(())
        };
        let told = join_all(group.iter_mut().map(|member| member.run(&conn, now_ms)));
        let (begun, locked, told) = futures::join!(begun, locked, told);
        begun.map_err(common)?;
        if let Err(fault) = locked {
            return Err(self.rolled_back(conn, fault).await);
        }
        let mut loudest = None;
        let mut fault = None;
        for told in told {
            match told {
                Ok(Some(Ring::Job)) => loudest = Some(Ring::Job),
                Ok(Some(Ring::Events)) => loudest = loudest.or(Some(Ring::Events)),
                Ok(None) => {}
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        if let Some(fault) = fault {
            return Err(self.rolled_back(conn, fault).await);
        }
        conn.batch("COMMIT").await.map_err(common)?;
        self.conn = Some(conn);
        Ok(loudest)
    }

    /// Takes back what was written so far, and keeps the connection where that is as good as before.
    async fn rolled_back(&mut self, conn: Conn, fault: Fault) -> Broken {
        // A connection that is lost is nobody's fault, and to make one for each member would take long.
        let is_common = !fault.is_of_the_statement();
        if !is_common && conn.batch("ROLLBACK").await.is_ok() {
            self.conn = Some(conn);
        }
        Broken { fault, is_common }
    }
}
