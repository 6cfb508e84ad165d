//! An engine and its specification in memory, side by side: the same calls in any order, and every answer the same. What no promise spells out is
//! held to the same here.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use piton_core::{
    Agent, CallId, Command, Decision, Epoch, Event, Next, Run, RunId, Status, ToolCall, WorkerId, merge,
    next, settle,
};
use piton_store::{
    Claim, Commit, CommitOutcome, Death, FullOutput, IdempotencyKey, Lane, Launch, Lost, LostWorker, Prune,
    RunFilter, StepEnd, WorkerRow,
};
use piton_testkit::Rng;
use uuid::Uuid;

use crate::memory::Memory;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::world::{Engine, START_MS, World, launch};

/// Sequences, and the calls in each.
const SEEDS: u64 = 20;
const CALLS: u64 = 100;
/// After so many calls, everything there is to read is read.
const READ_EVERY: u64 = 10;

/// An engine and the one in memory, and what somebody who uses them knows.
struct Pair {
    worlds: [World; 2],
    rng: Rng,
    runs: Vec<RunId>,
    workers: Vec<WorkerId>,
    /// Claims with their owners, also those that are no longer good.
    held: Vec<Held>,
    said: Vec<String>,
}

#[derive(Clone)]
struct Held {
    worker: WorkerId,
    claim: Claim,
    /// Of a commit that was refused because it came too late: what it would have written.
    facts: Vec<Event>,
}

/// Asks both the same, and expects the same answer.
macro_rules! ask {
    ($pair:expr, $store:ident => $call:expr) => {{
        let mut answers = Vec::new();
        for world in &$pair.worlds {
            let $store = &world.store;
            answers.push($call.await);
        }
        let memory = answers.pop().expect("two answers");
        let engine = answers.pop().expect("two answers");
        $pair.same(stringify!($call), &engine, &memory);
        memory
    }};
}

impl Pair {
    async fn new(seed: u64, engine: Arc<dyn Engine>) -> Self {
        Self {
            worlds: [World::on(engine).await, World::of::<Memory>().await],
            rng: Rng::new(seed),
            runs: Vec::new(),
            workers: vec![WorkerId::new("nobody")],
            held: Vec::new(),
            said: Vec::new(),
        }
    }

    fn same(&mut self, call: &str, engine: &impl Debug, memory: &impl Debug) {
        let (engine, memory) = (format!("{engine:?}"), format!("{memory:?}"));
        self.said.push(format!("{call}\n    {engine}"));
        assert_eq!(engine, memory, "after\n{}", self.said.join("\n"));
    }

    fn now_ms(&self) -> i64 {
        self.worlds[0].clock.now_ms()
    }

    fn run(&mut self) -> RunId {
        if self.runs.is_empty() { RunId::from_uuid(Uuid::nil()) } else { *self.rng.pick(&self.runs) }
    }

    fn worker(&mut self) -> WorkerId {
        self.rng.pick(&self.workers).clone()
    }

    async fn call(&mut self) {
        match self.rng.between(0, 20) {
            0..=1 => self.launch().await,
            2..=4 => self.command().await,
            5 => self.register().await,
            6 => {
                let (worker, at) = (self.worker(), self.now_ms() + 1_000);
                ask!(self, store => store.renew(&worker, at)).expect("renewed");
            }
            7..=9 => self.claim().await,
            10..=13 => self.commit().await,
            14 => self.hand_back().await,
            15 => self.recover().await,
            16 => {
                let worker = self.worker();
                ask!(self, store => store.retire(&worker)).expect("retired");
            }
            17 => {
                ask!(self, store => store.sweep()).expect("swept");
                ask!(self, store => store.clock_set_back()).expect("looked");
            }
            18 => self.die().await,
            19 => self.prune().await,
            _ => self.disturb().await,
        }
        let by = i64::try_from(self.rng.between(0, 20)).expect("a moment");
        self.worlds.iter().for_each(|world| world.clock.advance(by));
    }

    async fn launch(&mut self) {
        // Of a time long before any that the clock tells.
        let id = Uuid::from_u128(u128::from(self.rng.next() >> 8) << 64 | 7);
        let idempotency = self.rng.chance(300).then(|| IdempotencyKey {
            key: "k".to_owned(),
            body_sha256: self.rng.pick(&["a", "b"]).to_string(),
        });
        let launch = Launch {
            run: if self.rng.chance(100) { self.run() } else { RunId::from_uuid(id) },
            agent: Agent { name: self.rng.pick(&["x", "y"]).to_string(), ..agent() },
            tenant: self.rng.pick(&["a", "a", "b"]).to_string(),
            labels: BTreeMap::from([("n".to_owned(), self.runs.len().to_string())]),
            priority: i32::try_from(self.rng.between(0, 2)).expect("a few"),
            max_steps: u32::try_from(self.rng.between(1, 4)).expect("a few"),
            idempotency,
            ..launch("a task")
        };
        let launched = ask!(self, store => store.launch(launch.clone()));
        if let Ok(launched) = launched
            && !self.runs.contains(&launched.run.id)
        {
            self.runs.push(launched.run.id);
        }
    }

    async fn command(&mut self) {
        let run = self.run();
        let row = self.worlds[0].store.run(run).await.expect("read");
        let open = row.as_ref().and_then(piton_store::RunRow::open_question);
        let question = open.unwrap_or(CallId::derive(run, 1, 0));
        let command = match self.rng.between(0, 9) {
            0..=1 => Command::Pause,
            2..=3 => Command::Resume,
            4 => Command::Cancel,
            5..=6 => Command::Answer { question: open, answer: "yes".to_owned() },
            7 => Command::Release,
            8 => Command::Decide { question, decision: Decision::DidNotHappen },
            _ => Command::Decide { question, decision: Decision::Happened { result: 1.into() } },
        };
        let done = ask!(self, store => store.command(run, command.clone()));
        drop(done);
    }

    async fn register(&mut self) {
        let name = WorkerId::new(format!("w-{}", self.workers.len()));
        let now_ms = self.now_ms();
        let row = WorkerRow {
            id: name.clone(),
            host: "h".to_owned(),
            pid: 1,
            concurrency: 1,
            version: "0".to_owned(),
            started_at_ms: now_ms,
            lease_ms: 1_000,
            expires_at_ms: now_ms + 1_000,
            runs: 0,
            draining: false,
            reducer: piton_core::REDUCER,
            lacks: Vec::new(),
        };
        ask!(self, store => store.register(&row)).expect("registered");
        if self.rng.chance(500) {
            self.worlds.iter().for_each(|world| world.engine.lock(&name));
        }
        self.workers.push(name);
    }

    async fn claim(&mut self) {
        let worker = self.worker();
        let lane = if self.rng.chance(700) { Lane::Common } else { Lane::Apart };
        let limit = u32::try_from(self.rng.between(1, 3)).expect("a few");
        ask!(self, store => store.due(lane, limit)).expect("counted");
        let claims = ask!(self, store => store.claim(&worker, lane, limit)).expect("claimed");
        let held = claims.into_iter().map(|claim| Held { worker: worker.clone(), claim, facts: Vec::new() });
        self.held.extend(held);
    }

    /// One more commit of a step, as a worker would make it; now and then under a key or a version of the past.
    async fn commit(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = usize::try_from(self.rng.next() % self.held.len() as u64).expect("a place");
        let Held { worker, claim, facts } = self.held[place].clone();
        let (after, events) = if facts.is_empty() {
            match found_out(&claim.fold, &claim, &mut self.rng) {
                Some(found) => found,
                None => (claim.fold.clone(), Vec::new()),
            }
        } else {
            merge(claim.fold.clone(), &facts, claim.epoch).expect("facts of an ancestor")
        };
        let stale = self.rng.chance(100);
        let end = *self.rng.pick(&[StepEnd::GoesOn, StepEnd::Progress, StepEnd::Done, StepEnd::GiveBack]);
        let outputs = events.iter().filter_map(|event| match event {
            Event::ToolReturned { call, .. } => Some(FullOutput { call: *call, text: "whole".into() }),
            _ => None,
        });
        let commit = Commit {
            gives_way: self.rng.chance(700),
            patience: std::time::Duration::ZERO,
            run: claim.run,
            worker,
            epoch: Epoch(claim.epoch.0.saturating_sub(u64::from(stale))),
            ordinal: claim.ordinal.saturating_sub(u32::from(self.rng.chance(150))),
            base: claim.fold.version,
            outputs: outputs.collect(),
            events: events.clone(),
            after: after.clone(),
            end,
        };
        let outcome = ask!(self, store => store.commit(commit.clone())).expect("answered");
        match outcome {
            CommitOutcome::Committed { kept: true, version } if version == after.version => {
                self.held[place].claim = Claim { fold: after, ordinal: claim.ordinal + 1, ..claim };
                self.held[place].facts.clear();
            }
            CommitOutcome::Behind { newer } => {
                self.held[place].claim.fold = *newer;
                self.held[place].facts = events;
            }
            // A worker lets go of what it does not own; this one comes back to it now and then.
            CommitOutcome::Committed { .. } | CommitOutcome::Fenced => {
                if self.rng.chance(700) {
                    self.held.remove(place);
                }
            }
        }
        let call = CallId::derive(claim.run, 1, 0);
        ask!(self, store => store.output(claim.run, call, 0)).expect("read");
    }

    async fn hand_back(&mut self) {
        let worker = self.worker();
        if self.rng.chance(300) {
            let held = self.held.iter().take(1).map(|held| (held.claim.run, held.claim.epoch));
            let held: Vec<(RunId, Epoch)> = held.collect();
            ask!(self, store => store.hand_back_all_but(&worker, &held)).expect("handed back");
        } else if let Some(held) = self.held.pop() {
            let (run, epoch) = (held.claim.run, held.claim.epoch);
            ask!(self, store => store.hand_back(run, &held.worker, epoch, held.claim.due_at_ms))
                .expect("handed back");
        }
    }

    async fn recover(&mut self) {
        let me = self.worker();
        let mut peers = self.worlds[0].store.peers(&me).await.expect("read");
        peers.sort_by(|a, b| a.id.cmp(&b.id));
        let Some(peer) = peers.first().cloned() else { return };
        let late = i64::from(self.rng.chance(200));
        let lost = LostWorker {
            id: peer.id,
            expires_at_ms: peer.expires_at_ms + late,
            why: *self.rng.pick(&[Lost::LockFree, Lost::LeaseLapsed]),
            busy_with: peer.busy_with,
        };
        ask!(self, store => store.recover(&lost)).expect("recovered");
    }

    async fn die(&mut self) {
        let worker = self.worker();
        let held = self.held.iter().filter(|held| held.worker == worker).map(|held| held.claim.run);
        let mut polled: Vec<RunId> = held.collect();
        polled.sort_unstable();
        polled.dedup();
        polled.truncate(usize::try_from(self.rng.between(0, 2)).expect("a few"));
        if worker.as_str() != "nobody" {
            self.worlds.iter().for_each(|world| world.engine.die(&worker, &polled));
        }
        let own_doing = self.rng.chance(700);
        let death = Death { worker, how: "signal 6 (SIGABRT)".to_owned(), own_doing };
        ask!(self, store => store.died(&death)).expect("judged");
    }

    async fn prune(&mut self) {
        let some = [vec![], vec![Status::Failed, Status::Cancelled], vec![Status::Complete]];
        let prune = Prune {
            over_before_ms: self.now_ms() - 1_000 * i64::try_from(self.rng.between(0, 20)).expect("a moment"),
            statuses: self.rng.pick(&some).clone(),
            tenant: self.rng.chance(300).then(|| "a".to_owned()),
            is_rehearsal: self.rng.chance(300),
        };
        let after = if self.rng.chance(200) { self.run() } else { Prune::BEGINNING };
        ask!(self, store => store.prune(&prune, after)).expect("pruned");
    }

    async fn disturb(&mut self) {
        match self.rng.between(0, 3) {
            0 => {
                for world in &self.worlds {
                    world.engine.lose_jobs().await;
                }
            }
            1 => {
                for world in &self.worlds {
                    world.engine.lose_workers().await;
                }
            }
            2 => self.worlds.iter().for_each(|world| world.clock.advance(-3_600_000)),
            _ => self.worlds.iter().for_each(|world| world.clock.advance(25 * 3_600_000)),
        }
    }

    /// Everything that can be read.
    async fn compare(&mut self) {
        for run in self.runs.clone() {
            ask!(self, store => store.run(run)).expect("read");
            ask!(self, store => store.events(run, 0, 1_000)).expect("read");
            ask!(self, store => store.events(run, 2, 1)).expect("read");
            ask!(self, store => store.lost_attempts(run)).expect("read");
        }
        let me = self.worker();
        ask!(self, store => store.queue()).expect("read");
        ask!(self, store => store.workers()).expect("read");
        ask!(self, store => async {
            let mut peers = store.peers(&me).await.expect("read");
            peers.sort_by(|a, b| a.id.cmp(&b.id));
            peers
        });
        ask!(self, store => async {
            let mut asked = store.inbox(100).await.expect("read");
            asked.items.sort_by_key(|item| item.run);
            asked
        });
        let filter = RunFilter { limit: 3, ..RunFilter::default() };
        ask!(self, store => store.runs(&filter)).expect("read");
        ask!(self, store => async {
            let mut tallies = store.tally(0, 1_000).await.expect("read");
            tallies.sort_by_key(|tally| (tally.status.as_str(), tally.finished_at_ms));
            tallies
        });
        // What is checked beyond this differs: a file has pages.
        ask!(self, store => async {
            let checks = store.check().await.expect("checked");
            let owed = |name: &str| name.starts_with("every run is the fold") || name.contains("a job or a worker");
            checks.into_iter().filter(|check| owed(check.name)).map(|check| check.trouble.is_some()).collect::<Vec<_>>()
        });
    }
}

/// What a step of this run finds out next, with what follows from it.
fn found_out(fold: &Run, claim: &Claim, rng: &mut Rng) -> Option<(Run, Vec<Event>)> {
    let returned = |call: CallId| Event::ToolReturned {
        call,
        result: "done".into(),
        took_ms: 1,
        attempt: claim.attempt,
        full_bytes: None,
    };
    let event = match next(fold, claim.epoch) {
        Next::Record(event) => event,
        Next::CallModel if rng.chance(100) => Event::ModelFailed { error: "down".to_owned(), tries: 1 },
        Next::CallModel => replied(claim.run, fold.turns + 1, rng),
        Next::CallTool(ToolCall { id, .. }) => Event::ToolStarted {
            call: id,
            arguments_hash: String::new(),
            worker: WorkerId::new("w-1"),
            epoch: claim.epoch,
            attempt: claim.attempt,
            at_ms: START_MS,
        },
        Next::Rest => match fold.front() {
            Some(front) if front.started.is_some() && fold.status.is_runnable() => returned(front.call.id),
            _ => return None,
        },
    };
    let run = fold.clone().apply(&event).ok()?;
    let (run, decisions) = settle(run, claim.epoch).ok()?;
    Some((run, [vec![event], decisions].concat()))
}

fn replied(run: RunId, turn: u32, rng: &mut Rng) -> Event {
    let names = (0..rng.between(1, 2)).map(|_| *rng.pick(&["pay", "pay", "ask_human", "final_answer"]));
    let calls = names.enumerate().map(|(place, name)| ToolCall {
        id: CallId::derive(run, turn, place),
        call_id: format!("call-{turn}-{place}"),
        name: name.to_owned(),
        arguments: r#"{"question": "what?", "answer": "that"}"#.to_owned(),
        kind: match name {
            "ask_human" => piton_core::CallKind::AskHuman,
            "final_answer" => piton_core::CallKind::FinalAnswer,
            _ => piton_core::CallKind::Tool(piton_core::EffectClass::AtMostOnce),
        },
    });
    Event::ModelReplied {
        turn,
        text: None,
        calls: calls.collect(),
        notes: Vec::new(),
        usage: piton_core::Usage::default(),
        model: "m".to_owned(),
        request: piton_core::TurnRequest::default(),
        attempt: 1,
    }
}

fn agent() -> Agent {
    launch("").agent
}

#[tokio::test]
async fn the_embedded_store_answers_as_the_one_in_memory_does() {
    for seed in seeds(SEEDS) {
        Pair::new(seed, Arc::new(Sqlite::unsynced())).await.answer_alike(seed).await;
    }
}

#[tokio::test]
async fn the_distributed_store_answers_as_the_one_in_memory_does() {
    for seed in seeds(SEEDS / 4) {
        Pair::new(seed, Arc::new(Postgres::fresh().await)).await.answer_alike(seed).await;
    }
}

fn seeds(count: u64) -> std::ops::RangeInclusive<u64> {
    match std::env::var("PITON_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..=seed,
        None => 1..=count,
    }
}

impl Pair {
    async fn answer_alike(mut self, seed: u64) {
        let pair = &mut self;
        pair.said.push(format!("seed {seed}"));
        for call in 1..=CALLS {
            pair.call().await;
            if call % READ_EVERY == 0 {
                pair.compare().await;
            }
        }
    }
}
