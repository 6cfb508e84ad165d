//! All runs go from one engine to the other and back, while they are being used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use piton_core::{CallId, CallKind, Command, Event, RunId, ToolCall, TurnRequest, Usage, settle};
use piton_store::{
    Claim, Clock, Commit, Error, FullOutput, IdempotencyKey, Lost, Move, Moved, Place, Progress, StepEnd,
    Store, digests_at,
};

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::world::{Engine, World, commit, failure, launch, lost};

fn place(url: &str) -> Place {
    Place { url: url.to_owned(), password: None, lock_dir: std::env::temp_dir() }
}

async fn go(from: &str, to: &str) -> Result<Moved, Error> {
    Move::open(&place(from), &place(to)).await?.run(|_| ()).await
}

async fn digests(url: &str) -> Vec<(String, String)> {
    digests_at(&place(url)).await.expect("digests")
}

/// A commit of the model's question, and of what follows from it.
fn asks(claim: &Claim, worker: &piton_core::WorkerId) -> Commit {
    let call = ToolCall {
        id: CallId::derive(claim.run, 1, 0),
        call_id: "call_1".to_owned(),
        name: "ask_human".to_owned(),
        arguments: r#"{"question":"how many?"}"#.to_owned(),
        kind: CallKind::AskHuman,
    };
    let replied = Event::ModelReplied {
        turn: 1,
        text: Some("a\0é🧗".to_owned()),
        calls: vec![call],
        notes: Vec::new(),
        usage: Usage::default(),
        model: "m".to_owned(),
        request: TurnRequest::default(),
        attempt: 1,
    };
    let mut commit = commit(claim, worker, 1, &[replied], StepEnd::Done);
    let (after, decisions) = settle(commit.after, claim.epoch).expect("decisions that can happen");
    commit.after = after;
    commit.events.extend(decisions);
    commit
}

pub(crate) struct Runs {
    pub(crate) asking: RunId,
    pub(crate) owned: RunId,
    pub(crate) due: RunId,
}

/// A run in each state, and all that is kept beside runs.
pub(crate) async fn fill(world: &World) -> Runs {
    let worker = world.worker("w").await;
    let asking = world.launch("asking").await;
    let claim = world.claim_one(&worker).await;
    world.store.commit(asks(&claim, &worker)).await.expect("committed");
    let (long, dead) = (world.launch("long").await, world.worker("dead").await);
    let claim = world.claim_one(&dead).await;
    let mut first = commit(&claim, &dead, 1, &[failure()], StepEnd::GoesOn);
    let text = "a\0é🧗\"\\\n".repeat(300_000);
    first.outputs.push(FullOutput { call: CallId::derive(long, 1, 0), text: text.into() });
    world.store.commit(first).await.expect("committed");
    world.store.recover(&lost(&dead, Lost::LeaseLapsed, &[long])).await.expect("recovered");
    let cancelled = world.launch("cancelled").await;
    world.store.command(cancelled, Command::Cancel).await.expect("cancelled");
    let mut keyed = launch("keyed");
    keyed.labels.insert("team \"a\"".to_owned(), "é\u{1}".to_owned());
    keyed.idempotency = Some(IdempotencyKey { key: "k".to_owned(), body_sha256: "0".to_owned() });
    keyed.priority = -3;
    world.store.launch(keyed).await.expect("launched");
    let owned = world.claim_one(&worker).await.run;
    let due = world.launch("due").await;
    Runs { asking, owned, due }
}

async fn is_taken_up_again(store: Arc<dyn Store>, world: &World, runs: &Runs) {
    let here = World { clock: world.clock.clone(), store, engine: Arc::clone(&world.engine) };
    here.check().await;
    // A move goes by the system's clock.
    here.clock.advance(Clock::system().now_ms() - here.clock.now_ms() + 1000);
    let worker = here.worker("w2").await;
    let claims = here.claim(&worker).await;
    for run in [runs.owned, runs.due] {
        assert!(claims.iter().any(|claim| claim.run == run), "{run} goes on: {claims:?}");
    }
    let before = here.row(runs.asking).await;
    let answer = Command::Answer { question: before.open_question(), answer: "three".to_owned() };
    let answered = here.store.command(runs.asking, answer).await.expect("answered");
    assert_eq!(answered.run.version, before.run.version + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_there_is_of_every_run_comes_over_and_back() {
    let (sqlite, postgres, back) =
        (Arc::new(Sqlite::in_a_folder()), Postgres::fresh().await, Sqlite::in_a_folder());
    let world = World::on(Arc::clone(&sqlite) as _).await;
    let runs = fill(&world).await;
    let before = digests(&sqlite.url()).await;
    assert_eq!(before.len(), 5);
    let moved = go(&sqlite.url(), &postgres.url()).await.expect("moved");
    assert_eq!(moved.runs, 5);
    assert_eq!(digests(&postgres.url()).await, before);
    let moved = go(&postgres.url(), &back.url()).await.expect("moved back");
    assert_eq!((moved.runs, digests(&back.url()).await), (5, before));
    is_taken_up_again(back.open(&world.clock).await, &world, &runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_read_and_not_written_once_its_runs_are_gone() {
    let (sqlite, postgres) = (Arc::new(Sqlite::in_a_folder()), Postgres::fresh().await);
    let world = World::on(Arc::clone(&sqlite) as _).await;
    let runs = fill(&world).await;
    go(&sqlite.url(), &postgres.url()).await.expect("moved");
    let refused = world.store.launch(launch("late")).await.expect_err("refused");
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("being moved")), "{refused}");
    world.store.command(runs.due, Command::Pause).await.expect_err("refused");
    assert!(world.store.is_leaving().await.expect("read"));
    assert!(world.store.readiness().await.trouble.is_some());
    assert_eq!(world.row(runs.due).await.id, runs.due, "reading goes on");
    let closed = sqlite.store(&world.clock).await.expect_err("closed");
    assert!(
        matches!(&closed, Error::Unusable(why) if why.contains("were moved to postgres://") && why.contains("--undo")),
        "{closed}"
    );
    // Once more is once too often, and does nothing.
    assert_eq!(go(&sqlite.url(), &postgres.url()).await.expect("moved already").runs, 5);
    is_taken_up_again(postgres.open(&world.clock).await, &world, &runs).await;
    Move::undo(&place(&sqlite.url())).await.expect("undone");
    world.store.launch(launch("late")).await.expect("launched");
    sqlite.store(&world.clock).await.expect("open again");
}

/// Runs are launched, advanced and commanded all the while; the move is dropped time and again, as by a kill.
async fn changes_meanwhile(from: Arc<dyn Engine>, from_url: String, to_url: String) -> Vec<(String, String)> {
    let world = Arc::new(World::on(Arc::clone(&from)).await);
    for n in 0..150 {
        world.launch(&n.to_string()).await;
    }
    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (over, count, busy) = (Arc::clone(&is_over), Arc::clone(&written), Arc::clone(&world));
    let writing = tokio::spawn(async move {
        let worker = busy.worker("w").await;
        for n in 0.. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let launched = busy.store.launch(launch(&format!("late {n}"))).await;
            if let Ok(launched) = launched
                && n % 3 == 0
            {
                let _refused = busy.store.command(launched.run.id, Command::Pause).await;
            }
            if !busy.store.is_leaving().await.expect("read") {
                let claims =
                    busy.store.claim(&worker, piton_store::Lane::Common, 2).await.unwrap_or_default();
                for claim in claims {
                    let step = commit(&claim, &worker, 1, &[failure()], StepEnd::GiveBack);
                    if busy.store.commit(step).await.is_ok() {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            let held = busy.store.hand_back_all_but(&worker, &[]).await;
            tokio::time::sleep(std::time::Duration::from_millis(if held.is_ok() { 2 } else { 20 })).await;
        }
    });
    for cut_at in [1, 2, 3, 2, 1] {
        let mut moving = Move::open(&place(&from_url), &place(&to_url)).await.expect("it can begin");
        let (cut, mut told) = (tokio::sync::Notify::new(), 0);
        let run = moving.run(|_| {
            told += 1;
            if told == cut_at {
                cut.notify_one();
            }
        });
        tokio::select! {
            biased;
            () = cut.notified() => {}
            moved = run => panic!("it was to be cut off: {moved:?}"),
        }
    }
    let mut stages = Vec::new();
    let mut moving = Move::open(&place(&from_url), &place(&to_url)).await.expect("it goes on");
    let moved = moving.run(|progress| stages.push(progress)).await.expect("moved");
    is_over.store(true, Ordering::SeqCst);
    writing.await.expect("no panic");
    assert!(moved.closed < std::time::Duration::from_secs(5) && moved.held == 0, "{moved:?}");
    assert!(stages.ends_with(&[Progress::Done]), "{stages:?}");
    assert!(written.load(Ordering::SeqCst) > 0, "somebody wrote meanwhile");
    let (before, after) = (digests(&from_url).await, digests(&to_url).await);
    assert!(after.len() > 150 && before == after, "{} and {} runs", before.len(), after.len());
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_meanwhile_is_copied_again_from_sqlite() {
    let (sqlite, postgres) = (Sqlite::in_a_folder(), Postgres::fresh().await);
    let (from, to) = (sqlite.url(), postgres.url());
    changes_meanwhile(Arc::new(sqlite), from, to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_meanwhile_is_copied_again_from_postgresql() {
    let (sqlite, postgres) = (Sqlite::in_a_folder(), Postgres::fresh().await);
    let (from, to) = (postgres.url(), sqlite.url());
    changes_meanwhile(Arc::new(postgres), from, to).await;
}

#[tokio::test]
async fn a_move_that_cannot_be_is_refused_with_what_to_do() {
    let (sqlite, other) = (Sqlite::in_a_folder(), Sqlite::in_a_folder());
    let refused = async |from: &str, to: &str| match Move::open(&place(from), &place(to)).await {
        Ok(_) => panic!("{from} to {to}"),
        Err(error) => error.to_string(),
    };
    let why = refused(&sqlite.url(), &other.url()).await;
    assert!(why.contains("there is no database at sqlite://"), "{why}");
    let (from, to) = (sqlite.url(), other.url());
    let world = World::on(Arc::new(sqlite)).await;
    world.launch("x").await;
    let why = refused(&from, &from).await;
    assert!(why.contains("both ends"), "{why}");
    let there = World::on(Arc::new(other)).await;
    there.launch("y").await;
    let why = refused(&from, &to).await;
    assert!(why.contains("holds runs already: name an empty database"), "{why}");
    let why = refused(&from, "postgres://nobody@127.0.0.1:1/none").await;
    assert!(why.contains("cannot be reached"), "{why}");
    // Begun to one place, it is not begun to another.
    let half = Sqlite::in_a_folder();
    let mut moving = Move::open(&place(&from), &place(&half.url())).await.expect("it can begin");
    let cut = tokio::sync::Notify::new();
    tokio::select! {
        biased;
        () = cut.notified() => {}
        _ = moving.run(|_| cut.notify_one()) => panic!("it was to be cut off"),
    }
    let why = refused(&from, &Sqlite::in_a_folder().url()).await;
    assert!(why.contains("are on their way to") && why.contains("--undo"), "{why}");
    let why = half.store(&world.clock).await.expect_err("half").to_string();
    assert!(why.contains("not all of them have come") && why.contains("piton migrate --from"), "{why}");
    let why = Move::undo(&place(&to)).await.expect_err("nothing to undo").to_string();
    assert!(why.contains("nothing to undo"), "{why}");
    // A newer Piton's database.
    let conn = rusqlite::Connection::open(PathBuf::from(to.trim_start_matches("sqlite://")));
    let conn = conn.expect("a connection");
    let ours: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a schema");
    conn.execute_batch(&format!("DELETE FROM runs; PRAGMA user_version = {}", ours + 1)).expect("newer");
    Move::undo(&place(&from)).await.expect("undone");
    let why = refused(&from, &to).await;
    let said = format!("has schema {}, and this version of Piton moves schema {ours}", ours + 1);
    assert!(why.contains(&said), "{why}");
}
