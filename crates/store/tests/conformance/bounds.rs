//! What the embedded store bounds: the queue, and a page of events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_core::{Command, Event, RunId};
use piton_store::{
    Claim, Clock, Error, IdempotencyKey, Launch, SqliteOptions, SqliteStore, StepEnd, Store, Synchronous,
};

use crate::sqlite::Sqlite;
use crate::world::{Engine, START_MS, World, commit, launch};

const WAITING_MAX: u64 = 10;

struct Bounded {
    engine: Arc<Sqlite>,
    world: World,
    store: SqliteStore,
}

impl Bounded {
    async fn new() -> Self {
        let engine = Arc::new(Sqlite::in_a_folder());
        let world = World::on(Arc::clone(&engine) as Arc<dyn Engine>).await;
        let store = Self::another(&engine, &world).await;
        Self { engine, world, store }
    }

    async fn full() -> Self {
        let bounded = Self::new().await;
        for _ in 0..WAITING_MAX {
            bounded.store.launch(launch("x")).await.expect("there is room");
        }
        bounded
    }

    /// Another process's way to the database, under the same bound.
    async fn another(engine: &Sqlite, world: &World) -> SqliteStore {
        let options = SqliteOptions { waiting_max: WAITING_MAX, ..SqliteOptions::default() };
        SqliteStore::open(&engine.url(), options, world.clock.clone()).await.expect("a store")
    }

    fn jobs(&self) -> (i64, i64) {
        let sql = "SELECT waiting, (SELECT count(*) FROM jobs) FROM queue_depth";
        self.engine.raw().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the depth")
    }
}

fn keyed(key: &str) -> Launch {
    let key = IdempotencyKey { key: key.to_owned(), body_sha256: "b".to_owned() };
    Launch { idempotency: Some(key), ..launch("x") }
}

fn is_full(launched: &Result<piton_store::Launched, Error>) -> bool {
    matches!(launched, Err(Error::QueueFull { waiting: WAITING_MAX, max: WAITING_MAX }))
}

#[tokio::test]
async fn a_launch_beyond_the_bound_is_refused_and_leaves_nothing() {
    let bounded = Bounded::full().await;
    // Refused by the writer at first, and by a look after that.
    for _ in 0..3 {
        let refused = keyed("new");
        let run = refused.run;
        assert!(is_full(&bounded.store.launch(refused).await));
        assert_eq!(bounded.store.run(run).await.expect("read"), None);
        assert!(is_full(&bounded.store.launch(launch("x")).await));
    }
    let elsewhere = Bounded::another(&bounded.engine, &bounded.world).await;
    assert!(is_full(&elsewhere.launch(launch("x")).await), "another process knows at once");
    assert_eq!(bounded.jobs(), (10, 10));
    bounded.world.check().await;
}

#[tokio::test]
async fn there_is_room_again_as_soon_as_a_run_is_taken_up() {
    let bounded = Bounded::full().await;
    assert!(is_full(&bounded.store.launch(launch("x")).await));
    let worker = bounded.world.worker("w").await;
    bounded.world.claim_one(&worker).await;
    bounded.store.launch(launch("x")).await.expect("one is taken up");
    assert!(is_full(&bounded.store.launch(launch("x")).await));
}

#[tokio::test]
async fn a_launch_that_was_taken_before_is_taken_again_however_long_the_queue() {
    let bounded = Bounded::new().await;
    let first = bounded.store.launch(keyed("k")).await.expect("launched").run.id;
    while bounded.store.launch(launch("x")).await.is_ok() {}
    for _ in 0..2 {
        let again = bounded.store.launch(keyed("k")).await.expect("replayed");
        assert_eq!((again.run.id, again.replayed), (first, true));
    }
}

#[tokio::test]
async fn what_is_asked_of_a_run_that_is_there_is_never_refused_for_the_queue() {
    let bounded = Bounded::full().await;
    let worker = bounded.world.worker("w").await;
    let claims = bounded.world.claim(&worker).await;
    let (paused, held) = (claims[0].run, claims[1].clone());
    bounded.store.command(paused, Command::Pause).await.expect("paused");
    for claim in &claims[2..] {
        bounded.store.hand_back(claim.run, &worker, claim.epoch, claim.due_at_ms).await.expect("handed back");
    }
    while bounded.store.launch(launch("x")).await.is_ok() {}
    assert_eq!(bounded.jobs(), (10, 10));
    bounded.store.command(paused, Command::Resume).await.expect("resumed");
    bounded.store.hand_back(held.run, &worker, held.epoch, held.due_at_ms).await.expect("handed back");
    bounded.store.command(held.run, Command::Cancel).await.expect("cancelled");
    assert_eq!(bounded.jobs(), (11, 11), "beyond the bound, and the cancelled one gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_is_exact_for_many_clients_of_many_processes() {
    let bounded = Bounded::new().await;
    let elsewhere = Bounded::another(&bounded.engine, &bounded.world).await;
    let launches = (0..60).map(|n| {
        let store = if n % 2 == 0 { &bounded.store } else { &elsewhere };
        store.launch(launch("x"))
    });
    let launched = join_all(launches).await;
    assert_eq!(launched.iter().filter(|launched| launched.is_ok()).count(), 10);
    assert_eq!(launched.iter().filter(|launched| is_full(launched)).count(), 50);
    assert_eq!(bounded.jobs(), (10, 10));
}

#[tokio::test]
async fn the_depth_of_a_queue_that_was_there_before_is_counted_once() {
    let bounded = Bounded::full().await;
    bounded
        .engine
        .raw()
        .execute_batch(
            "DROP TRIGGER jobs_one_more; DROP TRIGGER jobs_one_less; DROP TABLE queue_depth; DROP INDEX jobs_in_lines; \
             ALTER TABLE jobs DROP COLUMN agent; ALTER TABLE jobs DROP COLUMN needs; \
             ALTER TABLE workers DROP COLUMN reducer; ALTER TABLE workers DROP COLUMN lacks; \
             CREATE INDEX jobs_due ON jobs (priority DESC, due_at, run); \
             ALTER TABLE workers DROP COLUMN draining; DROP TABLE paces; DROP TABLE moves; \
             DROP TABLE moves_touched; PRAGMA user_version = 2;",
        )
        .expect("as it was before");
    let elsewhere = Bounded::another(&bounded.engine, &bounded.world).await;
    assert_eq!(bounded.jobs(), (10, 10));
    assert!(is_full(&elsewhere.launch(launch("x")).await));
}

/// How long `launches` took, the middle one in microseconds.
fn median_us(mut launches: Vec<Duration>) -> u128 {
    launches.sort();
    launches[launches.len() / 2].as_micros()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures for whoever runs the long version")]
async fn a_launch_costs_the_same_however_many_wait() {
    let waiting = if std::env::var_os("PITON_LONG").is_some() { 1_000_000 } else { 250_000 };
    let options = SqliteOptions {
        synchronous: Synchronous::Normal,
        waiting_max: 2_000_000,
        ..SqliteOptions::default()
    };
    let (mut engines, mut stores, mut took) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for jobs in [0, waiting] {
        let engine = Sqlite::in_a_folder();
        let store =
            SqliteStore::open(&engine.url(), options.clone(), Clock::told(START_MS)).await.expect("a store");
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs}) \
             INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
             SELECT printf('%036d', i), 'launch', 'default', 0, i, i FROM n WHERE {jobs} > 0"
        );
        engine.raw().execute_batch(&fill).expect("filled");
        engines.push(engine);
        stores.push(store);
    }
    for _ in 0..400 {
        for (store, took) in stores.iter().zip(&mut took) {
            let begun = Instant::now();
            store.launch(launch("x")).await.expect("launched");
            took.push(begun.elapsed());
        }
    }
    let [few, many] = took.map(median_us);
    eprintln!("a launch takes {few} µs with nobody waiting and {many} µs with {waiting}");
    assert!(many < 2 * few, "{few} µs and {many} µs");
}

#[tokio::test]
async fn a_page_of_long_events_is_short_and_the_next_goes_on() {
    let bounded = Bounded::new().await;
    let run: RunId = bounded.world.launch("x").await;
    let worker = bounded.world.worker("w").await;
    let claim: Claim = bounded.world.claim_one(&worker).await;
    let long = |n: usize| Event::ModelFailed { error: format!("{n} {}", "x".repeat(100 * 1024)), tries: 1 };
    let events: Vec<Event> = (0..10).map(long).collect();
    bounded.store.commit(commit(&claim, &worker, 1, &events, StepEnd::GoesOn)).await.expect("committed");
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = bounded.store.events(run, after, 1000).await.expect("read");
        let Some(last) = page.last() else { break };
        assert!(page.iter().zip(after + 1..).all(|(event, seq)| event.seq == seq));
        after = last.seq;
        pages.push(page.len());
    }
    assert_eq!(pages, [4, 3, 3, 1], "each ends with the event that goes beyond 256 KiB");
}
