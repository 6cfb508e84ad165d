//! `piton doctor` on real files: what killed processes leave, damage to the file, and a database at work. What each check
//! finds is tried by SQL in crates/store/tests/doctor.

use std::path::PathBuf;
use std::process::Output;

use piton_testkit::{Gate, Say, ScriptedModel, World, deadline, kill, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// Exit code and what was said.
fn ended(output: &Output) -> (i32, String) {
    let said =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code().expect("it ended by itself"), said)
}

async fn doctor(world: &World, arguments: &[&str]) -> (i32, String) {
    ended(&world.cli(&[&["doctor"], arguments].concat()).await)
}

fn database(world: &World) -> PathBuf {
    world.path("data/piton.db")
}

/// A stopped database with one complete run, all of it in the one file.
async fn stopped() -> World {
    let mut world = World::new(PITON).serve().await;
    let id = world.launch("what is 2+3?").await;
    world.until(&id, &["complete"]).await;
    world.stop().await;
    let one_file = until(deadline(), "whoever closes it last moves the log into it", async || {
        assert_eq!(doctor(&world, &[]).await.0, 0);
        (!world.path("data/piton.db-wal").exists()).then_some(())
    });
    one_file.await.expect("somebody is the last");
    world
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let world = World::new(PITON);
    let (code, said) = doctor(&world, &[]).await;
    assert!(code == 4 && said.contains("there is no database at"), "{code}: {said}");
    assert!(!database(&world).exists());
}

#[tokio::test]
async fn what_killed_processes_leave_is_said_and_mended() {
    let (model, gate) = (ScriptedModel::start().await, Gate::new());
    model.script("slow", [Say::answer("done").held_by(&gate)]);
    let mut world = World::new(PITON).model(&model).workers(0).serve().await;
    let worker = world.start_worker();
    let id = world.launch("[slow]").await;
    gate.reached(1).await;
    assert_eq!(doctor(&world, &[]).await.0, 0, "it is being carried out");
    world.kill_server();
    kill(worker);

    let (code, said) = doctor(&world, &[]).await;
    assert!(code == 1 && said.contains("!!  every registered worker lives: "), "{code}: {said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("!!")).count(), 1, "{said}");
    let (code, said) = doctor(&world, &["--repair"]).await;
    assert!(code == 0 && said.starts_with("mended  worker "), "{code}: {said}");
    assert!(said.contains("(its process ended): 1 runs go on"), "{said}");
    let (code, said) = doctor(&world, &["--repair", "--json"]).await;
    let found: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &found["repairs"], &found["well"]), (0, &json!([]), &json!(true)), "{found:#}");

    gate.open();
    world.restart().await;
    world.start_worker();
    assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "done");
}

#[tokio::test]
async fn a_row_that_is_not_what_happened_is_said_and_written_anew() {
    let world = stopped().await;
    let mut bytes = std::fs::read(database(&world)).expect("a file");
    let (fold, other) = (br#""turns":2"#, br#""turns":7"#);
    let place = bytes.windows(fold.len()).position(|window| window == fold).expect("the run's fold");
    bytes[place..place + fold.len()].copy_from_slice(other);
    std::fs::write(database(&world), bytes).expect("written");

    let (code, said) = doctor(&world, &[]).await;
    assert!(code == 1 && said.contains("!!  every run is the fold of its events: "), "{code}: {said}");
    let (code, said) = doctor(&world, &["--repair"]).await;
    assert!(code == 0 && said.contains("its row is the fold of its"), "{code}: {said}");
    assert_eq!(doctor(&world, &["--deep"]).await.0, 0);
}

#[tokio::test]
async fn a_damaged_file_is_never_repaired() {
    let world = stopped().await;
    let bytes = std::fs::read(database(&world)).expect("a file");
    // In the middle: it opens, and what can be checked is.
    let mut damaged = bytes.clone();
    let event =
        damaged.windows(22).position(|window| window == br#"{"type":"completed","a"#).expect("an event");
    let page = event / 4096 * 4096;
    damaged[page..page + 8].fill(0xa5);
    std::fs::write(database(&world), &damaged).expect("written");
    let (code, said) = doctor(&world, &["--repair"]).await;
    assert!(code == 1 && said.starts_with("left    nothing was repaired"), "{code}: {said}");
    assert!(said.contains("!!  the file is intact: ") && said.contains(".recover"), "{said}");
    // Its table of contents: it does not open.
    let mut damaged = bytes;
    damaged[100..600].fill(0xa5);
    std::fs::write(database(&world), &damaged).expect("written");
    let (code, said) = doctor(&world, &["--repair"]).await;
    assert!(code == 4 && said.contains("is damaged"), "{code}: {said}");
}

#[tokio::test]
async fn a_database_at_work_gives_no_alarm_though_its_workers_die() {
    let model = ScriptedModel::start().await;
    let sum = |a: u32| Say::call("sum_numbers", json!({ "a": a, "b": 1 }));
    model.script("work", [sum(1), sum(2), sum(3), sum(4), sum(5), Say::answer("done")]);
    let world = World::new(PITON).model(&model).workers(2).serve().await;
    world.workers_ready(2).await;
    let rounds: usize =
        std::env::var("PITON_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let mut ids = Vec::new();
    for round in 0..rounds {
        for _ in 0..40 {
            ids.push(world.launch("[work]").await);
        }
        if let Some(victim) = world.worker_pids().first() {
            kill(*victim);
        }
        let arguments: &[&str] = if round % 2 == 0 { &[] } else { &["--repair"] };
        let (code, said) = doctor(&world, arguments).await;
        assert_eq!(code, 0, "round {round}: {said}");
    }
    for id in &ids {
        let done = until(deadline(), "it completes", async || {
            (world.run(id).await["status"] == "complete").then_some(())
        });
        done.await.expect("no repair harmed it");
    }
}
