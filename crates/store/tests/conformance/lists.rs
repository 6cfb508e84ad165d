//! What is read of many runs at once.

use std::collections::BTreeMap;

use piton_core::{Command, Status, WorkerId};
use piton_store::{Launch, RunFilter, Tally};

use crate::world::{World, launch};

promises![lists_are_paged_newest_first_and_filtered, what_became_of_late_launches_is_counted];

async fn lists_are_paged_newest_first_and_filtered(world: World) {
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
    let worker = world.worker("w").await;
    world.claim_one(&worker).await;
    let held_by =
        async |owner: WorkerId| count(RunFilter { owner: Some(owner), ..RunFilter::default() }).await;
    assert_eq!((held_by(worker).await, held_by(WorkerId::new("other")).await), (1, 0));
}

async fn what_became_of_late_launches_is_counted(world: World) {
    let since_ms = i64::try_from(uuid::Uuid::now_v7().get_timestamp().expect("a time").to_unix().0)
        .expect("a time")
        * 1000;
    let runs = [world.launch("a").await, world.launch("b").await, world.launch("c").await];
    world.store.command(runs[0], Command::Cancel).await.expect("cancelled");
    let tally = async |since_ms, limit| {
        let mut tallies = world.store.tally(since_ms, limit).await.expect("counted");
        tallies.sort_by_key(|tally| tally.status.as_str());
        tallies
    };
    let cancelled = Tally {
        status: Status::Cancelled,
        finished_at_ms: Some(crate::world::START_MS / 60_000 * 60_000),
        runs: 1,
    };
    let running = Tally { status: Status::Running, finished_at_ms: None, runs: 2 };
    assert_eq!(tally(since_ms - 1_000, 100).await, [cancelled, running]);
    assert_eq!(tally(since_ms - 1_000, 2).await, [running], "the latest two");
    assert_eq!(tally(since_ms + 3_600_000, 100).await, [], "ids go by the time of launch");
}
