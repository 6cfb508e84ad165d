//! One step of one run: what is owed is asked of the reducer, carried out, and committed.
//!
//! The step works on its own fold of the run. Whatever it finds out is appended there first and committed later;
//! when a command came in between, the facts are merged into the newer run and the reducer is asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use piton_core::{
    Agent, Context, Epoch, Event, IllegalEvent, Next, Run, RunId, Status, WorkerId, merge, next,
};
use piton_queue::Job;
use piton_store::{
    Claim, Clock, Commit, CommitOutcome, Error as StoreError, FullOutput, JobKind, Lack, Slots, StepEnd,
    Store,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::cache::Caches;
use crate::deps::{Model, Tools};
use crate::overrun::Polls;
use crate::pace::Pacer;
use crate::watch::Watch;

/// Between two tries to commit while the database does not answer, at first and at most.
const COMMIT_WAIT: Duration = Duration::from_millis(20);
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(1);
/// For so long a run keeps its slot, whoever waits: to give way after every short step would write it to the disk twice as often.
const SLICE: Duration = Duration::from_millis(100);
/// A step that took this long waits for others to commit with: a part of its own time, and no longer than that.
const PATIENT_FROM: Duration = Duration::from_millis(20);
const PATIENCE_PART: u32 = 25;
const PATIENCE_MAX: Duration = Duration::from_millis(20);

/// What every step of an incarnation shares.
#[derive(Debug)]
pub(crate) struct Advance {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) tools: Arc<dyn Tools>,
    pub(crate) clock: Clock,
    pub(crate) worker: WorkerId,
    pub(crate) caches: Arc<Caches>,
    pub(crate) pacer: Arc<Pacer>,
    /// Which run each thread is busy with, for whoever finds this process dead. Threads that go idle say so themselves.
    pub(crate) slots: Option<Slots>,
    pub(crate) watch: Watch,
    /// Nothing new is begun.
    pub(crate) stopping: CancellationToken,
    /// Model calls under way are dropped.
    pub(crate) drop_calls: CancellationToken,
    /// The lease is gone: nothing is written.
    pub(crate) lost: CancellationToken,
    pub(crate) step_timeout: Duration,
    pub(crate) polls: Polls,
    /// Jobs under way.
    pub(crate) under_way: AtomicUsize,
}

/// Why a step ends without its commit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    #[error("another epoch owns the run")]
    Fenced,
    #[error("the lease is lost")]
    LeaseLost,
    #[error("the worker stops")]
    Stopping,
    #[error("the model may not be called now")]
    Paced {
        /// UTC milliseconds.
        not_before_ms: i64,
    },
    #[error("this worker lacks {0}, which the run's agent needs")]
    Lacks(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    #[error("the agent's definition {0} is not in the database")]
    NoAgent(String),
}

/// How a step that was committed ended, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The worker keeps the run for its next step.
    Kept,
    /// The run has a job again, or rests.
    Released,
}

impl Advance {
    /// Advances the job's run, for as many steps as it is kept. Of every poll it is known which run it is of. Never fails:
    /// what goes wrong is recorded, handed back or fenced.
    pub(crate) async fn job(&self, job: Job) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let first = job.claim.clone();
        let run = first.run;
        let span = tracing::info_span!(
            "step",
            %run,
            job = first.kind.as_str(),
            epoch = first.epoch.0,
            worker = %self.worker,
        );
        let steps = async {
            let slice_ends = Instant::now() + SLICE;
            let mut next = Some(first);
            while let Some(claim) = next {
                next = self.step(claim, slice_ends).await;
            }
        };
        let mut steps = std::pin::pin!(steps.instrument(span));
        std::future::poll_fn(|cx| {
            self.polls.enter();
            if let Some(slots) = &self.slots {
                slots.enter(run);
            }
            let polled = steps.as_mut().poll(cx);
            self.polls.leave();
            polled
        })
        .await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    async fn step(&self, claim: Claim, slice_ends: Instant) -> Option<Claim> {
        let (run, epoch, attempt, due_at_ms) = (claim.run, claim.epoch, claim.attempt, claim.due_at_ms);
        let mut step = Step::new(self, claim, slice_ends);
        let caught = std::panic::AssertUnwindSafe(step.advance()).catch_unwind();
        let result = tokio::time::timeout(self.step_timeout, caught).await;
        let took_ms = u64::try_from(step.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(Ok(Ok(ended))) => {
                tracing::debug!(attempt, took_ms, steps = step.run.steps, status = %step.run.status, outcome = ?ended, "step done");
                return (ended == Ended::Kept).then(|| step.next_claim());
            }
            Ok(Ok(Err(why @ (Interrupted::Fenced | Interrupted::LeaseLost)))) => {
                tracing::warn!(attempt, took_ms, %why, "step dropped");
                return None;
            }
            Ok(Ok(Err(Interrupted::Stopping))) => {
                tracing::info!(attempt, took_ms, "step handed back");
                if step.commit(StepEnd::GiveBack).await.is_ok() {
                    return None;
                }
            }
            Ok(Ok(Err(Interrupted::Paced { not_before_ms }))) => {
                let wait_ms = not_before_ms - self.clock.now_ms();
                tracing::debug!(
                    attempt,
                    took_ms,
                    wait_ms,
                    "step handed back: the model may not be called yet"
                );
                if let Some(agent) = step.agent_name() {
                    self.store.hold_off(agent, not_before_ms);
                }
                if step.has_moved() && step.commit(StepEnd::GiveBack).await.is_ok() {
                    return None;
                }
            }
            Ok(Ok(Err(Interrupted::Lacks(what)))) => {
                tracing::warn!(attempt, took_ms, what, "run left alone: it waits for a worker that has this");
                let lack = Lack { digest: step.run.agent.clone(), what };
                if let Err(error) = self.store.lacks(&self.worker, &lack).await {
                    tracing::debug!(%error, "the others cannot be told yet what is lacking");
                }
            }
            Ok(Ok(Err(Interrupted::Store(error)))) => {
                // Nothing wrong with the run: it goes back and is tried again.
                tracing::warn!(attempt, took_ms, %error, "step handed back: trouble with the database");
            }
            Ok(Ok(Err(why @ (Interrupted::Illegal(_) | Interrupted::NoAgent(_))))) => {
                tracing::error!(attempt, took_ms, %why, "step failed");
                if step.fail(format!("Piton could not go on with this run: {why}")).await {
                    return None;
                }
            }
            Ok(Err(_)) => {
                tracing::error!(attempt, took_ms, "step failed: a fault in Piton itself");
                let error = "Piton failed at this step: a fault of its own, see the worker's log".to_owned();
                if step.fail(error).await {
                    return None;
                }
            }
            Err(_) => {
                tracing::error!(attempt, took_ms, "step failed: over its time limit");
                let limit_ms = self.step_timeout.as_millis();
                if step.fail(format!("the step took longer than its limit of {limit_ms} ms")).await {
                    return None;
                }
            }
        }
        self.hand_back(run, epoch, due_at_ms).await;
        None
    }

    /// Gives a run back unadvanced. While the database does not answer it is tried again: a run that is not given back
    /// is nobody else's for as long as this worker lives.
    async fn hand_back(&self, run: RunId, epoch: Epoch, due_at_ms: i64) {
        let mut wait = COMMIT_WAIT;
        while !self.lost.is_cancelled() {
            let Err(error) = self.store.hand_back(run, &self.worker, epoch, due_at_ms).await else { return };
            tracing::debug!(%run, %error, "a hand-back waits for the database");
            tokio::select! {
                biased;
                () = self.lost.cancelled() => {}
                // Whatever is still held goes back when the worker retires.
                () = self.drop_calls.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(COMMIT_WAIT_MAX),
            }
        }
    }
}

/// A step under way.
pub(crate) struct Step<'a> {
    pub(crate) shared: &'a Advance,
    pub(crate) id: RunId,
    pub(crate) claim: Claim,
    /// The run with everything this step found out.
    pub(crate) run: Run,
    /// The version that is on disk, and what is not yet.
    base: u64,
    uncommitted: Vec<Event>,
    /// What was cut of the uncommitted ones.
    pub(crate) outputs: Vec<FullOutput>,
    ordinal: u32,
    begun: Instant,
    /// From when on the run gives way to others at a step's end.
    slice_ends: Instant,
    /// Up to date with `run`, or not loaded.
    context: Option<Context>,
    /// Once it is loaded.
    agent: Option<SharedAgent>,
}

impl<'a> Step<'a> {
    fn new(shared: &'a Advance, claim: Claim, slice_ends: Instant) -> Self {
        Self {
            shared,
            id: claim.run,
            run: claim.fold.clone(),
            base: claim.fold.version,
            uncommitted: Vec::new(),
            outputs: Vec::new(),
            ordinal: claim.ordinal,
            begun: Instant::now(),
            slice_ends,
            context: None,
            agent: None,
            claim,
        }
    }

    async fn advance(&mut self) -> Result<Ended, Interrupted> {
        let shared = self.shared;
        let agent = match shared.caches.agent(shared.store.as_ref(), &self.run.agent).await {
            Ok(Some(agent)) => agent,
            Ok(None) => return Err(Interrupted::NoAgent(self.run.agent.to_string())),
            // Another version wrote it, and knows it.
            Err(StoreError::Corrupt(why)) => {
                tracing::warn!(why, "an agent's definition cannot be read");
                return Err(Interrupted::Lacks("a version of Piton that can read its definition".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(lacking) = agent.tools.iter().find(|spec| !shared.tools.has(spec)) {
            return Err(Interrupted::Lacks(format!("the tool {}", lacking.name)));
        }
        self.agent = Some(Arc::clone(&agent));
        let mut asked = false;
        loop {
            if shared.lost.is_cancelled() {
                return Err(Interrupted::LeaseLost);
            }
            match next(&self.run, self.claim.epoch) {
                Next::Record(event) => self.record(event)?,
                Next::CallTool(_) | Next::CallModel if asked => break,
                Next::CallTool(_) | Next::CallModel if shared.stopping.is_cancelled() => {
                    return Err(Interrupted::Stopping);
                }
                Next::CallTool(call) => self.call_tool(&agent, &call).await?,
                Next::CallModel => asked = self.call_model(&agent).await?,
                Next::Rest => break,
            }
        }
        // A call of this epoch that is still open is decided upon by the next.
        let end = if self.run.has_open_call() { StepEnd::GiveBack } else { StepEnd::Done };
        let kept = self.commit(end).await?;
        if let Some(context) = self.context.take()
            && !self.run.status.is_over()
        {
            shared.caches.keep(self.id, context);
        }
        Ok(if kept { Ended::Kept } else { Ended::Released })
    }

    /// Appends what was found out to this step's own fold; nothing is on disk yet.
    pub(crate) fn record(&mut self, event: Event) -> Result<(), IllegalEvent> {
        self.run = self.run.clone().apply(&event)?;
        if let Some(context) = &mut self.context {
            context.push(&event);
        }
        self.uncommitted.push(event);
        Ok(())
    }

    fn agent_name(&self) -> Option<&str> {
        self.agent.as_deref().map(|agent| agent.name.as_str())
    }

    /// Whether this step has found anything out, on disk or not yet.
    fn has_moved(&self) -> bool {
        self.run.version != self.claim.fold.version
    }

    pub(crate) fn has_uncommitted(&self) -> bool {
        !self.uncommitted.is_empty()
    }

    pub(crate) const fn committed_version(&self) -> u64 {
        self.base
    }

    /// The model's context, as of this step's own fold.
    pub(crate) async fn take_context(&mut self) -> Result<Context, StoreError> {
        if let Some(context) = self.context.take() {
            return Ok(context);
        }
        let shared = self.shared;
        let mut context = shared.caches.context(shared.store.as_ref(), self.id, self.base).await?;
        for event in &self.uncommitted {
            context.push(event);
        }
        Ok(context)
    }

    pub(crate) fn put_context(&mut self, context: Context) {
        if context.through_seq() == self.run.version {
            self.context = Some(context);
        }
    }

    /// Writes what is uncommitted. Commands that were accepted meanwhile are merged first, so that the run may stand
    /// elsewhere afterwards. Returns whether this worker still owns the run.
    ///
    /// # Errors
    /// [`Interrupted::Fenced`] when another epoch owns the run; [`Interrupted::LeaseLost`] when the lease is gone
    /// before the database answers.
    pub(crate) async fn commit(&mut self, end: StepEnd) -> Result<bool, Interrupted> {
        let mut wait = COMMIT_WAIT;
        loop {
            let commit = Commit {
                run: self.id,
                worker: self.shared.worker.clone(),
                epoch: self.claim.epoch,
                ordinal: self.ordinal,
                base: self.base,
                events: self.uncommitted.clone(),
                after: self.run.clone(),
                outputs: self.outputs.clone(),
                end,
                gives_way: self.slice_ends <= Instant::now(),
                patience: self.patience(end),
            };
            match self.shared.store.commit(commit).await {
                Ok(CommitOutcome::Committed { version, kept }) => {
                    self.ordinal += 1;
                    self.uncommitted.clear();
                    self.outputs.clear();
                    self.base = self.run.version;
                    if kept && version != self.base {
                        // This commit had stood already, and a command came on top of it: that is merged next.
                        continue;
                    }
                    return Ok(kept);
                }
                Ok(CommitOutcome::Fenced) => return Err(Interrupted::Fenced),
                Ok(CommitOutcome::Behind { newer }) => {
                    self.base = newer.version;
                    let (run, events) = merge(*newer, &self.uncommitted, self.claim.epoch)?;
                    self.run = run;
                    self.uncommitted = events;
                    self.context = None;
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(%error, "a commit waits for the database");
                    tokio::select! {
                        biased;
                        () = self.shared.lost.cancelled() => return Err(Interrupted::LeaseLost),
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(COMMIT_WAIT_MAX),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A step that took long does not mind a little longer, and shares its sync with those that end about then. Where no
    /// other step is under way, nobody would come.
    fn patience(&self, end: StepEnd) -> Duration {
        let took = self.begun.elapsed();
        let is_alone = self.shared.under_way.load(Ordering::Relaxed) <= 1;
        if is_alone || end != StepEnd::Done || took < PATIENT_FROM {
            return Duration::ZERO;
        }
        (took / PATIENCE_PART).min(PATIENCE_MAX)
    }

    /// Reads what was commanded meanwhile into this step's fold, if anything was.
    pub(crate) async fn is_behind(&self) -> Result<bool, StoreError> {
        let standings = self.shared.store.standings(&[self.id]).await?;
        Ok(standings.first().is_none_or(|standing| standing.version != self.base))
    }

    /// Ends the run as failed, keeping what the step had found out. What became of a call that was begun is not
    /// known, though, and that goes first. Returns whether the run was let go of.
    async fn fail(&mut self, error: String) -> bool {
        // The step may have been cut off at a commit that stands all the same. It is made again as it was: with more in
        // it, it would be taken for the one that stands.
        let told = async {
            if !self.commit(StepEnd::GoesOn).await? {
                return Ok(false);
            }
            let open = self.run.front().filter(|front| front.started.is_some()).map(|front| front.call.id);
            match open {
                // That the run was paused meanwhile makes it no better known.
                Some(call) if self.run.interrupt.is_none() => {
                    self.record(Event::OutcomeUnknown { call, reason: error })?;
                }
                None if self.run.status == Status::Running => self.record(Event::Failed { error })?,
                Some(_) | None => {}
            }
            self.commit(StepEnd::GiveBack).await
        };
        match told.await {
            Ok(kept) => !kept,
            Err::<_, Interrupted>(why) => {
                tracing::warn!(%why, "the failure could not be recorded; the run is tried again");
                false
            }
        }
    }

    /// The claim of the step after this one, under the same epoch.
    fn next_claim(self) -> Claim {
        Claim {
            run: self.id,
            fold: self.run,
            epoch: self.claim.epoch,
            attempt: 1,
            ordinal: self.ordinal,
            kind: JobKind::Step,
            due_at_ms: self.shared.clock.now_ms(),
        }
    }
}

/// The definition, shared between the steps of its runs.
pub(crate) type SharedAgent = Arc<Agent>;
