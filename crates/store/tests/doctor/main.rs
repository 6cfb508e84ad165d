//! Every check fails where what it guards is broken, and every repair mends what it says. Damage is done by SQL, or to
//! the file itself.

mod world;

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use piton_core::{Command, Event, Run, Status};
use piton_store::{Clock, Examination, Lane, Lost, StepEnd, Store, WorkerLock};
use world::{LEASE_MS, STEP_LIMIT_MS, World, began, claim, commit, launch, open, register, replied};

const FOLDS: &str = "every run is the fold of its events";
const COMPLETE: &str = "every history is complete";
const OWNED: &str = "every event belongs to a run";
const CALLS: &str = "every open call and question is asked about";
const RESTS: &str = "every run rests, or has a job or a worker";
const OWNERS: &str = "every owner is a registered worker";
const OVERDUE: &str = "no step is over its limit";
const JOBS: &str = "every job is of a run that can advance";
const BESIDE: &str = "what is kept beside runs is of runs that are there";
const WORKERS: &str = "every registered worker lives";
const AGENTS: &str = "every run's agent definition is kept as it was";
const INTACT: &str = "the file is intact";
const SCHEMA: &str = "the schema is this version's";
const DURABLE: &str = "commits are as durable as configured";

#[tokio::test]
async fn a_healthy_database_is_looked_at_as_a_whole() {
    let world = World::new().await;
    let checks = world.examine().await;
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let all = [
        INTACT, SCHEMA, DURABLE, FOLDS, COMPLETE, OWNED, CALLS, RESTS, OWNERS, OVERDUE, JOBS, BESIDE,
        WORKERS, AGENTS,
    ];
    assert_eq!(names, all);
    for check in &checks {
        assert_eq!(check.trouble, None, "{}", check.name);
    }
    let looked_at = |name| checks.iter().find(|check| check.name == name).expect(name).looked_at.as_str();
    assert_eq!((looked_at(FOLDS), looked_at(COMPLETE)), ("6 runs", "14 events"));
    assert_eq!((looked_at(RESTS), looked_at(OWNERS)), ("2 runs", "1 owned runs"));
    assert_eq!((looked_at(JOBS), looked_at(WORKERS)), ("1 jobs", "1 workers"));
    assert!(looked_at(DURABLE).contains("synchronous=full, journal_mode=wal"), "{}", looked_at(DURABLE));
    assert_eq!(world.repair().await, [], "there is nothing to mend");
}

/// Damages a database, looks for the line that says so, repairs, and looks again.
async fn mends(damage: &str, name: &str, trouble: &str, said: &str) -> World {
    let mut world = World::new().await;
    if damage.contains("DELETE FROM workers") {
        world.lock = None;
    }
    world.damage(damage);
    let troubles = world.troubles().await;
    assert_eq!(troubles.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [name], "{damage}: {troubles:?}");
    assert!(troubles[0].1.contains(trouble), "{damage}: {troubles:?}");
    let repairs = world.repair().await;
    assert!(repairs.iter().all(|repair| repair.done), "{damage}: {repairs:?}");
    assert!(repairs.iter().any(|repair| repair.said.contains(said)), "{damage}: {repairs:?}");
    assert_eq!(world.troubles().await, [], "{damage}: {repairs:?}");
    assert_eq!(world.repair().await, [], "{damage}: what is mended is not mended again");
    world
}

#[tokio::test]
async fn a_lost_job_is_given_anew() {
    let world =
        mends("DELETE FROM jobs", RESTS, "start a worker", "had neither job nor worker: it has a job").await;
    assert_eq!(claim(&world.store, "w").await.run, world.runs.due);
}

#[tokio::test]
async fn a_run_of_an_unknown_owner_is_taken_back() {
    let world =
        mends("DELETE FROM workers", OWNERS, "start a worker", "which is not registered: it goes on").await;
    let lost = world.store.lost_attempts(world.runs.owned).await.expect("read");
    assert_eq!(lost.iter().map(|lost| lost.how.as_str()).collect::<Vec<_>>(), ["it is not registered"]);
    register(&world.store, &world.clock, "other").await;
    assert_eq!(claim(&world.store, "other").await.run, world.runs.owned);
    assert_eq!(claim(&world.store, "other").await.run, world.runs.due);
}

#[tokio::test]
async fn a_job_that_nobody_can_use_is_dropped() {
    let jobs = "INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) VALUES";
    let unknown = "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e";
    mends(
        &format!("{jobs} ('<paused>', 'step', 'default', 0, 0, 0)"),
        JOBS,
        "harmless",
        "cannot advance, is dropped",
    )
    .await;
    mends(&format!("{jobs} ('{unknown}', 'step', 'default', 0, 0, 0)"), JOBS, unknown, "is dropped").await;
    // Whoever holds the run looks after this one.
    let world = World::new().await;
    world.damage(&format!("{jobs} ('<owned>', 'answer', 'default', 0, 0, 0)"));
    world.store.command(world.runs.owned, Command::Pause).await.expect("paused");
    world.damage(&format!("{jobs} ('<owned>', 'answer', 'default', 0, 0, 0)"));
    assert_eq!((world.troubles().await, world.repair().await), (vec![], vec![]));
}

#[tokio::test]
async fn a_row_that_is_not_the_fold_of_its_events_is_written_anew() {
    let said = "is the fold of its";
    for (damage, trouble) in [
        (
            "UPDATE runs SET status = 'failed' WHERE id = '<complete>'",
            "it is listed as failed and is complete",
        ),
        ("UPDATE runs SET version = 9 WHERE id = '<complete>'", "listed at version 9 and has 3 events"),
        ("UPDATE runs SET finished_at = NULL WHERE id = '<complete>'", "when it ended"),
        ("UPDATE runs SET fold = json_set(fold, '$.steps', 7) WHERE id = '<due>'", "differ in the rest"),
        ("UPDATE runs SET fold = 'junk' WHERE id = '<asking>'", "expected value"),
        (
            "UPDATE runs SET fold = json_set(fold, '$.interrupt', null) WHERE id = '<undecided>'",
            "differ in the rest",
        ),
    ] {
        mends(damage, FOLDS, trouble, said).await;
    }
    let stale = "DELETE FROM jobs; UPDATE runs SET status = 'running', version = 1, finished_at = NULL, fold = \
                 (SELECT fold FROM runs WHERE id = '<due>') WHERE id = '<complete>'; \
                 INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
                 SELECT id, 'step', 'default', 0, 0, 0 FROM runs WHERE status = 'running' AND owner IS NULL";
    let world =
        mends(stale, FOLDS, "its row says running at event 1, its events say complete at event 3", said)
            .await;
    let row = world.store.run(world.runs.complete).await.expect("read").expect("a run");
    assert_eq!((row.run.status, row.finished_at_ms), (Status::Complete, Some(world::START_MS)));
    assert_eq!(claim(&world.store, "w").await.run, world.runs.due, "the other one has no job any more");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_no_other_run() {
    let world = World::new().await;
    world.damage("UPDATE runs SET fold = 'junk' WHERE id = '<due>'");
    let other = launch(&world.store, "other").await;
    let claimed = async || {
        let claims =
            world.store.claim(&piton_core::WorkerId::new("w"), Lane::Common, 10).await.expect("claimed");
        claims.iter().map(|claim| claim.run).collect::<Vec<_>>()
    };
    assert_eq!(claimed().await, [other]);
    let repairs = world.repair().await;
    assert!(repairs.len() == 1 && repairs[0].done, "{repairs:?}");
    assert_eq!(claimed().await, [world.runs.due]);
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_left_to_them() {
    let world = World::new().await;
    world.damage("UPDATE runs SET fold = json_set(fold, '$.steps', 7) WHERE id = '<owned>'");
    let repairs = world.repair().await;
    assert_eq!(repairs.len(), 1);
    assert!(
        !repairs[0].done && repairs[0].said.contains("w holds it: stop that worker first"),
        "{repairs:?}"
    );
    assert_eq!(world.troubles().await.len(), 1);
}

#[tokio::test]
async fn a_dead_workers_runs_go_on() {
    let mut world = World::new().await;
    world.lock = None;
    // A process that is killed leaves its file behind.
    std::fs::File::create(world.store.lock_dir().join("w.lock")).expect("a file");
    let troubles = world.troubles().await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].0 == WORKERS && troubles[0].1.starts_with("w (its process ended)"), "{troubles:?}");
    let repairs = world.repair().await;
    assert_eq!(repairs[0].said, "worker w is gone (its process ended): 1 runs go on");
    assert_eq!(world.troubles().await, []);
    assert_eq!(world.store.lost_attempts(world.runs.owned).await.expect("read").len(), 1);
}

#[tokio::test]
async fn a_lapsed_lease_counts_when_it_is_not_renewed_meanwhile() {
    let world = World::new().await;
    world.clock.advance(LEASE_MS);
    let troubles = world.troubles().await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(
        troubles[0].1.starts_with("w (its process is there and does not renew its lease)"),
        "{troubles:?}"
    );
    // The clock was set, and the worker renews its lease as it always did: no alarm, and no repair.
    let (store, clock) = (Arc::clone(&world.store), world.clock.clone());
    let renewing = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            clock.advance(1);
            let worker = piton_core::WorkerId::new("w");
            store.renew(&worker, clock.now_ms() + LEASE_MS).await.expect("renewed");
            clock.advance(LEASE_MS);
        }
    });
    assert_eq!((world.troubles().await, world.repair().await), (vec![], vec![]));
    renewing.abort();
    let _aborted = renewing.await;
    world.clock.advance(LEASE_MS);
    let repairs = world.repair().await;
    assert_eq!(repairs[0].said, format!("worker w is gone ({}): 1 runs go on", Lost::LeaseLapsed.as_str()));
    assert_eq!(world.troubles().await, []);
}

#[tokio::test]
async fn keys_that_had_their_day_are_forgotten() {
    let world = World::new().await;
    let key = |name: &str, at: i64| {
        format!("INSERT INTO idempotency_keys VALUES ('default', '{name}', '', '<due>', {at})")
    };
    world.damage(&key("old", world::START_MS - 24 * 3_600_000));
    world.damage(&key("new", world::START_MS));
    assert_eq!(world.troubles().await, [], "nothing is wrong with them");
    let repairs = world.repair().await;
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].said, "1 idempotency keys that had expired are dropped");
    assert_eq!(world.repair().await, []);
}

/// Damages a database in a way that nothing makes good: it is said before and after a repair, which changes nothing.
async fn stays(damage: &str, name: &str, trouble: &str) {
    let world = World::new().await;
    world.damage(damage);
    let before = world.troubles().await;
    assert_eq!(before.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [name], "{damage}: {before:?}");
    assert!(before[0].1.contains(trouble), "{damage}: {before:?}");
    let events = dump(&world);
    assert_eq!(world.repair().await, [], "{damage}");
    assert_eq!(world.troubles().await, before, "{damage}");
    assert_eq!(dump(&world), events, "{damage}: events are never touched");
}

fn dump(world: &World) -> Vec<(String, i64, String)> {
    let raw = world.raw();
    let mut read = raw.prepare("SELECT run, seq, body FROM events ORDER BY 1, 2").expect("a statement");
    let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("read");
    rows.map(|row| row.expect("a row")).collect()
}

#[tokio::test]
async fn what_is_lost_is_said_and_not_made_up() {
    for (damage, name, trouble) in [
        ("DELETE FROM events WHERE run = '<complete>' AND seq = 2", COMPLETE, "event 2 is missing"),
        ("DELETE FROM events WHERE run = '<complete>'", COMPLETE, "it has no events"),
        (
            "UPDATE events SET body = '{}' WHERE run = '<complete>' AND seq = 3",
            COMPLETE,
            "event 3: event of type",
        ),
        (
            "UPDATE events SET type = 'paused', body = '{\"type\":\"paused\"}' WHERE run = '<asking>' AND seq = 1",
            COMPLETE,
            "a run begins with launched",
        ),
        (
            "INSERT INTO events SELECT '0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e', seq, at, type, v, body, epoch FROM events \
             WHERE run = '<complete>'",
            OWNED,
            "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e: restore",
        ),
        (
            "INSERT INTO events SELECT 'ffffffff-8a3b-7cc0-9d1e-5f0a1b2c3d4e', seq, at, type, v, body, epoch FROM events \
             WHERE run = '<complete>'",
            OWNED,
            "ffffffff-8a3b-7cc0-9d1e-5f0a1b2c3d4e: restore",
        ),
        ("DELETE FROM agents", AGENTS, "of 6 runs is missing"),
        ("UPDATE agents SET definition = '{}'", AGENTS, "is another text by now"),
        ("INSERT INTO outputs (run, call, part, body) VALUES ('gone', 'c', 0, 'x')", BESIDE, "gone"),
        (
            "INSERT INTO lost_attempts (run, epoch, attempt, worker, version, at, how) VALUES ('gone', 1, 1, 'w', 1, 0, 'signal 9')",
            BESIDE,
            "gone",
        ),
        ("INSERT INTO idempotency_keys VALUES ('t', 'k', '', 'gone', 1800000000000)", BESIDE, "gone"),
        ("DROP INDEX runs_runnable", SCHEMA, "index runs_runnable is missing"),
    ] {
        stays(damage, name, trouble).await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_will_ask_about_is_dangling() {
    let world = World::new().await;
    let run = claim(&world.store, "w").await;
    assert_eq!(run.run, world.runs.due);
    let failed = Event::Failed { error: "no".to_owned() };
    let facts = vec![replied(&run, "pay"), began(&run), failed];
    commit(&world.store, "w", &run, facts, StepEnd::Done).await;
    let troubles = world.troubles().await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(
        troubles[0].0 == CALLS && troubles[0].1.contains("a call that was begun has no result"),
        "{troubles:?}"
    );
}

#[tokio::test]
async fn a_step_over_its_limit_is_named() {
    let world = World::new().await;
    let limit = i64::try_from(STEP_LIMIT_MS).expect("small");
    // It had waited for long when it was taken: that is nobody's fault.
    world.clock.advance(limit);
    world
        .store
        .renew(&piton_core::WorkerId::new("w"), world.clock.now_ms() + 10 * limit)
        .await
        .expect("renewed");
    let run = claim(&world.store, "w").await;
    assert_eq!(run.run, world.runs.due);
    world.clock.advance(limit - 1);
    let troubles = world.troubles().await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert_eq!(troubles[0].0, OVERDUE);
    assert!(troubles[0].1.starts_with(&format!("{}: ", world.runs.owned)), "only that one: {troubles:?}");
    world.clock.advance(2);
    assert!(world.troubles().await[0].1.contains(&run.run.to_string()));
}

#[tokio::test]
async fn what_an_older_or_a_newer_piton_wrote_is_no_damage() {
    let world = World::new().await;
    world.damage("UPDATE runs SET reducer = 1, fold = json_remove(fold, '$.streak')");
    assert_eq!((world.troubles().await, world.repair().await), (vec![], vec![]));
    world.damage("UPDATE runs SET reducer = 99, fold = '{\"new\":1}' WHERE id = '<complete>'");
    world.damage("UPDATE events SET v = 99, body = '?' WHERE run = '<asking>' AND seq = 2");
    assert_eq!((world.troubles().await, world.repair().await), (vec![], vec![]));
    let folds = world.examine().await.into_iter().find(|check| check.name == FOLDS).expect("a line");
    assert_eq!(folds.looked_at, "6 runs; 2 of a newer Piton are left out");
}

#[tokio::test]
async fn many_of_a_kind_are_counted() {
    let world = World::new().await;
    for n in 0..30 {
        launch(&world.store, &n.to_string()).await;
    }
    world.damage("DELETE FROM jobs");
    let troubles = world.troubles().await;
    assert!(troubles[0].1.contains(" and 26 more: "), "{troubles:?}");
    let repairs = world.repair().await;
    assert_eq!(repairs.len(), 21, "{repairs:?}");
    assert_eq!(repairs[20].said, "and 11 more of these");
    assert_eq!(world.troubles().await, []);
}

/// Overwrites a page in the middle of the closed file.
#[tokio::test]
async fn a_damaged_file_is_said_and_left_alone() {
    let world = World::new().await;
    for n in 0..200 {
        launch(&world.store, &format!("{n} {}", "x".repeat(500))).await;
    }
    world
        .raw()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        .expect("checkpointed");
    let World { dir, clock, store, .. } = world;
    drop(store);
    let file =
        std::fs::File::options().read(true).write(true).open(dir.path().join("piton.db")).expect("a file");
    let pages = file.metadata().expect("metadata").len() / 4096;
    assert!(pages > 40, "{pages}");
    for page in 20..pages - 5 {
        file.write_all_at(&[0xa5; 512], page * 4096).expect("written");
    }
    let store = open(&dir, &clock).await;
    let checks = store.examine(&Examination::default()).await.expect("examined");
    assert_eq!(checks.len(), 14, "what cannot be checked is a line too");
    let intact = checks.iter().find(|check| check.name == INTACT).expect("a line");
    assert!(intact.trouble.as_deref().is_some_and(|trouble| trouble.contains("recover")), "{intact:?}");
    let repairs = store.repair().await.expect("answered");
    assert_eq!(repairs.len(), 1);
    assert!(!repairs[0].done && repairs[0].said.contains("the file is damaged"), "{repairs:?}");
}

/// Workers come, advance runs and go, while the doctor looks again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_live_database_gives_no_false_alarm() {
    let rounds: u32 = std::env::var("PITON_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let dir = tempfile::tempdir().expect("a folder");
    let stop = Arc::new(AtomicBool::new(false));
    let steps = Arc::new(AtomicU32::new(0));
    let mut busy = Vec::new();
    for n in 0..4 {
        let store = open(&dir, &Clock::system()).await;
        let (stop, steps) = (Arc::clone(&stop), Arc::clone(&steps));
        busy.push(tokio::spawn(async move {
            let mut lives = 0_u32;
            while !stop.load(Ordering::SeqCst) {
                lives += 1;
                one_life(&store, &format!("w{n}-{lives}"), &steps).await;
            }
        }));
    }
    let doctor = open(&dir, &Clock::system()).await;
    let mut round = 0;
    while round < rounds || steps.load(Ordering::SeqCst) < 5 * rounds {
        round += 1;
        let how = Examination { deep: round % 2 == 0, step_limit_ms: Some(STEP_LIMIT_MS) };
        for check in doctor.examine(&how).await.expect("examined") {
            assert_eq!(check.trouble, None, "round {round}: {}", check.name);
        }
        if round % 5 == 0 {
            assert_eq!(doctor.repair().await.expect("repaired"), [], "round {round}");
        }
    }
    stop.store(true, Ordering::SeqCst);
    for task in busy {
        task.await.expect("no panic");
    }
}

/// A worker registers, advances some runs of its own and of others, and retires.
async fn one_life(store: &piton_store::SqliteStore, name: &str, steps: &AtomicU32) {
    let clock = Clock::system();
    let worker = piton_core::WorkerId::new(name);
    let lock = WorkerLock::take(store.lock_dir(), &worker).expect("taken").expect("kept");
    register(store, &clock, name).await;
    for n in 0..8 {
        let run = launch(store, name).await;
        if n % 4 == 3 {
            let _raced = store.command(run, Command::Pause).await;
        }
        store.renew(&worker, clock.now_ms() + LEASE_MS).await.expect("renewed");
        for claim in store.claim(&worker, Lane::Common, 2).await.expect("claimed") {
            let tool = if claim.fold.turns == 0 { "sum" } else { "final_answer" };
            let mut facts: Vec<Event> = Vec::new();
            if let Some(front) = claim.fold.front() {
                let (result, took_ms, attempt) = (serde_json::json!(1), 0, 1);
                facts.push(Event::ToolReturned {
                    call: front.call.id,
                    result,
                    took_ms,
                    attempt,
                    full_bytes: None,
                });
            }
            facts.push(replied(&claim, tool));
            assert!(facts.iter().try_fold(claim.fold.clone(), Run::apply).is_ok());
            commit(store, name, &claim, facts, StepEnd::GiveBack).await;
            steps.fetch_add(1, Ordering::SeqCst);
        }
    }
    store.retire(&worker).await.expect("retired");
    drop(lock);
}
