//! What only the distributed store promises.

use std::sync::Arc;

use piton_core::Command;
use piton_store::{Clock, Error, IdempotencyKey, Lane, Launch, StepEnd, Store};

use crate::postgres::Postgres;
use crate::world::{Engine, World, commit, failure, launch};

const WAITING_MAX: u64 = 3;

fn keyed(key: &str) -> Launch {
    let key = IdempotencyKey { key: key.to_owned(), body_sha256: "b".to_owned() };
    Launch { idempotency: Some(key), ..launch("x") }
}

#[tokio::test]
async fn a_launch_beyond_the_bound_is_refused_unless_it_was_made_before() {
    let server = Postgres::fresh().await;
    let store = server.store(WAITING_MAX, &Clock::system()).await;
    let first = store.launch(keyed("first")).await.expect("there is room").run.id;
    for _ in 1..WAITING_MAX {
        store.launch(launch("x")).await.expect("there is room");
    }
    for refused in [launch("x"), keyed("second")] {
        let run = refused.run;
        let error = store.launch(refused).await.expect_err("there is no room");
        assert!(matches!(error, Error::QueueFull { waiting: WAITING_MAX, max: WAITING_MAX }), "{error}");
        assert_eq!(store.run(run).await.expect("read"), None);
    }
    let again = store.launch(keyed("first")).await.expect("it is there");
    assert_eq!((again.run.id, again.replayed), (first, true));
    let elsewhere = server.store(WAITING_MAX, &Clock::system()).await;
    assert!(
        matches!(elsewhere.launch(launch("x")).await, Err(Error::QueueFull { .. })),
        "nor in another process"
    );
}

/// Of the tables that grow with runs: how often each was read from one end to the other. Counted once the processes that did
/// are gone.
async fn walked(engine: &Postgres) -> String {
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    while engine.server.sql(ours) != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    engine.server.sql(
        "SELECT string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname) FROM pg_stat_user_tables WHERE relname IN \
         ('runs', 'jobs', 'events', 'outputs', 'lost_attempts', 'idempotency_keys')",
    )
}

/// A plan is made once for each connection, and a new database says of no table how much is in it.
#[tokio::test]
async fn no_step_walks_a_table_that_was_empty_when_its_process_came() {
    let engine = Arc::new(Postgres::fresh().await);
    drop(World::on(Arc::clone(&engine) as _).await);
    let before = walked(&engine).await;
    let world = World::on(Arc::clone(&engine) as _).await;
    let store = &world.store;
    let worker = world.worker("w").await;
    for n in 0..10 {
        store.launch(keyed(&n.to_string())).await.expect("launched");
    }
    let asked = world.launch("x").await;
    store.command(asked, Command::Cancel).await.expect("cancelled");
    for turn in 0..20 {
        assert_eq!(store.due(Lane::Common, 1).await.expect("looked"), 1);
        let claims = store.claim(&worker, Lane::Common, 4).await.expect("claimed");
        let runs: Vec<_> = claims.iter().map(|claim| claim.run).collect();
        store.standings(&runs).await.expect("read");
        store.events(runs[0], 0, 10).await.expect("read");
        let (first, rest) = claims.split_first().expect("some are due");
        store.hand_back(first.run, &worker, first.epoch, 0).await.expect("handed back");
        let end = if turn % 2 == 0 { StepEnd::Done } else { StepEnd::GiveBack };
        let commits = rest.iter().map(|claim| store.commit(commit(claim, &worker, 1, &[failure()], end)));
        for outcome in futures::future::join_all(commits).await {
            outcome.expect("committed");
        }
        store.hand_back_all_but(&worker, &[]).await.expect("handed back");
    }
    drop(world);
    assert_eq!(walked(&engine).await, before);
}
