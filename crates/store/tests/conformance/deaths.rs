//! What a worker's death says about the runs it held.

use piton_core::{Command, RunId, Status};
use piton_store::{CommitOutcome, Death, Lane, Lost, StepEnd, Verdict};

use crate::world::{World, commit, failure, lost};

promises![
    a_run_that_takes_its_worker_down_goes_on_apart_and_is_quarantined_at_the_third_death,
    a_whole_step_apart_clears_a_suspect,
    kills_from_outside_and_ambiguous_deaths_blame_nobody,
];

/// A worker takes what is due in `lane`, and its process dies while it polls `busy_with`.
async fn dies(world: &World, name: &str, lane: Lane, busy_with: &[RunId], own_doing: bool) -> Vec<Verdict> {
    let worker = world.worker(name).await;
    world.engine.lock(&worker);
    world.store.claim(&worker, lane, 100).await.expect("claimed");
    world.engine.die(&worker, busy_with);
    let death = Death { worker, how: "signal 6 (SIGABRT)".to_owned(), own_doing };
    let verdicts = world.store.died(&death).await.expect("judged");
    assert_eq!(world.store.died(&death).await.expect("judged"), [], "a death is counted once");
    verdicts
}

async fn a_run_that_takes_its_worker_down_goes_on_apart_and_is_quarantined_at_the_third_death(world: World) {
    let (poison, good) = (world.launch("poison").await, world.launch("good").await);
    let blamed = |deaths| [Verdict::Blamed { run: poison, deaths }];
    assert_eq!(dies(&world, "w-1", Lane::Common, &[poison], true).await, blamed(1));
    let other = world.worker("other").await;
    let others: Vec<RunId> = world.claim(&other).await.iter().map(|claim| claim.run).collect();
    assert_eq!(others, [good], "only the suspect is kept from ordinary workers");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 1);
    assert_eq!(dies(&world, "w-2", Lane::Apart, &[], true).await, blamed(2), "alone, it is the one");
    assert_eq!(dies(&world, "w-3", Lane::Apart, &[poison], true).await, [Verdict::Quarantined(poison)]);
    let row = world.row(poison).await;
    assert_eq!((row.run.status, row.owner), (Status::Quarantined, None));
    let error = row.run.error.expect("a reason");
    assert!(error.contains("3 times in a row: signal 6 (SIGABRT), signal 6 (SIGABRT), signal"), "{error}");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 0);
    let lost = world.store.lost_attempts(poison).await.expect("read");
    assert_eq!(
        lost.iter().map(|lost| (lost.worker.as_str(), lost.attempt)).collect::<Vec<_>>(),
        [("w-1", 1), ("w-2", 2), ("w-3", 3)]
    );
    assert!(world.store.lost_attempts(good).await.expect("read").iter().all(|lost| !lost.blamed));
    world.store.command(poison, Command::Release).await.expect("released");
    assert_eq!(
        world.store.due(Lane::Apart, 10).await.expect("counted"),
        1,
        "released, it is still a suspect"
    );
    world.store.retire(&other).await.expect("retired");
    world.check().await;
}

async fn a_whole_step_apart_clears_a_suspect(world: World) {
    let run = world.launch("x").await;
    dies(&world, "w-1", Lane::Common, &[run], true).await;
    dies(&world, "w-2", Lane::Apart, &[run], true).await;
    let worker = world.worker("w-3").await;
    let claim = world.store.claim(&worker, Lane::Apart, 1).await.expect("claimed").remove(0);
    assert_eq!(claim.attempt, 3);
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(
        matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: false, .. }),
        "it goes back to the others"
    );
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 0);
    assert_eq!(
        dies(&world, "w-4", Lane::Common, &[run], true).await,
        [Verdict::Blamed { run, deaths: 1 }],
        "deaths count in a row"
    );
}

async fn kills_from_outside_and_ambiguous_deaths_blame_nobody(world: World) {
    let (a, b) = (world.launch("a").await, world.launch("b").await);
    assert_eq!(dies(&world, "w-1", Lane::Common, &[a], false).await, [], "killed from outside");
    assert_eq!(world.store.due(Lane::Apart, 10).await.expect("counted"), 1, "it goes apart all the same");
    assert_eq!(dies(&world, "w-2", Lane::Apart, &[a], false).await, []);
    let worker = world.worker("w-3").await;
    let claim = world.store.claim(&worker, Lane::Apart, 1).await.expect("claimed").remove(0);
    world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await.expect("committed");
    let both = [Verdict::Suspected(a.min(b)), Verdict::Suspected(a.max(b))];
    assert_eq!(dies(&world, "w-4", Lane::Common, &[a, b], true).await, both, "either may have done it");
    for run in [a, b] {
        assert!(world.store.lost_attempts(run).await.expect("read").iter().all(|lost| !lost.blamed));
    }
    // The one that dies again where nothing else is was the one the first time, too.
    let alone = world.worker("w-4a").await;
    let claims = world.store.claim(&alone, Lane::Apart, 1).await.expect("claimed");
    world.engine.lock(&alone);
    world.engine.die(&alone, &[]);
    let (guilty, other) = if claims[0].run == a { (a, b) } else { (b, a) };
    let death = Death { worker: alone, how: "signal 6 (SIGABRT)".to_owned(), own_doing: true };
    let blamed = [Verdict::Blamed { run: guilty, deaths: 2 }];
    assert_eq!(world.store.died(&death).await.expect("judged"), blamed);
    let count = async |run| {
        let lost = world.store.lost_attempts(run).await.expect("read");
        lost.iter().filter(|lost| lost.blamed).count()
    };
    assert_eq!((count(guilty).await, count(other).await), (2, 0));
    // A peer that finds the death first leaves as much to judge by.
    let c = world.launch("c").await;
    let worker = world.worker("w-5").await;
    world.claim_one(&worker).await;
    let lost = lost(&worker, Lost::LockFree, &[c]);
    assert_eq!(world.store.recover(&lost).await.expect("recovered"), 1);
    let death = Death { worker, how: "signal 11 (SIGSEGV)".to_owned(), own_doing: true };
    assert_eq!(world.store.died(&death).await.expect("judged"), [Verdict::Blamed { run: c, deaths: 1 }]);
}
