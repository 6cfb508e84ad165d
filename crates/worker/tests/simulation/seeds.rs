//! Thousands of worlds, each from its seed.

use std::io::Write;

use crate::universe::Tally;
use crate::world::{Outcome, Setting, play};

/// Worlds of a test run.
const SEEDS: u64 = 2_000;
/// Of so many worlds, some have seen each of [`SEEN`].
const MANY_SEEDS: u64 = 1_000;
/// What has to happen for a simulation to be worth its name.
const SEEN: [&str; 34] = [
    "cancel_requested",
    "claim",
    "clock",
    "clock_set_back",
    "commit: behind",
    "commit: fenced",
    "commit: stood",
    "completed",
    "dead",
    "died",
    "end",
    "failed",
    "freeze",
    "hand_back",
    "hand_back_all_but",
    "human_answered",
    "job",
    "lease lost",
    "limit_reached",
    "outcome_decided",
    "outcome_unknown",
    "paused",
    "poison",
    "power",
    "quarantined",
    "recovered: lease lapsed",
    "recovered: lock free",
    "refused",
    "refused: still acting",
    "released",
    "retire",
    "stop",
    "sweep",
    "tool_failed",
];

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn told(seed: u64) -> Outcome {
    let mut setting = Setting::of_seed(seed);
    setting.keep_lines = true;
    say(&format!("{setting:#?}"));
    let outcome = play(setting);
    outcome.lines.iter().for_each(|line| say(line));
    for (history, number) in outcome.histories.iter().zip(1..) {
        say(&format!("run {number}"));
        history.iter().zip(1..).for_each(|(event, seq)| say(&format!("{seq:>7} {event:?}")));
    }
    outcome
}

fn assert_right(seed: u64, outcome: &Outcome) {
    if let Some(wrong) = &outcome.wrong {
        panic!(
            "seed {seed}: {wrong}\nTold line by line by:\n  PITON_SEED={seed} cargo nextest run -p piton-worker -E \
             'binary(simulation) & test(one_seed)' --no-capture"
        );
    }
}

#[test]
fn one_seed() {
    let seed = number("PITON_SEED").unwrap_or(1);
    let outcome = told(seed);
    say(&format!("{} calls, quiet for {} ms, hash {:x}", outcome.crossings, outcome.quiet_ms, outcome.hash));
    assert_right(seed, &outcome);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..=20 {
        let hashes = [(); 2].map(|()| play(Setting::of_seed(seed)).hash);
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}

fn play_all(first: u64) {
    let seeds = number("PITON_SEEDS").unwrap_or(SEEDS);
    let begun = tokio::time::Instant::now();
    let mut tally = Tally::new();
    let (mut crossings, mut longest) = (0, (0, 0));
    for seed in (first..=seeds).step_by(2) {
        let outcome = play(Setting::of_seed(seed));
        assert_right(seed, &outcome);
        crossings += outcome.crossings;
        longest = longest.max((outcome.quiet_ms, seed));
        for (name, times) in outcome.tally {
            *tally.entry(name).or_default() += times;
        }
    }
    say(&format!(
        "{} seeds in {:.1?}: {crossings} calls; quiet for {} ms at most (seed {})\n{tally:#?}",
        seeds.div_ceil(2),
        begun.elapsed(),
        longest.0,
        longest.1
    ));
    let unseen: Vec<&&str> = SEEN.iter().filter(|name| !tally.contains_key(**name)).collect();
    assert!(seeds < MANY_SEEDS || unseen.is_empty(), "in {seeds} worlds nobody saw {unseen:?}");
}

#[test]
fn odd_seeds() {
    play_all(1);
}

#[test]
fn even_seeds() {
    play_all(2);
}
