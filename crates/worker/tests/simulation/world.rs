//! A world: a database, workers, somebody who looks after a few runs, and weather. It is played once, from its seed to
//! the end of all its stories, on one thread and in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use piton_core::{CallId, Decision, Event, RunId, Status, WorkerId};
use piton_store::{Clock, Death, JobKind, Lane, Store};
use piton_testkit::memory::{Job, Memory, Mutant};
use serde_json::json;

use crate::client::{self, Planned};
use crate::ledger::Ledger;
use crate::oracle::Oracle;
use crate::place::Place;
use crate::process::{Process, SHUTDOWN_MS, Standing, Terms};
use crate::seams::MODEL_DOWN;
use crate::store::{SimulatedStore, WorkerMutant};
use crate::story::Story;
use crate::universe::{Intervention, State, Tally, Trace, Universe};
use crate::weather::Weather;
use piton_testkit::Rng;

/// Where the wall clock stands when a world begins.
const START_MS: i64 = 1_790_000_000_000;
/// By how much it is set.
const CLOCK_SET_MS: i64 = 3_600_000;
/// Once all faults have ceased, each run has come to its end within this time.
pub(crate) const QUIET_MS: u64 = 60_000;
/// Between two looks for runs that wait to go on apart, and how many do so at once: as the server has it.
const APART_LOOK_MS: u64 = 250;
const APART_MAX: usize = 4;
/// Beyond a worker's own time for its end, before it is killed.
const GRACE_MS: u64 = 2_000;

/// What a world is made of.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) stories: Vec<(Story, Vec<Planned>)>,
    pub(crate) workers: u64,
    pub(crate) terms: Terms,
    /// Whether a lock tells when a worker's process is gone, or only its lease.
    pub(crate) has_locks: bool,
    /// How many look after each run.
    pub(crate) clients: usize,
    pub(crate) weather: Weather,
    /// How long the weather lasts.
    pub(crate) storm_ms: u64,
    pub(crate) tick_ms: (u64, u64),
    pub(crate) interventions: Vec<Intervention>,
    /// What happens at a given time, in order.
    pub(crate) events: Vec<(u64, Happening)>,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) worker_mutant: Option<WorkerMutant>,
    pub(crate) keep_lines: bool,
}

impl Setting {
    /// The world that follows from a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let lease_ms = rng.between(300, 1_200);
        let stories = rng.between(1, 5);
        let storm_ms = rng.between(500, 8_000);
        let weather =
            if rng.chance(100) { Weather::frost(lease_ms) } else { Weather::draw(&mut rng, lease_ms) };
        let step_timeout_ms = if rng.chance(150) { rng.between(500, 2_000) } else { 30_000 };
        Self {
            seed,
            stories: (0..stories)
                .map(|number| {
                    let number = usize::try_from(number).expect("a few");
                    (Story::draw(&mut rng, seed, number, storm_ms / 2), Vec::new())
                })
                .collect(),
            workers: rng.between(1, 3),
            terms: Terms {
                concurrency: u32::try_from(rng.between(1, 4)).expect("a few"),
                lease_ms,
                step_timeout_ms,
            },
            has_locks: !rng.chance(200),
            clients: if rng.chance(300) { 2 } else { 1 },
            weather,
            storm_ms,
            tick_ms: (1, rng.between(5, 40)),
            interventions: Vec::new(),
            events: Vec::new(),
            mutant: None,
            worker_mutant: None,
            keep_lines: false,
        }
    }
}

/// Something that happens whatever the weather.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    SetClock {
        ms: i64,
    },
    /// Every worker stands still.
    Freeze {
        ms: u64,
    },
}

/// What became of a world.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of everything that happened, in order.
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) wrong: Option<String>,
    /// Calls to store, model and tools.
    pub(crate) crossings: u64,
    /// When the last story was at its end.
    pub(crate) settled_ms: u64,
    /// From the end of the weather to then.
    pub(crate) quiet_ms: u64,
    pub(crate) histories: Vec<Vec<Event>>,
    pub(crate) tally: Tally,
}

pub(crate) fn play(setting: Setting) -> Outcome {
    let mut world = World::new(setting);
    world.play();
    world.outcome()
}

struct World {
    universe: Arc<Universe>,
    processes: Vec<Process>,
    client: Process,
    client_store: Arc<dyn Store>,
    setting: Setting,
    /// When another worker is started.
    births: Vec<u64>,
    born: u64,
    apart_look_at: u64,
    quiet_since: Option<u64>,
    /// Nobody is born any more.
    is_closing: bool,
}

impl World {
    fn new(setting: Setting) -> Self {
        let clock = Clock::told(START_MS);
        let stories: Vec<Story> = setting.stories.iter().map(|(story, _)| story.clone()).collect();
        let mut ledger = Ledger::default();
        let mut calls = BTreeMap::new();
        for story in &stories {
            for (turn, place, call) in story.calls() {
                let id = CallId::derive(story.run, turn, place);
                calls.insert(id, (story.run, call.clone()));
                if call.name == "nothing" {
                    ledger.may_be_shown(id, json!({ "result": "Error: Tool nothing not found" }).to_string());
                }
            }
        }
        let state = State {
            rng: Rng::new(setting.seed ^ 0x5eed),
            now_ms: 0,
            weather: setting.weather.clone(),
            is_quiet: false,
            has_locks: setting.has_locks,
            living: BTreeSet::new(),
            stories,
            calls,
            ledger,
            oracle: Oracle::default(),
            interventions: setting.interventions.clone().into(),
            trace: Trace::new(setting.keep_lines),
            crossings: 0,
            power_losses: 0,
            tally: Tally::new(),
            worker_mutant: setting.worker_mutant,
            wrong: None,
        };
        let universe = Universe::new(Memory::new(setting.mutant), clock, state);
        let place = Place::new(&universe, "client", 0);
        let client_store: Arc<dyn Store> = Arc::new(SimulatedStore::new(&place));
        let client = Process::client(place);
        for (story, orders) in &setting.stories {
            for _ in 0..setting.clients {
                let (place, store) = (client.place.clone(), Arc::clone(&client_store));
                client.spawn(client::mind(place, store, story.clone(), orders.clone()));
            }
        }
        let births = vec![0; usize::try_from(setting.workers).expect("a few")];
        Self {
            universe,
            processes: Vec::new(),
            client,
            client_store,
            setting,
            births,
            born: 0,
            apart_look_at: 0,
            quiet_since: None,
            is_closing: false,
        }
    }

    fn now_ms(&self) -> u64 {
        self.universe.state().now_ms
    }

    fn is_wrong(&self) -> bool {
        self.universe.state().wrong.is_some()
    }

    fn play(&mut self) {
        while !self.is_wrong() {
            let now_ms = self.now_ms();
            let is_settled = self.is_settled();
            if self.quiet_since.is_none() && (is_settled || now_ms >= self.setting.storm_ms) {
                self.calm();
            }
            if is_settled && self.is_tidy() {
                return self.close();
            }
            if self.quiet_since.is_some_and(|since| now_ms > since + QUIET_MS) {
                let runs = self.describe_runs();
                let wrong = format!("not at an end {QUIET_MS} ms after the last fault: {runs}");
                return self.universe.state().wrong(wrong);
            }
            self.strike();
            self.tick();
        }
    }

    /// All faults cease.
    fn calm(&mut self) {
        let now_ms = self.now_ms();
        self.quiet_since = Some(now_ms);
        let mut state = self.universe.state();
        state.weather = Weather::calm();
        state.is_quiet = true;
        state.note("calm", &[], || "all faults cease".to_owned());
    }

    /// What happens to processes, clocks and jobs between two ticks.
    fn strike(&mut self) {
        let now_ms = self.now_ms();
        while self.setting.events.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            match self.setting.events.remove(0).1 {
                Happening::SetClock { ms } => self.universe.clock.advance(ms),
                Happening::Freeze { ms } => {
                    self.processes.iter().for_each(|process| process.place.freeze(ms));
                }
            }
        }
        for process in &mut self.processes {
            strike(process, now_ms, self.quiet_since.is_some());
        }
        self.set_clock();
        self.tamper_with_jobs();
        let is_power_lost = {
            let mut state = self.universe.state();
            let power = state.weather.power;
            state.rng.chance(power)
        };
        if is_power_lost {
            self.lose_power();
        }
        self.bury_and_bear();
    }

    fn set_clock(&self) {
        let mut state = self.universe.state();
        let State { rng, weather, .. } = &mut *state;
        if rng.chance(weather.clock) {
            let by = if rng.chance(500) { CLOCK_SET_MS } else { -CLOCK_SET_MS };
            self.universe.clock.advance(by);
            state.note("clock", &[by.unsigned_abs()], || format!("the clock is set by {by} ms"));
        }
    }

    fn tamper_with_jobs(&self) {
        let mut state = self.universe.state();
        let State { rng, weather, stories, .. } = &mut *state;
        let (twice, lost) = (rng.chance(weather.job_twice), rng.chance(weather.job_lost));
        let run = rng.pick(stories).run;
        let now_ms = self.universe.clock.now_ms();
        if twice {
            let job = Job { kind: JobKind::Step, priority: 0, due_at_ms: now_ms, enqueued_at_ms: now_ms };
            self.universe.memory.tamper(|tables| {
                if tables.runs.contains_key(&run) {
                    tables.jobs.entry(run).or_insert(job);
                }
            });
            state.note("job", &[0], || format!("run {run} has a job again"));
        }
        if lost {
            state.oracle.jobs_were_lost = true;
            self.universe.memory.tamper(|tables| {
                tables.jobs.remove(&run);
            });
            state.note("job", &[1], || format!("run {run} lost its job"));
        }
    }

    /// Every worker is gone, and with them what was not synced, or some of it.
    fn lose_power(&self) {
        for process in &self.processes {
            process.place.crash(Vec::new(), false);
        }
        let memory = &self.universe.memory;
        let mut state = self.universe.state();
        let kept = state.rng.between(0, memory.unsynced() as u64);
        memory.lose_power(usize::try_from(kept).expect("a few"));
        state.power_losses += 1;
        state.note("power", &[kept], || format!("the power goes; {kept} unsynced writes are kept"));
        if let Err(wrong) = memory.look(|tables| state.oracle.power_went(tables)) {
            state.wrong(wrong);
        }
    }

    /// Those that crashed are taken away, others take their place.
    fn bury_and_bear(&mut self) {
        let now_ms = self.now_ms();
        let mut living = Vec::with_capacity(self.processes.len());
        for process in std::mem::take(&mut self.processes) {
            let crash = process.place.inside().crash.clone();
            if let Some(crash) = crash {
                self.bury(process, &crash);
            } else if process.has_ended() {
                let incarnation = process.place.inside().incarnation.clone();
                if let Some(worker) = incarnation {
                    self.universe.memory.unlock(&worker);
                    self.universe.state().living.remove(&worker);
                }
                let place = process.place.clone();
                if process.lane == Lane::Common {
                    self.births.push(now_ms);
                }
                let ended = process.into_end();
                self.universe.state().note("end", &[place.number], || format!("{} ends", place.name));
                self.universe.must(ended);
            } else {
                living.push(process);
            }
        }
        self.processes = living;
        let due = self.births.iter().filter(|at| **at <= now_ms).count();
        self.births.retain(|at| *at > now_ms);
        for _ in 0..due {
            self.bear(Lane::Common);
        }
        if self.apart_look_at <= now_ms {
            self.apart_look_at = now_ms + APART_LOOK_MS;
            self.carry_suspects();
        }
    }

    fn carry_suspects(&mut self) {
        let under_way = self.processes.iter().filter(|process| process.lane == Lane::Apart).count();
        let now_ms = self.universe.clock.now_ms();
        let due = self.universe.memory.look(|tables| {
            let is_due = |run: &RunId| {
                let stored = &tables.runs[run];
                stored.suspect.is_some() && stored.row.owner.is_none()
            };
            tables.jobs.iter().filter(|(run, job)| job.due_at_ms <= now_ms && is_due(run)).count()
        });
        for _ in 0..due.min(APART_MAX.saturating_sub(under_way)) {
            self.bear(Lane::Apart);
        }
    }

    fn bear(&mut self, lane: Lane) {
        if self.is_closing {
            return;
        }
        self.born += 1;
        let place = Place::new(&self.universe, &format!("w-{}", self.born), self.born);
        self.universe.state().note("born", &[self.born], || format!("{} is born for {lane:?}", place.name));
        self.processes.push(Process::worker(place, lane, self.setting.terms));
    }

    fn bury(&mut self, process: Process, crash: &crate::place::Crash) {
        let place = process.place.clone();
        let lane = process.lane;
        drop(process);
        let now_ms = self.now_ms();
        let mut state = self.universe.state();
        state.note("dead", &[place.number], || format!("{} is dead: {crash:?}", place.name));
        if let Some(worker) = place.inside().incarnation.clone() {
            state.living.remove(&worker);
            if state.has_locks {
                self.universe.memory.die(&worker, crash.busy_with.clone());
            }
        }
        let waits_ms = state.rng.between(0, 300);
        if lane == Lane::Common {
            self.births.push(now_ms + waits_ms);
        }
        // A worker that was started by hand has nobody who tells of its end; one that ends itself has.
        let is_told = crash.own_doing || state.rng.chance(700);
        let tells_after_ms = state.rng.between(0, 100);
        drop(state);
        if is_told {
            let how = if crash.own_doing { "signal 6 (SIGABRT)" } else { "signal 9 (SIGKILL)" };
            let death = Death { worker: place.name, how: how.to_owned(), own_doing: crash.own_doing };
            let (store, witness) = (Arc::clone(&self.client_store), self.client.place.clone());
            self.client.spawn(async move {
                witness.wait(tells_after_ms).await;
                while store.died(&death).await.is_err() {
                    witness.wait(APART_LOOK_MS).await;
                }
            });
        }
    }

    /// Some time passes, in each process in turn.
    fn tick(&mut self) {
        let (ms, order) = {
            let mut state = self.universe.state();
            let (least, most) = self.setting.tick_ms;
            let ms = state.rng.between(least, most);
            state.now_ms += ms;
            let now_ms = state.now_ms;
            state.ledger.land(now_ms);
            let mut order: Vec<usize> = (0..=self.processes.len()).collect();
            state.rng.shuffle(&mut order);
            (ms, order)
        };
        self.universe.clock.advance(i64::try_from(ms).expect("a moment"));
        for place in order {
            match place.checked_sub(1).map(|place| &self.processes[place]) {
                None => self.client.tick(ms),
                Some(process) if matches!(process.standing, Standing::Frozen { .. }) => {}
                Some(process) => process.tick(ms),
            }
        }
        let seen = {
            let mut state = self.universe.state();
            self.universe.memory.look(|tables| state.oracle.observe(tables))
        };
        self.universe.must(seen);
    }

    /// Whether every story has come to its end.
    fn is_settled(&self) -> bool {
        let state = self.universe.state();
        self.universe.memory.look(|tables| {
            state.stories.iter().all(|story| {
                tables.runs.get(&story.run).is_some_and(|stored| {
                    let status = stored.row.run.status;
                    let is_kept_away = status == Status::Quarantined && story.is_poison();
                    stored.row.owner.is_none() && (status.is_final() || is_kept_away)
                })
            })
        })
    }

    /// Whether nobody is about to go, and nobody but the living is registered.
    fn is_tidy(&self) -> bool {
        if self.processes.iter().any(|process| process.standing != Standing::Running) {
            return false;
        }
        let living = |worker: &WorkerId| {
            self.processes.iter().any(|process| {
                let inside = process.place.inside();
                inside.crash.is_none() && inside.incarnation.as_ref() == Some(worker) && !process.has_ended()
            })
        };
        self.universe.memory.look(|tables| tables.workers.keys().all(living))
    }

    /// The workers stop in good order, and what they leave behind is looked at once more.
    fn close(&mut self) {
        self.is_closing = true;
        let until_ms = self.now_ms() + SHUTDOWN_MS + GRACE_MS;
        while !self.is_wrong() {
            self.strike();
            if self.processes.is_empty() {
                let ended = self.verdict();
                return self.universe.must(ended);
            }
            if self.now_ms() > until_ms {
                return self.universe.state().wrong("a worker does not stop".to_owned());
            }
            self.processes.iter().for_each(Process::ask_to_stop);
            self.tick();
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let state = self.universe.state();
        self.universe.memory.look(|tables| {
            state.oracle.nothing_is_lost(tables)?;
            for story in &state.stories {
                let stored = &tables.runs[&story.run];
                let events = stored.events.iter().map(|recorded| &recorded.event);
                verdict_on(story, &stored.row.run, events, &state.ledger)
                    .map_err(|why| format!("run {}: {why}", story.run))?;
            }
            Ok::<(), String>(())
        })?;
        drop(state);
        for check in self.universe.check() {
            // A job that nobody is owed is dropped when somebody takes it, and nobody is there to take it.
            let is_harmless = check.name == "every job belongs to a run that can advance";
            if let Some(trouble) = check.trouble.filter(|_| !is_harmless) {
                return Err(format!("{}: {trouble}", check.name));
            }
        }
        Ok(())
    }

    fn describe_runs(&self) -> String {
        self.universe.memory.look(|tables| {
            let runs = tables.runs.values().map(|stored| {
                let row = &stored.row;
                let job = tables.jobs.get(&row.id).map(|job| job.due_at_ms - self.universe.clock.now_ms());
                format!(
                    "{} {} version {} owner {:?} suspect {:?} job {job:?} error {:?}",
                    row.id, row.run.status, row.run.version, row.owner, stored.suspect, row.run.error
                )
            });
            runs.collect::<Vec<_>>().join("; ")
        })
    }

    fn outcome(self) -> Outcome {
        let now_ms = self.now_ms();
        let histories: Vec<Vec<Event>> = self.universe.memory.look(|tables| {
            let histories = tables
                .runs
                .values()
                .map(|stored| stored.events.iter().map(|recorded| recorded.event.clone()).collect());
            histories.collect()
        });
        let mut state = self.universe.state();
        for event in histories.iter().flatten() {
            state.count(event.kind());
        }
        Outcome {
            hash: state.trace.hash(),
            lines: state.trace.take_lines(),
            wrong: state.wrong.take(),
            crossings: state.crossings,
            settled_ms: now_ms,
            quiet_ms: self.quiet_since.map_or(0, |since| now_ms - since),
            histories,
            tally: std::mem::take(&mut state.tally),
        }
    }
}

/// What happens to one process between two ticks.
fn strike(process: &mut Process, now_ms: u64, is_quiet: bool) {
    let place = process.place.clone();
    let mut state = place.universe.state();
    match process.standing {
        Standing::Frozen { since_ms, until_ms } if until_ms <= now_ms || is_quiet => {
            let calls_first = state.rng.chance(500);
            state.note("thaw", &[place.number], || format!("{} goes on", place.name));
            drop(state);
            return process.thaw(now_ms - since_ms, calls_first);
        }
        Standing::Stopping { until_ms } if until_ms <= now_ms => place.crash(Vec::new(), false),
        _ => {}
    }
    let State { rng, weather, .. } = &mut *state;
    if rng.chance(weather.crash) {
        place.crash(Vec::new(), false);
    } else if process.standing != Standing::Running {
        // One thing at a time.
    } else if rng.chance(weather.freeze) {
        place.freeze(rng.between(1, weather.freeze_ms));
    } else if rng.chance(weather.deploy) {
        process.standing = Standing::Stopping { until_ms: now_ms + SHUTDOWN_MS + GRACE_MS };
        process.ask_to_stop();
        state.note("stop", &[place.number], || format!("{} is asked to stop", place.name));
    }
    let frozen_ms = place.inside().frozen_ms;
    if let Some(ms) = frozen_ms.filter(|_| !matches!(process.standing, Standing::Frozen { .. })) {
        let until_ms = now_ms + ms;
        process.standing = Standing::Frozen { since_ms: now_ms, until_ms };
        state.note("freeze", &[place.number], || format!("{} stands still until {until_ms}", place.name));
    }
}

/// Whether a story was told as it should be, and had the effects that its history says.
fn verdict_on<'a>(
    story: &Story,
    run: &piton_core::Run,
    events: impl Iterator<Item = &'a Event> + Clone,
    ledger: &Ledger,
) -> Result<(), String> {
    let was_cancelled = events.clone().any(|event| matches!(event, Event::CancelRequested))
        || events
            .clone()
            .any(|event| matches!(event, Event::OutcomeDecided { decision: Decision::Abort, .. }));
    match run.status {
        Status::Complete if was_cancelled => return Err("it was cancelled and is complete".to_owned()),
        Status::Complete if run.final_answer != Some(story.final_answer()) => {
            return Err(format!("its answer is {:?}", run.final_answer));
        }
        Status::Cancelled if !was_cancelled => return Err("nobody cancelled it".to_owned()),
        Status::Complete if story.is_poison() => return Err("poison cannot be told to its end".to_owned()),
        _ => {}
    }
    for event in events.clone() {
        if let Event::Failed { error } = event
            && error != MODEL_DOWN
            && !error.starts_with("the step took longer than its limit of")
        {
            return Err(format!("it failed with {error:?}"));
        }
    }
    for (turn, place, call) in story.calls() {
        let id = CallId::derive(story.run, turn, place);
        let effects = ledger.effects.get(&id).copied().unwrap_or_default();
        if call.name != "pay" {
            continue;
        }
        if effects > 1 {
            return Err(format!("call {place} of turn {turn} took effect {effects} times"));
        }
        let happened = events.clone().find_map(|event| match event {
            Event::ToolReturned { call, .. } if *call == id => Some(true),
            Event::ToolFailed { call, .. } if *call == id => Some(false),
            Event::OutcomeDecided { call, decision: Decision::Happened { .. } } if *call == id => Some(true),
            _ => None,
        });
        if happened.is_some_and(|happened| happened != (effects == 1)) {
            return Err(format!(
                "call {place} of turn {turn} is recorded as {happened:?} and took effect {effects} times"
            ));
        }
    }
    Ok(())
}
