//! What is read of many runs at once.

use std::collections::BTreeMap;

use piton_core::Status;
use piton_store::{Launch, RunFilter};

use crate::world::{World, launch};

promises![lists_are_paged_newest_first_and_filtered];

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
}
