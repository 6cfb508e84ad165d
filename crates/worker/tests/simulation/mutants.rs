//! A simulation that finds nothing proves nothing: here the protocol is broken on purpose, promise by promise, and the
//! same worlds have to find each breach.

use std::fmt::Debug;

use piton_testkit::memory::Mutant;

use crate::seeds::say;
use crate::store::WorkerMutant;
use crate::world::{Setting, play};

/// Worlds that a mutant may live through.
const SEEDS_MAX: u64 = 2_000;

/// Plays worlds with each mutant until one goes wrong.
fn caught<M: Debug + Copy>(mutants: &[M], with: impl Fn(Setting, M) -> Setting) {
    let mut survivors = Vec::new();
    for mutant in mutants {
        let caught = (1..=SEEDS_MAX).find_map(|seed| {
            let outcome = play(with(Setting::of_seed(seed), *mutant));
            outcome.wrong.map(|wrong| (seed, wrong))
        });
        match caught {
            Some((seed, wrong)) => say(&format!("{mutant:?}: seed {seed}: {wrong:.160}")),
            None => survivors.push(mutant),
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} lived through {SEEDS_MAX} worlds each");
}

#[test]
fn every_mutant_of_the_store_is_caught() {
    caught(&Mutant::ALL, |setting, mutant| Setting { mutant: Some(mutant), ..setting });
}

#[test]
fn every_mutant_of_the_worker_is_caught() {
    caught(&WorkerMutant::ALL, |setting, mutant| Setting { worker_mutant: Some(mutant), ..setting });
}
