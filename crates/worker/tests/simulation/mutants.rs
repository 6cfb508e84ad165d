//! A simulation that finds nothing proves nothing: here the protocol is broken on purpose, promise by promise, and the
//! same worlds have to find each breach.

use piton_testkit::memory::Mutant;

use crate::seeds::say;
use crate::world::{Setting, play};

/// Worlds that a mutant may live through.
const SEEDS_MAX: u64 = 5000;

#[test]
fn every_mutant_of_the_store_is_caught() {
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        let caught = (1..=SEEDS_MAX).find_map(|seed| {
            let setting = Setting { mutant: Some(mutant), ..Setting::of_seed(seed) };
            play(setting).wrong.map(|wrong| (seed, wrong))
        });
        match caught {
            Some((seed, wrong)) => say(&format!("{mutant:?}: seed {seed}: {wrong:.160}")),
            None => survivors.push(mutant),
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} lived through {SEEDS_MAX} worlds each");
}
