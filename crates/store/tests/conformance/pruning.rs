//! Deleting runs that were over long ago.
//!
//! `PITON_LONG=1` measures what it costs steps.
#![expect(clippy::print_stderr, reason = "figures for whoever runs the long version")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use piton_core::{CallId, Command, RunId, Status, WorkerId, settle};
use piton_store::{
    Claim, CommandError, Commit, CommitOutcome, Error, FullOutput, IdempotencyKey, Launch, Lost, Move, Place,
    Prune, Pruned, RunFilter, StepEnd, Store,
};
use uuid::Uuid;

use crate::costs::{Took, is_long};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::world::{Engine, World, commit, failure, launch, lost};

promises![
    what_was_over_long_ago_goes_with_all_that_is_kept_of_it,
    what_is_not_over_or_was_not_long_ago_stays,
    a_rehearsal_says_what_would_go_and_deletes_nothing,
    runs_go_batch_by_batch_oldest_first,
    a_late_commit_to_a_run_that_went_is_fenced,
    a_run_that_was_resumed_stays,
];

const DAY_MS: i64 = 24 * 3_600_000;

/// A step that ends the run.
fn fails(claim: &Claim, worker: &WorkerId) -> Commit {
    let mut commit = commit(claim, worker, 1, &[failure()], StepEnd::Done);
    let (after, decisions) = settle(commit.after, claim.epoch).expect("decisions that can happen");
    commit.after = after;
    commit.events.extend(decisions);
    commit
}

impl World {
    /// A launch whose id tells the time of the told clock.
    fn dated(&self, number: u16) -> Launch {
        let ms = u128::from(self.clock.now_ms().unsigned_abs());
        let id = ms << 80 | 7 << 76 | u128::from(number);
        Launch { run: RunId::from_uuid(Uuid::from_u128(id)), ..launch("x") }
    }

    async fn over(&self, number: u16, tenant: &str) -> RunId {
        let launch = Launch { tenant: tenant.to_owned(), ..self.dated(number) };
        let run = self.store.launch(launch).await.expect("launched").run.id;
        self.store.command(run, Command::Cancel).await.expect("cancelled");
        run
    }

    /// Runs that were over before then.
    fn older_than(&self, age_ms: i64) -> Prune {
        Prune { over_before_ms: self.clock.now_ms() - age_ms, ..Prune::default() }
    }

    async fn prune(&self, prune: &Prune) -> Pruned {
        self.store.prune(prune, Prune::BEGINNING).await.expect("pruned")
    }

    async fn is_there(&self, run: RunId) -> bool {
        self.store.run(run).await.expect("read").is_some()
    }
}

async fn what_was_over_long_ago_goes_with_all_that_is_kept_of_it(world: World) {
    let key = IdempotencyKey { key: "k".to_owned(), body_sha256: "0".to_owned() };
    let keyed = Launch { idempotency: Some(key), ..world.dated(1) };
    let run = world.store.launch(keyed.clone()).await.expect("launched").run.id;
    let (dead, worker) = (world.worker("dead").await, world.worker("w").await);
    world.claim_one(&dead).await;
    world.store.recover(&lost(&dead, Lost::LeaseLapsed, &[])).await.expect("recovered");
    let claim = world.claim_one(&worker).await;
    let call = CallId::derive(run, 1, 0);
    let output = FullOutput { call, text: "x".repeat(300_000).into() };
    let step = Commit { outputs: vec![output], ..fails(&claim, &worker) };
    world.store.commit(step).await.expect("committed");
    let row = world.row(run).await;
    assert_eq!((row.run.status, row.owner), (Status::Failed, None));
    let young = world.over(2, "default").await;
    assert_eq!(world.prune(&world.older_than(0)).await.runs, 0, "it was over at this very moment");
    world.clock.advance(1);
    let pruned = world.prune(&Prune { statuses: vec![Status::Failed], ..world.older_than(0) }).await;
    assert_eq!(pruned, Pruned { runs: 1, rows: row.run.version + 2, next: None });
    assert!(!world.is_there(run).await && world.is_there(young).await);
    assert_eq!(world.store.events(run, 0, 100).await.expect("read"), []);
    assert_eq!(world.store.output(run, call, 0).await.expect("read"), None);
    assert_eq!(world.store.lost_attempts(run).await.expect("read"), []);
    assert_eq!(world.store.standings(&[run]).await.expect("read"), []);
    let listed =
        world.store.runs(&RunFilter { limit: 10, ..RunFilter::default() }).await.expect("a page").runs;
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [young]);
    let refused = world.store.command(run, Command::Resume).await.expect_err("gone");
    assert!(matches!(refused, CommandError::NotFound), "{refused}");
    // Its key is free again.
    let again = world.store.launch(Launch { run: world.dated(3).run, ..keyed }).await.expect("launched");
    assert!(!again.replayed);
    world.check().await;
}

async fn what_is_not_over_or_was_not_long_ago_stays(world: World) {
    let waiting = world.store.launch(world.dated(1)).await.expect("launched").run.id;
    let worker = world.worker("w").await;
    let held = world.claim_one(&worker).await;
    assert_eq!(held.run, waiting);
    let paused = world.store.launch(world.dated(2)).await.expect("launched").run.id;
    world.store.command(paused, Command::Pause).await.expect("paused");
    // Cancelled while its worker is still at it.
    let cancelled = world.store.launch(world.dated(3)).await.expect("launched").run.id;
    let step = world.claim_one(&worker).await;
    world.store.command(cancelled, Command::Cancel).await.expect("cancelled");
    let of_another = world.over(4, "b").await;
    let old = world.over(5, "a").await;
    world.clock.advance(30 * DAY_MS);
    let young = world.over(6, "a").await;
    world.clock.advance(DAY_MS);
    let of_tenant = Prune { tenant: Some("a".to_owned()), ..world.older_than(7 * DAY_MS) };
    assert_eq!(world.prune(&of_tenant).await.runs, 1);
    assert!(!world.is_there(old).await);
    for run in [waiting, paused, cancelled, of_another, young] {
        assert!(world.is_there(run).await);
    }
    assert_eq!(world.prune(&world.older_than(7 * DAY_MS)).await.runs, 1, "of the other tenant");
    assert!(!world.is_there(of_another).await && world.is_there(cancelled).await);
    world.store.hand_back(cancelled, &worker, step.epoch, step.due_at_ms).await.expect("handed back");
    assert_eq!(world.prune(&world.older_than(7 * DAY_MS)).await.runs, 1, "nobody is at it any more");
    for run in [waiting, paused, young] {
        assert!(world.is_there(run).await);
    }
}

async fn a_rehearsal_says_what_would_go_and_deletes_nothing(world: World) {
    let run = world.over(1, "default").await;
    let events = world.row(run).await.run.version;
    world.clock.advance(DAY_MS);
    let rehearsal = Prune { is_rehearsal: true, ..world.older_than(0) };
    let would_be = Pruned { runs: 1, rows: events, next: None };
    assert_eq!((world.prune(&rehearsal).await, world.prune(&rehearsal).await), (would_be, would_be));
    assert!(world.is_there(run).await);
    assert_eq!(world.prune(&world.older_than(0)).await, would_be);
}

async fn runs_go_batch_by_batch_oldest_first(world: World) {
    let mut runs = Vec::new();
    for number in 0..150 {
        runs.push(world.over(number, "default").await);
    }
    world.clock.advance(DAY_MS);
    let prune = world.older_than(0);
    let first = world.prune(&prune).await;
    assert_eq!((first.runs, first.next), (100, Some(runs[99])));
    assert!(!world.is_there(runs[99]).await && world.is_there(runs[100]).await);
    // Whoever was killed here begins anew.
    let rest = world.prune(&prune).await;
    assert_eq!((rest.runs, rest.next), (50, None));
    assert_eq!(world.prune(&prune).await, Pruned::default());
    world.check().await;
}

async fn a_late_commit_to_a_run_that_went_is_fenced(world: World) {
    let run = world.store.launch(world.dated(1)).await.expect("launched").run.id;
    let zombie = world.worker("zombie").await;
    let claim = world.claim_one(&zombie).await;
    world.store.recover(&lost(&zombie, Lost::LeaseLapsed, &[])).await.expect("recovered");
    world.store.command(run, Command::Cancel).await.expect("cancelled");
    world.clock.advance(DAY_MS);
    assert_eq!(world.prune(&world.older_than(0)).await.runs, 1);
    for end in [StepEnd::GoesOn, StepEnd::Progress, StepEnd::Done, StepEnd::GiveBack] {
        let late = world.store.commit(commit(&claim, &zombie, 1, &[failure()], end)).await;
        assert!(matches!(late.expect("answered"), CommitOutcome::Fenced), "{end:?}");
    }
    world.store.hand_back(run, &zombie, claim.epoch, claim.due_at_ms).await.expect("nothing");
    assert!(!world.is_there(run).await);
    assert_eq!(world.store.events(run, 0, 10).await.expect("read"), []);
    assert_eq!(world.store.queue().await.expect("read").due, 0);
    world.check().await;
}

async fn a_run_that_was_resumed_stays(world: World) {
    let run = world.store.launch(world.dated(1)).await.expect("launched").run.id;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    world.store.commit(fails(&claim, &worker)).await.expect("committed");
    world.clock.advance(30 * DAY_MS);
    world.store.command(run, Command::Resume).await.expect("resumed");
    assert_eq!(world.prune(&world.older_than(DAY_MS)).await.runs, 0);
    assert!(world.is_there(run).await);
}

/// `insert` gives the run that it is told so many parts of outputs.
async fn a_run_with_many_outputs_loses_them_first(
    engine: Arc<dyn Engine>,
    insert: impl AsyncFnOnce(RunId, u32),
) {
    let world = World::on(engine).await;
    let (run, after) = (world.over(1, "default").await, world.over(2, "default").await);
    insert(run, 150).await;
    world.clock.advance(DAY_MS);
    let prune = world.older_than(0);
    let parts = |pruned: Pruned| (pruned.runs, pruned.rows, pruned.next);
    assert_eq!(parts(world.prune(&prune).await), (0, 62, Some(Prune::BEGINNING)));
    assert!(world.is_there(run).await);
    assert_eq!(parts(world.prune(&prune).await), (0, 62, Some(Prune::BEGINNING)));
    assert_eq!(world.prune(&prune).await.runs, 2);
    assert!(!world.is_there(run).await && !world.is_there(after).await);
}

#[tokio::test]
async fn a_run_with_many_outputs_loses_them_first_in_sqlite() {
    let sqlite = Arc::new(Sqlite::in_a_folder());
    let file = Arc::clone(&sqlite);
    a_run_with_many_outputs_loses_them_first(sqlite, async |run, parts| {
        let sql = "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < ?2) \
                   INSERT INTO outputs (run, call, part, body) SELECT ?1, 'c', n, 'x' FROM n";
        file.raw().execute(sql, (run.to_string(), parts)).expect("inserted");
    })
    .await;
}

#[tokio::test]
async fn a_run_with_many_outputs_loses_them_first_in_postgresql() {
    let postgres = Arc::new(Postgres::fresh().await);
    let server = Arc::clone(&postgres);
    a_run_with_many_outputs_loses_them_first(postgres, async |run, parts| {
        let sql = format!(
            "INSERT INTO outputs (run, call, part, body) SELECT '{run}', 'c', n, 'x' FROM generate_series(1, {parts}) n"
        );
        server.raw(&sql).await;
    })
    .await;
}

/// Nothing is deleted while runs are moved: not before they are gone, and not afterwards.
async fn nothing_goes_while_runs_are_moved(from: Arc<dyn Engine>, from_url: &str, to_url: &str) {
    let place = |url: &str| Place { url: url.to_owned(), password: None, lock_dir: std::env::temp_dir() };
    let world = World::on(from).await;
    let run = world.over(1, "default").await;
    world.clock.advance(DAY_MS);
    let refused = async |store: &dyn Store| match store.prune(&world.older_than(0), Prune::BEGINNING).await {
        Err(Error::Unavailable(why)) => assert!(why.contains("being moved"), "{why}"),
        other => panic!("{other:?}"),
    };
    let mut moving = Move::open(&place(from_url), &place(to_url)).await.expect("it can begin");
    let cut = tokio::sync::Notify::new();
    tokio::select! {
        biased;
        () = cut.notified() => {}
        _ = moving.run(|_| cut.notify_one()) => panic!("it was to be cut off"),
    }
    refused(world.store.as_ref()).await;
    let mut moving = Move::open(&place(from_url), &place(to_url)).await.expect("it goes on");
    assert_eq!(moving.run(|_| ()).await.expect("moved").runs, 1);
    refused(world.store.as_ref()).await;
    assert!(world.is_there(run).await);
    Move::undo(&place(from_url)).await.expect("undone");
    assert_eq!(world.prune(&world.older_than(0)).await.runs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_runs_are_moved_from_sqlite() {
    let (sqlite, postgres) = (Sqlite::in_a_folder(), Postgres::fresh().await);
    let (from, to) = (sqlite.url(), postgres.url());
    nothing_goes_while_runs_are_moved(Arc::new(sqlite), &from, &to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_runs_are_moved_from_postgresql() {
    let (sqlite, postgres) = (Sqlite::in_a_folder(), Postgres::fresh().await);
    let (from, to) = (postgres.url(), sqlite.url());
    nothing_goes_while_runs_are_moved(Arc::new(postgres), &from, &to).await;
}

/// Old runs of 21 events each; `insert` makes so many copies of this one's rows.
async fn steps_go_on_while_old_runs_go(engine: Arc<dyn Engine>, insert: impl AsyncFnOnce(RunId, u32)) {
    let copies: u32 = if is_long() { 50_000 } else { 500 };
    let world = World::on(engine).await;
    // Its number is none of its copies'.
    let old = world.over(0xffff, "default").await;
    insert(old, copies).await;
    world.clock.advance(DAY_MS);
    let worker = world.worker("w").await;
    let step = async || {
        let run = world.launch("x").await;
        let claim = world.claim_one(&worker).await;
        assert_eq!(claim.run, run);
        let began_at = Instant::now();
        let outcome = world.store.commit(fails(&claim, &worker)).await.expect("committed");
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
        began_at.elapsed()
    };
    let mut alone = Took::default();
    for _ in 0..if is_long() { 1_000 } else { 10 } {
        alone.0.push(step().await);
    }
    let prune = world.older_than(DAY_MS / 2);
    let began_at = Instant::now();
    let deleting = async {
        let (mut gone, mut busy, mut longest) = (Pruned::default(), Duration::ZERO, Duration::ZERO);
        let mut after = Some(Prune::BEGINNING);
        while let Some(from) = after {
            let batch_at = Instant::now();
            let pruned = world.store.prune(&prune, from).await.expect("pruned");
            let took = batch_at.elapsed();
            (busy, longest) = (busy + took, longest.max(took));
            gone = Pruned { runs: gone.runs + pruned.runs, rows: gone.rows + pruned.rows, ..gone };
            after = pruned.next;
            tokio::time::sleep(Prune::pause_after(took)).await;
        }
        (gone, busy, longest)
    };
    let (mut beside, mut is_over) = (Took::default(), false);
    let mut deleting = std::pin::pin!(deleting);
    let mut outcome = None;
    while !is_over {
        tokio::select! {
            gone = &mut deleting => (outcome, is_over) = (Some(gone), true),
            took = step() => beside.0.push(took),
        }
    }
    let (gone, busy, longest) = outcome.expect("it is over");
    assert_eq!(gone.runs, u64::from(copies) + 1);
    eprintln!(
        "{} runs and {} rows in {:?}, {busy:?} of it busy ({longest:?} at most); commits alone {:?} and {:?}, meanwhile {:?} and {:?} \
         (p50, p99)",
        gone.runs,
        gone.rows,
        began_at.elapsed(),
        alone.at(50),
        alone.at(99),
        beside.at(50),
        beside.at(99)
    );
}

#[tokio::test]
async fn steps_go_on_while_old_runs_go_in_sqlite() {
    let sqlite = Arc::new(Sqlite::in_a_folder());
    let file = Arc::clone(&sqlite);
    steps_go_on_while_old_runs_go(sqlite, async |run, copies| {
        let sql = "WITH RECURSIVE n(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM n WHERE n < 21) \
                   INSERT INTO events (run, seq, at, type, v, body) SELECT ?1, n, 1, 'x', 1, ?2 FROM n";
        file.raw().execute(sql, (run.to_string(), "x".repeat(1_000))).expect("events");
        file.raw().execute("UPDATE runs SET version = 21 WHERE id = ?", [run.to_string()]).expect("a run");
        for (table, id) in [("runs", "id"), ("events", "run")] {
            file.copy_rows(table, id, run, copies);
        }
    })
    .await;
}

#[tokio::test]
async fn steps_go_on_while_old_runs_go_in_postgresql() {
    let postgres = Arc::new(Postgres::fresh().await);
    let server = Arc::clone(&postgres);
    steps_go_on_while_old_runs_go(postgres, async |run, copies| {
        server.multiply(run, copies).await;
        let sql = "UPDATE runs SET version = 21 WHERE finished_at IS NOT NULL; \
             INSERT INTO events (run, seq, at, type, v, body) \
             SELECT id, n, 1, 'x', 1, repeat('x', 1000) FROM runs CROSS JOIN generate_series(1, 21) n \
             WHERE finished_at IS NOT NULL ON CONFLICT DO NOTHING; ANALYZE runs, events";
        server.raw(sql).await;
    })
    .await;
}

#[tokio::test]
async fn one_process_deletes_at_a_time_in_postgresql() {
    let postgres = Arc::new(Postgres::fresh().await);
    let world = World::on(Arc::clone(&postgres) as _).await;
    let run = world.over(1, "default").await;
    world.clock.advance(DAY_MS);
    let (another, connection) =
        tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    another.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(x'50495450'::bigint)").await.expect("locked");
    let asked_too_early = Pruned { next: Some(Prune::BEGINNING), ..Pruned::default() };
    assert_eq!(world.prune(&world.older_than(0)).await, asked_too_early);
    assert!(world.is_there(run).await);
    another.batch_execute("COMMIT").await.expect("let go");
    assert_eq!(world.prune(&world.older_than(0)).await.runs, 1);
    connection.abort();
}
