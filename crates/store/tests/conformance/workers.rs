//! Workers, their deaths, and the sweep that derives missing wake-ups.

use piton_core::{Command, WorkerId};
use piton_store::{Lost, PeerLock, StepEnd};

use crate::world::{LEASE_MS, World, commit, failure, lost};

promises![
    a_worker_that_was_taken_for_dead_takes_nothing,
    a_clock_that_is_set_parks_no_run_and_forgets_no_worker,
    a_worker_that_renewed_after_it_looked_dead_keeps_its_runs,
    a_free_lock_tells_of_a_death_before_the_lease_does,
    the_sweep_derives_lost_wake_ups_from_runs,
    a_worker_that_drains_takes_nothing_and_finishes_what_it_holds,
];

async fn a_worker_that_was_taken_for_dead_takes_nothing(world: World) {
    world.launch("x").await;
    assert!(world.claim(&WorkerId::new("unknown")).await.is_empty());
    let worker = world.worker("w").await;
    let lost = lost(&worker, Lost::LeaseLapsed, &[]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 0);
    assert!(world.claim(&worker).await.is_empty(), "nobody would look after what it took");
    assert!(!world.store.renew(&worker, i64::MAX).await.expect("answered"));
}

async fn a_clock_that_is_set_parks_no_run_and_forgets_no_worker(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    world.clock.advance(-3_600_000);
    assert!(world.claim(&a).await.is_empty(), "its job lies in the future now");
    assert_eq!(world.store.clock_set_back().await.expect("mended"), 1);
    assert_eq!(world.store.clock_set_back().await.expect("mended"), 0);
    assert_eq!(world.claim_one(&a).await.run, run);
    world.clock.advance(7 * 24 * 3_600_000);
    let peers = world.store.peers(&b).await.expect("read");
    assert_eq!(peers.iter().map(|peer| &peer.id).collect::<Vec<_>>(), [&a], "a week later it is still known");
}

async fn a_worker_that_renewed_after_it_looked_dead_keeps_its_runs(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    world.claim_one(&a).await;
    let peers = world.store.peers(&b).await.expect("looked");
    assert_eq!((&peers[0].id, peers[0].lock, peers.len()), (&a, PeerLock::Unknown, 1));
    world.clock.advance(1);
    world.store.renew(&a, world.clock.now_ms() + LEASE_MS).await.expect("renewed");
    assert_eq!(world.store.recover(&lost(&a, Lost::LeaseLapsed, &[])).await.expect("answered"), 0);
    assert_eq!(world.row(run).await.owner, Some(a));
}

async fn a_free_lock_tells_of_a_death_before_the_lease_does(world: World) {
    let run = world.launch("x").await;
    let (a, b) = (world.worker("a").await, world.worker("b").await);
    world.engine.lock(&a);
    world.claim_one(&a).await;
    assert_eq!(world.store.peers(&b).await.expect("looked")[0].lock, PeerLock::Held);
    world.engine.die(&a, &[run]);
    let peer = world.store.peers(&b).await.expect("looked").remove(0);
    assert_eq!((peer.lock, peer.busy_with), (PeerLock::Free, vec![run]));
    assert_eq!(world.store.recover(&lost(&a, Lost::LockFree, &[])).await.expect("recovered"), 1);
    assert!(!world.store.renew(&a, i64::MAX).await.expect("answered"), "it owns nothing any more");
    assert_eq!(world.claim_one(&b).await.attempt, 2);
}

async fn a_worker_that_drains_takes_nothing_and_finishes_what_it_holds(world: World) {
    let held = world.launch("held").await;
    let (worker, other) = (world.worker("w").await, world.worker("other").await);
    let claim = world.claim_one(&worker).await;
    let next = world.launch("next").await;
    world.clock.advance(1);
    assert!(!world.store.is_draining(&worker).await.expect("read"));
    assert!(world.store.drain(&worker).await.expect("asked"));
    assert!(!world.store.drain(&WorkerId::new("unknown")).await.expect("asked"));
    assert!(world.store.is_draining(&worker).await.expect("read"));
    assert!(world.claim(&worker).await.is_empty());
    assert!(world.store.renew(&worker, world.clock.now_ms() + LEASE_MS).await.expect("renewed"));
    let shown = world.store.workers().await.expect("read");
    let shown: Vec<_> = shown.iter().map(|row| (row.id.as_str(), row.draining, row.runs)).collect();
    assert_eq!(shown, [("other", false, 0), ("w", true, 1)]);
    world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await.expect("committed");
    let taken: Vec<_> = world.claim(&other).await.iter().map(|claim| claim.run).collect();
    assert_eq!(taken, [next, held]);
    world.check().await;
}

async fn the_sweep_derives_lost_wake_ups_from_runs(world: World) {
    let run = world.launch("x").await;
    let waiting = world.launch("paused").await;
    world.store.command(waiting, Command::Pause).await.expect("paused");
    world.engine.lose_jobs().await;
    let checks = world.store.check().await.expect("checked");
    assert_eq!(checks.iter().filter(|check| check.trouble.is_some()).count(), 1);
    assert_eq!(world.store.sweep().await.expect("swept"), 1);
    assert_eq!(world.store.sweep().await.expect("swept"), 0);
    let worker = world.worker("w").await;
    assert_eq!(world.claim_one(&worker).await.run, run);
    // An owner that nobody knows.
    world.engine.lose_workers().await;
    assert_eq!(world.store.sweep().await.expect("swept"), 1);
    world.check().await;
}
