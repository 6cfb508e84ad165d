//! The embedded store: one SQLite file in WAL mode, shared by any number of processes on one machine.

mod check;
mod command;
mod death;
mod due;
mod fault;
mod floor;
mod launch;
mod line;
mod moving;
mod open;
mod output;
mod pace;
mod prune;
mod queue_bound;
mod read;
mod reader;
mod repair;
mod replay;
mod rows;
mod step;
mod worker;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{Agent, AgentDigest, CallId, Command, Decision, Epoch, Recorded, Refusal, RunId, WorkerId};

use line::Line;
pub use open::Synchronous;
use queue_bound::QueueBound;
use reader::Readers;
use writer::{Terms, Writer};

use crate::lock;
use crate::moving::{REFUSAL, Stage};
use crate::scheduling::Scheduler;
use crate::stepping::{HandBack, HandBackAllBut, TakeJobs, Taken, WriteCommit};
use crate::{
    Bell, Check, Claim, Clock, CommandError, Commit, CommitOutcome, Death, Error, Examination, Inbox, Lack,
    Lane, Launch, Launched, Lost, LostAttempt, LostWorker, Pace, Peer, Places, Prune, Pruned, QueueStats,
    Readiness, RunFilter, RunPage, RunRow, Scheduling, Standing, Store, Tally, Verdict, WorkerRow,
};

/// Runs and events that are looked at where somebody asks for them.
const GLANCE_MAX: usize = 8;
const GLANCE_EVENTS_MAX: u32 = 16;

/// How long a launch waits for others where others are under way.
const LAUNCH_PATIENCE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub synchronous: Synchronous,
    /// Runs that may wait for a worker; a launch beyond them is refused.
    pub waiting_max: u64,
    /// Whose turn it is when this process's workers take runs.
    pub scheduling: Scheduling,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::default(),
            waiting_max: 1_000_000,
            scheduling: Scheduling::default(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    live: PathBuf,
    readers: Readers,
    writer: Writer,
    bell: Bell,
    clock: Clock,
    synchronous: Synchronous,
    queue_bound: QueueBound,
    /// Launches under way in this process.
    launches: AtomicUsize,
    scheduler: Arc<Scheduler>,
    schema: u32,
}

/// One of what is under way; over when dropped.
struct UnderWay<'a> {
    all: &'a AtomicUsize,
    is_alone: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        Self { all, is_alone: all.fetch_add(1, Ordering::Relaxed) == 0 }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SqliteStore {
    /// Opens the database at `url` (`sqlite://PATH`), makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the file is not ours, cannot be written or is of a newer version, or when its runs were
    /// moved; [`Error::Unavailable`] when another process keeps it locked.
    pub async fn open(url: &str, options: SqliteOptions, clock: Clock) -> Result<Self, Error> {
        let store = Self::open_anyhow(url, options, clock).await?;
        store.check_not_moved(url).await?;
        Ok(store)
    }

    async fn open_anyhow(url: &str, options: SqliteOptions, clock: Clock) -> Result<Self, Error> {
        let path = open::path_in(url)?;
        let live = open::live_dir(&path);
        let (at, beside) = (path.clone(), live.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let schema = open::prepare(&at, &beside)?;
            let line = Line::open(&beside).map_err(|error| {
                Error::Unusable(format!("the folder for locks {} cannot be used: {error}", beside.display()))
            })?;
            Ok::<_, Error>((schema, line))
        });
        let (schema, line) =
            prepared.await.map_err(|_| Error::Unavailable("the store is shutting down".to_owned()))??;
        let bell = Bell::open(&live);
        let readers = Readers::new(path.clone());
        let writer = Writer::start(Terms {
            path: path.clone(),
            line,
            synchronous: options.synchronous,
            clock: clock.clone(),
            bell: bell.clone(),
        })?;
        let SqliteOptions { synchronous, waiting_max, scheduling } = options;
        let scheduler = Arc::new(Scheduler::new(scheduling));
        let queue_bound = QueueBound::new(waiting_max);
        Ok(Self {
            path,
            live,
            readers,
            writer,
            bell,
            clock,
            synchronous,
            queue_bound,
            scheduler,
            launches: AtomicUsize::new(0),
            schema,
        })
    }

    /// Where workers keep their locks.
    pub fn lock_dir(&self) -> &Path {
        &self.live
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn launch(&self, launch: Launch) -> Result<Launched, Error> {
        let definition =
            serde_json::to_string(&launch.agent).map_err(|error| Error::Corrupt(error.to_string()))?;
        if self.queue_bound.was_full() && launch.idempotency.is_none() {
            self.queue_bound.look(self.readers.glance(queue_bound::waiting)?)?;
        }
        let waiting_max = self.queue_bound.waiting_max;
        let under_way = UnderWay::begin(&self.launches);
        // Who launches many at once has them share a sync; a launch by itself waits for nobody.
        let patience = if under_way.is_alone { Duration::ZERO } else { LAUNCH_PATIENCE };
        let launched =
            self.writer.write(launch::WriteLaunch { launch, definition, waiting_max, patience }).await?;
        drop(under_way);
        self.queue_bound.note(&launched);
        launched
    }

    async fn command(&self, run: RunId, command: Command) -> Result<RunRow, CommandError> {
        if matches!(command, Command::Decide { decision: Decision::DidNotHappen, .. })
            && let Some(worker) = self.still_acting(run).await?
        {
            return Err(Refusal::StillActing { worker }.into());
        }
        self.writer.write(command::WriteCommand { run, command }).await?
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        self.readers.glance(|conn| rows::read_run(conn, run))
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, Error> {
        let filter = filter.clone();
        self.readers.read(move |conn| read::runs(conn, &filter)).await
    }

    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error> {
        if limit <= GLANCE_EVENTS_MAX {
            return self.readers.glance(|conn| rows::read_events(conn, run, after, limit));
        }
        self.readers.read(move |conn| rows::read_events(conn, run, after, limit)).await
    }

    async fn output(&self, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error> {
        self.readers.read(move |conn| output::read(conn, run, call, part)).await
    }

    async fn standings(&self, runs: &[RunId]) -> Result<Vec<Standing>, Error> {
        if runs.len() <= GLANCE_MAX {
            return self.readers.glance(|conn| read::standings(conn, runs));
        }
        let runs = runs.to_vec();
        self.readers.read(move |conn| read::standings(conn, &runs)).await
    }

    async fn inbox(&self, limit: u32) -> Result<Inbox, Error> {
        self.readers.read(move |conn| read::inbox(conn, limit)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, Error> {
        let now_ms = self.clock.now_ms();
        self.readers.read(move |conn| read::workers(conn, now_ms)).await
    }

    async fn queue(&self) -> Result<QueueStats, Error> {
        let now_ms = self.clock.now_ms();
        self.readers.read(move |conn| read::queue(conn, now_ms)).await
    }

    async fn tally(&self, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Error> {
        self.readers.read(move |conn| read::tally(conn, since_ms, limit)).await
    }

    async fn readiness(&self) -> Readiness {
        let read = self.readers.read(queue_bound::waiting).await;
        let in_trouble = self.writer.trouble().is_some();
        let written = self.writer.write(worker::Probe { in_trouble }).await;
        let is_closed = matches!(self.readers.glance(moving::stage), Ok(Some(Stage::Closed | Stage::Done)));
        let closed = is_closed.then(|| Error::Unavailable(REFUSAL.to_owned()));
        Readiness {
            trouble: read.err().or(written.err()).or(closed).map(|error| error.to_string()),
            engine: "sqlite",
            engine_version: rusqlite::version().to_owned(),
            synchronous: self.synchronous.as_str(),
            schema: self.schema,
        }
    }

    async fn agent(&self, digest: &AgentDigest) -> Result<Option<Agent>, Error> {
        let digest = digest.clone();
        self.readers.read(move |conn| read::agent(conn, &digest)).await
    }

    async fn register(&self, worker: &WorkerRow) -> Result<(), Error> {
        let lacks = self.scheduler.lacks();
        self.writer.write(worker::Register(WorkerRow { lacks, ..worker.clone() })).await
    }

    async fn renew(&self, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error> {
        self.writer.write(worker::Renew { worker: worker.clone(), expires_at_ms }).await
    }

    async fn drain(&self, worker: &WorkerId) -> Result<bool, Error> {
        self.writer.write(worker::Drain(worker.clone())).await
    }

    async fn is_draining(&self, worker: &WorkerId) -> Result<bool, Error> {
        let worker = worker.clone();
        self.readers.read(move |conn| read::is_draining(conn, &worker)).await
    }

    async fn due(&self, lane: Lane, limit: u32) -> Result<u32, Error> {
        let now_ms = self.clock.now_ms();
        // Not here and now: whoever claims shares threads with the renewal of the lease, and a disk may stall.
        let scheduler = Arc::clone(&self.scheduler);
        self.readers.read(move |conn| due::count(conn, &scheduler, lane, now_ms, limit)).await
    }

    async fn claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error> {
        // Looking is cheaper than a turn at writing, and an idle worker looks often.
        if !self.may_take(lane, limit).await? {
            return Ok(Vec::new());
        }
        let scheduler = Arc::clone(&self.scheduler);
        let take = TakeJobs { worker: worker.clone(), lane, limit, scheduler };
        let Taken { claims, chosen } = self.writer.write(take).await?;
        self.scheduler.took(&chosen);
        Ok(claims)
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, Error> {
        self.writer.write(WriteCommit { commit, scheduler: Arc::clone(&self.scheduler) }).await
    }

    async fn hand_back(
        &self,
        run: RunId,
        worker: &WorkerId,
        epoch: Epoch,
        due_at_ms: i64,
    ) -> Result<(), Error> {
        self.writer.write(HandBack { run, worker: worker.clone(), epoch, due_at_ms }).await
    }

    async fn take_places(&self, endpoint: &str, pace: Pace, wanted: u32) -> Result<Places, Error> {
        self.writer.write(pace::Take { endpoint: endpoint.to_owned(), pace, wanted }).await
    }

    async fn spend(&self, endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error> {
        self.writer.write(pace::Spend { endpoint: endpoint.to_owned(), pace, requests, tokens }).await
    }

    fn hold_off(&self, agent: &str, until_ms: i64) {
        self.scheduler.turns().hold_off(agent, until_ms);
    }

    async fn lacks(&self, worker: &WorkerId, lack: &Lack) -> Result<(), Error> {
        self.scheduler.lack(lack);
        let lacks = self.scheduler.lacks();
        self.writer.write(worker::Lacks { worker: worker.clone(), lacks }).await
    }

    async fn hand_back_all_but(&self, worker: &WorkerId, held: &[(RunId, Epoch)]) -> Result<u64, Error> {
        self.writer.write(HandBackAllBut { worker: worker.clone(), held: held.to_vec() }).await
    }

    async fn peers(&self, me: &WorkerId) -> Result<Vec<Peer>, Error> {
        let workers = self.readers.read(read::every_worker).await?;
        Ok(workers
            .into_iter()
            .filter(|worker| worker.id != *me)
            .map(|worker| lock::peer(&self.live, worker))
            .collect())
    }

    async fn recover(&self, lost: &LostWorker) -> Result<u64, Error> {
        let freed = self.writer.write(worker::Recover(lost.clone())).await?;
        lock::remove(&self.live, &lost.id);
        Ok(freed)
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), Error> {
        self.writer.write(worker::Retire(worker.clone())).await
    }

    async fn sweep(&self) -> Result<u64, Error> {
        self.writer.write(worker::Sweep).await
    }

    async fn clock_set_back(&self) -> Result<u64, Error> {
        self.writer.write(worker::ClockSetBack).await
    }

    async fn died(&self, death: &Death) -> Result<Vec<Verdict>, Error> {
        let name = death.worker.clone();
        for worker in self.readers.read(move |conn| read::incarnations(conn, &name)).await? {
            let Peer { id, expires_at_ms, busy_with, .. } = lock::peer(&self.live, worker);
            self.recover(&LostWorker { id, expires_at_ms, why: Lost::LockFree, busy_with }).await?;
        }
        self.writer.write(death::Judge(death.clone())).await
    }

    async fn lost_attempts(&self, run: RunId) -> Result<Vec<LostAttempt>, Error> {
        self.readers.read(move |conn| read::lost_attempts(conn, run)).await
    }

    async fn still_acting(&self, run: RunId) -> Result<Option<WorkerId>, Error> {
        Ok(self.run(run).await?.and_then(|row| lock::still_acting(&self.live, &row)))
    }

    async fn prune(&self, prune: &Prune, after: RunId) -> Result<Pruned, Error> {
        let chosen = prune.clone();
        let batch = self.readers.read(move |conn| prune::choose(conn, &chosen, after)).await?;
        if prune.is_rehearsal || batch.runs.is_empty() {
            return Ok(batch.would_be());
        }
        self.writer.write(prune::WritePrune { prune: prune.clone(), after, batch }).await?
    }

    async fn is_leaving(&self) -> Result<bool, Error> {
        Ok(self.readers.glance(moving::stage)?.is_some())
    }

    async fn check(&self) -> Result<Vec<Check>, Error> {
        self.examine(&Examination::default()).await
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }
}

impl SqliteStore {
    /// Whether a claim would find anything.
    async fn may_take(&self, lane: Lane, limit: u32) -> Result<bool, Error> {
        if !self.scheduler.scheduling.is_limited() {
            return Ok(self.due(lane, 1).await? > 0);
        }
        let (scheduler, now_ms) = (Arc::clone(&self.scheduler), self.clock.now_ms());
        let chosen =
            self.readers.read(move |conn| due::choose(conn, &scheduler, lane, now_ms, limit)).await?;
        if chosen.due.is_empty() {
            // The next look goes on where this one stopped.
            self.scheduler.took(&chosen);
        }
        Ok(!chosen.due.is_empty())
    }
}
