//! A client that launches as fast as it can, and then answers as fast as it can: nothing is lost, memory stays flat,
//! and whoever only wants to look is not kept waiting.
//!
//! 500 runs here, 10,000 with `PITON_LONG=1`, which holds a release build (`PITON_TEST_BIN`) to 100 ms for a look.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use piton_testkit::{Caller, Say, Script, ScriptedModel, Spread, World, deadline, pss_bytes, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const MIB: f64 = 1024.0 * 1024.0;
/// Requests that a client has under way at once.
const AT_ONCE: usize = 64;
/// What a process may hold more at its busiest than at rest: buffers of the requests under way, caches, statements.
const BUSY_MAX_MIB: f64 = 48.0;
/// What it may hold more at the end than in the beginning, however many runs lie in between.
const GROWTH_MAX_MIB: f64 = 8.0;

/// What was measured while the client was busy.
#[derive(Debug, Default)]
struct Watched {
    run: Vec<Duration>,
    list: Vec<Duration>,
    /// MiB of the server, and of the largest worker.
    server: Vec<f64>,
    worker: Vec<f64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launches_and_answers_as_fast_as_a_client_can() {
    let long = std::env::var_os("PITON_LONG").is_some();
    let (runs, look_max) =
        if long { (10_000, Duration::from_millis(100)) } else { (500, Duration::from_secs(1)) };
    let model = ScriptedModel::start().await;
    model.forget_bodies();
    let ask = Script::by(|turn| match turn.outputs.first() {
        None => Say::ask(&format!("Number {}?", turn.argument)),
        Some(output) => Say::answer(output["answer"].as_str().unwrap_or("no answer")),
    });
    model.script("ask", ask);
    let mut world = World::new(PITON).model(&model).workers(2).serve().await;
    world.workers_ready(2).await;
    let (server, workers) = (world.server().pid(), world.worker_pids());
    let caller = world.caller();
    // Once through, so that what every process builds up once is there.
    let first = world.launch("[ask:first] Warm up.").await;
    world.until(&first, &["waiting_human_input"]).await;
    let rest = (mib(server), workers.iter().copied().map(mib).fold(0.0, f64::max));

    let launching = async {
        let began = Instant::now();
        let ids: BTreeMap<usize, String> = stream::iter(0..runs)
            .map(async |n| (n, world.launch(&format!("[ask:{n}] Ask me.")).await))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        eprintln!("{runs} launches: {:.0} a second", runs as f64 / began.elapsed().as_secs_f64());
        wait_for(&caller, "waiting_human_input", runs + 1).await;
        ids
    };
    let (ids, launched) = watched(&caller, &first, server, &workers, launching).await;

    let answering = async {
        let questions = caller.try_runs("waiting_human_input").await.expect("the server answers");
        let questions: BTreeMap<String, Value> = questions
            .into_iter()
            .filter_map(|run| Some((run["id"].as_str()?.to_owned(), run["question"]["id"].clone())))
            .collect();
        let began = Instant::now();
        let answers = stream::iter(&ids).map(async |(n, id)| {
            let body = json!({ "question": questions[id], "answer": format!("answer {n}") });
            world.post(&format!("/v1/runs/{id}/answer"), &body).await.expect(200);
        });
        answers.buffer_unordered(AT_ONCE).collect::<()>().await;
        eprintln!("{runs} answers: {:.0} a second", runs as f64 / began.elapsed().as_secs_f64());
        wait_for(&caller, "complete", runs).await;
    };
    let ((), answered) = watched(&caller, &first, server, &workers, answering).await;

    let complete = caller.try_runs("complete").await.expect("the server answers");
    let complete: BTreeMap<&str, &Value> =
        complete.iter().filter_map(|run| Some((run["id"].as_str()?, &run["final_answer"]))).collect();
    let lost: Vec<_> = ids
        .iter()
        .filter(|(n, id)| complete.get(id.as_str()) != Some(&&json!(format!("answer {n}"))))
        .collect();
    assert!(lost.is_empty(), "{} have no answer or another's: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    report("while launching", launched, rest, look_max);
    report("while answering", answered, rest, look_max);
    model.assert_every_request_was_valid();
}

fn mib(pid: u32) -> f64 {
    pss_bytes(pid).expect("the process runs") as f64 / MIB
}

async fn wait_for(caller: &Caller, status: &str, runs: usize) {
    let there = until(deadline() * 4, format!("{runs} runs are {status}"), async || {
        let busy = caller.try_get("/v1/runs?status=running&limit=1").await?;
        (busy["runs"] == json!([])).then_some(())
    });
    there.await.unwrap_or_else(|error| panic!("{error}"));
    let there = caller.try_runs(status).await.expect("the server answers").len();
    assert_eq!(there, runs, "runs that are {status}");
}

/// Does `work`; meanwhile looks at one run and at the list, a hundred times a second, and at memory.
async fn watched<T>(
    caller: &Caller,
    run: &str,
    server: u32,
    workers: &[u32],
    work: impl Future<Output = T>,
) -> (T, Watched) {
    let done = AtomicBool::new(false);
    let mut watched = Watched::default();
    let work = async {
        let out = work.await;
        done.store(true, Ordering::Relaxed);
        out
    };
    let looking = async {
        let one = format!("/v1/runs/{run}");
        while !done.load(Ordering::Relaxed) {
            for (path, times) in [(one.as_str(), &mut watched.run), ("/v1/runs", &mut watched.list)] {
                let began = Instant::now();
                caller.try_get(path).await.expect("a look is answered");
                times.push(began.elapsed());
            }
            watched.server.push(mib(server));
            watched.worker.push(workers.iter().copied().map(mib).fold(0.0, f64::max));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (out, ()) = tokio::join!(work, looking);
    (out, watched)
}

fn report(when: &str, watched: Watched, rest: (f64, f64), look_max: Duration) {
    let (run, list): (Spread, Spread) =
        (watched.run.into_iter().collect(), watched.list.into_iter().collect());
    eprintln!("{when}: GET of a run {run}; of the list {list}");
    for (what, spread) in [("a run", run), ("the list", list)] {
        assert!(spread.percentile(99.0) < look_max, "{when}: a look at {what}: {spread}");
    }
    for (whose, used, rest) in [("the server", watched.server, rest.0), ("a worker", watched.worker, rest.1)]
    {
        let highest = |used: &[f64]| used.iter().copied().fold(0.0, f64::max);
        let (early, late) = used.split_at(used.len() / 2);
        let (early, late) = (highest(early), highest(late));
        eprintln!(
            "{when}: {whose} holds {rest:.1} MiB before, at most {early:.1} in the first half, {late:.1} in the second"
        );
        assert!(early.max(late) < rest + BUSY_MAX_MIB, "{when}: {whose} holds {late:.1} MiB");
        assert!(
            late < early * 1.25 + GROWTH_MAX_MIB,
            "{when}: {whose} grew from {early:.1} to {late:.1} MiB"
        );
    }
}
