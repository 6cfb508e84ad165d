//! What a state is, what an action is, and within which bounds all of them are searched.

use std::fmt;

use stateright::{Model, Property};

use crate::history::{Ask, Histories, History, Name, Script};
use crate::mutant::{Mutant, Rules};
use crate::properties;
use crate::store::{Flaw, Rows};
use crate::worker::{At, Program, Step, Worker};

/// What is searched: all that can happen within these bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) script: Script,
    pub(crate) workers: u8,
    /// Of any kind, in all.
    pub(crate) faults: u8,
    /// Pauses, resumes, cancels, releases and abortions, in all. Answers and decisions are given whenever they are asked
    /// for.
    pub(crate) commands: u8,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { script, workers, faults, commands } = self;
        write!(f, "{script:?}, {workers} workers, {faults} faults, {commands} commands")
    }
}

/// Which properties are looked at. Each costs time in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What has to hold in every state.
    Holds,
    /// What has to be true in some.
    ComesUp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) rows: Rows,
    /// What is on disk, and what came on top of it unsynced, but for the last: a loss of power leaves one of these.
    pub(crate) unsynced: Vec<Rows>,
    /// Those that live, in order, so that two that are alike are not told apart.
    pub(crate) workers: Vec<Worker>,
    /// A lease that somebody saw lapsed, with its number of that time.
    pub(crate) seen: Option<(Name, u8)>,
    /// A command whose reply was lost, to be sent again; and which asking it was about.
    pub(crate) unheard: Option<(Ask, u8)>,
    /// A command that was answered and is not written yet. Only a mutant has one.
    pub(crate) promised: Option<Ask>,
    /// What the last acknowledgement vouched for.
    pub(crate) acked: History,
    /// Times the payment was made, in the outside world.
    pub(crate) payments: u8,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) faults_left: u8,
    pub(crate) commands_left: u8,
}

/// One thing that happens. `usize`: the worker's place in [`State::workers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Step(usize, Move),
    Keep(Keeping),
    Person(Says),
    Fault(Fault),
}

/// What a worker does for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Claim,
    Look,
    Note,
    Pay,
    Reply,
    Show,
    /// `crowded`: an older run waits, whose turn comes first.
    Commit {
        crowded: bool,
    },
    HandBack,
    /// Of a worker that stops.
    DropCall,
}

/// What workers do about workers, and about runs that nobody looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// A worker that was asked to stop says good-bye.
    Retire(usize),
    /// A worker notices that its lease is lost, and begins anew.
    BeginAnew(usize),
    Renew(usize),
    /// A lock is free.
    Recover(Name),
    /// A lease looks lapsed. It is recovered by a later action.
    See(Name),
    RecoverSeen,
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Ask(Ask),
    /// The reply to it was lost.
    Again,
    /// It was answered before it was written, and is written now.
    Late,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A worker's process is killed, and another one started.
    Kill(usize),
    /// A lease lapses although its worker lives: it stood still, or its disk did.
    Lapse(usize),
    /// Something is written, and its writer is not told.
    ClaimUnheard(usize),
    CommitUnheard(usize),
    AskUnheard(Ask),
    /// A wake-up vanishes.
    LoseJob,
    /// The database cannot be read, then cannot be written.
    ReadFails(usize),
    HandBackFails(usize),
    /// A call takes longer than its own limit. Whether it was made is known to the world only.
    OverLimit {
        worker: usize,
        paid: bool,
    },
    /// The same with a whole step, whatever it is at.
    StepOverLimit {
        worker: usize,
        paid: bool,
    },
    /// The run is quarantined, whoever owns it by then.
    Quarantine,
    /// A worker is asked to stop.
    Stop(usize),
    /// The server is killed before it writes what it answered.
    KillServer,
    /// All processes end.
    /// `kept`: how many unsynced writes were on disk all the same.
    LosePower {
        kept: usize,
    },
}

/// The model.
#[derive(Debug)]
pub(crate) struct Protocol {
    scenario: Scenario,
    wanted: Wanted,
    pub(crate) rules: Rules,
    pub(crate) histories: Histories,
}

impl Protocol {
    pub(crate) fn new(scenario: Scenario, wanted: Wanted, broken: Option<Mutant>) -> Self {
        Self { scenario, wanted, rules: Rules(broken), histories: Histories::new(scenario.script) }
    }

    pub(crate) const fn program(&self) -> Program<'_> {
        Program { histories: &self.histories, rules: self.rules }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let log = self.histories.launched();
        vec![State {
            rows: Rows::launched(log),
            unsynced: Vec::new(),
            workers: vec![Worker::FRESH; self.scenario.workers.into()],
            seen: None,
            unheard: None,
            promised: None,
            acked: log,
            payments: 0,
            flaw: None,
            faults_left: self.scenario.faults,
            commands_left: self.scenario.commands,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What comes after a flaw proves nothing.
        if state.flaw.is_none() {
            self.progress(state, actions);
            self.commands(state, actions);
            self.faults(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step(place, what) => self.step(&mut state, place, what),
            Action::Keep(what) => self.keep(&mut state, what),
            Action::Person(says) => self.command(&mut state, says),
            Action::Fault(what) => {
                state.faults_left -= 1;
                self.fault(&mut state, what);
            }
        }
        self.tidy(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        match self.wanted {
            Wanted::Holds => properties::hold(),
            Wanted::ComesUp => properties::come_up(self.scenario.script),
        }
    }
}

impl State {
    /// Whether a worker's process is there: its lock is held.
    pub(crate) fn lives(&self, name: Name) -> bool {
        self.workers.iter().any(|worker| worker.name == name)
    }

    pub(crate) fn about_to_commit(&self) -> impl Iterator<Item = (Name, Step)> + '_ {
        let steps = self.workers.iter().filter_map(|worker| Some((worker.name, worker.step?)));
        steps.filter(|(_, step)| matches!(step.at, At::Commit(_)))
    }

    pub(crate) fn step(&self, place: usize) -> Step {
        self.workers[place].step.expect("only a worker in a step does this")
    }

    pub(crate) fn goes_on_at(&mut self, place: usize, at: At) {
        self.workers[place].step = Some(self.step(place).goes_on_at(at));
    }

    /// A tool is begun now.
    pub(crate) fn begin(&mut self) {
        if self.rows.log.rests {
            self.flaw = Some(Flaw::BegunAtRest);
        }
    }

    pub(crate) fn spend(&mut self, ask: Ask) {
        if !matches!(ask, Ask::Answer | Ask::Happened | Ask::DidNotHappen) {
            self.commands_left -= 1;
        }
    }
}
