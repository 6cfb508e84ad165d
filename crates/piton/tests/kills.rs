//! SIGKILLs without end: for a worker, for the server, now and then for everything at once, while runs with effects are
//! kept in flight over four workers. Every run ends right, every effect is there once, nobody is blamed;
//! what nobody can know is shown, and decided by asking the ledger. And it goes on soon: measured for every run whose
//! owner was killed.
//!
//! *First progress* of an interrupted run is the earliest thing that anybody did for it after the kill: its next
//! request as the scripted model sees it arrive, or its next event from a worker (by the event's own time). To know
//! exactly which runs a kill interrupts, the victim is frozen a few milliseconds before: what it owns then, it owns
//! when it is killed, and nothing that it sent is still on its way.
//!
//! Here 20 kills, one a second, which a debug build on two busy cores can just live with. `PITON_LONG=1` makes it 1,000,
//! one every 300 ms, with 64 runs in flight and at least 5,000 in all, and holds a release build (`PITON_TEST_BIN`) to
//! half a second and one second. `PITON_ROUNDS` is the number of kills, `PITON_SEED` picks another storm.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use piton_testkit::{Caller, Crowd, Ledger, ScriptedModel, Spread, World, at_ms, clerk, deadline, freeze};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// How long a victim stands still at most before it is killed.
const SAID_WITHIN: Duration = Duration::from_millis(200);

/// What is done, and what is required of it.
#[derive(Debug)]
struct Plan {
    seed: u64,
    kills: u32,
    /// From one kill to the next.
    every: Duration,
    in_flight: usize,
    /// Launched at least, however soon the last kill comes.
    runs: u64,
    /// First progress after a kill: median and 99th percentile.
    p50: Duration,
    p99: Duration,
}

impl Plan {
    fn from_env() -> Self {
        let number = |name: &str| -> Option<u64> {
            std::env::var(name)
                .ok()
                .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
        };
        let long = std::env::var_os("PITON_LONG").is_some();
        let kills = number("PITON_ROUNDS").unwrap_or(if long { 1000 } else { 20 });
        let ms = Duration::from_millis;
        // A debug build on a machine that is busy with other tests is only held to have no stall.
        let (every, p50, p99) =
            if long { (ms(300), ms(500), ms(1000)) } else { (ms(1000), ms(3000), ms(15_000)) };
        Self {
            seed: number("PITON_SEED").unwrap_or(1),
            kills: u32::try_from(kills).expect("a number of kills"),
            every,
            in_flight: if long { 64 } else { 16 },
            runs: if long { 5 * kills } else { kills },
            p50,
            p99,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// Others live on.
    Worker,
    /// The server alone; its children notice and hand back.
    Server,
    /// The server, its children and every worker; all are started again at once.
    Everything,
}

#[derive(Debug)]
struct Kill {
    victim: Victim,
    at: Instant,
    /// UTC milliseconds.
    wall_ms: i64,
    /// The numbers of the runs that were owned by whom was killed.
    interrupted: Vec<u64>,
    /// When a server said that it is ready again, after everything was killed.
    ready: Option<tokio::task::JoinHandle<Instant>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing_and_hold_nothing_up() {
    let plan = Plan::from_env();
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.set_latency(Duration::from_millis(100));
    model.forget_bodies();
    // Each worker could carry all runs alone: what is measured is finding out and taking over, not a lack of slots.
    let world = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 15));
    let mut world =
        world.workers(2).env("PITON_WORKER__CONCURRENCY", &plan.in_flight.to_string()).serve().await;
    world.start_worker();
    world.start_worker();
    world.workers_ready(4).await;

    let mut crowd = Crowd::new(world.caller(), plan.in_flight);
    let calm = AtomicBool::new(false);
    let in_flight = AtomicUsize::new(0);
    let began = Instant::now();
    let storm = async {
        let kills = kill_all_the_time(&mut world, &plan, &in_flight).await;
        world.ready().await;
        calm.store(true, Ordering::Relaxed);
        kills
    };
    let (kills, ()) = tokio::join!(storm, keep_busy(&mut crowd, &ledger, plan.runs, (&calm, &in_flight)));
    eprintln!(
        "seed {}: {} kills over {} runs in {:.0?}; {:?}",
        plan.seed,
        kills.len(),
        crowd.ids.len(),
        began.elapsed(),
        crowd.said
    );

    let (events, entries) = (crowd.events().await, ledger.entries().await);
    let repeats: u64 = entries.iter().map(|entry| entry.posts - 1).sum();
    eprintln!("{} entries booked, {repeats} idempotent calls repeated", entries.len());
    let trouble = crowd.trouble(&entries, &events).await;
    let some = &trouble[..trouble.len().min(5)];
    assert!(trouble.is_empty(), "{} troubles, such as {some:#?}", trouble.len());
    model.assert_every_request_was_valid();
    world.doctor_finds_nothing().await.expect("a sound database");
    report(&plan, &model, kills, &events).await;
}

/// Keeps runs going until it is calm and enough were launched, and then until all are over.
async fn keep_busy(
    crowd: &mut Crowd,
    ledger: &Ledger,
    runs: u64,
    (calm, in_flight): (&AtomicBool, &AtomicUsize),
) {
    while !calm.load(Ordering::Relaxed) || crowd.launched() < runs {
        if let Some(open) = crowd.look_after(ledger, true).await {
            in_flight.store(open, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    crowd.disperse(ledger, deadline() * 2).await.unwrap_or_else(|error| panic!("{error}"));
}

/// One kill after the other: of ten, seven hit a worker, two the server and one everything.
async fn kill_all_the_time(world: &mut World, plan: &Plan, in_flight: &AtomicUsize) -> Vec<Kill> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut ticks = tokio::time::interval(plan.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut workers, mut runs) = (0, 0);
    let mut kills = Vec::new();
    while kills.len() < plan.kills as usize {
        ticks.tick().await;
        workers += world.worker_pids().len();
        runs += in_flight.load(Ordering::Relaxed);
        let victim = match rng.random_range(0..10) {
            0..7 => Victim::Worker,
            7..9 => Victim::Server,
            _ => Victim::Everything,
        };
        kills.extend(strike(world, victim, &mut rng).await);
    }
    let mean = |sum: usize| sum as f64 / kills.len() as f64;
    eprintln!("at a kill there were {:.1} workers and {:.1} runs in flight", mean(workers), mean(runs));
    kills
}

/// `None` when there is nobody to kill.
async fn strike(world: &mut World, victim: Victim, rng: &mut StdRng) -> Option<Kill> {
    let caller = world.caller();
    let workers = world.worker_pids();
    let doomed = match victim {
        Victim::Worker => vec![*workers.choose(rng)?],
        Victim::Server => Vec::new(),
        Victim::Everything => workers,
    };
    doomed.iter().copied().for_each(freeze);
    let interrupted = if doomed.is_empty() { Vec::new() } else { owned_by(&caller, &doomed).await };
    let (at, wall_ms) = (Instant::now(), now_ms());
    match victim {
        Victim::Worker => world.kill_worker(doomed[0]),
        Victim::Server => {
            world.kill_server();
            world.start_server();
        }
        Victim::Everything => world.kill_and_start_everything(),
    }
    let ready = (victim == Victim::Everything).then(|| tokio::spawn(ready_again(caller)));
    Some(Kill { victim, at, wall_ms, interrupted, ready })
}

/// The numbers of the runs that these processes own; none when the server does not say so at once: it may be starting,
/// and wait for what the frozen ones hold.
async fn owned_by(caller: &Caller, pids: &[u32]) -> Vec<u64> {
    let owners: Vec<String> = pids.iter().map(|pid| format!("w-{pid}-")).collect();
    let runs = tokio::time::timeout(SAID_WITHIN, caller.try_runs("running,cancelling")).await;
    let runs = runs.ok().flatten().unwrap_or_default();
    let owned = runs.iter().filter(|run| {
        run["owner"].as_str().is_some_and(|owner| owners.iter().any(|prefix| owner.starts_with(prefix)))
    });
    owned.filter_map(|run| clerk::number_of(run["task"].as_str()?)).collect()
}

async fn ready_again(caller: Caller) -> Instant {
    while caller.try_get("/readyz").await.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared with the times of events, which other processes wrote"
)]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("it is later than 1970").as_millis()).expect("the time fits")
}

/// Prints how soon the interrupted runs went on, and holds it to what is required.
async fn report(plan: &Plan, model: &ScriptedModel, kills: Vec<Kill>, events: &BTreeMap<u64, Vec<Value>>) {
    let server_kills = kills.iter().filter(|kill| kill.victim == Victim::Server).count();
    let mut by_survivor = Vec::new();
    let mut after_restart = Vec::new();
    let mut after_ready = Vec::new();
    let mut over_before = 0;
    for kill in kills {
        let ready = match kill.ready {
            Some(ready) => Some(ready.await.expect("the wait for /readyz does not panic") - kill.at),
            None => None,
        };
        for n in kill.interrupted {
            let Some(after) = first_progress(model, n, &events[&n], (kill.at, kill.wall_ms)) else {
                assert!(was_over(&events[&n], kill.wall_ms), "run {n} was interrupted and never went on");
                over_before += 1;
                continue;
            };
            match ready {
                None => by_survivor.push(after),
                Some(ready) => {
                    after_restart.push(after);
                    after_ready.push(after.saturating_sub(ready));
                }
            }
        }
    }
    let spread = |times: Vec<Duration>| times.into_iter().collect::<Spread>();
    let (by_survivor, after_restart) = (spread(by_survivor), spread(after_restart));
    eprintln!("first progress after a worker was killed, by another: {by_survivor}");
    eprintln!("first progress after everything was killed, restart included: {after_restart}");
    eprintln!("the same, counted from /readyz: {}", spread(after_ready));
    eprintln!("over by what the victim had sent to the database's server: {over_before}");
    assert!(server_kills > 0, "the server was among the victims");
    for (what, spread) in [("by a survivor", by_survivor), ("after a restart", after_restart)] {
        assert!(!spread.is_empty(), "no run was interrupted and went on {what}");
        let (p50, p99) = (spread.percentile(50.0), spread.percentile(99.0));
        assert!(
            p50 < plan.p50 && p99 < plan.p99,
            "{what}: {spread}; required {:?}, {:?}",
            plan.p50,
            plan.p99
        );
    }
}

/// Whether the run had come to its end by then: a victim's last commit is carried out by a database's server after the victim
/// stands still, and after it was seen to own the run.
fn was_over(events: &[Value], wall_ms: i64) -> bool {
    events.last().is_some_and(|last| last["type"] == "completed" && at_ms(&last["at"]) <= wall_ms)
}

/// From the kill to the first thing that anybody did for run `n`; `None` when nobody did.
fn first_progress(
    model: &ScriptedModel,
    n: u64,
    events: &[Value],
    (at, wall_ms): (Instant, i64),
) -> Option<Duration> {
    const COMMANDS: [&str; 2] = ["launched", "outcome_decided"];
    let asked = model.arrivals("clerk", &n.to_string()).into_iter().find(|asked| *asked > at);
    let asked = asked.map(|asked| asked - at);
    let recorded = events
        .iter()
        .filter(|event| !COMMANDS.iter().any(|command| event["type"] == *command))
        .map(|event| at_ms(&event["at"]) - wall_ms)
        .find(|after| *after > 0)
        .and_then(|after| u64::try_from(after).ok())
        .map(Duration::from_millis);
    asked.into_iter().chain(recorded).min()
}
