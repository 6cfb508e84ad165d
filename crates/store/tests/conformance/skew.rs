//! Versions side by side: runs that a worker cannot advance are left to those that can, and it shows that they wait.

use std::sync::Arc;

use piton_core::{Agent, REDUCER, RunId, ToolKind, ToolSpec, WorkerId};
use piton_store::{LACKS_MAX, Lack, Lacking, Lane, Launch, Store, WorkerRow};
use serde_json::json;

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::world::{Engine as _, LEASE_MS, World, launch};

promises![
    what_a_worker_lacks_is_left_to_the_others,
    a_line_that_is_left_alone_hides_nothing_behind_it,
    what_nobody_has_is_counted,
    what_is_lacking_is_known_to_the_next_incarnation,
    what_is_remembered_is_bounded,
];

/// A run of a newer version of Piton, whatever engine it is in.
const NEWER: &str =
    "UPDATE runs SET reducer = 99, fold = '{}'; UPDATE jobs SET needs = '99:' || split_part(needs, ':', 2)";

async fn newer_runs_are_left_alone(world: World) {
    let worker = world.worker("w").await;
    assert_eq!(world.store.due(Lane::Common, 10).await.expect("looked"), 0);
    assert_eq!(world.store.due(Lane::Common, 1).await.expect("looked"), 0);
    assert!(world.claim(&worker).await.is_empty());
    let expected = Lacking { agent: "a".to_owned(), what: "a newer version of Piton".to_owned(), runs: 501 };
    assert_eq!(lacking(&*world.store).await, [expected]);
    let (run, _) = launch_of(&world, "a", "weigh").await;
    assert_eq!(world.claim_one(&worker).await.run, run);
    let newer = WorkerRow {
        id: WorkerId::new("newer"),
        reducer: 99,
        ..world.store.workers().await.expect("workers")[0].clone()
    };
    world.store.register(&newer).await.expect("registered");
    assert_eq!(lacking(&*world.store).await, [], "that one has it");
}

#[tokio::test]
async fn newer_runs_are_left_alone_in_sqlite() {
    let engine = Arc::new(Sqlite::in_a_folder());
    let world = World::on(Arc::clone(&engine) as _).await;
    let (run, _) = launch_of(&world, "a", "weigh").await;
    engine.multiply(run, 500).await;
    let sql = NEWER.replace("split_part(needs, ':', 2)", "substr(needs, instr(needs, ':') + 1)");
    engine.raw().execute_batch(&sql).expect("written");
    newer_runs_are_left_alone(world).await;
}

#[tokio::test]
async fn newer_runs_are_left_alone_in_postgres() {
    let engine = Arc::new(Postgres::fresh().await);
    let world = World::on(Arc::clone(&engine) as _).await;
    let (run, _) = launch_of(&world, "a", "weigh").await;
    engine.multiply(run, 500).await;
    engine.raw(NEWER).await;
    newer_runs_are_left_alone(world).await;
}

/// An agent of this name, whose one tool is `tool`.
fn of(agent: &str, tool: &str) -> Launch {
    let launch = launch("x");
    let tool = ToolSpec {
        name: tool.to_owned(),
        description: String::new(),
        parameters: json!({}),
        effect: piton_core::EffectClass::Pure,
        kind: ToolKind::Builtin,
    };
    Launch { agent: Agent { name: agent.to_owned(), tools: vec![tool], ..launch.agent.clone() }, ..launch }
}

async fn launch_of(world: &World, agent: &str, tool: &str) -> (RunId, Lack) {
    let row = world.store.launch(of(agent, tool)).await.expect("launched").run;
    (row.id, Lack { digest: row.run.agent, what: format!("the tool {tool}") })
}

async fn lacking(store: &dyn Store) -> Vec<Lacking> {
    store.queue().await.expect("stats").lacking
}

async fn what_a_worker_lacks_is_left_to_the_others(world: World) {
    let (old, new) = (world.worker("old").await, world.worker("new").await);
    let elsewhere = world.engine.open(&world.clock).await;
    let (run, lack) = launch_of(&world, "a", "weigh").await;
    let claim = world.claim_one(&old).await;
    assert_eq!((claim.run, claim.attempt), (run, 1));
    world.store.lacks(&old, &lack).await.expect("noted");
    world.store.hand_back(run, &old, claim.epoch, claim.due_at_ms).await.expect("handed back");
    for lane in [Lane::Common, Lane::Apart] {
        assert_eq!(world.store.due(lane, 10).await.expect("looked"), 0);
        assert!(world.store.claim(&old, lane, 10).await.expect("claimed").is_empty());
    }
    // Another definition under the same name is no reason to leave the worker idle.
    let (other, _) = launch_of(&world, "a", "measure").await;
    assert_eq!(world.store.due(Lane::Common, 10).await.expect("looked"), 1);
    assert_eq!(world.claim_one(&old).await.run, other);
    assert_eq!(elsewhere.due(Lane::Common, 10).await.expect("looked"), 1);
    let claims = elsewhere.claim(&new, Lane::Common, 10).await.expect("claimed");
    assert_eq!(claims.iter().map(|claim| (claim.run, claim.attempt)).collect::<Vec<_>>(), [(run, 1)]);
    world.check().await;
}

async fn a_line_that_is_left_alone_hides_nothing_behind_it(world: World) {
    let worker = world.worker("w").await;
    let (_, lack) = launch_of(&world, "a", "weigh").await;
    for _ in 0..600 {
        launch_of(&world, "a", "weigh").await;
    }
    world.store.lacks(&worker, &lack).await.expect("noted");
    world.clock.advance(1);
    let (last, _) = launch_of(&world, "a", "measure").await;
    assert_eq!(world.claim_one(&worker).await.run, last);
    assert!(world.claim(&worker).await.is_empty());
}

async fn what_nobody_has_is_counted(world: World) {
    let (one, two) = (world.worker("one").await, world.worker("two").await);
    let elsewhere = world.engine.open(&world.clock).await;
    let (_, lack) = launch_of(&world, "a", "weigh").await;
    launch_of(&world, "a", "weigh").await;
    launch_of(&world, "b", "measure").await;
    world.store.lacks(&one, &lack).await.expect("noted");
    assert_eq!(lacking(&*world.store).await, [], "the other may have it");
    elsewhere.lacks(&two, &lack).await.expect("noted");
    let expected = Lacking { agent: "a".to_owned(), what: "the tool weigh".to_owned(), runs: 2 };
    assert_eq!(lacking(&*world.store).await, [expected]);
    let rows = world.store.workers().await.expect("workers");
    assert!(rows.iter().all(|row| row.lacks == [lack.clone()] && row.reducer == REDUCER), "{rows:?}");
    world.worker("three").await;
    assert_eq!(lacking(&*elsewhere).await.len(), 1, "a worker of this process lacks it too");
    let fresh = world.engine.open(&world.clock).await;
    let row = WorkerRow { id: WorkerId::new("four"), lacks: Vec::new(), ..rows[0].clone() };
    fresh.register(&row).await.expect("registered");
    assert_eq!(lacking(&*world.store).await, [], "that one may have it");
    world.clock.advance(LEASE_MS);
    assert_eq!(lacking(&*world.store).await, [], "what they lack is a worker");
}

async fn what_is_lacking_is_known_to_the_next_incarnation(world: World) {
    let first = world.worker("w").await;
    let (_, lack) = launch_of(&world, "a", "weigh").await;
    world.store.lacks(&first, &lack).await.expect("noted");
    world.store.retire(&first).await.expect("retired");
    let second = world.worker("w.2").await;
    assert!(world.claim(&second).await.is_empty());
    assert_eq!(world.store.workers().await.expect("workers")[0].lacks, [lack]);
}

async fn what_is_remembered_is_bounded(world: World) {
    let worker = world.worker("w").await;
    let (run, first) = launch_of(&world, "a", "weigh").await;
    world.store.lacks(&worker, &first).await.expect("noted");
    for n in 0..LACKS_MAX {
        assert_eq!(world.store.due(Lane::Common, 1).await.expect("looked"), 0);
        let other = Lack { digest: piton_core::AgentDigest::new(n.to_string()), what: String::new() };
        world.store.lacks(&worker, &other).await.expect("noted");
        world.store.lacks(&worker, &other).await.expect("noted");
    }
    assert_eq!(world.store.workers().await.expect("workers")[0].lacks.len(), LACKS_MAX);
    // What was found out first is tried again.
    assert_eq!(world.claim_one(&worker).await.run, run);
}
