//! `cargo xtask chaos`: everything that may happen to an installation, at once, for as long as one likes.
//!
//! What is done and what is required lies in `crates/piton/tests/chaos`; here it is built and begun.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::shell::{Done, Failure, While, cmd, run, say, target};

const MINUTES: f64 = 10.0;
/// Together, so that both are built with the same features, and dependencies once.
const BUILD: &str = "cargo build --release --locked -p piton -p piton-testkit --bin piton --bin piton-ledger";
/// Not nextest: it would end a test that takes an hour.
const STORM: &str = "cargo test --release --locked -p piton -p piton-testkit --test chaos -- --nocapture";

#[derive(Debug, PartialEq)]
struct Plan {
    minutes: f64,
    seed: u64,
}

/// Builds the release binary and the ledger and lets the storm loose on them. Fails on any trouble; the data folder
/// is kept then, and named.
pub(crate) fn chaos(args: &[String]) -> Done {
    let Plan { minutes, seed } = Plan::read(args)?;
    run(&mut cmd(BUILD))?;
    let again = format!("cargo xtask chaos --minutes {minutes} --seed {seed}");
    say(&format!("a storm of {minutes} minutes; the same again: {again}"));
    let mut storm = cmd(STORM);
    storm.env("PITON_MINUTES", minutes.to_string()).env("PITON_SEED", seed.to_string());
    storm.env("PITON_LEDGER_BIN", target().join("release/piton-ledger"));
    run(&mut storm)?;
    say(&format!("nothing lost, nothing doubled: {again}"));
    Ok(())
}

impl Plan {
    fn read(args: &[String]) -> Done<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).while_doing("reading the clock")?;
        let mut plan = Self { minutes: MINUTES, seed: u64::from(since.subsec_nanos()) };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| Failure::from(format!("{word} wants a number")))?;
            let what = format!("{word} wants a number, not `{value}`");
            match word.as_str() {
                "--minutes" => plan.minutes = value.parse().while_doing(&what)?,
                "--seed" => plan.seed = value.parse().while_doing(&what)?,
                _ => return Err(format!("chaos knows --minutes N and --seed S, not `{word}`").into()),
            }
        }
        if !(plan.minutes > 0.0 && plan.minutes.is_finite()) {
            return Err("--minutes wants a number above 0".into());
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Plan, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Plan::read(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn minutes_and_seed_are_read_and_what_is_wrong_is_named() {
        assert_eq!(read("--minutes 0.5 --seed 7"), Ok(Plan { minutes: 0.5, seed: 7 }));
        assert_eq!(read("").map(|plan| plan.minutes), Ok(MINUTES));
        for (line, word) in [
            ("--minutes", "--minutes"),
            ("--minutes ten", "ten"),
            ("--minutes -1", "above 0"),
            ("--hours 1", "--hours"),
        ] {
            assert!(read(line).is_err_and(|said| said.contains(word)), "{line}");
        }
    }
}
