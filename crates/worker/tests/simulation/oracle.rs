//! What must hold of the database, whoever wrote it: looked at after every tick, from outside of all processes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use piton_core::{CallId, Command, Decision, Event, Interrupt, Recorded, Run, RunId, Status};
use piton_testkit::memory::{Stored, Tables};

/// Every run's history as it was seen to grow.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    runs: BTreeMap<RunId, Witness>,
    /// The version up to which somebody was told that it stands.
    acknowledged: BTreeMap<RunId, u64>,
    /// Commands that were acknowledged, by the event that records each.
    commands: Vec<(RunId, u64, &'static str)>,
    /// Jobs were taken away on purpose: that a run is owed one shows only when the sweep has come by.
    pub(crate) jobs_were_lost: bool,
}

#[derive(Debug)]
struct Witness {
    /// As it was looked at last.
    stored: Arc<Stored>,
    seen: Vec<Arc<Recorded>>,
    fold: Run,
    turns: u32,
    ended: BTreeSet<CallId>,
    /// Somebody's pause, or cancel, stands.
    is_paused: bool,
    is_cancelled: bool,
}

impl Oracle {
    /// Looks at what is new.
    pub(crate) fn observe(&mut self, tables: &Tables) -> Result<(), String> {
        for (run, stored) in &tables.runs {
            self.observe_run(*run, stored).map_err(|why| format!("run {run}: {why}"))?;
            let row = &stored.row;
            let is_held = row.owner.as_ref().is_some_and(|owner| tables.workers.contains_key(owner));
            let is_known_to_all = is_held || tables.jobs.contains_key(run);
            if row.run.status.is_runnable() && !is_known_to_all && !self.jobs_were_lost {
                return Err(format!("run {run} is {} and has neither job nor worker", row.run.status));
            }
            if let Some(owner) = row.owner.as_ref().filter(|_| !is_held) {
                return Err(format!("run {run} belongs to {owner}, which nobody knows"));
            }
        }
        Ok(())
    }

    fn observe_run(&mut self, run: RunId, stored: &Arc<Stored>) -> Result<(), String> {
        let witness = match self.runs.entry(run) {
            Entry::Occupied(known) if Arc::ptr_eq(&known.get().stored, stored) => return Ok(()),
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Witness::of(stored)?),
        };
        let known = witness.seen.len();
        let Some(last) = stored.events.get(known - 1) else {
            return Err(format!("{known} events were there, and {} are", stored.events.len()));
        };
        if *last != witness.seen[known - 1] {
            return Err(format!("event {known} was edited"));
        }
        for recorded in &stored.events[known..] {
            witness.see(recorded)?;
        }
        let status = witness.fold.status;
        let goes_on = matches!(status, Status::Running | Status::Complete);
        if goes_on && (witness.is_paused || witness.is_cancelled) {
            return Err(format!("it was paused or cancelled, and is {status}"));
        }
        if witness.fold != stored.row.run {
            return Err(format!("its row is not the fold of its events: {:?}", stored.row.run));
        }
        witness.stored = Arc::clone(stored);
        Ok(())
    }

    /// The power went: what was not acknowledged may be gone, and nothing else.
    pub(crate) fn power_went(&mut self, tables: &Tables) -> Result<(), String> {
        for (run, version) in &self.acknowledged {
            let kept = tables.runs.get(run).map_or(0, |stored| stored.events.len() as u64);
            if kept < *version {
                return Err(format!("run {run}: version {version} was acknowledged, and {kept} is on disk"));
            }
        }
        self.runs.clear();
        Ok(())
    }

    pub(crate) fn acknowledged(&mut self, run: RunId, version: u64) {
        let known = self.acknowledged.entry(run).or_default();
        *known = version.max(*known);
    }

    pub(crate) fn command_acknowledged(&mut self, run: RunId, version: u64, command: &Command) {
        self.acknowledged(run, version);
        self.commands.push((run, version, recorded_as(command)));
    }

    /// Whether everything that was acknowledged is in the histories.
    pub(crate) fn nothing_is_lost(&self, tables: &Tables) -> Result<(), String> {
        for (run, version) in &self.acknowledged {
            if tables.runs.get(run).is_none_or(|stored| (stored.events.len() as u64) < *version) {
                return Err(format!("run {run} lost what was acknowledged as version {version}"));
            }
        }
        for (run, version, kind) in &self.commands {
            // A command's events end with the version that it was acknowledged with; at most two are its own.
            let upto = usize::try_from(*version).unwrap_or(usize::MAX);
            let last = tables.runs.get(run).map(|stored| &stored.events[upto.saturating_sub(2)..upto]);
            let is_there =
                last.is_some_and(|last| last.iter().any(|recorded| recorded.event.kind() == *kind));
            if !is_there {
                return Err(format!(
                    "run {run}: {kind} was acknowledged as version {version} and is not there"
                ));
            }
        }
        Ok(())
    }
}

impl Witness {
    fn of(stored: &Arc<Stored>) -> Result<Self, String> {
        let first = &stored.events[0];
        let fold = Run::begin(&first.event).map_err(|error| error.to_string())?;
        let seen = vec![Arc::clone(first)];
        Ok(Self {
            stored: Arc::clone(stored),
            seen,
            fold,
            turns: 0,
            ended: BTreeSet::new(),
            is_paused: false,
            is_cancelled: false,
        })
    }

    fn see(&mut self, recorded: &Arc<Recorded>) -> Result<(), String> {
        if recorded.seq != self.seen.len() as u64 + 1 {
            return Err(format!("event {} has number {}", self.seen.len() + 1, recorded.seq));
        }
        match &recorded.event {
            Event::Paused => self.is_paused = true,
            Event::Resumed { .. } => self.is_paused = false,
            Event::CancelRequested => self.is_cancelled = true,
            _ => {}
        }
        let ended = match &recorded.event {
            Event::ModelReplied { turn, .. } => {
                self.turns += 1;
                if *turn != self.turns {
                    return Err(format!("turn {turn} comes as number {}", self.turns));
                }
                None
            }
            Event::ToolReturned { call, .. }
            | Event::ToolFailed { call, .. }
            | Event::HumanAnswered { call, .. }
            | Event::OutcomeDecided { call, decision: Decision::Happened { .. } } => Some(*call),
            _ => None,
        };
        if let Some(call) = ended
            && !self.ended.insert(call)
        {
            return Err(format!("call {call} ended twice"));
        }
        self.fold = self.fold.clone().apply(&recorded.event).map_err(|error| error.to_string())?;
        self.seen.push(Arc::clone(recorded));
        Ok(())
    }
}

fn recorded_as(command: &Command) -> &'static str {
    match command {
        Command::Answer { .. } => "human_answered",
        Command::Decide { .. } => "outcome_decided",
        Command::Pause => "paused",
        Command::Resume => "resumed",
        Command::Cancel => "cancel_requested",
        Command::Release => "released",
    }
}

/// Whether a run in this status takes the command, as docs and wire say: written down once more, apart from the code
/// that decides it.
pub(crate) fn is_legal(command: &Command, before: &Run) -> bool {
    use Status::{
        Cancelled, Cancelling, Complete, Failed, MaxStepsReached, Paused, Quarantined, Running, Undecided,
        WaitingHumanInput,
    };
    let open = before.interrupt.as_ref().map(Interrupt::id);
    match (command, before.status) {
        (Command::Pause, status) => status == Running,
        (Command::Resume, status) => matches!(status, Paused | Failed | MaxStepsReached),
        (Command::Answer { question, .. }, status) => {
            status == WaitingHumanInput && (question.is_none() || *question == open)
        }
        (Command::Decide { question, .. }, status) => status == Undecided && open == Some(*question),
        (Command::Cancel, Undecided) => !before.cancel_requested,
        (Command::Cancel, status) => !matches!(status, Complete | Cancelled | Cancelling),
        (Command::Release, status) => status == Quarantined,
    }
}

/// Whether an accepted command leaves its run as it should.
pub(crate) fn is_carried_out(command: &Command, before: &Run, after: &Run) -> bool {
    let status = after.status;
    // A pause stands through an unknown outcome and a quarantine.
    let rested = if before.was_paused { Status::Paused } else { Status::Running };
    match command {
        Command::Pause => status == Status::Paused,
        Command::Resume | Command::Answer { .. } => status == Status::Running,
        Command::Decide { decision: Decision::Abort, .. } => status == Status::Cancelled,
        Command::Decide { .. } if after.cancel_requested => status == Status::Cancelled,
        Command::Decide { .. } => status == rested,
        // An open call is waited for, and an unknown outcome stays in the inbox.
        Command::Cancel if after.has_open_call() => matches!(status, Status::Cancelling | Status::Undecided),
        Command::Cancel => status == Status::Cancelled,
        Command::Release => status == rested || status == Status::Cancelling,
    }
}
