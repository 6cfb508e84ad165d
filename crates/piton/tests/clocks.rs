//! The wall clock is set an hour ahead and an hour back while everything runs: for all processes at once, and for one
//! worker alone. No effect happens twice, no run waits for an hour, and all end.
//!
//! Each clock is set 12 times here, 60 times with `PITON_LONG=1`; `PITON_SEED` picks other moments. It takes libfaketime.
#![expect(clippy::print_stderr, reason = "what was tried is said")]

use std::collections::BTreeMap;
use std::time::Duration;

use piton_testkit::{Crowd, Ledger, ScriptedModel, WallClock, World, at_ms, clerk};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const HOUR_S: i64 = 3600;
/// More than the workers take at once, so that some wait in the queue whenever the clock is set.
const IN_FLIGHT: usize = 24;
const CONCURRENCY: &str = "4";
/// How long a run may be open: some takeovers, some of a person's decisions, and nothing like an hour.
const OPEN_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Everybodys,
    OneWorkers,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_everybody_is_set() {
    an_hour_back_and_forth(Whose::Everybodys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_one_worker_is_set() {
    an_hour_back_and_forth(Whose::OneWorkers).await;
}

async fn an_hour_back_and_forth(whose: Whose) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let long = std::env::var_os("PITON_LONG").is_some();
    let seed = number("PITON_SEED").unwrap_or(1);
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.set_latency(Duration::from_millis(50));
    model.forget_bodies();
    let mut world = World::new(PITON)
        .model(&model)
        .kept_on_failure()
        .agent("clerk", &clerk::agent(&ledger, 15))
        .workers(1);
    let Some(clock) = WallClock::at(&world.path("clock")) else {
        eprintln!("SKIPPED: the clock of {whose:?}: {}", WallClock::remedy());
        return;
    };
    if whose == Whose::Everybodys {
        for (name, value) in clock.env() {
            world = world.env(name, value);
        }
    }
    let world = world.env("PITON_WORKER__LEASE_MS", "2000").env("PITON_WORKER__CONCURRENCY", CONCURRENCY);
    let mut world = world.serve().await;
    match whose {
        Whose::Everybodys => world.start_worker(),
        Whose::OneWorkers => world.start_worker_with(&clock.env()),
    };
    world.workers_ready(2).await;

    let mut rng = StdRng::seed_from_u64(seed);
    let mut crowd = Crowd::new(world.caller(), IN_FLIGHT);
    for _ in 0..if long { 10 } else { 2 } {
        // From each to each: ahead, right, back, two hours at once; and by so little that a lease has just lapsed.
        for offset_s in [HOUR_S, 0, -HOUR_S, HOUR_S, 0, 30] {
            clock.set(offset_s);
            let span = Duration::from_millis(rng.random_range(500..2500));
            let enough = tokio::time::Instant::now() + span;
            while tokio::time::Instant::now() < enough {
                crowd.look_after(&ledger, true).await.expect("the server is there");
                assert!(crowd.longest < OPEN_MAX, "{whose:?}: a run is open for {:?}", crowd.longest);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    clock.set(0);
    crowd.disperse(&ledger, OPEN_MAX).await.unwrap_or_else(|error| panic!("{whose:?}: {error}"));
    let (events, entries) = (crowd.events().await, ledger.entries().await);
    let (said, runs, longest) = (crowd.said, crowd.ids.len(), crowd.longest);
    eprintln!("{whose:?}: seed {seed}, {runs} runs, the longest was open for {longest:.1?}; {said:?}");
    let trouble = crowd.trouble(&entries, &events).await;
    let some = &trouble[..trouble.len().min(5)];
    assert!(trouble.is_empty(), "{whose:?}: {} troubles, such as {some:#?}", trouble.len());
    assert_the_clock_was_wrong(&events);
    model.assert_every_request_was_valid();
    world.doctor_finds_nothing().await.expect("a sound database");
}

/// Somebody wrote by a clock that was an hour ahead, and by one that was an hour back: else nothing was tried.
fn assert_the_clock_was_wrong(events: &BTreeMap<u64, Vec<Value>>) {
    let times: Vec<i64> = events.values().flatten().map(|event| at_ms(&event["at"])).collect();
    let (first, last) = (times.iter().min().expect("events"), times.iter().max().expect("events"));
    let apart_s = (last - first) / 1000;
    assert!(apart_s > 2 * HOUR_S - 60, "the events lie only {apart_s} s apart");
}
