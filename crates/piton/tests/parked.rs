//! A great many runs wait for somebody's answer: they cost the database's disk, and nothing else. Lists and answers come as
//! soon as with a few, the server holds no more memory, and none of them has a job.
//!
//! 5,000 runs; a million with `PITON_LONG=1`, which holds a release build (`PITON_TEST_BIN`) to milliseconds.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::process::Command;
use std::time::{Duration, Instant};

use piton_testkit::{
    Caller, Say, Script, ScriptedModel, Spread, World, copies_sql, copy, cpu_seconds, deadline, pss_bytes,
    until,
};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const MIB: f64 = 1024.0 * 1024.0;
/// What the server may hold more than with a few runs: SQLite's cache of pages, which is bounded.
const MORE_MAX_MIB: f64 = 16.0;
const STATUSES: [&str; 11] = [
    "",
    "running",
    "waiting_human_input",
    "undecided",
    "waiting_human_input,undecided",
    "paused",
    "cancelling",
    "complete",
    "failed,cancelled",
    "max_steps_reached",
    "quarantined",
];

struct Plan {
    parked: u32,
    /// Times that each thing is measured.
    times: u32,
    slowest: Duration,
    restart: Duration,
}

/// What was measured, by what was asked for.
struct Seen {
    took: Vec<(String, Spread)>,
    /// From the server's start until it is ready.
    restart: Duration,
    mib: f64,
}

fn sqlite(world: &World, sql: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 10000"]).arg(world.path("data/piton.db")).arg(sql);
    let said = command.output().expect("sqlite3 runs");
    assert!(
        said.status.success(),
        "{}: {}",
        &sql[..sql.len().min(200)],
        String::from_utf8_lossy(&said.stderr)
    );
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Copies all that there is of a run. In pieces, so that the log stays small.
fn multiply(world: &World, run: &str, count: u32) {
    const PIECE: u32 = 50_000;
    for first in (1..=count).step_by(PIECE as usize) {
        let last = (first + PIECE - 1).min(count);
        let copies = [("runs", "id"), ("events", "run"), ("jobs", "run")].map(|(table, id)| {
            let columns = sqlite(world, &format!("SELECT name FROM pragma_table_info('{table}')"));
            let columns: Vec<String> = columns.lines().map(str::to_owned).collect();
            copies_sql(table, &columns, id, run, first..=last)
        });
        sqlite(world, &format!("PRAGMA synchronous = OFF; BEGIN; {}; COMMIT", copies.join("; ")));
    }
}

/// A reply as text: taking JSON apart in a debug build would take longer than all the rest.
async fn text(world: &World, path: &str) -> String {
    let reply = world.get(path).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

async fn timed(times: u32, mut ask: impl AsyncFnMut(u32)) -> Spread {
    let mut took = Vec::new();
    for n in 0..times {
        let begun = Instant::now();
        ask(n).await;
        took.push(begun.elapsed());
    }
    took.into_iter().collect()
}

/// Parks a run, makes it many, and looks at what that costs.
async fn measure(plan: &Plan, model: &ScriptedModel, parked: u32) -> Seen {
    let mut world = World::new(PITON).model(model).workers(1).serve().await;
    let run = world.launch("[ask] Ask me.").await;
    let question = world.until(&run, &["waiting_human_input"]).await["question"]["id"].clone();
    world.stop().await;
    let begun = Instant::now();
    multiply(&world, &run, parked);
    eprintln!("{parked} runs parked in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    world.start_server();
    let caller = world.caller();
    while caller.try_get("/readyz").await.is_none() {
        assert!(begun.elapsed() < deadline(), "it is not ready:\n{}", world.logs());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let restart = begun.elapsed();
    world.workers_ready(1).await;

    nobody_works(&mut world, parked).await;
    let mut took = Vec::new();
    for status in STATUSES {
        let path = format!("/v1/runs?status={status}");
        let list = timed(plan.times, async |_| drop(text(&world, &path).await)).await;
        took.push((format!("the list of status {status:?}"), list));
    }
    let inbox = timed(plan.times, async |_| {
        let inbox = text(&world, "/v1/inbox").await;
        assert_eq!(inbox.matches("\"asked_at\"").count(), 500.min(parked as usize + 1));
    });
    took.push(("the inbox".to_owned(), inbox.await));
    let apart = parked / plan.times;
    let answers = timed(plan.times, async |n| {
        let path = format!("/v1/runs/{}/answer", copy(&run, 1 + n * apart));
        let body = json!({ "question": question, "answer": format!("answer {n}") });
        caller.try_post(&path, &body).await.expect("a reply").expect(200);
    });
    took.push(("an answer".to_owned(), answers.await));
    for n in 0..plan.times {
        over(&caller, &copy(&run, 1 + n * apart), &format!("answer {n}")).await;
    }
    let mib = pss_bytes(world.server().pid()).expect("the process runs") as f64 / MIB;
    Seen { took, restart, mib }
}

/// No run that waits for somebody has a job, and neither server nor worker has anything to do.
async fn nobody_works(world: &mut World, parked: u32) {
    let count = sqlite(world, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM jobs)");
    assert_eq!(count, format!("{}|0", parked + 1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pids = [world.server().pid(), world.worker_pids()[0]];
    let used = || pids.map(|pid| cpu_seconds(pid).expect("the process runs")).iter().sum::<f64>();
    let before = used();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = used() - before;
    eprintln!("with {parked} runs parked server and worker used {used:.2} s of a processor in 2 s");
    assert!(used <= 0.05, "{used:.2} s of a processor in 2 s");
}

async fn over(caller: &Caller, run: &str, answer: &str) {
    let over = until(deadline(), format!("{run} is over"), async || {
        let run = caller.try_get(&format!("/v1/runs/{run}")).await?;
        (run["status"] != "running").then_some(run)
    });
    let run: Value = over.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (run["status"].as_str(), run["final_answer"].as_str()),
        (Some("complete"), Some(answer)),
        "{run:#}"
    );
}

#[tokio::test]
async fn who_waits_for_an_answer_costs_nothing_but_disk() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: runs are copied with `sqlite3`, which is not on this machine");
    }
    let ms = Duration::from_millis;
    let plan = if std::env::var_os("PITON_LONG").is_some() {
        Plan { parked: 1_000_000, times: 300, slowest: ms(20), restart: ms(1000) }
    } else {
        Plan { parked: 5_000, times: 20, slowest: ms(500), restart: ms(5000) }
    };
    let model = ScriptedModel::start().await;
    let ask = Script::by(|turn| match turn.outputs.first() {
        None => Say::ask("How many?"),
        Some(output) => Say::answer(output["answer"].as_str().unwrap_or("no answer")),
    });
    model.script("ask", ask);
    let few = measure(&plan, &model, 2 * plan.times).await;
    let many = measure(&plan, &model, plan.parked).await;
    let mut slow = Vec::new();
    for ((what, few), (_, many)) in few.took.iter().zip(&many.took) {
        let [few, p50, p99] = [few.percentile(50.0), many.percentile(50.0), many.percentile(99.0)];
        eprintln!(
            "{what}: {few:?} with {} parked, {p50:?} with {}, p99 {p99:?}",
            2 * plan.times,
            plan.parked
        );
        if p99 >= plan.slowest {
            slow.push(format!("{what}: p99 {p99:?}"));
        }
    }
    eprintln!(
        "from start to ready {:?} and {:?}; the server holds {:.1} and {:.1} MiB",
        few.restart, many.restart, few.mib, many.mib
    );
    assert!(slow.is_empty(), "{slow:#?}");
    assert!(many.restart < plan.restart, "{:?}", many.restart);
    assert!(many.mib < few.mib + MORE_MAX_MIB, "{:.1} MiB with few, {:.1} with many", few.mib, many.mib);
    model.assert_every_request_was_valid();
}
