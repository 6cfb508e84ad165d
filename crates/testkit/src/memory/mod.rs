//! The store in memory, for simulations, and beside the SQL its specification: each promise of
//! [`Store`] in as few words as it takes. The conformance suite holds both to the same.
//!
//! [`Memory`] is what outlives every process: the database, as the disk has it and as it is seen, and the locks of
//! the living. [`MemoryStore`] is one process's way to it.

mod check;
mod mutant;
mod prune;
mod step;
mod tables;
mod workers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use piton_core::{
    Agent, AgentDigest, CallId, Command, Decision, Epoch, REDUCER, Recorded, Refusal, Run, RunId, WorkerId,
};
use piton_store::{
    Bell, Check, Claim, Clock, CommandError, Commit, CommitOutcome, Death, Error, Inbox, InboxItem, JobsOf,
    Lack, Lane, Launch, Launched, Lost, LostAttempt, LostWorker, Needs, Pace, Peer, PeerLock, Places, Prune,
    Pruned, QueueStats, Readiness, RunFilter, RunPage, RunRow, Scheduling, Standing, StepEnd, Store, Tally,
    Turns, Verdict, WorkerRow,
};

pub use mutant::Mutant;
use tables::Written;
pub use tables::{Job, Stored, Tables};

/// Rows of one page.
const PAGE_MAX: usize = 1000;
/// How long a worker whose lease lapsed is still listed.
const LAPSED_SHOWN_MS: i64 = 60_000;
/// Bytes of one part of an output.
pub(super) const OUTPUT_PART_BYTES: usize = 256 * 1024;
/// Writes that the disk need not have yet. The oldest is taken as written when there are more.
const UNSYNCED_MAX: usize = 64;

/// A database in memory. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// The database after each write since the last one that was synced: the first is on disk, the last is what
    /// everybody sees.
    history: Vec<Tables>,
    locks: BTreeMap<WorkerId, WorkerLock>,
    bells: Vec<Bell>,
    hushed: bool,
}

/// The lock that dies with a worker.
#[derive(Debug, Clone)]
enum WorkerLock {
    Held,
    /// What the worker was polling when it died.
    Free(Vec<RunId>),
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Memory {
    /// An empty database, or one that breaks a promise.
    pub fn new(mutant: Option<Mutant>) -> Self {
        let tables = Tables { mutant, ..Tables::default() };
        let inner = Inner { history: vec![tables], locks: BTreeMap::new(), bells: Vec::new(), hushed: false };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// One process's way to the database, with a bell of its own.
    pub fn open(&self, clock: Clock) -> MemoryStore {
        let bell = Bell::unconnected();
        self.inner().bells.push(bell.clone());
        MemoryStore {
            memory: self.clone(),
            clock,
            bell,
            scheduling: Scheduling::default(),
            turns: Mutex::default(),
        }
    }

    /// What everybody sees.
    pub fn look<T>(&self, at: impl FnOnce(&Tables) -> T) -> T {
        at(self.inner().visible())
    }

    /// Changes the database behind everybody's back. Not synced to disk.
    pub fn tamper(&self, change: impl FnOnce(&mut Tables)) {
        self.write(false, |tables| (change(tables), None));
    }

    /// Takes the lock that dies with `worker`.
    pub fn lock(&self, worker: &WorkerId) {
        self.inner().locks.insert(worker.clone(), WorkerLock::Held);
    }

    /// `worker` ends in good order.
    pub fn unlock(&self, worker: &WorkerId) {
        self.inner().locks.remove(worker);
    }

    /// `worker`'s process is gone, and was polling these runs.
    pub fn die(&self, worker: &WorkerId, busy_with: Vec<RunId>) {
        self.inner().locks.insert(worker.clone(), WorkerLock::Free(busy_with));
    }

    /// How many writes the disk need not have yet.
    pub fn unsynced(&self) -> usize {
        self.inner().history.len() - 1
    }

    /// The power goes. Of the writes that were not synced the first `kept` are on disk all the same.
    pub fn lose_power(&self, kept: usize) {
        let mut inner = self.inner();
        inner.history.truncate(kept + 1);
        let survivor = inner.visible().clone();
        inner.history = vec![survivor];
    }

    /// While hushed, nobody hears the bell.
    pub fn hush(&self, hushed: bool) {
        self.inner().hushed = hushed;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_of(&self, worker: &WorkerId) -> (PeerLock, Vec<RunId>) {
        match self.inner().locks.get(worker) {
            Some(WorkerLock::Held) => (PeerLock::Held, Vec::new()),
            Some(WorkerLock::Free(busy_with)) => (PeerLock::Free, busy_with.clone()),
            None => (PeerLock::Unknown, Vec::new()),
        }
    }

    fn write<T>(&self, synced: bool, transaction: impl FnOnce(&mut Tables) -> Written<T>) -> T {
        let (out, ring, bells) = {
            let mut inner = self.inner();
            let mut tables = inner.visible().clone();
            let (out, ring) = transaction(&mut tables);
            let synced = synced && !tables.is(Mutant::AcknowledgedUnsynced);
            // A synced write that changes nothing waits for no disk.
            if synced && ring.is_some() {
                inner.history.clear();
            } else if inner.history.len() > UNSYNCED_MAX {
                inner.history.remove(0);
            }
            inner.history.push(tables);
            (out, ring, if inner.hushed { Vec::new() } else { inner.bells.clone() })
        };
        if let Some(ring) = ring {
            bells.iter().for_each(|bell| bell.ring(ring));
        }
        out
    }
}

impl Inner {
    fn visible(&self) -> &Tables {
        self.history.last().unwrap_or_else(|| unreachable!("the last write is always kept"))
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemoryStore {
    memory: Memory,
    clock: Clock,
    bell: Bell,
    scheduling: Scheduling,
    turns: Mutex<Turns>,
}

impl MemoryStore {
    /// The same, for workers of this scheduling.
    #[must_use]
    pub fn scheduled(self, scheduling: Scheduling) -> Self {
        Self { scheduling, ..self }
    }

    fn synced<T>(&self, transaction: impl FnOnce(&mut Tables, i64) -> Written<T>) -> T {
        let now_ms = self.clock.now_ms();
        self.memory.write(true, |tables| transaction(tables, now_ms))
    }

    /// What need not survive a loss of power.
    fn unsynced<T>(&self, transaction: impl FnOnce(&mut Tables, i64) -> Written<T>) -> T {
        let now_ms = self.clock.now_ms();
        self.memory.write(false, |tables| transaction(tables, now_ms))
    }

    fn read<T>(&self, of: impl FnOnce(&Tables) -> T) -> Result<T, Error> {
        Ok(self.memory.look(of))
    }

    fn peer(&self, worker: &WorkerRow) -> Peer {
        let (lock, busy_with) = self.memory.lock_of(&worker.id);
        Peer {
            id: worker.id.clone(),
            expires_at_ms: worker.expires_at_ms,
            lease_ms: worker.lease_ms,
            lock,
            busy_with,
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn launch(&self, launch: Launch) -> Result<Launched, Error> {
        self.synced(|tables, now_ms| tables.launch(&launch, now_ms))
    }

    async fn command(&self, run: RunId, command: Command) -> Result<RunRow, CommandError> {
        if matches!(command, Command::Decide { decision: Decision::DidNotHappen, .. })
            && let Some(worker) = self.still_acting(run).await?
        {
            return Err(Refusal::StillActing { worker }.into());
        }
        self.synced(|tables, now_ms| tables.command(run, &command, now_ms))
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        self.read(|tables| tables.runs.get(&run).map(|stored| stored.row.clone()))
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, Error> {
        let limit = (filter.limit as usize).clamp(1, PAGE_MAX);
        let mut runs: Vec<RunRow> = self.read(|tables| {
            let newest_first = tables.runs.values().rev().map(|stored| &stored.row);
            newest_first.filter(|row| is_wanted(row, filter)).take(limit + 1).cloned().collect()
        })?;
        let more = runs.len() > limit;
        runs.truncate(limit);
        let next = runs.last().map(|row| row.id).filter(|_| more);
        Ok(RunPage { runs, unreadable: Vec::new(), next })
    }

    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error> {
        self.read(|tables| {
            let events = tables.runs.get(&run).map(|stored| stored.events.as_slice()).unwrap_or_default();
            let later = events.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
            later.take(limit as usize).map(|recorded| Recorded::clone(recorded)).collect()
        })
    }

    async fn output(&self, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error> {
        self.read(|tables| {
            let mut text = &**tables.runs.get(&run)?.outputs.get(&call)?;
            for _ in 0..part {
                text = text.split_at(text.floor_char_boundary(OUTPUT_PART_BYTES)).1;
            }
            let part = &text[..text.floor_char_boundary(OUTPUT_PART_BYTES)];
            (!part.is_empty()).then(|| part.to_owned())
        })
    }

    async fn standings(&self, runs: &[RunId]) -> Result<Vec<Standing>, Error> {
        self.read(|tables| {
            let known = runs.iter().filter_map(|run| {
                let Run { version, status, .. } = tables.runs.get(run)?.row.run;
                Some(Standing { run: *run, version, status })
            });
            known.collect()
        })
    }

    async fn lost_attempts(&self, run: RunId) -> Result<Vec<LostAttempt>, Error> {
        self.read(|tables| tables.runs.get(&run).map(|stored| stored.lost.clone()).unwrap_or_default())
    }

    async fn still_acting(&self, run: RunId) -> Result<Option<WorkerId>, Error> {
        let lost_it = self.read(|tables| {
            let row = &tables.runs.get(&run)?.row;
            let began = row.run.front()?.started.clone()?;
            let lost_it = began.epoch < row.epoch && !tables.is(Mutant::StillActingAllowed);
            Some(began.worker).filter(|_| lost_it)
        })?;
        Ok(lost_it.filter(|worker| self.memory.lock_of(worker).0 == PeerLock::Held))
    }

    async fn inbox(&self, limit: u32) -> Result<Inbox, Error> {
        self.read(|tables| {
            let mut items: Vec<InboxItem> =
                tables.runs.values().filter_map(|stored| asks(&stored.row)).collect();
            items.sort_by_key(|item| item.asked_at_ms);
            items.truncate((limit as usize).min(PAGE_MAX));
            Inbox { items, unreadable: Vec::new() }
        })
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, Error> {
        let since_ms = self.clock.now_ms() - LAPSED_SHOWN_MS;
        self.read(|tables| {
            let listed = tables.workers.values().filter(|worker| worker.expires_at_ms > since_ms);
            let counted = listed.map(|worker| WorkerRow {
                runs: u32::try_from(tables.owned_by(&worker.id).len()).unwrap_or(u32::MAX),
                ..worker.clone()
            });
            let mut workers: Vec<WorkerRow> = counted.collect();
            workers.sort_by(|a, b| (a.started_at_ms, &a.id).cmp(&(b.started_at_ms, &b.id)));
            workers
        })
    }

    async fn queue(&self) -> Result<QueueStats, Error> {
        let now_ms = self.clock.now_ms();
        self.read(|tables| {
            let jobs = tables.jobs.iter().filter_map(|(run, job)| {
                let row = &tables.runs.get(run)?.row;
                let is_due = job.due_at_ms <= now_ms;
                Some(JobsOf {
                    agent: &row.agent_name,
                    needs: Needs { reducer: REDUCER, digest: row.run.agent.as_str() },
                    due: u64::from(is_due),
                    later: u64::from(!is_due),
                    oldest_at_ms: job.due_at_ms,
                })
            });
            let owned = tables.runs.values().filter(|stored| stored.row.owner.is_some()).count() as u64;
            let workers: Vec<WorkerRow> = tables.workers.values().cloned().collect();
            QueueStats::of(jobs, owned, &workers, now_ms)
        })
    }

    async fn tally(&self, since_ms: i64, limit: u32) -> Result<Vec<Tally>, Error> {
        self.read(|tables| {
            let newest_first = tables.runs.values().rev().map(|stored| &stored.row);
            let mut counted: BTreeMap<(&str, Option<i64>), Tally> = BTreeMap::new();
            let after = Tally::ids_after(since_ms);
            for row in newest_first.filter(|row| row.id.to_string() > after).take(limit as usize) {
                let status = row.run.status;
                let finished_at_ms = row.finished_at_ms.map(|at_ms| at_ms / 60_000 * 60_000);
                let tally = Tally { status, finished_at_ms, runs: 0 };
                counted.entry((status.as_str(), finished_at_ms)).or_insert(tally).runs += 1;
            }
            counted.into_values().collect()
        })
    }

    async fn readiness(&self) -> Readiness {
        Readiness {
            trouble: None,
            engine: "memory",
            engine_version: String::new(),
            synchronous: "full",
            schema: 0,
        }
    }

    async fn agent(&self, digest: &AgentDigest) -> Result<Option<Agent>, Error> {
        self.read(|tables| tables.agents.get(digest).map(|agent| Agent::clone(agent)))
    }

    async fn register(&self, worker: &WorkerRow) -> Result<(), Error> {
        let lacks = self.turns.lock().unwrap_or_else(PoisonError::into_inner).lacks().to_vec();
        self.unsynced(|tables, _| tables.register(&WorkerRow { lacks, ..worker.clone() }));
        Ok(())
    }

    async fn renew(&self, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error> {
        Ok(self.unsynced(|tables, _| tables.renew(worker, expires_at_ms)))
    }

    async fn drain(&self, worker: &WorkerId) -> Result<bool, Error> {
        Ok(self.synced(|tables, _| tables.drain(worker)))
    }

    async fn is_draining(&self, worker: &WorkerId) -> Result<bool, Error> {
        self.read(|tables| tables.workers.get(worker).is_some_and(|worker| worker.draining))
    }

    async fn due(&self, lane: Lane, limit: u32) -> Result<u32, Error> {
        let now_ms = self.clock.now_ms();
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.read(|tables| {
            let due = tables.due(lane, now_ms, &self.scheduling.only).into_iter();
            due.filter(|due| lane == Lane::Apart || !turns.holds_off(&due.agent, now_ms))
                .filter(|due| !turns.lacks_for(&due.digest))
                .count()
        })?;
        Ok(u32::try_from(due).unwrap_or(u32::MAX).min(limit))
    }

    async fn claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.unsynced(|tables, now_ms| {
            let mut due = tables.due(lane, now_ms, &self.scheduling.only);
            due.retain(|due| lane == Lane::Apart || !turns.holds_off(&due.agent, now_ms));
            let chosen = self.scheduling.choose(&turns, due, tables.held(), limit);
            let written = tables.claim(worker, &chosen);
            if !written.0.is_empty() {
                chosen.iter().for_each(|due| turns.take(&due.tenant, &self.scheduling));
            }
            written
        }))
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, Error> {
        Ok(match commit.end {
            StepEnd::Progress => {
                self.unsynced(|tables, now_ms| tables.commit(&commit, &self.scheduling, now_ms))
            }
            _ => self.synced(|tables, now_ms| tables.commit(&commit, &self.scheduling, now_ms)),
        })
    }

    async fn take_places(&self, endpoint: &str, pace: Pace, wanted: u32) -> Result<Places, Error> {
        Ok(self.unsynced(|tables, now_ms| (tables.meter(endpoint).take(pace, wanted, now_ms), None)))
    }

    async fn spend(&self, endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error> {
        self.unsynced(|tables, now_ms| (tables.meter(endpoint).spend(pace, requests, tokens, now_ms), None));
        Ok(())
    }

    fn hold_off(&self, agent: &str, until_ms: i64) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).hold_off(agent, until_ms);
    }

    async fn lacks(&self, worker: &WorkerId, lack: &Lack) -> Result<(), Error> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.lack(lack);
        self.unsynced(|tables, _| {
            if let Some(worker) = tables.workers.get_mut(worker) {
                worker.lacks = turns.lacks().to_vec();
            }
            ((), None)
        });
        Ok(())
    }

    async fn hand_back(
        &self,
        run: RunId,
        worker: &WorkerId,
        epoch: Epoch,
        due_at_ms: i64,
    ) -> Result<(), Error> {
        self.unsynced(|tables, now_ms| tables.hand_back(run, worker, epoch, due_at_ms.min(now_ms)));
        Ok(())
    }

    async fn hand_back_all_but(&self, worker: &WorkerId, held: &[(RunId, Epoch)]) -> Result<u64, Error> {
        Ok(self.unsynced(|tables, now_ms| tables.hand_back_all_but(worker, held, now_ms)))
    }

    async fn peers(&self, me: &WorkerId) -> Result<Vec<Peer>, Error> {
        let others = self.read(|tables| {
            tables.workers.values().filter(|worker| worker.id != *me).cloned().collect::<Vec<_>>()
        })?;
        Ok(others.iter().map(|worker| self.peer(worker)).collect())
    }

    async fn recover(&self, lost: &LostWorker) -> Result<u64, Error> {
        let freed = self.unsynced(|tables, now_ms| tables.recover(lost, now_ms));
        let mut inner = self.memory.inner();
        if matches!(inner.locks.get(&lost.id), Some(WorkerLock::Free(_))) {
            inner.locks.remove(&lost.id);
        }
        Ok(freed)
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), Error> {
        self.unsynced(|tables, now_ms| tables.retire(worker, now_ms));
        Ok(())
    }

    async fn sweep(&self) -> Result<u64, Error> {
        Ok(self.unsynced(Tables::sweep))
    }

    async fn clock_set_back(&self) -> Result<u64, Error> {
        Ok(self.unsynced(Tables::clock_set_back))
    }

    async fn prune(&self, prune: &Prune, after: RunId) -> Result<Pruned, Error> {
        if prune.is_rehearsal {
            return self.read(|tables| tables.prunable(prune, after).would_be());
        }
        Ok(self.synced(|tables, _| tables.prune(prune, after)))
    }

    async fn died(&self, death: &Death) -> Result<Vec<Verdict>, Error> {
        let dead = self.read(|tables| {
            let incarnations = tables.workers.values();
            incarnations
                .filter(|worker| workers::is_incarnation(&worker.id, &death.worker))
                .cloned()
                .collect::<Vec<_>>()
        })?;
        for worker in dead {
            let Peer { id, expires_at_ms, busy_with, .. } = self.peer(&worker);
            self.recover(&LostWorker { id, expires_at_ms, why: Lost::LockFree, busy_with }).await?;
        }
        Ok(self.synced(|tables, now_ms| tables.judge(death, now_ms)))
    }

    async fn check(&self) -> Result<Vec<Check>, Error> {
        let now_ms = self.clock.now_ms();
        self.read(|tables| tables.check(now_ms))
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }
}

fn is_wanted(row: &RunRow, filter: &RunFilter) -> bool {
    let found = |search: &String| {
        let id_begin = search.replace(['%', '_'], "").to_lowercase();
        row.task.to_lowercase().contains(&search.to_lowercase()) || row.id.to_string().starts_with(&id_begin)
    };
    (filter.statuses.is_empty() || filter.statuses.contains(&row.run.status))
        && filter.search.as_ref().is_none_or(found)
        && filter.agent.as_ref().is_none_or(|agent| *agent == row.agent_name)
        && filter.tenant.as_ref().is_none_or(|tenant| *tenant == row.tenant)
        && filter.owner.as_ref().is_none_or(|owner| row.owner.as_ref() == Some(owner))
        && filter.labels.iter().all(|(key, value)| row.labels.get(key) == Some(value))
        && filter.before.is_none_or(|before| row.id < before)
}

fn asks(row: &RunRow) -> Option<InboxItem> {
    let interrupt = row.run.interrupt.clone()?;
    Some(InboxItem {
        run: row.id,
        agent_name: row.agent_name.clone(),
        task: row.task.clone(),
        interrupt,
        pending: row.run.front().cloned(),
        asked_at_ms: row.updated_at_ms,
    })
}
