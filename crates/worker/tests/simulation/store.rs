//! The store as one process of a simulated world reaches it: the store in memory behind the process's seam, and beside
//! each write an eye that knows what it may change.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use piton_core::{Agent, AgentDigest, CallId, Command, Epoch, Event, Recorded, RunId, Status, WorkerId};
use piton_store::{
    Bell, Check, Claim, CommandError, Commit, CommitOutcome, Death, Error, Inbox, Lack, Lane, Launch,
    Launched, Lost, LostAttempt, LostWorker, Pace, Peer, Places, Prune, Pruned, QueueStats, Readiness,
    RunFilter, RunPage, RunRow, Standing, StepEnd, Store, Verdict, WorkerRow,
};
use piton_testkit::memory::{MemoryStore, Stored};

use crate::place::{Call, Place};

#[derive(Debug)]
pub(crate) struct SimulatedStore {
    place: Place,
    inner: MemoryStore,
    /// What [`WorkerMutant::NeverLooks`] goes by.
    known_versions: Mutex<BTreeMap<RunId, u64>>,
}

/// A worker that breaks a promise, as far as that can be had by telling it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerMutant {
    /// It begins a call that may be made again without a look at the run.
    NeverLooks,
    /// It begins one that may not without having announced it.
    AnnouncesNothing,
    /// It goes on before the result of such a call is on disk.
    KeepsResultsToItself,
    /// It goes on where another epoch owns the run.
    IgnoresFence,
    /// It goes on where a command came in between.
    IgnoresCommands,
    /// It does not notice that it was taken for dead.
    NoticesNoLapse,
}

impl WorkerMutant {
    pub(crate) const ALL: [Self; 6] = [
        Self::NeverLooks,
        Self::AnnouncesNothing,
        Self::KeepsResultsToItself,
        Self::IgnoresFence,
        Self::IgnoresCommands,
        Self::NoticesNoLapse,
    ];
}

const fn of(name: &'static str) -> Call {
    Call { name, run: None }
}

const fn on(name: &'static str, run: RunId) -> Call {
    Call { name, run: Some(run) }
}

impl SimulatedStore {
    pub(crate) fn new(place: &Place) -> Self {
        let inner = place.universe.memory.open(place.universe.clock.clone());
        Self { place: place.clone(), inner, known_versions: Mutex::default() }
    }

    fn is(&self, mutant: WorkerMutant) -> bool {
        self.place.universe.state().worker_mutant == Some(mutant)
    }

    /// What a mutant takes for the outcome of a commit, without or in spite of the store.
    async fn believed(&self, commit: &Commit) -> Option<CommitOutcome> {
        let mutant = self.place.universe.state().worker_mutant?;
        let is_believed = match mutant {
            WorkerMutant::AnnouncesNothing => matches!(commit.events.last(), Some(Event::ToolStarted { .. })),
            WorkerMutant::KeepsResultsToItself => {
                matches!(commit.end, StepEnd::GoesOn | StepEnd::Progress)
                    && matches!(commit.events.last(), Some(Event::ToolReturned { .. }))
            }
            WorkerMutant::IgnoresFence | WorkerMutant::IgnoresCommands => {
                match self.inner.commit(commit.clone()).await.ok()? {
                    CommitOutcome::Fenced => mutant == WorkerMutant::IgnoresFence,
                    CommitOutcome::Behind { .. } => mutant == WorkerMutant::IgnoresCommands,
                    // It stands by now, and is recognised when it is made once more.
                    CommitOutcome::Committed { .. } => false,
                }
            }
            WorkerMutant::NeverLooks => {
                self.known_versions().insert(commit.run, commit.after.version);
                false
            }
            WorkerMutant::NoticesNoLapse => false,
        };
        let kept = matches!(commit.end, StepEnd::GoesOn | StepEnd::Progress);
        is_believed.then_some(CommitOutcome::Committed { version: commit.after.version, kept })
    }

    fn known_versions(&self) -> MutexGuard<'_, BTreeMap<RunId, u64>> {
        self.known_versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored<T>(&self, run: RunId, look: impl FnOnce(&Stored) -> T) -> Option<T> {
        self.place.universe.memory.look(|tables| tables.runs.get(&run).map(|stored| look(stored)))
    }

    /// Only the owner writes, under its epoch, on the version that it saw, and each commit once.
    async fn judged_commit(&self, commit: Commit) -> Result<CommitOutcome, Error> {
        let before = self.stored(commit.run, Stored::clone);
        let kinds: Vec<&str> = commit.events.iter().map(Event::kind).collect();
        let end = commit.end;
        let fence = (commit.run, commit.worker.clone(), commit.epoch, commit.ordinal, commit.base);
        let outcome = self.inner.commit(commit).await;
        let (run, worker, epoch, ordinal, base) = fence;
        let after = self.stored(run, |stored| (stored.key, stored.row.run.version, stored.row.owner.clone()));
        if let (Some(before), Some(after)) = (before, after) {
            let mut state = self.place.universe.state();
            state.note("committed", &[after.1], || {
                format!("  {end:?} {ordinal} on {base} {kinds:?}: {outcome:.60?}")
            });
            state.count(match &outcome {
                Ok(CommitOutcome::Committed { .. }) if before.key >= (epoch, ordinal) => "commit: stood",
                Ok(CommitOutcome::Committed { .. }) => "commit: written",
                Ok(CommitOutcome::Behind { .. }) => "commit: behind",
                Ok(CommitOutcome::Fenced) => "commit: fenced",
                Err(_) => "commit: failed",
            });
            drop(state);
            let was = (before.key, before.row.run.version, before.row.owner.clone());
            let may = before.row.owner.as_ref() == Some(&worker)
                && before.row.epoch == epoch
                && before.row.run.version == base
                && before.key < (epoch, ordinal);
            if was != after && !may {
                self.place.universe.must(Err(format!(
                    "{worker} wrote under epoch {epoch}, ordinal {ordinal}, on version {base}, where the run stood at \
                     {was:?} under epoch {}",
                    before.row.epoch
                )));
            }
        }
        outcome
    }

    async fn judged_claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error> {
        let before = self.place.universe.memory.look(Clone::clone);
        let claims = self.inner.claim(worker, lane, limit).await?;
        for claim in &claims {
            self.known_versions().insert(claim.run, claim.fold.version);
            let row = &before.runs[&claim.run].row;
            let is_free = row.owner.is_none() && row.epoch < claim.epoch;
            if !is_free || !before.workers.contains_key(worker) {
                self.place.universe.must(Err(format!(
                    "{worker} claimed a run of {:?} under epoch {}, and it stood at epoch {}",
                    row.owner, claim.epoch, row.epoch
                )));
            }
        }
        Ok(claims)
    }

    async fn judged_recovery(&self, lost: &LostWorker) -> Result<u64, Error> {
        let renewed = self.place.universe.memory.look(|tables| {
            tables.workers.get(&lost.id).is_some_and(|row| row.expires_at_ms != lost.expires_at_ms)
        });
        let freed = self.inner.recover(lost).await?;
        self.place.universe.state().count(match lost.why {
            Lost::LockFree => "recovered: lock free",
            Lost::LeaseLapsed => "recovered: lease lapsed",
        });
        let is_gone = self.place.universe.memory.look(|tables| !tables.workers.contains_key(&lost.id));
        if renewed && is_gone {
            self.place.universe.must(Err(format!("{} renewed its lease and was recovered", lost.id)));
        }
        Ok(freed)
    }
}

#[async_trait]
impl Store for SimulatedStore {
    async fn launch(&self, launch: Launch) -> Result<Launched, Error> {
        self.place.cross(on("launch", launch.run), self.inner.launch(launch)).await
    }

    async fn command(&self, run: RunId, command: Command) -> Result<RunRow, CommandError> {
        let carried_out = self.place.universe.carry_out(&self.inner, run, command);
        self.place.cross(on("command", run), carried_out).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        self.place.cross(on("run", run), self.inner.run(run)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunPage, Error> {
        self.place.cross(of("runs"), self.inner.runs(filter)).await
    }

    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Recorded>, Error> {
        self.place.cross(on("events", run), self.inner.events(run, after, limit)).await
    }

    async fn output(&self, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Error> {
        self.place.cross(on("output", run), self.inner.output(run, call, part)).await
    }

    async fn standings(&self, runs: &[RunId]) -> Result<Vec<Standing>, Error> {
        if self.is(WorkerMutant::NeverLooks) {
            let known = self.known_versions();
            let stood = |run: &RunId| {
                Some(Standing { run: *run, version: *known.get(run)?, status: Status::Running })
            };
            return Ok(runs.iter().filter_map(stood).collect());
        }
        let looked = async {
            if let [run] = runs
                && let Some(status) = self.stored(*run, |stored| stored.row.run.status)
            {
                self.place.inside().looks.entry(*run).or_default().push(status);
            }
            self.inner.standings(runs).await
        };
        let call = Call { name: "standings", run: runs.first().copied().filter(|_| runs.len() == 1) };
        self.place.cross(call, looked).await
    }

    async fn lost_attempts(&self, run: RunId) -> Result<Vec<LostAttempt>, Error> {
        self.place.cross(on("lost_attempts", run), self.inner.lost_attempts(run)).await
    }

    async fn still_acting(&self, run: RunId) -> Result<Option<WorkerId>, Error> {
        self.place.cross(on("still_acting", run), self.inner.still_acting(run)).await
    }

    async fn inbox(&self, limit: u32) -> Result<Inbox, Error> {
        self.place.cross(of("inbox"), self.inner.inbox(limit)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, Error> {
        self.place.cross(of("workers"), self.inner.workers()).await
    }

    async fn queue(&self) -> Result<QueueStats, Error> {
        self.place.cross(of("queue"), self.inner.queue()).await
    }

    async fn tally(&self, since_ms: i64, limit: u32) -> Result<Vec<piton_store::Tally>, Error> {
        self.place.cross(of("tally"), self.inner.tally(since_ms, limit)).await
    }

    async fn readiness(&self) -> Readiness {
        self.inner.readiness().await
    }

    async fn agent(&self, digest: &AgentDigest) -> Result<Option<Agent>, Error> {
        self.place.cross(of("agent"), self.inner.agent(digest)).await
    }

    async fn register(&self, worker: &WorkerRow) -> Result<(), Error> {
        // The lock that dies with a worker is taken before it registers; that of the one before it is gone by then.
        self.place.alive().await;
        let before = self.place.inside().incarnation.replace(worker.id.clone());
        {
            let mut state = self.place.universe.state();
            if let Some(before) = before.filter(|before| *before != worker.id) {
                state.count("lease lost");
                state.living.remove(&before);
                self.place.universe.memory.unlock(&before);
            }
            state.living.insert(worker.id.clone());
            if state.has_locks {
                self.place.universe.memory.lock(&worker.id);
            }
        }
        self.place.cross(of("register"), self.inner.register(worker)).await
    }

    async fn renew(&self, worker: &WorkerId, expires_at_ms: i64) -> Result<bool, Error> {
        let renewed = self.place.cross(of("renew"), self.inner.renew(worker, expires_at_ms)).await;
        if self.is(WorkerMutant::NoticesNoLapse) { Ok(true) } else { renewed }
    }

    async fn drain(&self, worker: &WorkerId) -> Result<bool, Error> {
        self.inner.drain(worker).await
    }

    async fn is_draining(&self, worker: &WorkerId) -> Result<bool, Error> {
        self.inner.is_draining(worker).await
    }

    async fn due(&self, lane: Lane, limit: u32) -> Result<u32, Error> {
        self.place.cross(of("due"), self.inner.due(lane, limit)).await
    }

    async fn claim(&self, worker: &WorkerId, lane: Lane, limit: u32) -> Result<Vec<Claim>, Error> {
        self.place.cross(of("claim"), self.judged_claim(worker, lane, limit)).await
    }

    async fn commit(&self, commit: Commit) -> Result<CommitOutcome, Error> {
        let run = commit.run;
        // What is only for watchers need not survive a loss of power.
        let may_be_lost = commit.end == StepEnd::Progress;
        if let Some(outcome) = self.believed(&commit).await {
            return Ok(outcome);
        }
        let outcome = self.place.cross(on("commit", run), self.judged_commit(commit)).await;
        if let Ok(CommitOutcome::Committed { version, .. }) = outcome
            && !may_be_lost
        {
            self.place.universe.state().oracle.acknowledged(run, version);
        }
        outcome
    }

    async fn take_places(&self, endpoint: &str, pace: Pace, wanted: u32) -> Result<Places, Error> {
        self.inner.take_places(endpoint, pace, wanted).await
    }

    async fn spend(&self, endpoint: &str, pace: Pace, requests: u32, tokens: u64) -> Result<(), Error> {
        self.inner.spend(endpoint, pace, requests, tokens).await
    }

    async fn lacks(&self, worker: &WorkerId, lack: &Lack) -> Result<(), Error> {
        self.inner.lacks(worker, lack).await
    }

    fn hold_off(&self, agent: &str, until_ms: i64) {
        self.inner.hold_off(agent, until_ms);
    }

    async fn hand_back(
        &self,
        run: RunId,
        worker: &WorkerId,
        epoch: Epoch,
        due_at_ms: i64,
    ) -> Result<(), Error> {
        self.place.cross(on("hand_back", run), self.inner.hand_back(run, worker, epoch, due_at_ms)).await
    }

    async fn hand_back_all_but(&self, worker: &WorkerId, held: &[(RunId, Epoch)]) -> Result<u64, Error> {
        self.place.cross(of("hand_back_all_but"), self.inner.hand_back_all_but(worker, held)).await
    }

    async fn peers(&self, me: &WorkerId) -> Result<Vec<Peer>, Error> {
        self.place.cross(of("peers"), self.inner.peers(me)).await
    }

    async fn recover(&self, lost: &LostWorker) -> Result<u64, Error> {
        self.place.cross(of("recover"), self.judged_recovery(lost)).await
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), Error> {
        let retired = self.place.cross(of("retire"), self.inner.retire(worker)).await;
        self.place.universe.memory.unlock(worker);
        self.place.universe.state().living.remove(worker);
        retired
    }

    async fn sweep(&self) -> Result<u64, Error> {
        self.place.cross(of("sweep"), self.inner.sweep()).await
    }

    async fn clock_set_back(&self) -> Result<u64, Error> {
        self.place.cross(of("clock_set_back"), self.inner.clock_set_back()).await
    }

    async fn prune(&self, prune: &Prune, after: RunId) -> Result<Pruned, Error> {
        self.place.cross(of("prune"), self.inner.prune(prune, after)).await
    }

    async fn died(&self, death: &Death) -> Result<Vec<Verdict>, Error> {
        self.place.cross(of("died"), self.inner.died(death)).await
    }

    async fn check(&self) -> Result<Vec<Check>, Error> {
        self.place.cross(of("check"), self.inner.check()).await
    }

    fn bell(&self) -> &Bell {
        self.inner.bell()
    }
}
