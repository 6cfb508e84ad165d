//! `piton bench` measures what it says, and a step has not become many times as dear as it was.
//!
//! Here a debug build on a machine that does other things, so the guard is wide: a fraction of what it comes to on a quiet one.
//! `PITON_LONG=1` with a release build (`PITON_TEST_BIN`) holds it to the figures in docs/performance.md.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::time::Duration;

use piton_testkit::{PostgresServer, World};
use serde_json::Value;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// Far longer than any of it takes.
const LIMIT: Duration = Duration::from_secs(600);

/// What a build and a machine are held to.
struct Bounds {
    /// Of the lower of the two floors.
    ratio_to_floor: f64,
    /// Processor time of server and workers, a step.
    cpu_ms: f64,
    /// Beyond eleven single commits.
    alone_ms: f64,
    /// Of the floor's.
    bytes: f64,
}

fn is_long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

async fn bench(arguments: &[&str]) -> Value {
    let output = World::new(PITON).cli_within(LIMIT, &[&["bench", "--json"], arguments].concat(), "").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_step_costs_a_small_multiple_of_the_floors() {
    let (rounds, bounds) = if is_long() {
        ("5", Bounds { ratio_to_floor: 0.2, cpu_ms: 0.3, alone_ms: 3.0, bytes: 1.5 })
    } else {
        ("3", Bounds { ratio_to_floor: 0.12, cpu_ms: 4.0, alone_ms: 100.0, bytes: 3.0 })
    };
    let told = bench(&["--rounds", rounds]).await;
    eprintln!("{told:#}");
    let figure = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{name}: {told:#}"));
    assert_eq!((figure("runs"), figure("steps"), figure("concurrency")), (200.0, 10.0, 64.0));
    let cpu_ms = figure("server_cpu_ms_per_step") + figure("workers_cpu_ms_per_step");
    let alone_ms = figure("alone_p50_ms") - 11.0 * figure("floor_single_commit_ms");
    assert!(figure("ratio_to_floor") >= bounds.ratio_to_floor, "{told:#}");
    assert!(cpu_ms > 0.0 && cpu_ms <= bounds.cpu_ms, "{cpu_ms} ms a step: {told:#}");
    assert!(alone_ms <= bounds.alone_ms, "{alone_ms} ms beyond its commits: {told:#}");
    // A folder in memory has no disk that could be asked.
    if let Some(ratio) = told["bytes_ratio_to_floor"].as_f64() {
        assert!(ratio <= bounds.bytes, "{told:#}");
    }
}

#[tokio::test]
async fn several_workers_and_a_slow_model_are_measured_too() {
    let told = bench(&[
        "--rounds",
        "1",
        "--runs",
        "16",
        "--concurrency",
        "8",
        "--workers",
        "2",
        "--latency-ms",
        "5",
    ])
    .await;
    let speed = told["steps_per_s"].as_f64().expect("a figure");
    assert!(speed > 0.0 && speed < 8.0 / 0.005, "eight at once of 5 ms each: {told:#}");
    assert_eq!((&told["workers"], &told["latency_ms"]), (&2.into(), &5.into()));
}

#[tokio::test]
async fn a_step_that_waits_for_its_model_takes_up_little_memory_and_no_time() {
    // At most 500 steps a second with 1,000 in flight of 2 s each, and 400 with 100 of 0.25 s.
    let (in_flight, steps, latency_ms, speed_min, kib_max) =
        if is_long() { ("1000", "5", "2000", 450.0, 64.0) } else { ("100", "4", "250", 100.0, 512.0) };
    let arguments = ["--rounds", "1", "--workers", "1", "--runs", in_flight, "--concurrency", in_flight];
    let told = bench(&[&arguments[..], &["--steps", steps, "--latency-ms", latency_ms]].concat()).await;
    eprintln!("{told:#}");
    let figure = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{name}: {told:#}"));
    assert!(figure("steps_per_s") >= speed_min, "{told:#}");
    let kib = figure("worker_kib_per_step_in_flight");
    assert!(kib > 0.0 && kib <= kib_max, "{kib} KiB for each step in flight: {told:#}");
}

#[tokio::test]
async fn a_server_is_measured_in_a_database_that_is_gone_afterwards() {
    let server = PostgresServer::start();
    let url = server.url();
    let told = bench(&["--store", &url, "--rounds", "1", "--runs", "8", "--concurrency", "8"]).await;
    assert!(told["steps_per_s"].as_f64().is_some_and(|speed| speed > 0.0), "{told:#}");
    let scratch = server.databases().into_iter().filter(|name| name.starts_with("piton_scratch"));
    assert_eq!(scratch.collect::<Vec<_>>(), Vec::<String>::new());
    let refused = World::new(PITON).cli(&["bench", "--store", "sqlite://here.db"]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--in FOLDER"), "{said}");
}
