//! Several workers on one PostgreSQL database: workers, the API and PostgreSQL itself are killed while runs with effects are
//! kept in flight. Every run ends right, every effect is there once, and it goes on soon after the database is back.
//!
//! Here 6 kills; `PITON_LONG=1` makes it 100, every other of them PostgreSQL's, by SIGKILL for all its processes and by an immediate
//! shutdown in turn, and holds a release build (`PITON_TEST_BIN`) to five seconds. `PITON_ROUNDS` is the number of kills.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use piton_testkit::{Crowd, Ledger, PostgresServer, Say, ScriptedModel, World, clerk, deadline};
use rand::SeedableRng;
use rand::rngs::StdRng;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const IN_FLIGHT: usize = 16;
/// From one kill to the next.
const EVERY: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_workers_and_of_the_database_lose_and_double_nothing() {
    let is_long = std::env::var_os("PITON_LONG").is_some();
    let rounds: u32 = std::env::var("PITON_ROUNDS")
        .map_or(if is_long { 100 } else { 6 }, |rounds| rounds.parse().expect("a number of kills"));
    let back_within = Duration::from_secs(if is_long { 5 } else { 20 });
    let mut database = PostgresServer::start();
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.script("back", [Say::answer("ok")]);
    model.set_latency(Duration::from_millis(100));
    model.forget_bodies();
    let world = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 15));
    let mut world = world.env("PITON_STORE__URL", &database.url()).workers(2).serve().await;
    world.start_worker();
    world.workers_ready(3).await;

    let mut crowd = Crowd::new(world.caller(), IN_FLIGHT);
    let calm = AtomicBool::new(false);
    let storm = async {
        let mut rng = StdRng::seed_from_u64(1);
        let mut back = Vec::new();
        for round in 1..=rounds {
            tokio::time::sleep(EVERY).await;
            match round % 4 {
                0 | 2 => {
                    if round % 4 == 0 {
                        database.crash()
                    } else {
                        database.kill()
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    database.begin();
                    let key = format!("back-{round}");
                    let seen = world.caller().sees_through(&key, "[back]", "default", deadline()).await;
                    back.push(seen.unwrap_or_else(|error| panic!("{error}")));
                }
                1 => _ = world.kill_random_worker(&mut rng),
                _ => {
                    world.kill_server();
                    world.start_server();
                }
            }
        }
        world.ready().await;
        calm.store(true, Ordering::Relaxed);
        back
    };
    let busy = async {
        while !calm.load(Ordering::Relaxed) {
            crowd.look_after(&ledger, true).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        crowd.disperse(&ledger, deadline() * 2).await.unwrap_or_else(|error| panic!("{error}"));
    };
    let (mut back, ()) = tokio::join!(storm, busy);
    back.sort_unstable();
    let (runs, middle) = (crowd.ids.len(), back.get(back.len() / 2));
    let said = crowd.said;
    eprintln!("{rounds} kills over {runs} runs; a run is over again after {middle:?} ({back:?}); {said:?}");

    let (events, entries) = (crowd.events().await, ledger.entries().await);
    let trouble = crowd.trouble(&entries, &events).await;
    let some = &trouble[..trouble.len().min(5)];
    assert!(trouble.is_empty(), "{} troubles, such as {some:#?}", trouble.len());
    assert!(!back.is_empty() && back.iter().all(|back| *back <= back_within), "{back:?}");
    model.assert_every_request_was_valid();
    world.doctor_finds_nothing().await.expect("a sound database");
}

/// Whoever comes first makes the tables; the others wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_may_start_on_an_empty_database_at_once() {
    let database = PostgresServer::start();
    let world = World::new(PITON).env("PITON_STORE__URL", &database.url());
    let starting = (0..20).map(|_| world.cli(&["runs", "list"]));
    for started in futures::future::join_all(starting).await {
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }
    world.doctor().await.expect("a sound database");
}
