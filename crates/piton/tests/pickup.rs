//! How soon an idle worker begins what another process enqueued, and what idling costs.
//!
//! `PITON_RELEASE_BIN` names a release binary for the figure of memory; the debug build is held to a generous one.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::time::{Duration, Instant};

use piton_testkit::{Say, ScriptedModel, World, cpu_seconds, descendants, pss_bytes};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const MIB: f64 = 1024.0 * 1024.0;

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_in_another_process_begins_within_50_ms() {
    let model = ScriptedModel::start().await;
    for n in 0..40 {
        model.script(&n.to_string(), [Say::answer("ok")]);
    }
    let mut world = World::new(PITON).model(&model).workers(0).serve().await;
    world.start_worker();
    world.workers_ready(1).await;
    let mut taken = Vec::new();
    for n in 0..40 {
        let began = Instant::now();
        let id = world.launch(&format!("[{n}]")).await;
        world.until(&id, &["complete"]).await;
        taken.push(model.seen(&n.to_string())[0].at - began);
    }
    let longest = taken.iter().max().copied().unwrap_or_default();
    let median = median(taken);
    eprintln!("from the request to the model's: median {median:?}, longest {longest:?}");
    assert!(median < Duration::from_millis(50), "median {median:?}");
}

#[tokio::test]
async fn an_idle_worker_uses_less_than_a_hundredth_of_a_core() {
    let mut world = World::new(PITON).workers(0).serve().await;
    let worker = world.start_worker();
    world.workers_ready(1).await;
    let server = world.server().pid();
    // Idle is what is measured: it takes time to be so.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = |pid| cpu_seconds(pid).expect("the process runs");
    let before = (used(worker), used(server));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (worker, server) = (used(worker) - before.0, used(server) - before.1);
    eprintln!("idle for 5 s: worker {worker:.3} s, server {server:.3} s of a processor");
    assert!(worker <= 0.05, "an idle worker used {worker:.3} s of 5 s");
    assert!(server <= 0.05, "an idle server used {server:.3} s of 5 s");
}

/// The whole idle server: itself and the worker it started, with the practice model inside.
async fn idle_pss(binary: &str) -> f64 {
    let mut world = World::new(binary).workers(1).serve().await;
    world.workers_ready(1).await;
    let server = world.server().pid();
    let family = std::iter::once(server).chain(descendants(server));
    family.filter_map(pss_bytes).sum::<u64>() as f64 / MIB
}

#[tokio::test]
async fn the_whole_idle_server_is_small() {
    let debug = idle_pss(PITON).await;
    eprintln!("idle PSS of this build: {debug:.1} MiB");
    assert!(debug < 160.0, "{debug:.1} MiB, even for a debug build");
    match std::env::var("PITON_RELEASE_BIN") {
        Ok(binary) => {
            let release = idle_pss(&binary).await;
            eprintln!("idle PSS of the release build: {release:.1} MiB");
            assert!(release < 60.0, "{release:.1} MiB");
        }
        Err(_) => eprintln!("PITON_RELEASE_BIN is not set: the release build's memory was not measured"),
    }
}
