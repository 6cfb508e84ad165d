//! `cargo xtask test`: every check there is, one after the other, none skipped because another failed.

use std::time::{Duration, Instant};

use crate::served::Served;
use crate::shell::{Done, cmd, root, run, run_and_read, target};
use crate::{arrows, chromium, frontend, packages, tools};

/// Tests that a runner counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// How one check ended.
struct Outcome {
    done: Done,
    count: Count,
    /// The runner's own last word, shown again at the end.
    closing: Option<String>,
}

impl From<Done> for Outcome {
    fn from(done: Done) -> Self {
        Self { done, count: Count::default(), closing: None }
    }
}

struct Check {
    name: &'static str,
    run: fn() -> Outcome,
}

/// In this order, because the binary embeds what the web UI's build makes.
const CHECKS: [Check; 12] = [
    Check { name: "fmt", run: || run(&mut cmd("cargo fmt --all --check")).into() },
    Check { name: "web-packages", run: || frontend::ready().into() },
    Check { name: "web-check", run: || counted(&mut frontend::npm("run check"), vitest) },
    Check { name: "web-types", run: || run(&mut frontend::npm("run api:check")).into() },
    Check { name: "web-build", run: || frontend::build().into() },
    Check { name: "arrows", run: || arrows::check().into() },
    Check { name: "clippy", run: || run(&mut cmd(CLIPPY)).into() },
    Check { name: "build", run: || run(&mut cmd(BUILD)).into() },
    Check { name: "tests", run: tests },
    Check { name: "postgres", run: on_postgres },
    Check { name: "docs", run: || run(cmd(DOCS).env("RUSTDOCFLAGS", RUSTDOC)).into() },
    Check { name: "browser", run: browser },
];
const CLIPPY: &str = "cargo clippy --workspace --all-targets --locked -- -D warnings";
/// Tests and binaries together, so that both are built with the same features, and dependencies once.
const BUILD: &str = "cargo build --workspace --bins --tests --locked";
/// Not those which are about the file, or about what any engine does the same.
const ON_POSTGRES: &str = "binary(chaos) | binary(crash_points) | binary(kills) | binary(zombies) | binary(frozen) | \
                           binary(poison) | binary(leases) | binary(races) | binary(workers) | binary(orphans) | \
                           binary(backpressure)";
/// For those who work on the code, so private items are shown, and may be linked to.
const RUSTDOC: &str = "-D warnings -A rustdoc::private_intra_doc_links";
const DOCS: &str = "cargo doc --workspace --no-deps --document-private-items --locked --quiet";

/// Runs all checks, or only the named ones.
pub(crate) fn test(names: &[String]) -> Done {
    let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no check `{unknown}`; there are: {}", known.join(", ")).into());
    }
    let chosen = CHECKS.iter().filter(|check| names.is_empty() || names.iter().any(|n| n == check.name));
    let mut outcomes = Vec::new();
    for check in chosen {
        println!("\n━━ {}", check.name);
        let began = Instant::now();
        let outcome = (check.run)();
        let took = began.elapsed();
        if let Err(failure) = &outcome.done {
            println!("xtask: {failure}");
        }
        println!(
            "━━ {}: {} in {}",
            check.name,
            if outcome.done.is_ok() { "ok" } else { "FAILED" },
            seconds(took)
        );
        outcomes.push((check.name, took, outcome));
    }
    summary(&outcomes)
}

fn summary(outcomes: &[(&str, Duration, Outcome)]) -> Done {
    println!();
    let mut sum = Count::default();
    let mut failed = Vec::new();
    for (name, took, outcome) in outcomes {
        println!(
            "  {:<14} {:>9}  {}",
            name,
            seconds(*took),
            if outcome.done.is_ok() { "ok" } else { "FAILED" }
        );
        sum.passed += outcome.count.passed;
        sum.failed += outcome.count.failed;
        if outcome.done.is_err() {
            failed.push(*name);
            // A check that failed without a failed test counts as one, so that the last line never looks green.
            sum.failed += u64::from(outcome.count.failed == 0);
        }
    }
    println!("  {:<14} {:>9}\n", "all", seconds(outcomes.iter().map(|(_, took, _)| *took).sum()));
    outcomes
        .iter()
        .filter_map(|(.., outcome)| outcome.closing.as_deref())
        .for_each(|line| println!("{line}"));
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Runs a test runner and lets `read` find its count in what it printed.
fn counted(command: &mut std::process::Command, read: fn(&str) -> Option<(Count, String)>) -> Outcome {
    let (done, text) = run_and_read(command);
    match (done, read(&text)) {
        (done, Some((count, closing))) => Outcome { done, count, closing: Some(closing) },
        (Ok(()), None) => Outcome::from(Err("the runner did not say how many tests it ran".into())),
        (Err(failure), None) => Outcome::from(Err(failure)),
    }
}

fn tests() -> Outcome {
    if let Err(failure) = tools::cargo_nextest() {
        return Outcome::from(Err(failure));
    }
    packages::for_tests();
    counted(&mut tools::command("cargo nextest run --workspace --locked"), nextest)
}

/// What is tried on the real binary, once more on PostgreSQL: who dies and who comes back, and at what moment.
fn on_postgres() -> Outcome {
    let mut again = tools::command("cargo nextest run --locked -p piton -E");
    again.arg(ON_POSTGRES).env("PITON_TEST_STORE", "postgres");
    counted(&mut again, nextest)
}

/// The real binary, the practice model, a real browser.
fn browser() -> Outcome {
    let ready = chromium::path().and_then(|chromium| {
        run(&mut cmd(BUILD))?;
        Ok((
            chromium,
            Served::start(
                "browser",
                &["--workers", "2", "--config", &root().join("frontend/e2e/config").to_string_lossy()],
                &[("PITON_TEST__TOOLS", "true".into())],
            )?,
        ))
    });
    let (chromium, served) = match ready {
        Ok(ready) => ready,
        Err(failure) => return Outcome::from(Err(failure)),
    };
    let mut e2e = frontend::npm("run e2e");
    e2e.env("PITON_URL", format!("http://{}", served.address)).env("CHROMIUM_PATH", chromium);
    // Some tests kill a server of their own.
    e2e.env("PITON_BIN", target().join("debug/piton"));
    let outcome = counted(&mut e2e, plain);
    if outcome.done.is_err() {
        println!("the server's log:\n{}", served.log());
    }
    outcome
}

/// `Summary [ 1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped`
fn nextest(text: &str) -> Option<(Count, String)> {
    let line = text.lines().rfind(|line| line.trim_start().starts_with("Summary ["))?;
    let failed = before(line, "failed").unwrap_or(0) + before(line, "timed out").unwrap_or(0);
    Some((Count { passed: before(line, "passed").unwrap_or(0), failed }, line.trim().to_owned()))
}

/// `      Tests  1 failed | 11 passed (12)`
fn vitest(text: &str) -> Option<(Count, String)> {
    let line = text.lines().rfind(|line| line.trim_start().starts_with("Tests  "))?;
    let count =
        Count { passed: before(line, "passed").unwrap_or(0), failed: before(line, "failed").unwrap_or(0) };
    Some((count, line.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// `11 passed, 1 failed` alone on a line.
fn plain(text: &str) -> Option<(Count, String)> {
    text.lines().rev().find_map(|line| {
        let (passed, failed) = line.trim().split_once(", ")?;
        let passed = passed.strip_suffix(" passed")?.rsplit(' ').next()?.parse().ok()?;
        let failed = failed.split_once(" failed")?.0.parse().ok()?;
        Some((Count { passed, failed }, format!("Browser: {}", line.trim())))
    })
}

/// The number that stands before a word.
fn before(line: &str, word: &str) -> Option<u64> {
    line.split_once(&format!(" {word}"))?.0.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_each_runners_closing_line() {
        let line =
            "     Summary [   1.234s] 14 tests run: 11 passed (1 slow), 2 failed, 1 timed out, 2 skipped\n";
        assert_eq!(nextest(line).map(|(count, _)| count), Some(Count { passed: 11, failed: 3 }));
        let line = "\n Test Files  2 passed (2)\n      Tests  1 failed | 11 passed (12)\n";
        assert_eq!(vitest(line).map(|(count, _)| count), Some(Count { passed: 11, failed: 1 }));
        assert_eq!(
            plain("x\n5 passed, 0 failed\n").map(|(count, _)| count),
            Some(Count { passed: 5, failed: 0 })
        );
        assert_eq!(nextest("nothing here"), None);
    }

    #[test]
    fn a_runner_that_counts_nothing_is_no_success() {
        assert!(counted(&mut cmd("true"), nextest).done.is_err());
    }
}
