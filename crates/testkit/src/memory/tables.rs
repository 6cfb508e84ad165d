//! What a database holds, and what every write does to it: each function here is one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use piton_core::{Agent, AgentDigest, CallId, Command, Epoch, Event, Recorded, Run, RunId, WorkerId};
use piton_store::{
    CommandError, Due, Error, HeldRuns, JobKind, Lane, Launch, Launched, LostAttempt, Meter, Only, Ring,
    RunRow, WorkerRow,
};

use super::Mutant;

/// How long an idempotency key is remembered.
pub(super) const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// Characters of the task that lists show.
const TASK_SHOWN_CHARS: usize = 200;

/// What a transaction came to, and whom to tell. `None`: nothing was written.
pub(super) type Written<T> = (T, Option<Ring>);

/// The whole database. A copy costs little: what is in it is shared until it is written.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    pub agents: BTreeMap<AgentDigest, Arc<Agent>>,
    pub runs: BTreeMap<RunId, Arc<Stored>>,
    pub jobs: BTreeMap<RunId, Job>,
    pub workers: BTreeMap<WorkerId, WorkerRow>,
    pub(super) keys: BTreeMap<(String, String), Key>,
    pub(super) mutant: Option<Mutant>,
    /// By model endpoint.
    pub(super) meters: BTreeMap<String, Meter>,
}

/// A run with its history.
#[derive(Debug, Clone)]
pub struct Stored {
    pub row: RunRow,
    pub events: Vec<Arc<Recorded>>,
    /// Of the last commit that a worker made.
    pub key: (Epoch, u32),
    /// The worker that died while it was polling this run.
    pub suspect: Option<WorkerId>,
    /// The epochs that ended with a death this run may have caused, since its last whole step.
    pub suspected: Vec<Epoch>,
    /// Workers in a row that the run took down.
    pub deaths: u32,
    pub lost: Vec<LostAttempt>,
    pub outputs: BTreeMap<CallId, Arc<str>>,
}

/// At most one per run.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub kind: JobKind,
    pub priority: i32,
    pub due_at_ms: i64,
    pub enqueued_at_ms: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    body_sha256: String,
    pub(super) run: RunId,
    pub(super) created_at_ms: i64,
}

impl Tables {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn stored(&mut self, run: RunId) -> Option<&mut Stored> {
        self.runs.get_mut(&run).map(Arc::make_mut)
    }

    pub(super) fn launch(&mut self, launch: &Launch, now_ms: i64) -> Written<Result<Launched, Error>> {
        if let Some(stored) = self.runs.get(&launch.run) {
            return (Ok(Launched { run: stored.row.clone(), replayed: false }), None);
        }
        let tenant_key = launch.idempotency.as_ref().map(|key| (launch.tenant.clone(), key.key.clone()));
        if let (Some(place), Some(asked)) = (&tenant_key, &launch.idempotency)
            && let Some(known) = self.keys.get(place).filter(|key| key.created_at_ms > now_ms - KEY_LIFE_MS)
        {
            let replayed = if known.body_sha256 == asked.body_sha256 {
                let run = self.runs[&known.run].row.clone();
                Ok(Launched { run, replayed: true })
            } else {
                Err(Error::IdempotencyMismatch { run: known.run })
            };
            return (replayed, None);
        }
        let digest = digest(&launch.agent);
        let event = Event::Launched {
            agent: digest.clone(),
            agent_name: launch.agent.name.clone(),
            task: launch.task.clone(),
            max_steps: launch.max_steps,
            limits: launch.agent.limits,
        };
        let run = match Run::begin(&event) {
            Ok(run) => run,
            Err(error) => return (Err(Error::Corrupt(error.to_string())), None),
        };
        self.agents.entry(digest).or_insert_with(|| Arc::new(launch.agent.clone()));
        if let (Some(place), Some(asked)) = (tenant_key, &launch.idempotency) {
            let body_sha256 = asked.body_sha256.clone();
            self.keys.insert(place, Key { body_sha256, run: launch.run, created_at_ms: now_ms });
        }
        let row = RunRow {
            id: launch.run,
            run,
            agent_name: launch.agent.name.clone(),
            task: shown(&launch.task),
            tenant: launch.tenant.clone(),
            labels: launch.labels.clone(),
            priority: launch.priority,
            owner: None,
            epoch: Epoch(0),
            attempt: 0,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            finished_at_ms: None,
        };
        let mut stored = Stored {
            row: row.clone(),
            events: Vec::new(),
            key: (Epoch(0), 0),
            suspect: None,
            suspected: Vec::new(),
            deaths: 0,
            lost: Vec::new(),
            outputs: BTreeMap::new(),
        };
        stored.append(&[event], now_ms);
        self.runs.insert(launch.run, Arc::new(stored));
        self.enqueue(launch.run, JobKind::Launch, now_ms);
        (Ok(Launched { run: row, replayed: false }), Some(Ring::Job))
    }

    pub(super) fn command(
        &mut self,
        run: RunId,
        command: &Command,
        now_ms: i64,
    ) -> Written<Result<RunRow, CommandError>> {
        let Some(stored) = self.stored(run) else { return (Err(CommandError::NotFound), None) };
        let events = match command.decide(&stored.row.run) {
            Ok(events) => events,
            Err(refusal) => return (Err(refusal.into()), None),
        };
        match events.iter().try_fold(stored.row.run.clone(), Run::apply) {
            Ok(after) => stored.write(after, &events, now_ms),
            Err(error) => return (Err(Error::Corrupt(error.to_string()).into()), None),
        }
        let row = stored.row.clone();
        if !row.run.status.is_runnable() {
            self.jobs.remove(&run);
            return (Ok(row), Some(Ring::Events));
        }
        let kind = match command {
            Command::Answer { .. } | Command::Decide { .. } => JobKind::Answer,
            Command::Pause | Command::Resume | Command::Cancel | Command::Release => JobKind::Resume,
        };
        if !self.is(Mutant::NoJobWhileOwned) || row.owner.is_none() {
            self.enqueue(run, kind, now_ms);
        }
        (Ok(row), Some(Ring::Job))
    }

    /// Gives the run its one job, or makes the one it has due now.
    pub(super) fn enqueue(&mut self, run: RunId, kind: JobKind, now_ms: i64) {
        let Some(priority) = self.runs.get(&run).map(|stored| stored.row.priority) else { return };
        self.jobs.entry(run).and_modify(|job| job.due_at_ms = job.due_at_ms.min(now_ms)).or_insert(Job {
            kind,
            priority,
            due_at_ms: now_ms,
            enqueued_at_ms: now_ms,
        });
    }

    /// Due jobs of the lane whose run nobody holds.
    pub(super) fn due(&self, lane: Lane, now_ms: i64, only: &Only) -> Vec<Due> {
        let due = self.jobs.iter().filter_map(|(run, job)| {
            let Stored { row, suspect, .. } = &**self.runs.get(run)?;
            let is_due = job.due_at_ms <= now_ms && row.owner.is_none();
            let is_ours =
                suspect.is_some() == (lane == Lane::Apart) && only.takes(&row.tenant, &row.agent_name);
            (is_due && is_ours).then(|| Due {
                run: *run,
                kind: job.kind,
                tenant: row.tenant.clone(),
                agent: row.agent_name.clone(),
                digest: row.run.agent.to_string(),
                priority: row.priority,
                due_at_ms: job.due_at_ms,
            })
        });
        due.collect()
    }

    pub(super) fn meter(&mut self, endpoint: &str) -> &mut Meter {
        self.meters.entry(endpoint.to_owned()).or_default()
    }

    pub(super) fn held(&self) -> HeldRuns {
        let mut held = HeldRuns::default();
        for row in self.runs.values().map(|stored| &stored.row).filter(|row| row.owner.is_some()) {
            held.add(&row.tenant, &row.agent_name, 1);
        }
        held
    }

    pub(super) fn owned_by(&self, worker: &WorkerId) -> Vec<RunId> {
        let owned = self.runs.iter().filter(|(_, stored)| stored.row.owner.as_ref() == Some(worker));
        owned.map(|(run, _)| *run).collect()
    }
}

impl Stored {
    /// Appends `events` and takes over what they fold to.
    pub(super) fn write(&mut self, after: Run, events: &[Event], now_ms: i64) {
        self.append(events, now_ms);
        self.row.updated_at_ms = now_ms;
        self.row.finished_at_ms = after.status.is_over().then_some(now_ms);
        self.row.run = after;
    }

    fn append(&mut self, events: &[Event], now_ms: i64) {
        for event in events {
            let seq = self.events.len() as u64 + 1;
            self.events.push(Arc::new(Recorded { seq, at_ms: now_ms, event: event.clone() }));
        }
    }
}

fn digest(agent: &Agent) -> AgentDigest {
    use sha2::Digest;
    let definition = serde_json::to_string(agent).unwrap_or_default();
    AgentDigest::new(hex::encode(sha2::Sha256::digest(definition)))
}

/// The beginning of a task on one line.
fn shown(task: &str) -> String {
    let begin = task.chars().take(TASK_SHOWN_CHARS);
    let line: String = begin.map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}
