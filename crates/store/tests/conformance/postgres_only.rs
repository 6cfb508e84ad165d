//! What only the distributed store promises.

use piton_store::{Clock, Error, IdempotencyKey, Launch, Store};

use crate::postgres::Postgres;
use crate::world::{Engine, launch};

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
