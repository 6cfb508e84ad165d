//! What only the distributed store promises: of its server, its schema, its users, and what its doctor finds.

use std::sync::Arc;

use piton_core::Command;
use piton_store::{Clock, Error, Lane, StepEnd, Store};
use piton_testkit::deadline;

use crate::moving::{Runs, fill};
use crate::postgres::Postgres;
use crate::world::{Engine, START_MS, World, commit, failure, launch};

const FOLDS: &str = "every run is the fold of its events";
const COMPLETE: &str = "every history is complete";
const OWNED: &str = "every event belongs to a run";
const RESTS: &str = "every run rests, or has a job or a worker";
const OWNERS: &str = "every owner is a registered worker";
const JOBS: &str = "every job is of a run that can advance";
const BESIDE: &str = "what is kept beside runs is of runs that are there";
const AGENTS: &str = "every run's agent definition is kept as it was";
const SCHEMA: &str = "the schema is this version's";
const DURABLE: &str = "commits are as durable as configured";

async fn troubles(store: &dyn Store) -> Vec<(&'static str, String)> {
    let checks = store.check().await.expect("examined").into_iter();
    checks.filter_map(|check| Some((check.name, check.trouble?))).collect()
}

/// Damages a database, looks for the line that says so, and finds it mended after a repair, or else as it was.
async fn after(damage: &str, name: &str, trouble: &str, is_mended: bool) {
    let engine = Arc::new(Postgres::fresh().await);
    let world = World::on(Arc::clone(&engine) as _).await;
    let Runs { asking, owned, due } = fill(&world).await;
    assert_eq!(troubles(world.store.as_ref()).await, [], "before any damage");
    let named = [("<asking>", asking), ("<owned>", owned), ("<due>", due)];
    let sql = named.iter().fold(damage.to_owned(), |sql, (name, id)| sql.replace(name, &id.to_string()));
    engine.raw(&sql).await;
    let store = engine.store_at(&engine.url(), &world.clock).await.expect("a store");
    let before = troubles(&store).await;
    assert_eq!(before.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [name], "{damage}: {before:?}");
    assert!(before[0].1.contains(trouble), "{damage}: {before:?}");
    let repairs = store.repair().await.expect("repaired");
    assert_eq!(!repairs.is_empty(), is_mended, "{damage}: {repairs:?}");
    assert!(repairs.iter().all(|repair| repair.done), "{damage}: {repairs:?}");
    let still = if is_mended { vec![] } else { before };
    assert_eq!(troubles(&store).await, still, "{damage}: {repairs:?}");
    assert_eq!(store.repair().await.expect("repaired"), [], "{damage}: nothing is mended twice");
}

#[tokio::test]
async fn what_can_be_made_good_is_said_and_mended() {
    for (damage, name, trouble) in [
        ("DELETE FROM jobs", RESTS, "start a worker"),
        ("DELETE FROM workers", OWNERS, "start a worker"),
        ("UPDATE runs SET version = 9 WHERE id = '<due>'", FOLDS, "listed at version 9 and has 1 events"),
        ("UPDATE runs SET fold = 'junk' WHERE id = '<asking>'", FOLDS, "expected value"),
        ("INSERT INTO jobs VALUES ('<asking>', 'step', 'default', 0, 0, 0)", JOBS, "harmless"),
    ] {
        after(damage, name, trouble, true).await;
    }
}

#[tokio::test]
async fn what_is_lost_is_said_and_not_made_up() {
    let nobody = "ffffffff-8a3b-7cc0-9d1e-5f0a1b2c3d4e";
    let stray = format!(
        "INSERT INTO events SELECT '{nobody}', seq, at, type, v, body, epoch FROM events WHERE run = '<asking>'"
    );
    for (damage, name, trouble) in [
        ("DELETE FROM events WHERE run = '<asking>' AND seq = 2", COMPLETE, "event 2 is missing"),
        ("DELETE FROM events WHERE run = '<due>'", COMPLETE, "it has no events"),
        (stray.as_str(), OWNED, nobody),
        ("UPDATE agents SET definition = '{}'", AGENTS, "is another text by now"),
        (&format!("INSERT INTO outputs VALUES ('{nobody}', 'c', 0, 'x')"), BESIDE, nobody),
        ("DROP INDEX runs_runnable", SCHEMA, "index runs_runnable is missing"),
        ("ALTER TABLE runs ALTER deaths TYPE integer", SCHEMA, "column runs.deaths is another"),
        ("ALTER ROLE postgres SET synchronous_commit = off", DURABLE, "what the server forgot"),
    ] {
        after(damage, name, trouble, false).await;
    }
}

/// A user that owns nothing needs no more than this.
#[tokio::test]
async fn a_user_with_the_least_privileges_can_do_all_that_processes_do() {
    let engine = Postgres::fresh().await;
    let clock = Clock::told(START_MS);
    let url = engine.url().replace("postgres@", "runner@");
    engine.raw("CREATE ROLE runner LOGIN; GRANT USAGE ON SCHEMA public TO runner").await;
    let early = engine.store_at(&url, &clock).await.expect_err("there are no tables");
    assert!(matches!(&early, Error::Unavailable(why) if why.contains("permission denied")), "{early}");
    drop(engine.store_at(&engine.url(), &clock).await.expect("its owner makes the tables"));
    engine.raw("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO runner").await;
    let store: Arc<dyn Store> = Arc::new(engine.store_at(&url, &clock).await.expect("a store"));
    let world = World { clock, store, engine: Arc::new(engine) };
    let worker = world.worker("w").await;
    let (run, other) = (world.launch("x").await, world.launch("y").await);
    let claims = world.store.claim(&worker, Lane::Common, 1).await.expect("claimed");
    let step = commit(&claims[0], &worker, 1, &[failure()], StepEnd::GiveBack);
    world.store.commit(step).await.expect("committed");
    world.store.command(other, Command::Cancel).await.expect("cancelled");
    world.store.sweep().await.expect("swept");
    world.store.retire(&worker).await.expect("retired");
    assert_eq!(world.store.readiness().await.trouble, None);
    assert_eq!(world.row(run).await.run.version, 2);
    world.check().await;
}

#[tokio::test]
async fn a_server_is_spoken_to_over_tls_as_far_as_is_asked() {
    let engine = Postgres::with_tls();
    let (clock, ca) = (Clock::system(), engine.server.authority().display().to_string());
    let encrypted = async |host: &str, parameters: &str| {
        // Connections of the case before may still be there.
        let name = uuid::Uuid::now_v7().to_string();
        let parameters = format!("application_name={name}&{parameters}");
        let store = engine.store_at(&engine.server.tls_url(host, &parameters), &clock).await?;
        store.launch(launch("x")).await?;
        let (client, connection) = tokio_postgres::connect(
            &engine.server.tls_url("localhost", "sslmode=disable"),
            tokio_postgres::NoTls,
        )
        .await
        .expect("a connection");
        let connection = tokio::spawn(connection);
        let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
        let all: bool = client.query_one(sql, &[&name]).await.expect("read").get(0);
        connection.abort();
        Ok::<bool, Error>(all)
    };
    let full = format!("sslmode=verify-full&sslrootcert={ca}");
    for (host, parameters, is_encrypted) in [
        ("localhost", "sslmode=disable", false),
        ("localhost", "", true),
        ("localhost", "sslmode=require", true),
        ("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}"), true),
        ("127.0.0.1", &format!("sslmode=require&sslrootcert={ca}"), true),
        ("localhost", &full, true),
        ("localhost", &format!("sslrootcert={ca}"), true),
    ] {
        let all = encrypted(host, parameters).await.expect(parameters);
        assert_eq!(all, is_encrypted, "{parameters}");
    }
    for (host, parameters, why) in [
        ("127.0.0.1", full.as_str(), "certificate not valid for name"),
        ("localhost", "sslmode=verify-full", "UnknownIssuer"),
        (
            "localhost",
            "sslmode=verify-ca&sslrootcert=/none",
            "sslrootcert=/none in the store's URL cannot be used",
        ),
        ("localhost", "sslmode=most", "expected disable, prefer, require, verify-ca or verify-full"),
    ] {
        let error = encrypted(host, parameters).await.expect_err(parameters).to_string();
        assert!(error.contains(why), "{parameters}: {error}");
    }
}

/// Each session of ours is its own at a pooler, or it says what to do.
#[tokio::test]
async fn a_pooler_in_between_serves_sessions_and_not_transactions() {
    let engine = Arc::new(Postgres::fresh().await);
    let clock = Clock::told(START_MS);
    let sessions = engine.server.pooler("session");
    let store: Arc<dyn Store> = Arc::new(engine.store_at(&sessions.url(), &clock).await.expect("a store"));
    let world = World { clock: clock.clone(), store, engine: Arc::clone(&engine) as _ };
    let worker = world.worker("w").await;
    // Another process's launch is heard of.
    let elsewhere = engine.store_at(&engine.url(), &clock).await.expect("a store");
    let mut rings = world.store.bell().jobs();
    elsewhere.launch(launch("x")).await.expect("launched");
    tokio::time::timeout(deadline(), rings.heard()).await.expect("the bell rings");
    let claim = world.claim_one(&worker).await;
    world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await.expect("committed");
    world.check().await;

    let transactions = engine.server.pooler("transaction");
    let refused = engine.store_at(&transactions.url(), &clock).await.expect_err("sessions are not its own");
    assert!(matches!(&refused, Error::Unusable(why) if why.contains("pool_mode = session")), "{refused}");
}
