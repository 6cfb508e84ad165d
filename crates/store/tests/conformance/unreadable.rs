//! A row that cannot be read takes none of the others with it: lists show them all, and that it is there.

use std::sync::Arc;

use piton_core::{RunId, Status};
use piton_store::{Inbox, RunFilter, RunPage, UnreadableRun};

use crate::moving::{Runs, fill};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::world::{Engine, START_MS, World};

/// What may be wrong with a row, and whether it is only newer.
const DAMAGES: [(&str, bool); 4] = [
    ("fold = 'junk'", false),
    ("fold = '{}'", false),
    ("labels = '{\"a\":'", false),
    ("reducer = 99, fold = '{\"new\":1}'", true),
];

fn ids(page: &RunPage) -> Vec<RunId> {
    page.runs.iter().map(|row| row.id).collect()
}

/// `damage` carries out SQL behind the store's back.
async fn lists_show_all_others(engine: Arc<dyn Engine>, damage: impl AsyncFn(String)) {
    let world = World::on(engine).await;
    let Runs { asking, .. } = fill(&world).await;
    let list = async |filter: RunFilter| world.store.runs(&filter).await.expect("a page");
    let all = RunFilter { limit: 10, ..RunFilter::default() };
    let before = ids(&list(all.clone()).await);
    let others: Vec<RunId> = before.iter().copied().filter(|run| *run != asking).collect();
    damage(format!("CREATE TABLE kept AS SELECT fold, labels, reducer FROM runs WHERE id = '{asking}'"))
        .await;
    for (what, is_newer) in DAMAGES {
        damage(format!("UPDATE runs SET {what} WHERE id = '{asking}'")).await;
        let status = Some(Status::WaitingHumanInput);
        let unreadable = vec![UnreadableRun { run: asking, status, created_at_ms: START_MS, is_newer }];
        let page = list(all.clone()).await;
        assert_eq!((ids(&page), page.next), (others.clone(), None), "{what}");
        assert_eq!(page.unreadable, unreadable, "{what}");
        let waiting = RunFilter { statuses: vec![Status::WaitingHumanInput], ..all.clone() };
        let page = list(waiting).await;
        assert_eq!((page.runs.len(), page.unreadable), (0, unreadable.clone()), "{what}");
        let Inbox { items, unreadable: in_inbox } = world.store.inbox(10).await.expect("an inbox");
        assert_eq!((items.len(), in_inbox), (0, unreadable), "{what}");
        // Of pages of one, it has one to itself.
        let (mut seen, mut unseen, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let page = list(RunFilter { limit: 1, before: cursor, ..RunFilter::default() }).await;
            assert_eq!(page.runs.len() + page.unreadable.len(), 1, "{what}");
            seen.extend(ids(&page));
            unseen.extend(page.unreadable);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((&seen, unseen.len()), (&others, 1), "{what}");
        let labelled =
            RunFilter { labels: [("team \"a\"".to_owned(), "é\u{1}".to_owned())].into(), ..all.clone() };
        assert_eq!(list(labelled).await.runs.len(), 1, "{what}");
        let checks = world.store.check().await.expect("examined");
        let mut said = checks.iter().filter_map(|check| check.trouble.as_ref());
        let is_named = said.any(|trouble| trouble.contains(&asking.to_string()));
        assert_eq!(is_named, !is_newer, "{what}: the doctor names it where something is wrong");
        let all = "fold = kept.fold, labels = kept.labels, reducer = kept.reducer";
        damage(format!("UPDATE runs SET {all} FROM kept WHERE id = '{asking}'")).await;
    }
}

#[tokio::test]
async fn lists_show_all_others_in_sqlite() {
    let sqlite = Arc::new(Sqlite::in_a_folder());
    let file = Arc::clone(&sqlite);
    lists_show_all_others(sqlite, async |sql| file.raw().execute_batch(&sql).expect(&sql)).await;
}

#[tokio::test]
async fn lists_show_all_others_in_postgresql() {
    let postgres = Arc::new(Postgres::fresh().await);
    let server = Arc::clone(&postgres);
    lists_show_all_others(postgres, async |sql| server.raw(&sql).await).await;
}
