//! What the processes of a world share: the database, the time, the outside, chance, and the eye that watches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use piton_core::{CallId, Command, Decision, Pending, Refusal, Run, RunId, WorkerId};
use piton_store::{Check, Clock, CommandError, RunRow, Store};
use piton_testkit::memory::{Memory, MemoryStore};
use serde_json::json;

use crate::ledger::Ledger;
use crate::oracle::{self, Oracle};
use crate::store::WorkerMutant;
use crate::story::{Planned, Story, result_of};
use crate::weather::Weather;
use piton_testkit::Rng;

/// Shared by all processes of one world. All of them run on one thread, in turns.
#[derive(Debug)]
pub(crate) struct Universe {
    pub(crate) memory: Memory,
    pub(crate) clock: Clock,
    /// For what comes from no process of the world.
    door: MemoryStore,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rng: Rng,
    /// Since the world began: no clock that is set changes this one.
    pub(crate) now_ms: u64,
    pub(crate) weather: Weather,
    /// No more faults: not those either that were on their way.
    pub(crate) is_quiet: bool,
    /// Whether a lock tells when a worker's process is gone.
    pub(crate) has_locks: bool,
    /// The workers whose processes are there.
    pub(crate) living: BTreeSet<WorkerId>,
    pub(crate) stories: Vec<Story>,
    /// Every call that a story asks for.
    pub(crate) calls: BTreeMap<CallId, (RunId, Planned)>,
    pub(crate) ledger: Ledger,
    pub(crate) oracle: Oracle,
    /// In the order in which they are to happen.
    pub(crate) interventions: VecDeque<Intervention>,
    pub(crate) trace: Trace,
    /// Calls so far, to store, model and tools.
    pub(crate) crossings: u64,
    pub(crate) power_losses: u32,
    pub(crate) tally: Tally,
    pub(crate) worker_mutant: Option<WorkerMutant>,
    /// The first thing found wrong.
    pub(crate) wrong: Option<String>,
}

/// How often what happened.
pub(crate) type Tally = BTreeMap<&'static str, u64>;

/// Something that is to happen at one call.
#[derive(Debug, Clone)]
pub(crate) struct Intervention {
    /// The call's number, from 1.
    pub(crate) at: u64,
    pub(crate) when: When,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Crash,
    /// The call fails, and nothing was done. Only a call to the store can.
    Fail,
    /// The call is carried out and fails all the same. Only a call to the store can.
    LoseAcknowledgement,
    /// Somebody commands the run.
    Command(RunId, Vec<Order>),
}

/// A command whose details follow from the run as it stands then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Pause,
    Resume,
    Cancel,
    Answer,
    Decide,
    /// For once, leave it as it is.
    Nothing,
}

/// What happened, as one number, and on demand line by line.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep_lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: keep_lines.then(Vec::new) }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    /// FNV-1a over all that tells one course of events from another.
    fn note(&mut self, now_ms: u64, name: &str, numbers: &[u64], line: impl FnOnce() -> String) {
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        for byte in now_ms.to_le_bytes().into_iter().chain(name.bytes()).chain(numbers) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now_ms:>7} {}", line()));
        }
    }
}

impl State {
    pub(crate) fn note(&mut self, name: &'static str, numbers: &[u64], line: impl FnOnce() -> String) {
        self.count(name);
        self.trace.note(self.now_ms, name, numbers, line);
    }

    /// That it happened at all is part of what a simulation has to show.
    pub(crate) fn count(&mut self, name: &'static str) {
        *self.tally.entry(name).or_default() += 1;
    }

    pub(crate) fn wrong(&mut self, what: String) {
        self.note("wrong", &[], || format!("WRONG: {what}"));
        self.wrong.get_or_insert(what);
    }
}

impl Universe {
    pub(crate) fn new(memory: Memory, clock: Clock, state: State) -> Arc<Self> {
        let door = memory.open(clock.clone());
        Arc::new(Self { memory, clock, door, state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of something that must not be.
    pub(crate) fn must(&self, held: Result<(), String>) {
        if let Err(what) = held {
            self.state().wrong(what);
        }
    }

    /// Somebody outside of all processes commands `run`, and hears at once what came of it.
    pub(crate) fn order(&self, run: RunId, order: Order) {
        let Some(row) = self.memory.look(|tables| tables.runs.get(&run).map(|stored| stored.row.clone()))
        else {
            return;
        };
        let command = match order {
            Order::Pause => Command::Pause,
            Order::Resume => Command::Resume,
            Order::Cancel => Command::Cancel,
            Order::Nothing => return,
            Order::Answer => Self::answer_to(&row),
            Order::Decide => match self.decision_on(&row) {
                Some(decision) => decision,
                None => return,
            },
        };
        let commanded = self.carry_out(&self.door, run, command.clone()).now_or_never();
        let accepted = commanded.expect("the store in memory never waits");
        self.state().note("order", &[order as u64, u64::from(accepted.is_ok())], || {
            format!("order {order:?}: {:?}", accepted.as_ref().map(|row| row.run.status))
        });
        if let Ok(row) = accepted {
            self.state().oracle.command_acknowledged(run, row.run.version, &command);
        }
    }

    /// An answer to the question that `row` shows as open, or to whichever is open by then.
    pub(crate) fn answer_to(row: &RunRow) -> Command {
        Command::Answer { question: row.open_question(), answer: "go on".to_owned() }
    }

    /// What somebody who looks the call up says of it: the truth. `None` while that is not known.
    pub(crate) fn decision_on(&self, row: &RunRow) -> Option<Command> {
        let front = row.run.front()?;
        let call = &front.call;
        let mut state = self.state();
        if state.ledger.is_on_its_way(call.id) {
            return None;
        }
        // Where no lock tells of it, one has to see to it oneself that whoever lost the run is gone.
        let lost_it = front.started.as_ref().filter(|began| began.epoch < row.epoch);
        if !state.has_locks && lost_it.is_some_and(|began| state.living.contains(&began.worker)) {
            return None;
        }
        let decision = if state.ledger.has(call.id) {
            let result = result_of(&call.arguments);
            state.ledger.may_be_shown(call.id, json!({ "result": result }).to_string());
            Decision::Happened { result }
        } else {
            Decision::DidNotHappen
        };
        Some(Command::Decide { question: row.open_question().unwrap_or(call.id), decision })
    }

    /// Carries a command out, and holds what came of it against what the wire promises.
    pub(crate) async fn carry_out(
        &self,
        store: &MemoryStore,
        run: RunId,
        command: Command,
    ) -> Result<RunRow, CommandError> {
        let before = self.memory.look(|tables| tables.runs.get(&run).map(|stored| stored.row.run.clone()));
        let done = store.command(run, command.clone()).await;
        let Some(before) = before else { return done };
        if let (Ok(_), Command::Answer { answer, .. }, Some(open)) = (&done, &command, &before.interrupt) {
            let output = json!({ "answer": answer }).to_string();
            self.state().ledger.may_be_shown(open.call(), output);
        }
        let status = before.status;
        if let Err(CommandError::Refused(why)) = &done {
            self.state().count(match why {
                Refusal::StillActing { .. } => "refused: still acting",
                _ => "refused",
            });
        }
        let held = match &done {
            Ok(row) if !oracle::is_legal(&command, &before) => {
                Err(format!("a run that is {status} took {command:?} and is {}", row.run.status))
            }
            Ok(row) if !oracle::is_carried_out(&command, &before, &row.run) => {
                Err(format!("{command:?} left a run that was {status} as {}", row.run.status))
            }
            Ok(row) if row.run.status.is_runnable() && !self.has_job(run) => {
                Err(format!("{command:?} made a run {} and gave it no job", row.run.status))
            }
            Err(CommandError::Refused(why)) => self.refused(&command, &before, why),
            Ok(_) | Err(_) => Ok(()),
        };
        self.must(held);
        done
    }

    fn refused(&self, command: &Command, before: &Run, why: &Refusal) -> Result<(), String> {
        let may_still_act = match why {
            Refusal::StillActing { worker } => {
                let is_begun_by =
                    |front: &Pending| front.started.as_ref().is_some_and(|started| started.worker == *worker);
                before.front().is_some_and(is_begun_by)
            }
            _ => false,
        };
        if oracle::is_legal(command, before) && !may_still_act {
            return Err(format!("a run that is {} refused {command:?}: {why}", before.status));
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Vec<Check> {
        let checks = self.door.check().now_or_never().expect("the store in memory never waits");
        checks.expect("the store in memory can be checked")
    }

    fn has_job(&self, run: RunId) -> bool {
        self.memory.look(|tables| tables.jobs.contains_key(&run))
    }
}
