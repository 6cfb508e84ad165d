//! A story of ten steps with effects outside: an agent that books four lines in the ledger and adds them up. Odd
//! lines go through an `at_most_once` tool, even ones through an `idempotent` one; the answer is the sum, as the
//! tools gave it.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::ledger::{Ledger, LedgerEntry};
use crate::script::{Say, Script, Turn};

/// Lines that each run books.
pub const LINES: u64 = 4;
/// Steps of a run: a reply for each of the lines and sums, one for the final answer, and the answer itself.
pub const STEPS: u64 = 2 * LINES + 2;

/// `config/agents/clerk.toml`; the ledger replies to bookings after `latency_ms`.
pub fn agent(ledger: &Ledger, latency_ms: u64) -> String {
    let once = ledger.url(&format!("mode=plain&latency_ms={latency_ms}"));
    let idempotent = ledger.url(&format!("mode=idempotent&latency_ms={latency_ms}"));
    let parameters = r#"{ type = "object", properties = { account = { type = "string" }, line = { type = "integer" }, amount = { type = "number" } }, required = ["account", "line", "amount"], additionalProperties = false }"#;
    format!(
        r#"name = "clerk"
description = "Books entries"
instructions = "Book each line, then add it to the sum."
max_steps = 20
tools = ["sum_numbers", "ask_human", "final_answer"]

[[http_tool]]
name = "book"
description = "Books one entry; nobody knows what happens when it is called twice"
method = "POST"
url = "{once}"
timeout_ms = 10000
allow_private = true
parameters = {parameters}

[[http_tool]]
name = "post"
description = "Books one entry, once for each key"
method = "POST"
url = "{idempotent}"
effect = "idempotent"
timeout_ms = 10000
allow_private = true
parameters = {parameters}
"#
    )
}

/// The task of run number `n`.
pub fn task(n: u64) -> String {
    format!("[clerk:{n}] Book the four lines of account {} and tell me the sum.", account(n))
}

/// The number of the run with this task.
pub fn number_of(task: &str) -> Option<u64> {
    task.strip_prefix("[clerk:")?.split_once(']')?.0.parse().ok()
}

pub fn account(n: u64) -> String {
    format!("account-{n}")
}

const fn amount(n: u64, line: u64) -> u64 {
    10 * n + line
}

/// The final answer of run number `n`.
pub fn answer(n: u64) -> String {
    (1..=LINES).map(|line| amount(n, line)).sum::<u64>().to_string()
}

/// For [`crate::ScriptedModel::script`] under the tag `clerk`.
pub fn script() -> Script {
    Script::by(say)
}

/// The reply to one turn of run `[…:n]`.
pub fn say(turn: &Turn) -> Say {
    let n: u64 = turn.argument.parse().expect("the tag has the run's number");
    if let Some(error) = turn.outputs.iter().find_map(|output| output["result"].as_str()) {
        return Say::answer(&format!("a tool failed: {error}"));
    }
    let mut sums = turn.outputs.iter().skip(1).step_by(2).filter_map(|output| output["result"].as_f64());
    let sum = sums.next_back().unwrap_or(0.0);
    let line = turn.done as u64 / 2 + 1;
    if line > LINES {
        return Say::answer(&sum.to_string());
    }
    if turn.done % 2 == 1 {
        return Say::call("sum_numbers", json!({ "a": sum, "b": amount(n, line) }));
    }
    let tool = if line % 2 == 1 { "book" } else { "post" };
    Say::call(tool, json!({ "account": account(n), "line": line, "amount": amount(n, line) }))
}

/// What is wrong with a finished run, if anything.
pub fn trouble_with_run(n: u64, run: &Value) -> Option<String> {
    if run["status"] == "complete" && run["final_answer"] == answer(n) && run["steps"] == STEPS {
        return None;
    }
    Some(format!("run {n} should be complete after {STEPS} steps with {}: {run:#}", answer(n)))
}

/// What is wrong with a finished run's history, if anything: a number left out, a turn or a result recorded twice, or
/// an `at_most_once` call begun again without a person's word.
pub fn trouble_with_events(n: u64, events: &[Value]) -> Vec<String> {
    let mut trouble = Vec::new();
    let mut once = HashSet::new();
    let mut begun = HashSet::new();
    for (place, event) in events.iter().enumerate() {
        let (data, kind) = (&event["data"], event["type"].as_str().unwrap_or_default());
        if event["id"] != place + 1 {
            trouble.push(format!("run {n}: event {} is missing", place + 1));
        }
        let what = match kind {
            "model_replied" => format!("turn {}", data["turn"]),
            "tool_returned" | "tool_failed" => format!("result of {}", data["call"]),
            "launched" | "completed" => kind.to_owned(),
            "tool_started" if !begun.insert(data["call"].clone()) => format!("beginning of {}", data["call"]),
            "outcome_decided" => {
                if data["decision"]["decision"] == "did_not_happen" {
                    begun.remove(&data["call"]);
                }
                continue;
            }
            _ => continue,
        };
        if kind == "tool_started" || !once.insert(what.clone()) {
            trouble.push(format!("run {n}: the {what} is there twice"));
        }
    }
    trouble
}

/// What is wrong with the bookings of runs `0..runs`: each line is to be there exactly once.
pub fn trouble_with_ledger(runs: u64, entries: &[LedgerEntry]) -> Vec<String> {
    let mut by_line: HashMap<(String, u64), Vec<&LedgerEntry>> = HashMap::new();
    for entry in entries {
        by_line.entry((entry.account.clone(), entry.line)).or_default().push(entry);
    }
    let mut trouble = Vec::new();
    for n in 0..runs {
        for line in 1..=LINES {
            let booked = by_line.remove(&(account(n), line)).unwrap_or_default();
            let right = booked.len() == 1 && (booked[0].amount - amount(n, line) as f64).abs() < f64::EPSILON;
            if !right {
                trouble.push(format!("line {line} of {} is booked so: {booked:?}", account(n)));
            }
        }
    }
    trouble.extend(by_line.values().map(|booked| format!("nobody asked for this: {booked:?}")));
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Vec<LedgerEntry> {
        let entry = |(place, line): (usize, u64)| LedgerEntry {
            entry: place as u64 + 1,
            key: format!("key-{place}"),
            account: account(place as u64 / LINES),
            line,
            amount: amount(place as u64 / LINES, line) as f64,
            posts: 1,
        };
        (0..2).flat_map(|_| 1..=LINES).enumerate().map(entry).collect()
    }

    #[test]
    fn a_line_that_is_missing_doubled_or_wrong_is_trouble() {
        assert_eq!(trouble_with_ledger(2, &books()), Vec::<String>::new());
        let mut missing = books();
        missing.remove(3);
        assert_eq!(trouble_with_ledger(2, &missing).len(), 1);
        let mut doubled = books();
        doubled.push(LedgerEntry { key: "another".to_owned(), ..doubled[0].clone() });
        assert_eq!(trouble_with_ledger(2, &doubled).len(), 1);
        let mut wrong = books();
        wrong[5].amount += 1.0;
        assert_eq!(trouble_with_ledger(2, &wrong).len(), 1);
        let mut foreign = books();
        foreign.push(LedgerEntry { account: "account-77".to_owned(), ..foreign[0].clone() });
        assert_eq!(trouble_with_ledger(2, &foreign).len(), 1);
    }

    #[test]
    fn a_run_that_ends_otherwise_is_trouble() {
        let run = json!({ "status": "complete", "final_answer": "50", "steps": STEPS });
        assert_eq!(trouble_with_run(1, &run), None);
        for (member, value) in
            [("status", json!("failed")), ("final_answer", json!("51")), ("steps", json!(11))]
        {
            let mut other = run.clone();
            other[member] = value;
            assert!(trouble_with_run(1, &other).is_some(), "{other}");
        }
    }
}
