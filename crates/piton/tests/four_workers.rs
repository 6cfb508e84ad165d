//! Four worker processes and a server share one file under load: nobody is ever told that it is locked.
//!
//! Ten seconds; an hour with `PITON_LONG=1`. `PITON_MINUTES` makes it any other time.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::World;
use serde_json::{Value, json};

// As cheap a model as the one that `piton bench` measures with.
#[path = "../src/bench/model.rs"]
mod model;

use model::{Manner, PROMPT, TOOLS, answer, task};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const IN_FLIGHT: u64 = 64;
const STEPS: usize = 10;
/// So long that four processes come to some thousand commits a second, and not to their limit: it goes on for an hour.
const LATENCY: Duration = Duration::from_millis(50);

fn lasts() -> Duration {
    let minutes = std::env::var("PITON_MINUTES").ok().map(|text| text.parse().expect("a number of minutes"));
    let long = if std::env::var_os("PITON_LONG").is_some() { 60.0 } else { 1.0 / 6.0 };
    Duration::from_secs_f64(60.0 * minutes.unwrap_or(long))
}

/// A reply's body. The server may not be at fault.
async fn asked(world: &World, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
    let request = world.request(method, path);
    let request = if let Some(body) = body { request.json(body) } else { request };
    let reply = world.send(request).await;
    assert!(reply.status < 300, "{path}: {} {}", reply.status, reply.text);
    reply.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nobody_is_told_that_the_database_is_locked() {
    let model = model::serve(Manner { turns: STEPS, latency: LATENCY }).await.expect("a model");
    let agent = format!(
        "name = \"count\"\ndescription = \"Counts\"\ninstructions = \"{PROMPT}\"\ntools = {TOOLS:?}\nmax_steps = 20\n"
    );
    let world = World::new(PITON).agent("count", &agent).workers(4);
    let world = world.env("PITON_MODEL__BASE_URL", &format!("http://{model}/v1"));
    let world = world.env("PITON_MODEL__API_KEY", "none").env("PITON_LOG__LEVEL", "warn").serve().await;
    world.workers_ready(4).await;

    let (begun, lasts, done) = (Instant::now(), lasts(), AtomicU64::new(0));
    let caller = world.caller();
    let lanes = (0..IN_FLIGHT).map(async |lane| {
        let mut n = lane;
        while begun.elapsed() < lasts {
            let launch = json!({ "agent": "count", "task": task(n) });
            let run = asked(&world, reqwest::Method::POST, "/v1/runs", Some(&launch)).await;
            let run = caller.at_rest(run["id"].as_str().expect("an id")).await;
            assert_eq!(
                (&run["status"], &run["final_answer"]),
                (&json!("complete"), &json!(answer(n, STEPS)))
            );
            done.fetch_add(1, Ordering::Relaxed);
            n += IN_FLIGHT;
        }
    });
    // Somebody looks on meanwhile, and commands.
    let onlooker = async {
        let mut longest = Duration::ZERO;
        while begun.elapsed() < lasts {
            let looked = Instant::now();
            for path in ["/v1/runs?status=running", "/v1/inbox", "/v1/queue", "/readyz"] {
                asked(&world, reqwest::Method::GET, path, None).await;
            }
            longest = longest.max(looked.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        longest
    };
    let (_, longest) = futures::join!(join_all(lanes), onlooker);
    let (runs, took) = (done.load(Ordering::Relaxed), begun.elapsed());
    eprintln!(
        "{runs} runs of {STEPS} steps over four workers in {took:.0?}: {:.0} steps a second; four looks took {longest:.0?} at most",
        (runs * STEPS as u64) as f64 / took.as_secs_f64()
    );
    assert!(runs >= IN_FLIGHT, "that was no load: {runs} runs");
    world.doctor_finds_nothing().await.expect("a sound database");
    let logs = world.logs();
    let about_locks =
        logs.lines().filter(|line| ["locked", "busy"].iter().any(|word| line.to_lowercase().contains(word)));
    let about_locks: Vec<&str> = about_locks.take(5).collect();
    assert!(about_locks.is_empty(), "{about_locks:#?}");
}
