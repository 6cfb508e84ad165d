//! `piton bench` measures what it says, and a step has not become many times as dear as it was.
//!
//! Here a debug build on a machine that does other things, so the guard is wide: a fraction of what it comes to on a quiet one.
//! `PITON_LONG=1` with a release build (`PITON_TEST_BIN`) holds it to the figures in docs/performance.md.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use piton_testkit::World;
use serde_json::Value;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

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

async fn bench(arguments: &[&str]) -> Value {
    let output = World::new(PITON).cli(&[&["bench", "--json"], arguments].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_step_costs_a_small_multiple_of_the_floors() {
    let is_long = std::env::var_os("PITON_LONG").is_some();
    let (rounds, bounds) = if is_long {
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
