//! Whose turn it is: tenants in fair shares, priorities that age, limits over all workers, workers for some runs only.
#![expect(clippy::print_stderr, reason = "figures for whoever runs the long version")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use piton_core::{Agent, RunId, WorkerId};
use piton_store::{
    Claim, CommitOutcome, Lane, Launch, Lost, Only, PACE_AHEAD_MS, PRIORITY_AGE_MS, Pace, PerName, Places,
    Scheduling, StepEnd, Store,
};

use crate::world::{START_MS, World, commit, failure, launch, lost};

promises![
    tenants_take_turns_however_much_one_of_them_has_waiting,
    shares_are_by_weight,
    a_run_that_waited_long_enough_goes_before_a_higher_priority,
    a_run_is_not_kept_while_another_tenant_waits,
    a_tenants_limit_holds_over_all_workers,
    an_agents_limit_holds_over_all_workers_and_lets_the_others_pass,
    a_place_that_its_holder_died_on_is_free_again,
    a_worker_takes_only_what_it_is_for,
    one_run_waits_for_no_queue_of_another_tenant,
    a_rate_is_held_over_five_processes,
    an_agent_that_is_held_off_is_left_alone_till_then,
];

fn of(tenant: &str, agent: &str) -> Launch {
    let launch = launch("x");
    Launch {
        tenant: tenant.to_owned(),
        agent: Agent { name: agent.to_owned(), ..launch.agent.clone() },
        ..launch
    }
}

async fn launch_of(world: &World, tenant: &str, agent: &str) -> RunId {
    world.store.launch(of(tenant, agent)).await.expect("launched").run.id
}

async fn opened(world: &World, scheduling: Scheduling) -> Arc<dyn Store> {
    world.engine.open_for(&world.clock, scheduling).await
}

fn per_name(named: &[(&str, u32)]) -> PerName {
    let named = named.iter().map(|(name, number)| ((*name).to_owned(), *number));
    PerName { named: named.collect(), others: None }
}

async fn take(store: &dyn Store, worker: &WorkerId, limit: u32) -> Vec<Claim> {
    store.claim(worker, Lane::Common, limit).await.expect("claimed")
}

/// The tenants of runs, each by its letter.
async fn tenants(world: &World, claims: &[Claim]) -> String {
    let mut tenants = String::new();
    for claim in claims {
        tenants += &world.row(claim.run).await.tenant;
    }
    tenants
}

async fn tenants_take_turns_however_much_one_of_them_has_waiting(world: World) {
    let worker = world.worker("w").await;
    for _ in 0..20 {
        launch_of(&world, "a", "x").await;
    }
    let first = take(&*world.store, &worker, 4).await;
    assert_eq!(tenants(&world, &first).await, "aaaa");
    world.clock.advance(5);
    for _ in 0..2 {
        launch_of(&world, "b", "x").await;
    }
    // One at a time, and several at once.
    let mut order = String::new();
    for limit in [1, 1, 3, 1] {
        let claims = take(&*world.store, &worker, limit).await;
        order += &tenants(&world, &claims).await;
    }
    assert_eq!(order, "babaaa");
    world.check().await;
}

async fn shares_are_by_weight(world: World) {
    let worker = world.worker("w").await;
    for tenant in ["a", "b"] {
        for _ in 0..20 {
            launch_of(&world, tenant, "x").await;
        }
    }
    let weighted =
        opened(&world, Scheduling { weights: per_name(&[("b", 3)]), ..Scheduling::default() }).await;
    let claims = take(&*weighted, &worker, 16).await;
    assert_eq!(tenants(&world, &claims).await.matches('b').count(), 12);
}

async fn a_run_that_waited_long_enough_goes_before_a_higher_priority(world: World) {
    let worker = world.worker("w").await;
    let old = world.launch("old").await;
    world.clock.advance(3 * PRIORITY_AGE_MS - 1);
    let urgent = Launch { priority: 3, ..launch("urgent") };
    let urgent = world.store.launch(urgent).await.expect("launched").run.id;
    world.clock.advance(1);
    let late = Launch { priority: 3, ..launch("too late") };
    let late = world.store.launch(late).await.expect("launched").run.id;
    let order: Vec<RunId> = world.claim(&worker).await.iter().map(|claim| claim.run).collect();
    assert_eq!(order[0], urgent);
    assert!(order[1..] == [old, late] || order[1..] == [late, old], "as old as each other: {order:?}");
    let again = [world.launch("again").await];
    world.clock.advance(3 * PRIORITY_AGE_MS + 1);
    world.store.launch(Launch { priority: 3, ..launch("urgent") }).await.expect("launched");
    assert_eq!(world.claim_one(&worker).await.run, again[0]);
}

async fn a_run_is_not_kept_while_another_tenant_waits(world: World) {
    let worker = world.worker("w").await;
    launch_of(&world, "a", "x").await;
    let claim = world.claim_one(&worker).await;
    launch_of(&world, "b", "x").await;
    let outcome = world.store.commit(commit(&claim, &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: false, .. }));
    let order = [world.claim_one(&worker).await, world.claim_one(&worker).await];
    assert_eq!(tenants(&world, &order).await, "ba");
}

async fn a_tenants_limit_holds_over_all_workers(world: World) {
    let limited = Scheduling { tenant_max: per_name(&[("a", 3)]), ..Scheduling::default() };
    let stores = [opened(&world, limited.clone()).await, opened(&world, limited).await];
    let workers = [world.worker("w-1").await, world.worker("w-2").await];
    for _ in 0..10 {
        launch_of(&world, "a", "x").await;
    }
    launch_of(&world, "b", "x").await;
    let (one, two) = tokio::join!(take(&*stores[0], &workers[0], 10), take(&*stores[1], &workers[1], 10));
    let mut both = tenants(&world, &one).await + &tenants(&world, &two).await;
    both.retain(|tenant| tenant == 'a');
    assert_eq!(both, "aaa");
    for (store, worker) in stores.iter().zip(&workers) {
        assert!(take(&**store, worker, 10).await.iter().all(|claim| claim.run != one[0].run));
    }
    // A run that gives its place up makes room for one.
    let (worker, claims) = if one.is_empty() { (&workers[1], &two) } else { (&workers[0], &one) };
    for claim in claims {
        if world.row(claim.run).await.tenant == "a" {
            world
                .store
                .hand_back(claim.run, worker, claim.epoch, claim.due_at_ms)
                .await
                .expect("handed back");
            break;
        }
    }
    assert_eq!(take(&*stores[1], &workers[1], 10).await.len(), 1);
    world.check().await;
}

async fn an_agents_limit_holds_over_all_workers_and_lets_the_others_pass(world: World) {
    let limited = Scheduling { agent_max: per_name(&[("slow", 1)]), ..Scheduling::default() };
    let store = opened(&world, limited).await;
    let (one, two) = (world.worker("w-1").await, world.worker("w-2").await);
    let slow = [launch_of(&world, "a", "slow").await, launch_of(&world, "b", "slow").await];
    let quick = launch_of(&world, "a", "quick").await;
    let first: Vec<RunId> = take(&*store, &one, 10).await.iter().map(|claim| claim.run).collect();
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(first.contains(&quick));
    assert!(take(&*store, &two, 10).await.is_empty());
    assert_eq!(world.store.queue().await.expect("stats").due, 1);
    let held = world.row(slow[0]).await;
    let claim = held.owner.is_some();
    let [done, next] = if claim { slow } else { [slow[1], slow[0]] };
    world.store.command(done, piton_core::Command::Pause).await.expect("paused");
    let row = world.row(done).await;
    world.store.hand_back(done, &one, row.epoch, START_MS).await.expect("handed back");
    let then: Vec<RunId> = take(&*store, &two, 10).await.iter().map(|claim| claim.run).collect();
    assert_eq!(then, [next]);
}

async fn a_place_that_its_holder_died_on_is_free_again(world: World) {
    let limited =
        Scheduling { tenant_max: PerName { others: Some(1), ..PerName::default() }, ..Scheduling::default() };
    let store = opened(&world, limited).await;
    let (dies, lives) = (world.worker("dies").await, world.worker("lives").await);
    let run = launch_of(&world, "a", "x").await;
    launch_of(&world, "a", "x").await;
    assert_eq!(take(&*store, &dies, 10).await.len(), 1);
    assert!(take(&*store, &lives, 10).await.is_empty());
    store.recover(&lost(&dies, Lost::LockFree, &[])).await.expect("recovered");
    let claims = take(&*store, &lives, 10).await;
    assert_eq!(claims.len(), 1);
    assert!(world.row(run).await.owner.is_none() || claims[0].run == run);
}

async fn a_worker_takes_only_what_it_is_for(world: World) {
    let only = |tenants: &[&str], agents: &[&str]| {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Scheduling { only: Only { tenants: set(tenants), agents: set(agents) }, ..Scheduling::default() }
    };
    let worker = world.worker("w").await;
    for (tenant, agent) in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")] {
        launch_of(&world, tenant, agent).await;
    }
    let picky = opened(&world, only(&["b"], &["y", "z"])).await;
    let claims = take(&*picky, &worker, 10).await;
    assert_eq!(claims.len(), 1);
    let row = world.row(claims[0].run).await;
    assert_eq!((row.tenant.as_str(), row.agent_name.as_str()), ("b", "y"));
    // What waits for others is no reason to let go of a run.
    assert_eq!(picky.due(Lane::Common, 10).await.expect("counted"), 0);
    let outcome = picky.commit(commit(&claims[0], &worker, 1, &[failure()], StepEnd::Done)).await;
    assert!(matches!(outcome.expect("answered"), CommitOutcome::Committed { kept: true, .. }));
    let by_agent = opened(&world, only(&[], &["x"])).await;
    assert_eq!(by_agent.due(Lane::Common, 10).await.expect("counted"), 2);
    assert_eq!(take(&*by_agent, &worker, 10).await.len(), 2);
    assert_eq!(world.store.queue().await.expect("stats").due, 1);
}

async fn a_rate_is_held_over_five_processes(world: World) {
    const A_MINUTE: usize = 600;
    let pace = Pace { requests: Some(600), tokens: None };
    let mut stores = Vec::new();
    for _ in 0..5 {
        stores.push(opened(&world, Scheduling::default()).await);
    }
    let mut places = Vec::new();
    for round in 0..360 {
        for turn in 0..stores.len() {
            let store = &stores[(round + turn) % stores.len()];
            let Places { at_ms, next_at_ms } = store.take_places("here m", pace, 4).await.expect("asked");
            let last = world.clock.now_ms() + PACE_AHEAD_MS;
            assert!(at_ms.iter().all(|at_ms| (world.clock.now_ms()..=last).contains(at_ms)));
            assert!(at_ms.len() == 4 || next_at_ms > last);
            places.extend(at_ms);
        }
        world.clock.advance(500);
    }
    places.sort_unstable();
    let ended_ms = world.clock.now_ms();
    let minutes = places.iter().filter(|from| **from + 60_000 < ended_ms);
    let counts: Vec<usize> = minutes
        .map(|from| {
            let begin = places.partition_point(|at| at < from);
            places.partition_point(|at| *at < from + 60_000) - begin
        })
        .collect();
    let (least, most) = (counts.iter().min().expect("minutes"), counts.iter().max().expect("minutes"));
    assert!(*least * 100 >= A_MINUTE * 95 && *most * 100 <= A_MINUTE * 105, "{least} to {most} a minute");
    // Another endpoint has a rate of its own.
    let other = stores[0].take_places("there m", pace, 1).await.expect("asked");
    assert_eq!(other.at_ms, [ended_ms]);
}

async fn an_agent_that_is_held_off_is_left_alone_till_then(world: World) {
    let worker = world.worker("w").await;
    launch_of(&world, "a", "slow").await;
    let other = world.engine.open(&world.clock).await;
    world.store.hold_off("slow", world.clock.now_ms() + 1_000);
    assert_eq!(world.store.due(Lane::Common, 10).await.expect("counted"), 0);
    assert!(world.claim(&worker).await.is_empty());
    assert_eq!(other.due(Lane::Common, 10).await.expect("counted"), 1, "only this process holds it off");
    let quick = launch_of(&world, "a", "quick").await;
    assert_eq!(world.claim_one(&worker).await.run, quick);
    world.clock.advance(1_000);
    assert_eq!(world.claim(&worker).await.len(), 1);
}

/// 6,000 runs of one tenant wait, and `PITON_LONG=1` makes that 100,000, but in memory.
async fn one_run_waits_for_no_queue_of_another_tenant(world: World) {
    let is_long =
        std::env::var_os("PITON_LONG").is_some() && world.store.readiness().await.engine != "memory";
    let queued = if is_long { 100_000 } else { 6_000 };
    let worker = world.worker("w").await;
    for priority in 0..4 {
        let first = world.store.launch(Launch { priority, ..of("a", "x") }).await.expect("launched").run.id;
        world.engine.multiply(first, queued / 4).await;
    }
    let busy = take(&*world.store, &worker, 16).await;
    assert_eq!(tenants(&world, &busy).await, "a".repeat(16));
    let waits = world.store.queue().await.expect("stats").due;
    let mut longest = Duration::ZERO;
    for (n, claim) in busy.iter().enumerate() {
        let only = launch_of(&world, &format!("b{n}"), "x").await;
        // Its slot is free from here on.
        let begun = Instant::now();
        let step = commit(claim, &worker, 1, &[failure()], StepEnd::Done);
        let outcome = world.store.commit(step).await.expect("answered");
        assert!(matches!(outcome, CommitOutcome::Committed { kept: false, .. }), "{outcome:?}");
        let claims = take(&*world.store, &worker, 1).await;
        longest = longest.max(begun.elapsed());
        assert_eq!(claims[0].run, only);
    }
    eprintln!(
        "beside {waits} of another tenant, a single run is claimed {longest:?} after a slot is free, at most of 16"
    );
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}
