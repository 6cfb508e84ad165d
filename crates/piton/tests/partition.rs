//! The network between some workers and PostgreSQL is cut, again and again: all of it, or the replies only, without a word
//! to either side, for moments and for longer than a lease. What these workers' tools do is still done meanwhile, over
//! another way. Others go on with their runs; every effect is there once, every run ends right, and once the network is
//! back so are they, within a lease and two seconds.
//!
//! 4 cuts; 100 with `PITON_LONG=1`, or as many as `PITON_ROUNDS` says; `PITON_SEED` picks other lengths. Needs root and `ip`.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use piton_testkit::{
    Crowd, Cut, Ledger, Network, PostgresServer, Relay, Say, ScriptedModel, World, clerk, deadline,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const IN_FLIGHT: usize = 12;
const LEASE: Duration = Duration::from_secs(3);
/// From the end of a cut until those behind it work again; and during one, until the others have taken up what they held.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long the network is away: for a moment, for less than a lease, for longer.
fn length(round: u64, rng: &mut StdRng) -> Duration {
    let ms = match round % 4 {
        0 => 100..1000,
        2 => 1000..3000,
        _ => 3000..9000,
    };
    Duration::from_millis(rng.random_range(ms))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_network_doubles_nothing_and_is_forgotten_soon() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let is_long = std::env::var_os("PITON_LONG").is_some();
    let rounds = number("PITON_ROUNDS").unwrap_or(if is_long { 100 } else { 4 });
    let seed = number("PITON_SEED").unwrap_or(1);
    let mut network = match Network::make() {
        Ok(network) => network,
        Err(why) => return eprintln!("SKIPPED: a network to be cut needs a namespace of its own: {why}"),
    };
    let database = PostgresServer::start_on(network.fragile());
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    model.script("back", [Say::answer("ok")]);
    model.set_latency(Duration::from_millis(100));
    model.forget_bodies();
    let to_model = Relay::between(network.lasting(), model.address());
    let to_ledger = Relay::between(network.lasting(), ledger.address());
    let through =
        |agent: String| agent.replace(&ledger.address().to_string(), &to_ledger.address().to_string());
    let clerk = through(clerk::agent(&ledger, 15));
    let beyond = clerk.replace("name = \"clerk\"", "name = \"beyond\"");
    let world = World::new(PITON).model(&model).agent("clerk", &clerk).agent("beyond", &beyond);
    let mut world = world
        .env("PITON_MODEL__BASE_URL", &format!("http://{}/v1", to_model.address()))
        .env("PITON_WORKER__LEASE_MS", &LEASE.as_millis().to_string())
        .env("PITON_STORE__URL", &database.url())
        .workers(0)
        .serve()
        .await;
    world.start_worker_with(&[("PITON_WORKER__ONLY", "agent=clerk")]);
    // Another machine: of these workers only their leases tell.
    let there = format!("postgres://postgres@{}/postgres", database.place());
    let locks = world.path("beyond").display().to_string();
    for _ in 0..2 {
        world.start_worker_beyond(
            &network,
            &[("PITON_STORE__URL", &there), ("PITON_STORE__LOCK_DIR", &locks)],
        );
    }
    world.workers_ready(3).await;

    let mut crowd = Crowd::new(world.caller(), IN_FLIGHT);
    let calm = AtomicBool::new(false);
    let caller = world.caller();
    let storm = async {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut back, mut away) = (Vec::new(), Duration::ZERO);
        for round in 1..=rounds {
            tokio::time::sleep(Duration::from_millis(rng.random_range(300..900))).await;
            let (cut, length) =
                (if rng.random() { Cut::Everything } else { Cut::Replies }, length(round, &mut rng));
            network.cut(cut);
            let began = Instant::now();
            if length > BACK_WITHIN {
                // What is launched now is over soon, and the others are not kept from it by whoever is away.
                let key = format!("during-{round}");
                let seen = caller.sees_through(&key, "[back]", "clerk", BACK_WITHIN).await;
                seen.unwrap_or_else(|error| panic!("round {round}, {cut:?} cut: {error}"));
            }
            tokio::time::sleep(length.saturating_sub(began.elapsed())).await;
            away += began.elapsed();
            network.mend();
            let key = format!("after-{round}");
            let seen = caller.sees_through(&key, "[back]", "beyond", deadline()).await;
            let seen =
                seen.unwrap_or_else(|error| panic!("round {round}, {cut:?} cut for {length:?}: {error}"));
            eprintln!("{cut:?} for {length:?}: back after {seen:?}");
            back.push(seen);
        }
        calm.store(true, Ordering::Relaxed);
        (back, away)
    };
    let busy = async {
        while !calm.load(Ordering::Relaxed) {
            crowd.look_after(&ledger, true).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        crowd.disperse(&ledger, deadline() * 2).await.unwrap_or_else(|error| panic!("{error}"));
    };
    let ((mut back, away), ()) = tokio::join!(storm, busy);
    back.sort_unstable();
    let (runs, said) = (crowd.ids.len(), crowd.said);
    let (middle, last) = (back[back.len() / 2], back[back.len() - 1]);
    eprintln!(
        "seed {seed}: {rounds} cuts, {away:?} in all, over {runs} runs; back after {middle:?}, {last:?} at most; {said:?}"
    );

    let (events, entries) = (crowd.events().await, ledger.entries().await);
    let trouble: Vec<String> = crowd.trouble(&entries, &events).await;
    let some = &trouble[..trouble.len().min(5)];
    assert!(trouble.is_empty(), "{} troubles, such as {some:#?}", trouble.len());
    assert!(last <= BACK_WITHIN, "{back:?}");
    model.assert_every_request_was_valid();
    world.doctor_finds_nothing().await.expect("a sound database");
}
