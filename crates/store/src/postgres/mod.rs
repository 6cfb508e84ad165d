//! The distributed store: a PostgreSQL database, shared by any number of machines.
//!
//! What is known of processes (locks that die with a worker, what its threads were busy with) is known on their own
//! machine, from a folder there. Of a worker on another machine only its lease tells.

mod backoff;
mod batch;
mod check;
mod command;
mod conn;
mod death;
mod due;
mod fault;
mod floor;
mod launch;
mod look;
mod migrating;
mod moving;
mod notify;
mod open;
mod output;
mod pace;
mod pooler;
mod prune;
mod queue_bound;
mod read;
mod repair;
mod rows;
mod step;
mod tls;
mod worker;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use piton_core::{Agent, AgentDigest, CallId, Command, Decision, Epoch, Recorded, Refusal, RunId, WorkerId};

use secrecy::{ExposeSecret as _, SecretString};

pub use floor::ScratchDatabase;

use conn::{Conn, Pool};
use look::Looks;
use notify::Notifier;
use open::Server;
use queue_bound::QueueBound;
use tls::Address;
use writer::{Terms, Writer};

use crate::moving::{REFUSAL, Stage};
use crate::scheduling::Scheduler;
use crate::stepping::{HandBack, HandBackAllBut, TakeJobs, Taken, WriteCommit};
use crate::{
    Bell, Check, Claim, Clock, CommandError, Commit, CommitOutcome, Death, Error, Examination, Inbox, Lack,
    Lane, Launch, Launched, Lost, LostAttempt, LostWorker, Meter, Pace, Peer, Places, Prune, Pruned,
    QueueStats, Readiness, RunFilter, RunPage, RunRow, Scheduling, Standing, Store, Synchronous, Tally,
    Verdict, WorkerRow, lock,
};

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Runs that may wait for a worker; a launch beyond them is refused.
    pub waiting_max: u64,
    /// The folder for the locks of this machine's workers.
    pub lock_dir: PathBuf,
    /// Where the URL holds none.
    pub password: Option<SecretString>,
    /// Whose turn it is when this process's workers take runs.
    pub scheduling: Scheduling,
}

/// See the module.
#[derive(Debug)]
pub struct PostgresStore {
    lock_dir: PathBuf,
    pool: Pool,
    writer: Writer,
    bell: Bell,
    clock: Clock,
    queue_bound: QueueBound,
    looks: Looks,
    scheduler: Arc<Scheduler>,
    server: Server,
}

impl PostgresStore {
    /// Connects to the database at `url` (`postgres://USER:PASSWORD@HOST/DATABASE`) and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the URL or the schema is not one we know, or when its runs were moved;
    /// [`Error::Unavailable`] when the server cannot be reached or does not take writes.
    pub async fn open(url: &str, options: PostgresOptions, clock: Clock) -> Result<Self, Error> {
        let store = Self::open_anyhow(url, options, clock).await?;
        store.check_not_moved(url).await?;
        Ok(store)
    }

    async fn open_anyhow(url: &str, options: PostgresOptions, clock: Clock) -> Result<Self, Error> {
        let PostgresOptions { waiting_max, lock_dir, password, scheduling } = options;
        let mut address = Address::of(url)?;
        if let Some(password) = password {
            address.config.password(password.expose_secret());
        }
        let address = Arc::new(address);
        std::fs::create_dir_all(&lock_dir).map_err(|error| {
            Error::Unusable(format!("the folder for locks {} cannot be made: {error}", lock_dir.display()))
        })?;
        pooler::refuse_transactions(&address).await?;
        let server = open::prepare(&address).await?;
        let bell = Bell::unconnected();
        let notifier = Notifier::start(Arc::clone(&address), bell.clone());
        let writer = Writer::start(Terms { address: Arc::clone(&address), clock: clock.clone(), notifier });
        let pool = Pool::new(address);
        let looks = Looks::start(pool.clone());
        let queue_bound = QueueBound::new(waiting_max);
        let scheduler = Arc::new(Scheduler::new(scheduling));
        Ok(Self { lock_dir, pool, writer, bell, clock, queue_bound, scheduler, looks, server })
    }

    /// Where the workers of this machine keep their locks.
    pub fn lock_dir(&self) -> &Path {
        &self.lock_dir
    }

    /// Whether a claim would find anything.
    async fn may_take(&self, lane: Lane, limit: u32) -> Result<bool, Error> {
        if !self.scheduler.scheduling.is_limited() {
            return Ok(self.due(lane, 1).await? > 0);
        }
        let (scheduler, now_ms) = (&*self.scheduler, self.clock.now_ms());
        let look = async |conn: &Conn| due::choose(conn, scheduler, lane, now_ms, limit, false).await;
        let chosen = self.pool.read(look).await?;
        if chosen.due.is_empty() {
            // The next look goes on where this one stopped.
            self.scheduler.took(&chosen);
        }
        Ok(!chosen.due.is_empty())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn launch(&self, launch: Launch) -> Result<Launched, Error> {
        let definition =
            serde_json::to_string(&launch.agent).map_err(|error| Error::Corrupt(error.to_string()))?;
        let place = self.queue_bound.enter(&self.pool).await?;
        let now_ms = self.clock.now_ms();
        if let Err(full) = &place {
            // What was launched before is answered however long the queue.
            let known = self.pool.read(async |conn| launch::is_known(conn, &launch, now_ms).await).await?;
            if !known {
                return Err(full.clone());
            }
        }
        self.writer.write(launch::WriteLaunch { launch, definition }).await?
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
        Ok(self.pool.read(async |conn| rows::read_run(conn, run).await).await?)
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, Error> {
        Ok(self.pool.read(async |conn| read::runs(conn, filter).await).await?)
    }

    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error> {
        Ok(self.pool.read(async |conn| rows::read_events(conn, run, after, limit).await).await?)
    }

    async fn output(&self, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error> {
        Ok(self.pool.read(async |conn| output::read(conn, run, call, part).await).await?)
    }

    async fn standings(&self, runs: &[RunId]) -> Result<Vec<Standing>, Error> {
        if let [run] = runs {
            return Ok(self.looks.at(*run).await?.into_iter().collect());
        }
        Ok(self.pool.read(async |conn| read::standings(conn, runs).await).await?)
    }

    async fn lost_attempts(&self, run: RunId) -> Result<Vec<LostAttempt>, Error> {
        Ok(self.pool.read(async |conn| read::lost_attempts(conn, run).await).await?)
    }

    async fn still_acting(&self, run: RunId) -> Result<Option<WorkerId>, Error> {
        Ok(self.run(run).await?.and_then(|row| lock::still_acting(&self.lock_dir, &row)))
    }

    async fn inbox(&self, limit: u32) -> Result<Inbox, Error> {
        Ok(self.pool.read(async |conn| read::inbox(conn, limit).await).await?)
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, Error> {
        let now_ms = self.clock.now_ms();
        Ok(self.pool.read(async |conn| read::workers(conn, now_ms).await).await?)
    }

    async fn queue(&self) -> Result<QueueStats, Error> {
        let now_ms = self.clock.now_ms();
        Ok(self.pool.read(async |conn| read::queue(conn, now_ms).await).await?)
    }

    async fn tally(&self, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Error> {
        Ok(self.pool.read(async |conn| read::tally(conn, since_ms, limit).await).await?)
    }

    async fn readiness(&self) -> Readiness {
        let written = self.writer.write(worker::Probe).await;
        let stage = self.pool.read(async |conn| moving::stage(conn).await).await;
        let is_closed = matches!(stage, Ok(Some(Stage::Closed | Stage::Done)));
        Readiness {
            trouble: written
                .err()
                .or_else(|| is_closed.then(|| Error::Unavailable(REFUSAL.to_owned())))
                .or_else(|| self.writer.trouble().map(Error::Unavailable))
                .map(|e| e.to_string()),
            engine: "postgres",
            engine_version: self.server.version.clone(),
            synchronous: Synchronous::Full.as_str(),
            schema: self.server.schema,
        }
    }

    async fn agent(&self, digest: &AgentDigest) -> Result<Option<Agent>, Error> {
        Ok(self.pool.read(async |conn| read::agent(conn, digest).await).await?)
    }

    async fn register(&self, worker: &WorkerRow) -> Result<(), Error> {
        let lacks = self.scheduler.lacks();
        self.writer.write(worker::Register(WorkerRow { lacks, ..worker.clone() })).await
    }

    async fn renew(&self, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error> {
        Ok(self.pool.read(async |conn| worker::renew(conn, worker, expires_at_ms).await).await?)
    }

    async fn drain(&self, worker: &WorkerId) -> Result<bool, Error> {
        self.writer.write(worker::Drain(worker.clone())).await
    }

    async fn is_draining(&self, worker: &WorkerId) -> Result<bool, Error> {
        Ok(self.pool.read(async |conn| read::is_draining(conn, worker).await).await?)
    }

    async fn due(&self, lane: Lane, limit: u32) -> Result<u32, Error> {
        let now_ms = self.clock.now_ms();
        Ok(self.pool.read(async |conn| due::count(conn, &self.scheduler, lane, now_ms, limit).await).await?)
    }

    async fn claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error> {
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
        let now_ms = self.clock.now_ms();
        let take = |meter: &mut Meter| meter.take(pace, wanted, now_ms);
        Ok(self.pool.read(async |conn| pace::change(conn, endpoint, take).await).await?)
    }

    async fn spend(&self, endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let spend = |meter: &mut Meter| meter.spend(pace, requests, tokens, now_ms);
        Ok(self.pool.read(async |conn| pace::change(conn, endpoint, spend).await).await?)
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
        let workers = self.pool.read(async |conn| read::every_worker(conn).await).await?;
        Ok(workers
            .into_iter()
            .filter(|worker| worker.id != *me)
            .map(|worker| lock::peer(&self.lock_dir, worker))
            .collect())
    }

    async fn recover(&self, lost: &LostWorker) -> Result<u64, Error> {
        let freed = self.writer.write(worker::Recover(lost.clone())).await?;
        lock::remove(&self.lock_dir, &lost.id);
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
        let name = &death.worker;
        for worker in self.pool.read(async |conn| read::incarnations(conn, name).await).await? {
            let Peer { id, expires_at_ms, busy_with, .. } = lock::peer(&self.lock_dir, worker);
            self.recover(&LostWorker { id, expires_at_ms, why: Lost::LockFree, busy_with }).await?;
        }
        self.writer.write(death::Judge(death.clone())).await
    }

    async fn prune(&self, prune: &Prune, after: RunId) -> Result<Pruned, Error> {
        let batch = self.pool.read(async |conn| prune::choose(conn, prune, after).await).await?;
        if prune.is_rehearsal || batch.runs.is_empty() {
            return Ok(batch.would_be());
        }
        Ok(self.pool.read(async |conn| prune::delete(conn, prune, after, &batch).await).await?)
    }

    async fn is_leaving(&self) -> Result<bool, Error> {
        Ok(self.pool.read(async |conn| moving::stage(conn).await).await?.is_some())
    }

    async fn check(&self) -> Result<Vec<Check>, Error> {
        self.examine(&Examination::default()).await
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }
}
