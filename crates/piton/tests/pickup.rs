//! How soon a server is there, how soon an idle worker begins what another process enqueued, and what idling costs.
//!
//! `PITON_LONG=1` holds a release build (`PITON_TEST_BIN`) to its figures; the debug build is held to generous ones.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use piton_testkit::{
    Say, Script, ScriptedModel, Spread, World, cpu_seconds, deadline, descendants, pss_bytes,
};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const MIB: f64 = 1024.0 * 1024.0;

fn is_long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

/// One sync of a small file that grows, as a log does, on the database's disk.
struct Syncs(File);

impl Syncs {
    fn beside_the_database(world: &World) -> Self {
        Self(File::create(world.path("data/synced")).expect("a file"))
    }

    fn one(&mut self) -> Duration {
        self.0.write_all(&[7; 4096]).expect("written");
        let begun = Instant::now();
        self.0.sync_all().expect("synced");
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_in_another_process_begins_at_once() {
    let ms = Duration::from_millis;
    let (launches, p50_max, p99_max) = if is_long() { (400, ms(10), ms(50)) } else { (40, ms(50), ms(500)) };
    let model = ScriptedModel::start().await;
    model.script("n", Script::by(|_| Say::answer("ok")));
    let mut world = World::new(PITON).model(&model).workers(0).serve().await;
    world.start_worker();
    world.workers_ready(1).await;
    let (mut taken, mut synced) = (Vec::new(), Vec::new());
    let mut syncs = Syncs::beside_the_database(&world);
    for n in 0..launches {
        let began = Instant::now();
        let id = world.launch(&format!("[n:{n}]")).await;
        world.until(&id, &["complete"]).await;
        taken.push(model.arrivals("n", &n.to_string())[0] - began);
        synced.push(syncs.one());
    }
    let (taken, synced): (Spread, Spread) = (taken.into_iter().collect(), synced.into_iter().collect());
    let sync = synced.percentile(50.0);
    let [p50, p99] = [50.0, 99.0].map(|percent| taken.percentile(percent));
    eprintln!(
        "from the request to the model's, {launches} times: p50 {p50:?}, p99 {p99:?}, longest {:?}; one fsync p50 {sync:?}, p99 \
         {:?}; beyond one fsync p50 {:?}, p99 {:?}",
        taken.percentile(100.0),
        synced.percentile(99.0),
        p50.saturating_sub(sync),
        p99.saturating_sub(sync)
    );
    assert!(p50.saturating_sub(sync) <= p50_max, "p50 {p50:?}, a sync {sync:?}");
    assert!(p99.saturating_sub(sync) <= p99_max, "p99 {p99:?}, a sync {sync:?}");
}

/// From the start of the process until it says that it is ready.
async fn starts(world: &mut World) -> Duration {
    let caller = world.caller();
    let begun = Instant::now();
    world.start_server();
    while caller.try_get("/readyz").await.is_none() {
        assert!(begun.elapsed() < deadline(), "it is not ready:\n{}", world.logs());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_server_is_ready_in_no_time() {
    let (times, longest) =
        if is_long() { (9, Duration::from_millis(150)) } else { (3, Duration::from_secs(3)) };
    let (mut fresh, mut again) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let mut world = World::new(PITON).workers(1);
        fresh.push(starts(&mut world).await);
        world.workers_ready(1).await;
        world.run_to("What is 2 + 3?", "complete").await;
        world.stop().await;
        again.push(starts(&mut world).await);
    }
    for (what, took) in [("a fresh database", fresh), ("one that was there", again)] {
        let took: Spread = took.into_iter().collect();
        let median = took.percentile(50.0);
        eprintln!("from start to ready on {what}: median {median:?}, longest {:?}", took.percentile(100.0));
        assert!(median < longest, "{what}: {median:?}");
    }
}

#[tokio::test]
async fn an_idle_worker_uses_next_to_nothing_of_a_core() {
    // Processor time is counted in hundredths of a second: half of a hundredth of a core shows in twenty.
    let (seconds, part) = if is_long() { (20, 0.005) } else { (5, 0.02) };
    let mut world = World::new(PITON).workers(0).serve().await;
    let worker = world.start_worker();
    world.workers_ready(1).await;
    let server = world.server().pid();
    // Idle is what is measured: it takes time to be so.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = |pid| cpu_seconds(pid).expect("the process runs");
    let before = (used(worker), used(server));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (worker, server) = (used(worker) - before.0, used(server) - before.1);
    let together = (worker + server) / seconds as f64;
    eprintln!(
        "idle for {seconds} s: worker {worker:.3} s, server {server:.3} s of a processor; {:.2} % of a core together",
        100.0 * together
    );
    assert!(together <= part, "idle, they used {worker:.3} s and {server:.3} s of {seconds} s");
}

/// The server, the worker that it started, and the practice model inside.
#[tokio::test]
async fn the_whole_idle_server_is_small() {
    let most = if is_long() { 40.0 } else { 160.0 };
    let mut world = World::new(PITON).workers(1).serve().await;
    world.workers_ready(1).await;
    let server = world.server().pid();
    let family = std::iter::once(server).chain(descendants(server));
    let held = family.filter_map(pss_bytes).sum::<u64>() as f64 / MIB;
    eprintln!("idle PSS: {held:.1} MiB");
    assert!(held < most, "{held:.1} MiB");
}
