//! What the run's log says. Every history is folded once by the real reducer and numbered: a state of the model holds
//! the number, so that states stay small and `piton_core` is what is checked.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard};

use piton_core::{
    AgentDigest, CallId, CallKind, Command, Decision, EffectClass, Epoch, Event, Limits, Next, Run, RunId,
    Status, ToolCall, TurnRequest, Usage, WorkerId, merge, next,
};
use uuid::Uuid;

/// A worker's name, given to it with its first claim. 0 has claimed nothing yet.
pub(crate) type Name = u8;

/// A log and what is often asked of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    number: u32,
    pub(crate) version: u8,
    pub(crate) status: Status,
    /// An `at_most_once` call that was begun and has no result: by whom, and under which epoch.
    pub(crate) open: Option<(Name, u8)>,
    /// The version at which the last unknown outcome was put to a human; 0 if none was.
    pub(crate) asked: u8,
    /// A pause or cancel was accepted and no resume after it. Told from the commands, not from the status.
    pub(crate) rests: bool,
    /// It is recorded that the payment was made.
    pub(crate) paid: bool,
    /// A human gave the run up rather than say what became of the payment.
    pub(crate) given_up: bool,
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for History {}

impl Hash for History {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialOrd for History {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for History {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

/// What the model of the language model asks for in its first turn. In the second it gives the final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// `pay` (`at_most_once`), then `note` (idempotent).
    PayThenNote,
    NoteThenPay,
    /// A question to a human.
    Ask,
}

/// What a run is owed, for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    Decision(History),
    Pay,
    Note,
    Reply,
    Rest,
}

/// What somebody outside may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    Pause,
    Resume,
    Cancel,
    Answer,
    Happened,
    DidNotHappen,
    GiveUp,
    Release,
}

const ASKS: usize = 8;

/// A fact cannot be recorded on the history as it stands: the step would fail its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Illegal;

/// A history, and how many of its events are not in the one it was joined with.
type Joined = Result<(History, u8), Illegal>;

/// All histories seen so far.
#[derive(Debug)]
pub(crate) struct Histories {
    script: Script,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By number: the parent's number, the event that came on top of it, and what all of it folds to.
    folds: Vec<(u32, Event, Run)>,
    facts: Vec<History>,
    children: HashMap<u32, Vec<u32>>,
    owed: HashMap<(u32, u8), Owed>,
    merged: HashMap<(u32, u32, u8, u8), Joined>,
    /// By number, then by command. Asked far more often than anything else.
    asked: Vec<[Option<Option<History>>; ASKS]>,
}

const RUN: RunId = RunId::from_uuid(Uuid::from_u128(1));

impl Histories {
    pub(crate) fn new(script: Script) -> Self {
        let launched = Event::Launched {
            agent: AgentDigest::new("a"),
            agent_name: "payer".to_owned(),
            task: "Pay once".to_owned(),
            max_steps: 10,
            limits: Limits::default(),
        };
        let run = Run::begin(&launched).expect("a run begins with launched");
        let mut table = Table::default();
        table.facts.push(History {
            number: 0,
            version: 1,
            status: run.status,
            open: None,
            asked: 0,
            rests: false,
            paid: false,
            given_up: false,
        });
        table.folds.push((0, launched, run));
        table.asked.push([None; ASKS]);
        Self { script, table: Mutex::new(table) }
    }

    pub(crate) fn launched(&self) -> History {
        self.table().facts[0]
    }

    /// Whether `later` is `earlier`, or has it as its beginning.
    pub(crate) fn begins_with(&self, later: History, earlier: History) -> bool {
        let table = self.table();
        let mut at = later;
        while at.version > earlier.version {
            at = table.parent(at);
        }
        at == earlier
    }

    /// What is owed, asked of the real [`next`].
    pub(crate) fn owed(&self, history: History, epoch: u8) -> Owed {
        let mut table = self.table();
        if let Some(owed) = table.owed.get(&(history.number, epoch)) {
            return *owed;
        }
        let owed = match next(table.run(history), Epoch(epoch.into())) {
            Next::Record(event) => {
                Owed::Decision(table.push(history, &event).expect("a decision follows from its run"))
            }
            Next::CallTool(call) if call.name == "pay" => Owed::Pay,
            Next::CallTool(_) => Owed::Note,
            Next::CallModel => Owed::Reply,
            Next::Rest => Owed::Rest,
        };
        table.owed.insert((history.number, epoch), owed);
        owed
    }

    /// The last `count` events of `mine` joined with `newer` by the real [`merge`]: the new history, and how many
    /// of its events are not in `newer`.
    pub(crate) fn merge(
        &self,
        newer: History,
        mine: History,
        count: u8,
        epoch: u8,
    ) -> Result<(History, u8), Illegal> {
        let mut table = self.table();
        let key = (newer.number, mine.number, count, epoch);
        if let Some(merged) = table.merged.get(&key) {
            return *merged;
        }
        let events = table.last(mine, count);
        let merged = match merge(table.run(newer).clone(), &events, Epoch(epoch.into())) {
            Ok((_, events)) => Ok(table.push_all(newer, &events).expect("merge folds what it returns")),
            Err(_) => Err(Illegal),
        };
        table.merged.insert(key, merged);
        merged
    }

    /// As [`Histories::merge`] was before facts were told from decisions: everything is carried over as it is.
    pub(crate) fn carry_over(
        &self,
        newer: History,
        mine: History,
        count: u8,
    ) -> Result<(History, u8), Illegal> {
        let mut table = self.table();
        let mut events = table.last(mine, count);
        events.retain(|event| !matches!(event, Event::ToolStarted { .. }));
        table.push_all(newer, &events)
    }

    /// The history after a command, decided by the real [`Command::decide`]. `None` when it is refused.
    ///
    /// `forgetful`: as it was when a decision did not bring back the pause that the outcome came in between.
    pub(crate) fn ask(&self, history: History, ask: Ask, forgetful: bool) -> Option<History> {
        let mut table = self.table();
        if let Some(after) = table.asked[history.number as usize][ask as usize] {
            return after;
        }
        let run = table.run(history);
        let call = run.interrupt.as_ref().map(|interrupt| interrupt.id());
        let command = match (ask, call) {
            (Ask::Pause, _) => Some(Command::Pause),
            (Ask::Resume, _) => Some(Command::Resume),
            (Ask::Cancel, _) => Some(Command::Cancel),
            (Ask::Release, _) => Some(Command::Release),
            (Ask::Answer, question) => Some(Command::Answer { question, answer: "yes".to_owned() }),
            (_, None) => None,
            (Ask::Happened, Some(question)) => {
                let decision = Decision::Happened { result: "paid".into() };
                Some(Command::Decide { question, decision })
            }
            (Ask::DidNotHappen, Some(question)) => {
                Some(Command::Decide { question, decision: Decision::DidNotHappen })
            }
            (Ask::GiveUp, Some(question)) => Some(Command::Decide { question, decision: Decision::Abort }),
        };
        let events = command.and_then(|command| command.decide(run).ok());
        let after = events.map(|mut events| {
            events.retain(|event| !forgetful || ask == Ask::Pause || *event != Event::Paused);
            table.push_all(history, &events).expect("an accepted command can be recorded").0
        });
        table.asked[history.number as usize][ask as usize] = Some(after);
        after
    }

    /// Records that the payment is about to be made.
    pub(crate) fn begin_pay(&self, history: History, by: Name, epoch: u8) -> Result<History, Illegal> {
        self.record(history, |call| Event::ToolStarted {
            call: call.id,
            arguments_hash: String::new(),
            worker: WorkerId::new(by.to_string()),
            epoch: Epoch(epoch.into()),
            attempt: 1,
            at_ms: 0,
        })
    }

    /// Records that the front call returned.
    pub(crate) fn returned(&self, history: History) -> Result<History, Illegal> {
        self.record(history, |call| Event::ToolReturned {
            call: call.id,
            result: "done".into(),
            took_ms: 0,
            attempt: 1,
            full_bytes: None,
        })
    }

    /// Records that the front call's own limit passed.
    pub(crate) fn unknown(&self, history: History) -> Result<History, Illegal> {
        self.record(history, |call| Event::OutcomeUnknown {
            call: call.id,
            reason: "no reply in time".to_owned(),
        })
    }

    /// Records that the step took too long.
    pub(crate) fn failed(&self, history: History) -> Result<History, Illegal> {
        self.table().push(history, &Event::Failed { error: "the step took too long".to_owned() })
    }

    /// Records that the run took its worker down too often.
    pub(crate) fn quarantined(&self, history: History) -> Result<History, Illegal> {
        let event = Event::Quarantined { reason: "it took its worker down 3 times in a row".to_owned() };
        self.table().push(history, &event)
    }

    /// Records the language model's reply.
    pub(crate) fn replied(&self, history: History) -> Result<History, Illegal> {
        let mut table = self.table();
        let turn = table.run(history).turns + 1;
        let pay = ("pay", CallKind::Tool(EffectClass::AtMostOnce), "{}");
        let note = ("note", CallKind::Tool(EffectClass::Idempotent), "{}");
        let asked: &[_] = match (turn, self.script) {
            (1, Script::PayThenNote) => &[pay, note],
            (1, Script::NoteThenPay) => &[note, pay],
            (1, Script::Ask) => &[("ask_human", CallKind::AskHuman, r#"{"question": "May I?"}"#)],
            _ => &[("final_answer", CallKind::FinalAnswer, r#"{"answer": "done"}"#)],
        };
        let calls = asked.iter().enumerate().map(|(index, (name, kind, arguments))| ToolCall {
            id: CallId::derive(RUN, turn, index),
            call_id: format!("call_{turn}_{index}"),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
            kind: *kind,
        });
        let event = Event::ModelReplied {
            turn,
            text: None,
            calls: calls.collect(),
            notes: Vec::new(),
            usage: Usage::default(),
            model: "m".to_owned(),
            request: TurnRequest {
                api: "chat".to_owned(),
                through_seq: 0,
                sha256: String::new(),
                bytes: 0,
                tries: 1,
                took_ms: 0,
            },
            attempt: 1,
        };
        table.push(history, &event)
    }

    /// The last `count` events, for people.
    pub(crate) fn tell(&self, history: History, count: u8) -> String {
        let table = self.table();
        let events = table.last(history, count);
        events.iter().map(Event::kind).collect::<Vec<_>>().join(", ")
    }

    fn record(&self, history: History, event: impl FnOnce(&ToolCall) -> Event) -> Result<History, Illegal> {
        let mut table = self.table();
        let event = event(&table.run(history).front().ok_or(Illegal)?.call);
        table.push(history, &event)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no thread panics while it folds")
    }
}

impl Table {
    fn run(&self, history: History) -> &Run {
        &self.folds[history.number as usize].2
    }

    fn parent(&self, history: History) -> History {
        self.facts[self.folds[history.number as usize].0 as usize]
    }

    /// The last `count` events, in order.
    fn last(&self, history: History, count: u8) -> Vec<Event> {
        let mut at = history;
        let mut events = Vec::with_capacity(count.into());
        for _ in 0..count {
            events.push(self.folds[at.number as usize].1.clone());
            at = self.parent(at);
        }
        events.reverse();
        events
    }

    fn push_all(&mut self, onto: History, events: &[Event]) -> Result<(History, u8), Illegal> {
        let history = events.iter().try_fold(onto, |history, event| self.push(history, event))?;
        Ok((history, history.version - onto.version))
    }

    fn push(&mut self, onto: History, event: &Event) -> Result<History, Illegal> {
        let siblings = self.children.get(&onto.number).map_or(&[][..], Vec::as_slice);
        if let Some(known) = siblings.iter().find(|number| self.folds[**number as usize].1 == *event) {
            return Ok(self.facts[*known as usize]);
        }
        let run = self.run(onto).clone().apply(event).map_err(|_| Illegal)?;
        let number = u32::try_from(self.folds.len()).expect("few histories");
        let history = facts(onto, number, event, &run);
        self.folds.push((onto.number, event.clone(), run));
        self.facts.push(history);
        self.asked.push([None; ASKS]);
        self.children.entry(onto.number).or_default().push(number);
        Ok(history)
    }
}

fn facts(onto: History, number: u32, event: &Event, run: &Run) -> History {
    let started = run.front().and_then(|front| front.started.as_ref());
    let mut history = History {
        number,
        version: u8::try_from(run.version).expect("short histories"),
        status: run.status,
        open: started.map(|started| {
            let by = started.worker.as_str().parse().expect("workers are numbered");
            (by, u8::try_from(started.epoch.0).expect("few epochs"))
        }),
        ..onto
    };
    match event {
        Event::Paused | Event::CancelRequested => history.rests = true,
        Event::Resumed { .. } => history.rests = false,
        Event::OutcomeUnknown { .. } => history.asked = history.version,
        Event::ToolReturned { .. } if onto.open.is_some() => history.paid = true,
        Event::OutcomeDecided { decision: Decision::Happened { .. }, .. } => history.paid = true,
        Event::OutcomeDecided { decision: Decision::Abort, .. } => history.given_up = true,
        _ => {}
    }
    history
}
