//! What every store promises, whichever engine is behind it. Each test gets a fresh database and a told clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use piton_core::{
    Agent, CallId, CallKind, Command, Decision, EffectClass, Epoch, Event, Refusal, Run, RunId, Status,
    ToolCall, TurnRequest, Usage, WorkerId,
};
use piton_store::{
    Claim, Clock, CommandError, Commit, CommitOutcome, Death, Error, IdempotencyKey, JobKind, Lane, Launch,
    Lost, LostWorker, PeerLock, QueueStats, RunFilter, SqliteOptions, SqliteStore, StepEnd, Store, Verdict,
    WorkerLock, WorkerRow,
};
use uuid::Uuid;

const START_MS: i64 = 1_790_000_000_000;
const LEASE_MS: i64 = 10_000;

struct World {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Arc<SqliteStore>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Clock::told(START_MS);
        let store = Arc::new(open(&dir, &clock).await.expect("a store"));
        Self { dir, clock, store }
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("piton.db").display())
    }

    async fn launch(&self, task: &str) -> RunId {
        self.store.launch(launch(task)).await.expect("launched").run.id
    }

    async fn worker(&self, name: &str) -> WorkerId {
        let now_ms = self.clock.now_ms();
        let row = WorkerRow {
            id: WorkerId::new(name),
            host: "h".to_owned(),
            pid: 1,
            concurrency: 1,
            version: "0".to_owned(),
            started_at_ms: now_ms,
            lease_ms: LEASE_MS.unsigned_abs(),
            expires_at_ms: now_ms + LEASE_MS,
            runs: 0,
        };
        self.store.register(&row).await.expect("registered");
        row.id
    }

    async fn claim(&self, worker: &WorkerId) -> Vec<Claim> {
        self.store.claim(worker, Lane::Common, 100).await.expect("claimed")
    }

    async fn claim_one(&self, worker: &WorkerId) -> Claim {
        let mut claims = self.store.claim(worker, Lane::Common, 1).await.expect("claimed");
        assert_eq!(claims.len(), 1);
        claims.remove(0)
    }

    async fn row(&self, run: RunId) -> piton_store::RunRow {
        self.store.run(run).await.expect("read").expect("the run")
    }

    async fn check(&self) {
        for check in self.store.check().await.expect("checked") {
            assert!(check.trouble.is_none(), "{}: {:?}", check.name, check.trouble);
        }
    }
}

async fn open(dir: &tempfile::TempDir, clock: &Clock) -> Result<SqliteStore, Error> {
    let url = format!("sqlite://{}", dir.path().join("piton.db").display());
    SqliteStore::open(&url, SqliteOptions::default(), clock.clone()).await
}

fn launch(task: &str) -> Launch {
    Launch {
        run: RunId::from_uuid(Uuid::now_v7()),
        agent: Agent {
            name: "default".to_owned(),
            description: String::new(),
            instructions: "be exact".to_owned(),
            model: "m".to_owned(),
            max_steps: 10,
            limits: piton_core::Limits::default(),
            tools: Vec::new(),
        },
        task: task.to_owned(),
        max_steps: 10,
        tenant: "default".to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    }
}

/// A worker as it registered, taken for dead.
fn lost(worker: &WorkerId, why: Lost, busy_with: &[RunId]) -> LostWorker {
    LostWorker { id: worker.clone(), expires_at_ms: START_MS + LEASE_MS, why, busy_with: busy_with.to_vec() }
}

fn failure() -> Event {
    Event::ModelFailed { error: "down".to_owned(), tries: 1 }
}

/// A commit of `events` on the claim's own fold.
fn commit(claim: &Claim, worker: &WorkerId, ordinal: u32, events: &[Event], end: StepEnd) -> Commit {
    let after = events.iter().try_fold(claim.fold.clone(), Run::apply).expect("legal");
    Commit {
        run: claim.run,
        worker: worker.clone(),
        epoch: claim.epoch,
        ordinal,
        base: claim.fold.version,
        events: events.to_vec(),
        after,
        outputs: Vec::new(),
        end,
    }
}

#[tokio::test]
async fn a_launch_has_its_run_its_event_and_its_job() {
    let world = World::new().await;
    let task = "nul \u{0} and \u{202e} stay";
    let run = world.launch(task).await;
    let row = world.row(run).await;
    assert_eq!(
        (row.run.status, row.run.version, row.task.as_str()),
        (Status::Running, 1, "nul   and \u{202e} stay")
    );
    let events = world.store.events(run, 0, 10).await.expect("events");
    assert!(matches!(&events[0].event, Event::Launched { task: whole, .. } if whole == task));
    assert_eq!(world.store.queue().await.expect("stats"), QueueStats { due: 1, ..QueueStats::default() });
    let agent = world.store.agent(&row.run.agent).await.expect("read").expect("the definition");
    assert_eq!(agent.instructions, "be exact");
    world.check().await;
}

#[tokio::test]
async fn an_idempotency_key_launches_once_a_day_per_tenant() {
    let world = World::new().await;
    let keyed = |tenant: &str, body: &str| Launch {
        tenant: tenant.to_owned(),
        idempotency: Some(IdempotencyKey { key: "k".to_owned(), body_sha256: body.to_owned() }),
        ..launch("x")
    };
    let first = world.store.launch(keyed("a", "b1")).await.expect("launched");
    let again = world.store.launch(keyed("a", "b1")).await.expect("replayed");
    assert_eq!((first.replayed, again.replayed, again.run.id), (false, true, first.run.id));
    let other = world.store.launch(keyed("a", "b2")).await.expect_err("another body");
    assert!(matches!(other, Error::IdempotencyMismatch { run } if run == first.run.id));
    assert!(!world.store.launch(keyed("b", "b2")).await.expect("another tenant").replayed);
    world.clock.advance(24 * 60 * 60 * 1000);
    assert!(!world.store.launch(keyed("a", "b2")).await.expect("a day later").replayed);
}

#[tokio::test]
async fn a_job_is_taken_once_by_priority_and_then_by_age() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for (task, priority) in [("old", 0), ("young", 0), ("urgent", 5)] {
        let launch = Launch { priority, ..launch(task) };
        ids.push(world.store.launch(launch).await.expect("launched").run.id);
        world.clock.advance(1);
    }
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let (one, two) = tokio::join!(world.claim(&a), world.claim(&b));
    let mut claims = one;
    claims.extend(two);
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [ids[2], ids[0], ids[1]]);
    assert!(claims.iter().all(|claim| claim.epoch == Epoch(1) && claim.attempt == 1));
    assert!(world.claim(&a).await.is_empty());
    world.check().await;
}

#[tokio::test]
async fn a_worker_that_was_taken_for_dead_takes_nothing() {
    let world = World::new().await;
    world.launch("x").await;
    assert!(world.claim(&WorkerId::new("unknown")).await.is_empty());
    let worker = world.worker("w").await;
    let lost = lost(&worker, Lost::LeaseLapsed, &[]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 0);
    assert!(world.claim(&worker).await.is_empty(), "nobody would look after what it took");
    assert!(!world.store.renew(&worker, i64::MAX).await.expect("answered"));
}

#[tokio::test]
async fn a_clock_that_is_set_parks_no_run_and_forgets_no_worker() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    world.clock.advance(-3_600_000);
    assert!(world.claim(&a).await.is_empty(), "its job lies in the future now");
    assert_eq!(world.store.clock_set_back().await.expect("mended"), 1);
    assert_eq!(world.store.clock_set_back().await.expect("mended"), 0);
    assert_eq!(world.claim_one(&a).await.run, run);
    world.clock.advance(7 * 24 * 3_600_000);
    let peers = world.store.peers(&b).await.expect("read");
    assert_eq!(peers.iter().map(|peer| &peer.id).collect::<Vec<_>>(), [&a], "a week later it is still known");
}

#[tokio::test]
async fn a_commit_under_another_epoch_writes_nothing() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let old = world.claim_one(&a).await;
    let lost = lost(&a, Lost::LeaseLapsed, &[]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 1);
    let before = world.row(run).await;
    let late = commit(&old, &a, 1, &[failure()], StepEnd::Done);
    assert!(matches!(world.store.commit(late.clone()).await.expect("answered"), CommitOutcome::Fenced));
    let new = world.claim_one(&b).await;
    assert_eq!((new.epoch, new.attempt), (Epoch(2), 2));
    assert!(matches!(world.store.commit(late).await.expect("answered"), CommitOutcome::Fenced));
    world.store.hand_back(run, &a, old.epoch).await.expect("nothing");
    assert_eq!(world.row(run).await.owner, Some(b));
    assert_eq!(world.row(run).await.run, before.run);
    world.check().await;
}

#[tokio::test]
async fn a_commit_whose_acknowledgement_was_lost_is_folded_once() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    for end in [StepEnd::GoesOn, StepEnd::GoesOn] {
        let outcome =
            world.store.commit(commit(&claim, &worker, 1, &[failure()], end)).await.expect("answered");
        assert!(matches!(outcome, CommitOutcome::Committed { version: 2, kept: true }));
    }
    let claim = Claim { fold: world.row(run).await.run, ..claim };
    for _ in 0..2 {
        let failed = [Event::Failed { error: "down".to_owned() }];
        let outcome = world.store.commit(commit(&claim, &worker, 2, &failed, StepEnd::Done)).await;
        assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { version: 3, kept: false }));
    }
    assert_eq!(world.store.events(run, 0, 10).await.expect("events").len(), 3);
    world.check().await;
}

#[tokio::test]
async fn a_command_in_between_makes_the_commit_wait_for_a_merge() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    world.store.command(run, Command::Pause).await.expect("paused");
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    let CommitOutcome::Behind { newer } = outcome.expect("answered") else { panic!("behind") };
    assert_eq!((newer.status, newer.version), (Status::Paused, 2));
    assert_eq!(world.row(run).await.run.version, 2);
    // Nothing to add: the commit only lets go.
    let rest = Commit {
        base: 2,
        events: Vec::new(),
        after: *newer,
        ..commit(&claim, &worker, 1, &[], StepEnd::Done)
    };
    let outcome = world.store.commit(rest).await.expect("answered");
    assert!(matches!(outcome, CommitOutcome::Committed { version: 2, kept: false }));
    assert_eq!(world.row(run).await.owner, None);
    world.check().await;
}

#[tokio::test]
async fn a_command_to_a_held_run_leaves_a_job_that_only_the_holders_commit_removes() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let claim = world.claim_one(&a).await;
    world.store.command(run, Command::Pause).await.expect("paused");
    world.store.command(run, Command::Resume).await.expect("resumed");
    assert!(world.claim(&b).await.is_empty(), "the run is held");
    assert_eq!(world.store.queue().await.expect("stats").due, 1);
    let now = Claim { fold: world.row(run).await.run, ..claim };
    let outcome =
        world.store.commit(commit(&now, &a, 1, &[failure()], StepEnd::Done)).await.expect("answered");
    assert!(matches!(outcome, CommitOutcome::Committed { kept: true, .. }));
    assert_eq!(world.store.queue().await.expect("stats").due, 0);
    world.check().await;
}

#[tokio::test]
async fn a_run_is_kept_for_its_next_step_unless_an_older_job_waits() {
    let world = World::new().await;
    let first = world.launch("first").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: true, .. }));
    assert_eq!(world.row(first).await.attempt, 1, "the next step's first attempt has begun");
    world.clock.advance(5);
    let second = world.launch("second").await;
    world.clock.advance(5);
    let claim = Claim { fold: world.row(first).await.run, ..claim };
    let outcome = world.store.commit(commit(&claim, &worker, 2, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: false, .. }));
    assert_eq!(world.claim_one(&worker).await.run, second);
    let again = world.claim_one(&worker).await;
    assert_eq!((again.run, again.epoch, again.attempt, again.kind), (first, Epoch(2), 1, JobKind::Step));
    world.check().await;
}

#[tokio::test]
async fn a_run_that_is_handed_back_was_no_attempt() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let worker = world.worker("w").await;
    let claim = world.claim_one(&worker).await;
    world.store.hand_back(run, &worker, claim.epoch).await.expect("handed back");
    let claim = world.claim_one(&worker).await;
    assert_eq!((claim.epoch, claim.attempt), (Epoch(2), 1));
    world.store.retire(&worker).await.expect("retired");
    let other = world.worker("other").await;
    let claim = world.claim_one(&other).await;
    assert_eq!((claim.epoch, claim.attempt), (Epoch(3), 1));
    world.check().await;
}

#[tokio::test]
async fn a_worker_that_renewed_after_it_looked_dead_keeps_its_runs() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    world.claim_one(&a).await;
    let peers = world.store.peers(&b).await.expect("looked");
    assert_eq!((&peers[0].id, peers[0].lock, peers.len()), (&a, PeerLock::Unknown, 1));
    world.clock.advance(1);
    world.store.renew(&a, world.clock.now_ms() + LEASE_MS).await.expect("renewed");
    assert_eq!(world.store.recover(&lost(&a, Lost::LeaseLapsed, &[])).await.expect("answered"), 0);
    assert_eq!(world.row(run).await.owner, Some(a));
}

#[tokio::test]
async fn a_free_lock_tells_of_a_death_before_the_lease_does() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    let lock = WorkerLock::take(world.store.lock_dir(), &a).expect("taken").expect("kept");
    world.claim_one(&a).await;
    assert_eq!(world.store.peers(&b).await.expect("looked")[0].lock, PeerLock::Held);
    drop(lock);
    // A process that is killed leaves its file behind.
    std::fs::write(world.store.lock_dir().join("a.lock"), run.to_string()).expect("a file");
    let peer = world.store.peers(&b).await.expect("looked").remove(0);
    assert_eq!((peer.lock, peer.busy_with), (PeerLock::Free, vec![run]));
    assert_eq!(world.store.recover(&lost(&a, Lost::LockFree, &[])).await.expect("recovered"), 1);
    assert!(!world.store.renew(&a, i64::MAX).await.expect("answered"), "it owns nothing any more");
    assert!(!world.store.lock_dir().join("a.lock").exists());
    assert_eq!(world.claim_one(&b).await.attempt, 2);
}

#[tokio::test]
async fn a_call_is_not_made_again_while_the_worker_that_began_it_is_still_there() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let (frozen, other) = (world.worker("w-1").await, world.worker("w-2").await);
    let lock = WorkerLock::take(world.store.lock_dir(), &frozen).expect("taken").expect("kept");
    let claim = world.claim_one(&frozen).await;
    let call = ToolCall {
        id: CallId::derive(run, 1, 0),
        call_id: "c".to_owned(),
        name: "pay".to_owned(),
        arguments: "{}".to_owned(),
        kind: CallKind::Tool(EffectClass::AtMostOnce),
    };
    let replied = Event::ModelReplied {
        turn: 1,
        text: None,
        calls: vec![call.clone()],
        notes: Vec::new(),
        usage: Usage::default(),
        model: "m".to_owned(),
        request: TurnRequest::default(),
        attempt: 1,
    };
    let started = Event::ToolStarted {
        call: call.id,
        arguments_hash: String::new(),
        worker: frozen.clone(),
        epoch: claim.epoch,
        attempt: 1,
        at_ms: START_MS,
    };
    let begun = commit(&claim, &frozen, 1, &[replied, started], StepEnd::GoesOn);
    world.store.commit(begun).await.expect("committed");
    let lost = lost(&frozen, Lost::LeaseLapsed, &[]);
    world.store.recover(&lost).await.expect("recovered");
    let claim = world.claim_one(&other).await;
    let unknown = Event::OutcomeUnknown { call: call.id, reason: "gone".to_owned() };
    world.store.commit(commit(&claim, &other, 1, &[unknown], StepEnd::Done)).await.expect("committed");
    let again = Command::Decide { question: call.id, decision: Decision::DidNotHappen };
    let refused = world.store.command(run, again.clone()).await.expect_err("it may still act");
    assert!(matches!(refused, CommandError::Refused(Refusal::StillActing { worker }) if worker == frozen));
    drop(lock);
    world.store.command(run, again).await.expect("its process is gone");
    assert_eq!(world.row(run).await.run.status, Status::Running);
    world.check().await;
}

#[tokio::test]
async fn the_sweep_derives_lost_wake_ups_from_runs() {
    let world = World::new().await;
    let run = world.launch("x").await;
    let waiting = world.launch("paused").await;
    world.store.command(waiting, Command::Pause).await.expect("paused");
    let mut raw = raw(&world).await;
    sqlx::raw_sql("DELETE FROM jobs").execute(&mut raw).await.expect("jobs lost");
    let checks = world.store.check().await.expect("checked");
    assert_eq!(checks.iter().filter(|check| check.trouble.is_some()).count(), 1);
    assert_eq!(world.store.sweep().await.expect("swept"), 1);
    assert_eq!(world.store.sweep().await.expect("swept"), 0);
    let worker = world.worker("w").await;
    assert_eq!(world.claim_one(&worker).await.run, run);
    // An owner that nobody knows.
    sqlx::raw_sql("DELETE FROM workers").execute(&mut raw).await.expect("workers lost");
    assert_eq!(world.store.sweep().await.expect("swept"), 1);
    world.check().await;
}

/// A worker takes what is due in `lane`, and its process dies while it polls `busy_with`.
async fn dies(world: &World, name: &str, lane: Lane, busy_with: &[RunId], own_doing: bool) -> Vec<Verdict> {
    let worker = world.worker(name).await;
    let lock = WorkerLock::take(world.store.lock_dir(), &worker).expect("taken").expect("kept");
    world.store.claim(&worker, lane, 100).await.expect("claimed");
    drop(lock);
    let slots: String = busy_with.iter().map(RunId::to_string).collect();
    std::fs::write(world.store.lock_dir().join(format!("{name}.lock")), slots).expect("a file left behind");
    let name = WorkerId::new(name);
    let death = Death { worker: name, how: "signal 6 (SIGABRT)".to_owned(), own_doing };
    let verdicts = world.store.died(&death).await.expect("judged");
    assert_eq!(world.store.died(&death).await.expect("judged"), [], "a death is counted once");
    verdicts
}

#[tokio::test]
async fn a_run_that_takes_its_worker_down_goes_on_apart_and_is_quarantined_at_the_third_death() {
    let world = World::new().await;
    let (poison, good) = (world.launch("poison").await, world.launch("good").await);
    let blamed = |deaths| [Verdict::Blamed { run: poison, deaths }];
    assert_eq!(dies(&world, "w-1", Lane::Common, &[poison], true).await, blamed(1));
    let other = world.worker("other").await;
    let others: Vec<RunId> = world.claim(&other).await.iter().map(|claim| claim.run).collect();
    assert_eq!(others, [good], "only the suspect is kept from ordinary workers");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 1);
    assert_eq!(dies(&world, "w-2", Lane::Apart, &[], true).await, blamed(2), "alone, it is the one");
    assert_eq!(dies(&world, "w-3", Lane::Apart, &[poison], true).await, [Verdict::Quarantined(poison)]);
    let row = world.row(poison).await;
    assert_eq!((row.run.status, row.owner), (Status::Quarantined, None));
    let error = row.run.error.expect("a reason");
    assert!(error.contains("3 times in a row: signal 6 (SIGABRT), signal 6 (SIGABRT), signal"), "{error}");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 0);
    let lost = world.store.lost_attempts(poison).await.expect("read");
    assert_eq!(
        lost.iter().map(|lost| (lost.worker.as_str(), lost.attempt)).collect::<Vec<_>>(),
        [("w-1", 1), ("w-2", 2), ("w-3", 3)]
    );
    assert!(world.store.lost_attempts(good).await.expect("read").iter().all(|lost| !lost.blamed));
    world.store.command(poison, Command::Release).await.expect("released");
    assert_eq!(
        world.store.due(Lane::Apart, 10).await.expect("counted"),
        1,
        "released, it is still a suspect"
    );
    world.store.retire(&other).await.expect("retired");
    world.check().await;
}

#[tokio::test]
async fn a_whole_step_apart_clears_a_suspect() {
    let world = World::new().await;
    let run = world.launch("x").await;
    dies(&world, "w-1", Lane::Common, &[run], true).await;
    dies(&world, "w-2", Lane::Apart, &[run], true).await;
    let worker = world.worker("w-3").await;
    let claim = world.store.claim(&worker, Lane::Apart, 1).await.expect("claimed").remove(0);
    assert_eq!(claim.attempt, 3);
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(
        matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: false, .. }),
        "it goes back to the others"
    );
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 0);
    assert_eq!(
        dies(&world, "w-4", Lane::Common, &[run], true).await,
        [Verdict::Blamed { run, deaths: 1 }],
        "deaths count in a row"
    );
}

#[tokio::test]
async fn kills_from_outside_and_ambiguous_deaths_blame_nobody() {
    let world = World::new().await;
    let (a, b) = (world.launch("a").await, world.launch("b").await);
    assert_eq!(dies(&world, "w-1", Lane::Common, &[a], false).await, [], "killed from outside");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 1, "it goes apart all the same");
    assert_eq!(dies(&world, "w-2", Lane::Apart, &[a], false).await, []);
    let worker = world.worker("w-3").await;
    let claim = world.store.claim(&worker, Lane::Apart, 1).await.expect("claimed").remove(0);
    world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await.expect("committed");
    let both = [Verdict::Suspected(a.min(b)), Verdict::Suspected(a.max(b))];
    assert_eq!(dies(&world, "w-4", Lane::Common, &[a, b], true).await, both, "either may have done it");
    for run in [a, b] {
        assert!(world.store.lost_attempts(run).await.expect("read").iter().all(|lost| !lost.blamed));
    }
    // A peer that finds the death first leaves as much to judge by.
    let c = world.launch("c").await;
    let worker = world.worker("w-5").await;
    world.claim_one(&worker).await;
    let lost = lost(&worker, Lost::LockFree, &[c]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 1);
    let death = Death { worker, how: "signal 11 (SIGSEGV)".to_owned(), own_doing: true };
    assert_eq!(world.store.died(&death).await.expect("judged"), [Verdict::Blamed { run: c, deaths: 1 }]);
}

#[tokio::test]
async fn refusals_change_nothing() {
    let world = World::new().await;
    let run = world.launch("x").await;
    world.store.command(run, Command::Cancel).await.expect("cancelled");
    let before = world.row(run).await;
    let refused = world.store.command(run, Command::Resume).await.expect_err("refused");
    assert!(matches!(refused, CommandError::Refused(Refusal::NotInStatus { .. })));
    assert_eq!(world.row(run).await, before);
    assert_eq!(before.finished_at_ms, Some(START_MS));
    assert_eq!(world.store.queue().await.expect("stats"), QueueStats::default());
    let unknown = RunId::from_uuid(Uuid::now_v7());
    assert!(matches!(world.store.command(unknown, Command::Pause).await, Err(CommandError::NotFound)));
}

#[tokio::test]
async fn fifty_resumes_have_one_winner() {
    let world = World::new().await;
    let run = world.launch("x").await;
    world.store.command(run, Command::Pause).await.expect("paused");
    let resumes = join_all((0..50).map(|_| world.store.command(run, Command::Resume))).await;
    assert_eq!(resumes.iter().filter(|resume| resume.is_ok()).count(), 1);
    assert_eq!(world.row(run).await.run.version, 3);
    world.check().await;
}

#[tokio::test]
async fn one_members_error_does_not_harm_its_neighbours() {
    let world = World::new().await;
    let mut raw = raw(&world).await;
    sqlx::raw_sql(
        "CREATE TRIGGER poison BEFORE INSERT ON runs WHEN NEW.task = 'poison' \
         BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END",
    )
    .execute(&mut raw)
    .await
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
async fn lists_are_paged_newest_first_and_filtered() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let labels = BTreeMap::from([("n".to_owned(), n.to_string())]);
        ids.push(
            world
                .store
                .launch(Launch { labels, ..launch(&format!("Task 100% {n}")) })
                .await
                .expect("ok")
                .run
                .id,
        );
    }
    ids.sort();
    ids.reverse();
    let page = world.store.runs(&RunFilter { limit: 2, ..RunFilter::default() }).await.expect("a page");
    assert_eq!(
        (page.runs.iter().map(|run| run.id).collect::<Vec<_>>(), page.next),
        (ids[..2].to_vec(), Some(ids[1]))
    );
    let filter = RunFilter { limit: 10, before: page.next, ..RunFilter::default() };
    let rest = world.store.runs(&filter).await.expect("a page");
    assert_eq!((rest.runs.len(), rest.next), (3, None));
    let count = async |filter: RunFilter| {
        world.store.runs(&RunFilter { limit: 10, ..filter }).await.expect("a page").runs.len()
    };
    assert_eq!(count(RunFilter { search: Some("task 100% 3".to_owned()), ..RunFilter::default() }).await, 1);
    assert_eq!(count(RunFilter { search: Some("%".to_owned()), ..RunFilter::default() }).await, 5);
    assert_eq!(count(RunFilter { search: Some(ids[0].to_string()), ..RunFilter::default() }).await, 1);
    assert_eq!(count(RunFilter { statuses: vec![Status::Complete], ..RunFilter::default() }).await, 0);
    let labels = BTreeMap::from([("n".to_owned(), "4".to_owned())]);
    assert_eq!(count(RunFilter { labels, ..RunFilter::default() }).await, 1);
}

#[tokio::test]
async fn a_write_is_seen_and_heard_by_another_process() {
    let world = World::new().await;
    let other = open(&world.dir, &world.clock).await.expect("a second store");
    let mut rings = other.bell().jobs();
    let run = world.launch("x").await;
    tokio::time::timeout(Duration::from_secs(5), rings.heard()).await.expect("a ring");
    assert_eq!(other.versions(&[run]).await.expect("read"), [(run, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_start_on_an_empty_folder_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Clock::told(START_MS);
    let opened = join_all((0..8).map(|_| open(&dir, &clock))).await;
    for store in &opened {
        assert!(store.is_ok(), "{store:?}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("piton.db");
    std::fs::write(
        &path,
        "Dear diary, today was a long day, and nothing in it was a database at all. Nothing.",
    )
    .expect("a file");
    let error = open(&dir, &Clock::system()).await.expect_err("no database");
    assert!(error.to_string().contains("is not an SQLite database"), "{error}");
    for url in ["postgres://u:secret@h/db", "sqlite://", "sqlite::memory:", "nonsense"] {
        let error = SqliteStore::open(url, SqliteOptions::default(), Clock::system()).await.expect_err(url);
        assert!(matches!(error, Error::Unusable(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_next_one_is_not() {
    let world = World::new().await;
    let mut raw = raw(&world).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT version + 1, 'later', 1, x'00', 0 FROM _sqlx_migrations ORDER BY version DESC LIMIT 1";
    sqlx::raw_sql(newer).execute(&mut raw).await.expect("one migration more");
    open(&world.dir, &world.clock).await.expect("the next schema is fine");
    sqlx::raw_sql(newer).execute(&mut raw).await.expect("two migrations more");
    let error = open(&world.dir, &world.clock).await.expect_err("too new");
    assert!(error.to_string().contains("use a newer Piton"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    world.launch("x").await;
    for name in ["piton.db", "piton.db-wal", "piton.db-live/migrate"] {
        let mode = std::fs::metadata(world.dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

async fn raw(world: &World) -> sqlx::SqliteConnection {
    use sqlx::Connection;
    sqlx::SqliteConnection::connect(&world.url()).await.expect("a connection")
}
