//! Five worker processes share one endpoint's rate: together they call it as often as it may be called, and no more.
//!
//! Twelve seconds; three minutes with `PITON_LONG=1`, of which each is held to the rate.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{Say, Script, ScriptedModel, World, deadline, until};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const WORKERS: usize = 5;
const A_MINUTE: usize = 600;
/// What was not used before the first call may be used at once; the rate holds from then on.
const BURST: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_worker_processes_share_a_rate() {
    let is_long = std::env::var_os("PITON_LONG").is_some();
    let (lasts, window) = if is_long { (180, 60) } else { (12, 12) };
    let runs = A_MINUTE * (lasts + 20) / 60;
    let model = ScriptedModel::start().await;
    model.forget_bodies();
    model.script("paced", Script::by(|_| Say::answer("ok")));
    let rate = format!("*={A_MINUTE}");
    let world = World::new(PITON).model(&model).workers(0).env("PITON_MODEL__REQUESTS_PER_MINUTE", &rate);
    let mut world = world.serve().await;
    for _ in 0..runs / 50 {
        join_all((0..50).map(|_| world.launch("[paced:all] go"))).await;
    }
    for _ in 0..WORKERS {
        world.start_worker();
    }
    world.workers_ready(WORKERS).await;
    let arrivals = || model.arrivals("paced", "all");
    until(deadline(), "a first call", async || arrivals().first().copied()).await.expect("a call");
    let first = arrivals()[0];
    let (begins, ends) = (first + BURST, first + BURST + Duration::from_secs(lasts as u64));
    tokio::time::sleep_until(ends.into()).await;

    let arrivals = arrivals();
    assert!(arrivals.len() < runs, "there was always another run to call for");
    let within = |from: Instant, to: Instant| arrivals.iter().filter(|at| (from..to).contains(*at)).count();
    let window_s = Duration::from_secs(window as u64);
    let starts = std::iter::successors(Some(begins), |start| Some(*start + Duration::from_secs(1)));
    let counts: Vec<usize> = starts
        .take_while(|start| *start + window_s <= ends)
        .map(|start| within(start, start + window_s))
        .collect();
    let (least, most) = (counts.iter().min().expect("counted"), counts.iter().max().expect("counted"));
    let wanted = A_MINUTE * window / 60;
    eprintln!("{WORKERS} processes: {least} to {most} calls in any {window} s, where {wanted} are allowed");
    assert!(*least * 100 >= wanted * 95 && *most * 100 <= wanted * 105, "{least} to {most}, not {wanted}");
}
