//! Recording a launch, once.

use std::time::Duration;

use piton_core::{Event, Status};
use piton_store::{Error, IdempotencyKey, Launch, QueueStats, Standing};

use crate::world::{World, launch};

promises![
    a_launch_has_its_run_its_event_and_its_job,
    an_idempotency_key_launches_once_a_day_per_tenant,
    a_write_is_seen_and_heard_by_another_process,
];

async fn a_launch_has_its_run_its_event_and_its_job(world: World) {
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

async fn an_idempotency_key_launches_once_a_day_per_tenant(world: World) {
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

async fn a_write_is_seen_and_heard_by_another_process(world: World) {
    let other = world.engine.open(&world.clock).await;
    let mut rings = other.bell().jobs();
    let run = world.launch("x").await;
    tokio::time::timeout(Duration::from_secs(5), rings.heard()).await.expect("a ring");
    let standing = Standing { run, version: 1, status: Status::Running };
    assert_eq!(other.standings(&[run]).await.expect("read"), [standing]);
}
