//! All runs go from SQLite to PostgreSQL and back while servers and workers are at them, and the tool is killed five times on each way:
//! every digest is the same at both ends, whoever waits for an answer gets it, and launches are refused for less than five
//! seconds.
//!
//! Here some 300 runs; `PITON_LONG=1` makes it 10,000.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use piton_store::{Place, digests_at};
use piton_testkit::{Caller, PostgresServer, Say, ScriptedModel, World, deadline, until};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// Lines of progress after which the tool is killed.
const KILLS: [usize; 5] = [3, 2, 1, 2, 1];
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

async fn digests(url: &str) -> Vec<(String, String)> {
    let place = Place { url: url.to_owned(), password: None, lock_dir: PathBuf::from("/tmp") };
    digests_at(&place).await.expect("digests")
}

/// Launches all the while. Ends with the longest time for which it was refused, each time with a time to come back.
fn launch_all_the_while(caller: Caller, stop: tokio_util::sync::CancellationToken) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        let (mut since, mut longest) = (None, Duration::ZERO);
        while !stop.is_cancelled() {
            let request = caller.request(Method::POST, "/v1/runs");
            let reply = caller.try_send(request.json(&json!({ "task": "[quick]" }))).await.expect("a reply");
            if reply.status == 201 {
                since = None;
            } else {
                assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text);
                longest = longest.max(since.get_or_insert_with(Instant::now).elapsed());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest
    })
}

/// Moves what the world's server and workers are at, with five kills on the way. Returns for how long launches were refused
/// at most, the last time until the target was there.
async fn migrate(world: &World, from: &str, to: &str) -> Duration {
    let stop = tokio_util::sync::CancellationToken::new();
    let launching = launch_all_the_while(world.caller(), stop.clone());
    let tool = || {
        let mut tool = world.command();
        tool.args(["migrate", "--from", from, "--to", to]).stdout(Stdio::piped()).stderr(Stdio::piped());
        tool
    };
    for lines in KILLS {
        let mut tool = tool().spawn().expect("the tool starts");
        let stdout = BufReader::new(tool.stdout.take().expect("a pipe"));
        let said = tokio::task::spawn_blocking(move || {
            let said: Vec<String> = stdout.lines().take(lines).map_while(Result::ok).collect();
            tool.kill().expect("killed");
            tool.wait().expect("it is gone");
            said
        });
        let said = said.await.expect("no panic");
        assert!(!said.is_empty(), "it says how far it has come");
        eprintln!("killed after: {}", said.join(" / "));
    }
    let tool = tokio::process::Command::from(tool()).output().await.expect("the tool ends");
    stop.cancel();
    let longest = launching.await.expect("no panic");
    let said = String::from_utf8_lossy(&tool.stdout);
    assert!(tool.status.success(), "{said}{}", String::from_utf8_lossy(&tool.stderr));
    eprintln!("{}", said.lines().rev().take(3).collect::<Vec<_>>().join(" / "));
    longest
}

async fn waiting(world: &World, at_least: usize) -> Vec<String> {
    let asked = until(deadline() * 4, format!("{at_least} runs ask"), async || {
        let runs = world.caller().try_runs("waiting_human_input").await?;
        (runs.len() >= at_least).then(|| {
            runs.iter().filter_map(|run| Some(run["id"].as_str()?.to_owned())).collect::<Vec<String>>()
        })
    });
    asked.await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_runs_go_to_postgresql_and_back_and_the_tool_is_killed_on_the_way() {
    let runs = if std::env::var_os("PITON_LONG").is_some() { 10_000 } else { 300 };
    let model = ScriptedModel::start().await;
    model.script("quick", [Say::answer("here")]);
    model.script("ask", [Say::ask("how many?"), Say::answer("thanks")]);
    let sum = || Say::call("sum_numbers", json!({ "a": 1, "b": 2 })).taking(Duration::from_millis(300));
    model.script("slow", [sum(), sum(), sum(), sum(), sum(), Say::answer("3")]);
    model.forget_bodies();
    let database = PostgresServer::start();
    let world = World::new(PITON).model(&model).workers(2).serve().await;
    let here = format!("sqlite://{}", world.path("data/piton.db").display());
    let asking = runs / 5;
    for n in 0..runs {
        let tag = if n < asking { "[ask]" } else { "[quick]" };
        world.launch(tag).await;
    }
    waiting(&world, asking.min(200)).await;
    for _ in 0..runs / 10 {
        world.launch("[slow]").await;
    }

    let longest = migrate(&world, &here, &database.url()).await;
    assert!(longest < REFUSED_WITHIN, "launches were refused for {longest:?}");
    world.get("/v1/runs?limit=5").await.expect(200);
    let before = digests(&here).await;
    assert!(before.len() >= runs + runs / 10);
    assert!(before == digests(&database.url()).await, "a digest differs at PostgreSQL");
    let late = world.cli(&["worker", "--store", &here]).await;
    let why = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(why.contains("were moved to postgres://") && why.contains("--undo"), "{why}");

    let there = World::new(PITON).model(&model).env("PITON_STORE__URL", &database.url()).workers(2);
    let there = there.serve().await;
    let asked = waiting(&there, asking.min(200)).await;
    there.answer(&there.run(&asked[0]).await, "three").await;
    there.until(&asked[0], &["complete"]).await;
    let back = format!("sqlite://{}", there.path("data/back.db").display());
    let longest_back = migrate(&there, &database.url(), &back).await;
    assert!(longest_back < REFUSED_WITHIN, "launches were refused for {longest_back:?}");
    let before = digests(&database.url()).await;
    assert!(before == digests(&back).await, "a digest differs at SQLite");
    let home = World::new(PITON).model(&model).env("PITON_STORE__URL", &back).workers(2).serve().await;
    home.answer(&home.run(&asked[1]).await, "three").await;
    home.until(&asked[1], &["complete"]).await;
    until(deadline() * 4, "what ran comes to its end", async || {
        home.caller().try_runs("running").await?.is_empty().then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    home.doctor_finds_nothing().await.expect("a sound database");
    eprintln!("{} runs; launches were refused for {longest:?} and {longest_back:?}", before.len());
}
