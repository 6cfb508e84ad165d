//! Runs and slots shared: between workers, and between the runs of one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use piton_core::Status;
use piton_testkit::Say;
use serde_json::json;

use crate::world::{World, sum};

#[tokio::test]
async fn two_workers_share_many_runs_and_each_payment_is_made_once() {
    let world = World::new().await;
    world.model.script("many", [Say::call("pay", json!({})), sum(1, 2), Say::answer("3")]);
    let mut runs = Vec::new();
    for _ in 0..40 {
        runs.push(world.launch("[many]").await);
    }
    let (one, two) = (world.worker(), world.worker());
    for run in &runs {
        world.until(*run, Status::Complete).await;
    }
    assert_eq!(world.payments.load(Ordering::SeqCst), 40);
    one.stop().await;
    two.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_short_step_is_followed_by_the_next_and_a_long_one_gives_way() {
    for (latency, is_kept) in [(Duration::ZERO, true), (Duration::from_millis(150), false)] {
        let mut world = World::new().await;
        world.concurrency = 1;
        world.model.set_latency(latency);
        world.model.script("sums", [sum(1, 2), sum(3, 4), Say::answer("7")]);
        let mut runs = Vec::new();
        for _ in 0..4 {
            runs.push(world.launch("[sums]").await);
        }
        let worker = world.worker();
        let mut claims = Vec::new();
        for run in runs {
            claims.push(world.until(run, Status::Complete).await.epoch.0);
        }
        // On a busy machine some short ones take longer than a slice, too.
        if is_kept {
            assert!(claims.contains(&1), "{claims:?}");
        } else {
            assert_eq!(claims[..3], [3, 3, 3], "one claim for each model call, while others wait");
        }
        worker.stop().await;
        world.check().await;
    }
}
