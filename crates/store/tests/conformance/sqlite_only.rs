//! What only the embedded store promises: of its files, its schema and its groups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_store::{Claim, Clock, Commit, Error, Lost, SqliteOptions, SqliteStore, StepEnd, Store};

use crate::sqlite::Sqlite;
use crate::world::{Engine, START_MS, World, commit, failure, launch, lost};

async fn opened() -> (Arc<Sqlite>, World) {
    let engine = Arc::new(Sqlite::in_a_folder());
    (Arc::clone(&engine), World::on(engine).await)
}

#[tokio::test]
async fn one_members_error_does_not_harm_its_neighbours() {
    let (engine, world) = opened().await;
    engine
        .raw()
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON runs WHEN NEW.task = 'poison' \
             BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END",
        )
        .expect("a trigger");
    let tasks = (0..20).map(|n| if n == 7 { "poison" } else { "fine" });
    let launched = join_all(tasks.map(|task| world.store.launch(launch(task)))).await;
    let failed: Vec<usize> =
        launched.iter().enumerate().filter(|(_, l)| l.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [7]);
    assert!(matches!(&launched[7], Err(Error::Unavailable(why)) if why.contains("poisoned")));
    assert_eq!(world.store.queue().await.expect("stats").due, 19);
    world.check().await;
}

#[tokio::test]
async fn a_group_goes_out_when_the_least_patient_of_it_has_to() {
    let (_engine, world) = opened().await;
    for task in ["a", "b"] {
        world.launch(task).await;
    }
    let worker = world.worker("w").await;
    let [first, second] = &world.claim(&worker).await[..] else { panic!("two claims") };
    let patient = |claim: &Claim, patience: Duration| Commit {
        patience,
        ..commit(claim, &worker, 1, &[failure()], StepEnd::Done)
    };
    let begun = Instant::now();
    let alone = Duration::from_millis(200);
    world.store.commit(patient(first, alone)).await.expect("committed");
    assert!(begun.elapsed() >= alone, "nobody came, and it waited as long as it said");
    let begun = Instant::now();
    let (committed, _) =
        tokio::join!(world.store.commit(patient(second, Duration::from_secs(60))), world.launch("c"));
    committed.expect("committed");
    assert!(begun.elapsed() < Duration::from_secs(30), "a launch waits for nobody, and takes it along");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_start_on_an_empty_folder_at_once() {
    let engine = Sqlite::in_a_folder();
    let clock = Clock::told(START_MS);
    let opened = join_all((0..8).map(|_| engine.store(&clock))).await;
    for store in &opened {
        assert!(store.is_ok(), "{store:?}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let engine = Sqlite::in_a_folder();
    let path = engine.dir.path().join("piton.db");
    std::fs::write(
        &path,
        "Dear diary, today was a long day, and nothing in it was a database at all. Nothing.",
    )
    .expect("a file");
    let error = engine.store(&Clock::system()).await.expect_err("no database");
    assert!(error.to_string().contains("is not an SQLite database"), "{error}");
    for url in ["postgres://u:secret@h/db", "sqlite://", "sqlite::memory:", "nonsense"] {
        let error = SqliteStore::open(url, SqliteOptions::default(), Clock::system()).await.expect_err(url);
        assert!(matches!(error, Error::Unusable(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_next_one_is_not() {
    let (engine, world) = opened().await;
    let raw = engine.raw();
    let schema: u32 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a schema");
    raw.pragma_update(None, "user_version", schema + 1).expect("one migration more");
    engine.store(&world.clock).await.expect("the next schema is fine");
    raw.pragma_update(None, "user_version", schema + 2).expect("two migrations more");
    let error = engine.store(&world.clock).await.expect_err("too new");
    assert!(error.to_string().contains("use a newer Piton"), "{error}");
}

/// Until November 2026 the schema's number was kept in a table.
#[tokio::test]
async fn a_database_of_an_older_piton_is_taken_over() {
    let (engine, world) = opened().await;
    let run = world.launch("x").await;
    let raw = engine.raw();
    let schema: u32 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a schema");
    raw.execute_batch(&format!(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY); INSERT INTO _sqlx_migrations VALUES ({schema}); \
         PRAGMA user_version = 1"
    ))
    .expect("as it was before");
    let store = engine.store(&world.clock).await.expect("opened");
    assert!(store.run(run).await.expect("read").is_some());
}

#[tokio::test]
async fn the_files_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (engine, world) = opened().await;
    world.launch("x").await;
    for name in ["piton.db", "piton.db-wal", "piton.db-live/migrate"] {
        let mode = std::fs::metadata(engine.dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_recovered_workers_lock_file_is_cleared_away() {
    let (engine, world) = opened().await;
    let worker = world.worker("a").await;
    engine.lock(&worker);
    engine.die(&worker, &[]);
    let file = engine.live_dir().join("a.lock");
    assert!(file.exists());
    world.store.recover(&lost(&worker, Lost::LockFree, &[])).await.expect("recovered");
    assert!(!file.exists());
}
