//! A small model of the protocol that makes a step safe, searched exhaustively: every order of everything that can
//! happen within its bounds.
//!
//! One run of two turns, an `at_most_once` call `pay` and an idempotent call `note` (or a question to a human) between
//! them. Two workers, people who pause, resume, cancel, answer and decide at any moment, and three faults of any kind at
//! any moment: a worker is killed, stands still beyond its lease, is stopped; a commit, claim or command stands and its
//! writer is not told; the job vanishes; the database cannot be read; a call or a step takes too long; the run is
//! quarantined under its owner; the power goes, and with it what was not synced.
//!
//! What is real and what is abstract:
//! - The reducer is the real one: `piton_core`'s `Run::apply`, `next`, `merge` and `Command::decide` decide everything
//!   ([`history`]). It is pure, so each history is folded once and a state of the model holds its number.
//! - The store's transactions ([`store`]) and the worker's program ([`worker`]) are written down again, as small as they
//!   can be: SQL and async code cannot be searched exhaustively. Whoever changes `crates/store/src/sqlite` or
//!   `crates/worker/src/{step,perform,lease}.rs` changes them here too.
//! - A transaction is one action, and so is an effect on the world. Between any two actions of a worker, whatever anybody
//!   else may do can happen; so a worker that stands still is one that is not chosen for a while.
//! - There is no clock: a lease lapses as a fault, at any moment. A worker without work is like any other, so it has no
//!   name until it claims. Power that goes takes either all that was written since the last sync, or nothing.
//! - People tell the truth about a payment, as it is at the moment when they decide.
//! - Not in it: several runs at once (only that an older one may wait), suspects, tenants, limits, model errors.
//!
//! States are told apart by 64 bits of hash, as stateright does: among two million, two fall together once in ten
//! million searches.
//!
//! A rule that is not needed is a rule that nobody keeps. So each one is switched off once ([`mutant`]), and the model has to
//! notice.

#![expect(clippy::print_stdout, reason = "the figures are what this test is run for")]

mod happen;
mod history;
mod model;
mod mutant;
mod possible;
mod properties;
mod store;
mod tell;
mod worker;

use std::time::Instant;

use history::Script;
use model::{Protocol, Scenario, Wanted};
use mutant::Mutant;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What a mutant has at most to be noticed in.
const ACTIONS_MAX: usize = 30;

/// Whether to search as far as this machine's memory allows, instead of for some seconds.
fn long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

/// Searches all of it. A property that does not hold is a failure, told as the list of what leads there.
fn search(wanted: Wanted, scenario: Scenario) {
    let begun = Instant::now();
    let threads = if long() { 2 } else { 1 };
    let checker = Protocol::new(scenario, wanted, None).checker().threads(threads).spawn_bfs().join();
    let (model, found) = (checker.model(), checker.discoveries());
    let mut wrong = Vec::new();
    for property in model.properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => wrong.push(format!("never: {}", property.name)),
            (Expectation::Always, Some(path)) => {
                wrong.push(format!("not always: {}\n{}", property.name, tell::tell(model, path.clone())));
            }
            _ => {}
        }
    }
    println!(
        "{scenario}: {} states, {} steps between them, none of more than {} actions, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
    assert!(wrong.is_empty(), "{scenario}\n{}", wrong.join("\n"));
}

const fn scenario(script: Script, faults: u8, commands: u8) -> Scenario {
    Scenario { script, workers: 2, faults, commands }
}

#[test]
fn nothing_goes_wrong_when_the_payment_comes_first() {
    search(Wanted::Holds, scenario(Script::PayThenNote, 3, if long() { 2 } else { 1 }));
}

#[test]
fn nothing_goes_wrong_when_the_payment_comes_second() {
    search(Wanted::Holds, scenario(Script::NoteThenPay, if long() { 3 } else { 2 }, 2));
}

#[test]
fn nothing_goes_wrong_when_a_human_is_asked() {
    search(Wanted::Holds, scenario(Script::Ask, 3, if long() { 3 } else { 1 }));
}

#[test]
fn nothing_goes_wrong_among_three_workers() {
    let faults = if long() { 3 } else { 2 };
    search(Wanted::Holds, Scenario { workers: 3, ..scenario(Script::PayThenNote, faults, 1) });
}

#[test]
fn everything_comes_up() {
    for script in [Script::PayThenNote, Script::NoteThenPay, Script::Ask] {
        search(Wanted::ComesUp, scenario(script, 2, 1));
    }
}

#[test]
fn every_rule_is_needed() {
    let mut unnoticed = Vec::new();
    for mutant in Mutant::ALL {
        let (property, scenario) = mutant.is_noticed();
        match shortest(mutant, property, scenario) {
            Some((actions, told)) => println!("{mutant:?}: {actions} actions, and not: {property}\n{told}"),
            None => unnoticed.push(format!("{mutant:?} ({scenario}) against: {property}")),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
}

/// The shortest way to a state in which `property` does not hold: how many actions, and which. The checker by itself gives
/// any, so the depth is let out one by one.
fn shortest(mutant: Mutant, property: &'static str, scenario: Scenario) -> Option<(usize, String)> {
    for actions in 0..ACTIONS_MAX {
        let checker = Protocol::new(scenario, Wanted::Holds, Some(mutant))
            .checker()
            .target_max_depth(actions + 2)
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        if let Some(path) = checker.discovery(property) {
            return Some((actions, tell::tell(checker.model(), path)));
        }
    }
    None
}
