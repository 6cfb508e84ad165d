//! Runs that were over long ago go: by the command line, and by the workers where they are told for how long runs are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use piton_core::{Agent, Command, Limits, RunId};
use piton_store::{
    Clock, Launch, PostgresOptions, PostgresStore, Scheduling, SqliteOptions, SqliteStore, Store,
};
use piton_testkit::{World, deadline, until};
use serde_json::{Value, json};
use uuid::Uuid;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const DAY_MS: i64 = 24 * 3_600_000;

/// The world's database as it was used so many days ago.
async fn days_ago(world: &World, days: i64) -> (Arc<dyn Store>, i64) {
    let then_ms = Clock::system().now_ms() - days * DAY_MS;
    let (url, clock) = (world.store_url(), Clock::told(then_ms));
    if url.starts_with("sqlite:") {
        let store = SqliteStore::open(url, SqliteOptions::default(), clock).await.expect("a store");
        return (Arc::new(store), then_ms);
    }
    let options = PostgresOptions {
        waiting_max: 100,
        lock_dir: world.path("locks"),
        password: None,
        scheduling: Scheduling::default(),
    };
    (Arc::new(PostgresStore::open(url, options, clock).await.expect("a store")), then_ms)
}

async fn launch((store, then_ms): &(Arc<dyn Store>, i64), number: u16, tenant: &str) -> RunId {
    let id = u128::from(then_ms.unsigned_abs()) << 80 | 7 << 76 | u128::from(number);
    let launch = Launch {
        run: RunId::from_uuid(Uuid::from_u128(id)),
        agent: Agent {
            name: "default".to_owned(),
            description: String::new(),
            instructions: "be exact".to_owned(),
            model: "m".to_owned(),
            max_steps: 10,
            limits: Limits::default(),
            tools: Vec::new(),
        },
        task: "x".to_owned(),
        max_steps: 10,
        tenant: tenant.to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    };
    store.launch(launch).await.expect("launched").run.id
}

async fn pruned(world: &World, arguments: &[&str]) -> Value {
    let output = world.cli(&[&["prune", "--json"], arguments].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn old_runs_go_by_the_command_line_and_by_the_workers() {
    let world = World::new(PITON).env("PITON_RETENTION__FINISHED_DAYS", "30");
    let then = days_ago(&world, 100).await;
    let (of_acme, old, paused) =
        (launch(&then, 1, "acme").await, launch(&then, 2, "b").await, launch(&then, 3, "b").await);
    for run in [of_acme, old] {
        then.0.command(run, Command::Cancel).await.expect("cancelled");
    }
    then.0.command(paused, Command::Pause).await.expect("paused");
    let recent = days_ago(&world, 10).await;
    let young = launch(&recent, 4, "acme").await;
    recent.0.command(young, Command::Cancel).await.expect("cancelled");
    drop((then, recent));

    let of_tenant = ["--older-than", "90d", "--tenant", "acme"];
    let would = pruned(&world, &[&of_tenant[..], &["--dry-run"]].concat()).await;
    assert_eq!(would, json!({ "runs": 1, "rows": 3, "dry_run": true }));
    let none = pruned(&world, &[&of_tenant[..], &["--status", "failed"]].concat()).await;
    assert_eq!(none["runs"], 0, "{none}");
    let went = pruned(&world, &[&of_tenant[..], &["--status", "cancelled"]].concat()).await;
    assert_eq!(went, json!({ "runs": 1, "rows": 3, "dry_run": false }));

    let world = world.serve().await;
    let gone = until(deadline(), "the old run is deleted", async || {
        let reply = world.get(&format!("/v1/runs/{old}")).await;
        (reply.status == 404).then_some(reply)
    });
    let gone = gone.await.expect("workers delete it").expect(404);
    assert!(gone["detail"].as_str().is_some_and(|why| why.contains("may have been deleted")), "{gone}");
    for run in [paused, young] {
        world.get(&format!("/v1/runs/{run}")).await.expect(200);
    }
    world.get(&format!("/v1/runs/{of_acme}")).await.expect(404);
}
