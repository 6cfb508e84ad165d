//! A small model of the protocol that makes a step safe, searched exhaustively: every order of everything that can
//! happen within its bounds.
//!
//! One run of two turns, and between them an `at_most_once` call `pay` and an idempotent call `note`, or a question to
//! a human. Two workers; people who pause, resume, cancel, release, answer and decide at any moment; and three faults
//! of any kind at any moment: a worker is killed, stands still beyond its lease, is asked to stop; a commit, a claim or
//! a command stands and its writer is not told; the job vanishes; the database cannot be read, then not be written; a
//! call or a step takes too long; the run is quarantined under its owner; the power goes, and with it any of what was
//! not synced.
//!
//! What is real and what is not:
//! - The reducer is the real one: `Run::apply`, `next`, `merge` and `Command::decide` of `piton_core` decide everything
//!   ([`history`]). They are pure, so each history is folded once, and a state of the model holds its number.
//! - The transactions ([`store`]) and the worker's program ([`worker`]) are written down a second time, as small as
//!   they can be: SQL and async code cannot be searched exhaustively. Whoever changes `crates/store/src/sqlite` or
//!   `crates/worker/src/{step,perform,lease}.rs` changes them here too.
//! - A transaction is one action, and so is an effect on the world. Whatever anybody else may do can happen between any
//!   two actions of a worker: one that stands still is one whose turn does not come.
//! - There is no clock: a lease lapses at any moment, as a fault. A worker without work is like any other of these and
//!   has no name until it claims. One that dies is replaced at once.
//! - A call is begun, as people see it, when it is announced (`pay`) or when the version was looked at (`note`).
//! - A payment that is made is made while its caller lives. People tell the truth about it as it is when they decide.
//! - Not in it: several runs (only that an older one waits), suspects, a model that fails, limits on steps and events.
//!
//! Left alone, a run ends or waits: no state without an end to it has no next action, and no way leads round in a
//! circle. States are told apart by 64 bits of hash, as stateright does it: that two of two million fall together has a
//! chance of one in ten million.
//!
//! A rule that is not needed is one that will be lost. So each is switched off once ([`mutant`]), and the model has to
//! notice. The last of them are rules that the product was built without, until this model and the simulation missed
//! them.
//!
//! `PITON_LONG=1` searches further. What goes wrong is told as the shortest list of actions that leads there.

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

use std::collections::HashMap;
use std::time::Instant;

use history::Script;
use model::{Action, Protocol, Scenario, State, Wanted};
use mutant::Mutant;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// More than any wrong needs to show.
const ACTIONS_MAX: usize = 60;

/// Whether to search for some minutes and with some GiB of memory, instead of for some seconds.
fn is_long() -> bool {
    std::env::var_os("PITON_LONG").is_some()
}

const fn scenario(script: Script, faults: u8, commands: u8) -> Scenario {
    Scenario { script, workers: 2, faults, commands }
}

#[test]
fn nothing_goes_wrong_when_the_payment_comes_first() {
    search(Wanted::Holds, scenario(Script::PayThenNote, 3, if is_long() { 2 } else { 1 }));
}

#[test]
fn nothing_goes_wrong_when_the_payment_comes_second() {
    search(Wanted::Holds, scenario(Script::NoteThenPay, if is_long() { 3 } else { 2 }, 2));
}

#[test]
fn nothing_goes_wrong_when_a_human_is_asked() {
    search(Wanted::Holds, scenario(Script::Ask, 3, if is_long() { 3 } else { 1 }));
}

#[test]
fn nothing_goes_wrong_among_three_workers() {
    let faults = if is_long() { 3 } else { 2 };
    search(Wanted::Holds, Scenario { workers: 3, ..scenario(Script::PayThenNote, faults, 1) });
}

#[test]
fn nothing_goes_round_in_circles() {
    for script in [Script::PayThenNote, Script::Ask] {
        let model = Protocol::new(scenario(script, 2, 1), Wanted::Holds, None);
        let (states, circling) = ends(&model);
        println!("{script:?}: {states} states, {circling} from which a run may go on for ever");
        assert_eq!(circling, 0);
    }
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
        match shortest(scenario, Some(mutant), property) {
            Some((actions, told)) => println!("{mutant:?}: after {actions} actions, not: {property}\n{told}"),
            None => unnoticed.push(format!("{mutant:?} ({scenario}) against: {property}")),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
}

/// Searches all of it; the protocol is as it should be.
fn search(wanted: Wanted, scenario: Scenario) {
    let begun = Instant::now();
    let threads = if is_long() { 2 } else { 1 };
    let checker = Protocol::new(scenario, wanted, None).checker().threads(threads).spawn_bfs().join();
    println!(
        "{scenario}: {} states, {} actions between them, at most {} in a row, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth() - 1,
        begun.elapsed()
    );
    let found = checker.discoveries();
    let mut wrong = Vec::new();
    for property in checker.model().properties() {
        let name = property.name;
        match (property.expectation, found.contains_key(name)) {
            (Expectation::Always, true) => {
                let (actions, told) = shortest(scenario, None, name).expect("it was found before");
                wrong.push(format!("after {actions} actions, not: {name}\n{told}"));
            }
            (Expectation::Sometimes, false) => wrong.push(format!("never: {name}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{scenario}\n{}", wrong.join("\n"));
}

/// How many states there are, and from how many of them what goes on by itself may never come to an end.
fn ends(model: &Protocol) -> (usize, usize) {
    let mut places: HashMap<State, usize> = HashMap::new();
    let mut states = model.init_states();
    places.extend(states.iter().cloned().zip(0..));
    let (mut before, mut ways_on) = (vec![Vec::new(); states.len()], Vec::new());
    while let Some(state) = states.get(ways_on.len()).cloned() {
        let from = ways_on.len();
        ways_on.push(0);
        for (action, after) in model.next_steps(&state) {
            let place = *places.entry(after).or_insert_with_key(|after| {
                states.push(after.clone());
                before.push(Vec::new());
                states.len() - 1
            });
            if matches!(action, Action::Step(..) | Action::Keep(_)) {
                before[place].push(from);
                ways_on[from] += 1;
            }
        }
    }
    // Takes away every state all of whose ways on lead to an end.
    let mut ended: Vec<usize> = (0..states.len()).filter(|place| ways_on[*place] == 0).collect();
    let mut left = states.len();
    while let Some(place) = ended.pop() {
        left -= 1;
        for from in std::mem::take(&mut before[place]) {
            ways_on[from] -= 1;
            if ways_on[from] == 0 {
                ended.push(from);
            }
        }
    }
    (states.len(), left)
}

/// The shortest way to a state in which `property` does not hold: how many actions, and which. The checker by itself
/// says any, so it is let out one action at a time.
fn shortest(scenario: Scenario, broken: Option<Mutant>, property: &'static str) -> Option<(usize, String)> {
    (0..=ACTIONS_MAX).find_map(|actions| {
        let checker = Protocol::new(scenario, Wanted::Holds, broken)
            .checker()
            .target_max_depth(actions + 2)
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        let path = checker.discovery(property)?;
        Some((actions, tell::tell(checker.model(), path)))
    })
}
