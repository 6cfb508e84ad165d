//! What claims, looks and lists cost the embedded store with a long past: the same as without one.
//!
//! Here 50,000 runs are over, 5,000 wait for a worker and 20,000 for an answer; `PITON_LONG=1` makes that a million, 100,000 and
//! a million, and holds a release build to milliseconds.
#![expect(clippy::print_stderr, reason = "figures for whoever runs the long version")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use piton_core::{Command, RunId, Status};
use piton_store::{Lane, RunFilter, StepEnd};

use crate::sqlite::Sqlite;
use crate::world::{World, commit, failure};

/// Times that each thing is measured.
pub(crate) const TIMES: usize = 200;

pub(crate) fn is_long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

/// A database of its own, and the way round the store to it.
struct Old {
    engine: Arc<Sqlite>,
    world: World,
}

impl Old {
    async fn new() -> Self {
        let engine = Arc::new(Sqlite::in_a_folder());
        let world = World::on(Arc::clone(&engine) as _).await;
        Self { engine, world }
    }

    /// Makes `count` copies of a run, of its events and of its job.
    fn multiply(&self, of: RunId, count: u32) {
        for (table, id) in [("runs", "id"), ("events", "run"), ("jobs", "run")] {
            self.engine.copy_rows(table, id, of, count);
        }
    }

    async fn over(&self, count: u32) {
        let run = self.world.launch("over").await;
        self.world.store.command(run, Command::Cancel).await.expect("cancelled");
        self.multiply(run, count);
    }

    async fn waiting(&self, count: u32) {
        let run = self.world.launch("waiting").await;
        self.multiply(run, count);
    }
}

#[derive(Default)]
pub(crate) struct Took(pub(crate) Vec<Duration>);

impl Took {
    pub(crate) fn at(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// How long a look, a claim and the end of a step take.
pub(crate) async fn steps(world: &World) -> [Took; 3] {
    let store = &world.store;
    let worker = world.worker("w").await;
    let [mut looks, mut claims, mut commits] = [(); 3].map(|()| Took::default());
    for _ in 0..TIMES {
        let begun = Instant::now();
        assert_eq!(store.due(Lane::Common, 1).await.expect("looked"), 1);
        looks.0.push(begun.elapsed());
        let begun = Instant::now();
        let claimed = store.claim(&worker, Lane::Common, 1).await.expect("claimed");
        claims.0.push(begun.elapsed());
        let done = commit(&claimed[0], &worker, 1, &[failure()], StepEnd::Done);
        let begun = Instant::now();
        store.commit(done).await.expect("committed");
        commits.0.push(begun.elapsed());
    }
    [looks, claims, commits]
}

#[tokio::test]
async fn a_claim_costs_the_same_after_a_long_past() {
    let (over, waiting) = if is_long() { (1_000_000, 100_000) } else { (50_000, 5_000) };
    let (young, old) = (Old::new().await, Old::new().await);
    young.waiting(2 * TIMES as u32).await;
    old.over(over).await;
    old.waiting(waiting).await;
    let mut before = steps(&young.world).await;
    let mut after = steps(&old.world).await;
    for (what, (before, after)) in
        ["a look", "a claim", "a commit"].iter().zip(before.iter_mut().zip(&mut after))
    {
        let ([few, many], slow) = ([before.at(50), after.at(50)], after.at(99));
        eprintln!(
            "{what}: {few:?} with no past, {many:?} with {over} over and {waiting} waiting, p99 {slow:?}"
        );
        assert!(many < few * 3, "{what}: {few:?} and {many:?}");
        assert!(!is_long() || slow < Duration::from_millis(2), "{what}: p99 {slow:?}");
    }
}

#[tokio::test]
async fn a_million_runs_that_ask_cost_a_list_nothing() {
    let asking = if is_long() { 1_000_000 } else { 20_000 };
    let old = Old::new().await;
    let run = old.world.launch("asking").await;
    old.world.store.command(run, Command::Pause).await.expect("paused");
    old.multiply(run, asking);
    // As if each asked: what is listed goes by the status alone.
    let raw = old.engine.raw();
    raw.pragma_update(None, "synchronous", "OFF").expect("quick");
    raw.execute_batch("UPDATE runs SET status = 'waiting_human_input'").expect("asking");
    let store = &old.world.store;
    let filter = RunFilter {
        statuses: vec![Status::WaitingHumanInput, Status::Undecided],
        limit: 50,
        ..RunFilter::default()
    };
    let [mut lists, mut inboxes] = [(); 2].map(|()| Took::default());
    for _ in 0..TIMES {
        let begun = Instant::now();
        assert_eq!(store.runs(&filter).await.expect("listed").runs.len(), 50);
        lists.0.push(begun.elapsed());
        let begun = Instant::now();
        store.inbox(50).await.expect("listed");
        inboxes.0.push(begun.elapsed());
    }
    assert_eq!(store.queue().await.expect("counted").due, 0, "nobody who asks has a job");
    for (what, took) in [("a list", &mut lists), ("the inbox", &mut inboxes)] {
        let slow = took.at(99);
        eprintln!("{what} with {asking} runs asking: {:?}, p99 {slow:?}", took.at(50));
        assert!(slow < Duration::from_millis(if is_long() { 20 } else { 100 }), "{what}: {slow:?}");
    }
}
