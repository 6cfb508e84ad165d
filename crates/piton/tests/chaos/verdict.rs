//! Whether a run ended as it should, and whether the whole does: histories, acknowledged commands, the ledger, doctor.

use std::collections::HashMap;

use piton_testkit::{LedgerEntry, ScriptedModel, World, clerk};
use serde_json::Value;

use crate::meddling::{Order, give};
use crate::roster::{Ended, Entrusted, Kind, Tally};
use crate::{Storm, crowd};

/// Statuses that a run rests in.
const OVER: &str = "complete,failed,cancelled,max_steps_reached,quarantined";

/// Judges a run that is open no more. One that waits for more steps is resumed instead.
pub(crate) async fn on_one(storm: &Storm, n: u64) {
    let id = storm.roster.borrow().open.get(&n).and_then(|run| run.id.clone());
    let Some(id) = id else { return };
    let Some(run) = storm.spared.try_get(&format!("/v1/runs/{id}")).await else { return };
    let status = run["status"].as_str().unwrap_or_default().to_owned();
    let kind = storm.roster.borrow().open.get(&n).map(|run| run.kind);
    if kind == Some(Kind::Limited) && status == "max_steps_reached" {
        return give(storm, &storm.spared, n, Order::Resume).await;
    }
    // Launched or resumed since the list was read.
    if !OVER.split(',').any(|over| over == status) {
        return;
    }
    let Some(events) = storm.spared.try_events(&id).await else { return };
    let Some(entrusted) = storm.roster.borrow_mut().open.remove(&n) else { return };
    let mut trouble = clerk::trouble_with_events(n, &events);
    trouble.extend(trouble_with_end(&entrusted, &run));
    trouble.extend(trouble_with_commands(&entrusted, &events));
    for what in trouble {
        storm.trouble(format!("{what}\nrun {id}, {entrusted:?}{}", history(&events)));
    }
    let version = run["version"].as_u64().unwrap_or_default();
    let ended = Ended { n, kind: entrusted.kind, status, version };
    storm.roster.borrow_mut().ended.insert(id, ended);
}

/// The events, one a line, long ones cut.
fn history(events: &[Value]) -> String {
    let line = |event: &Value| {
        let data: String = event["data"].to_string().chars().take(300).collect();
        format!("\n  {} {} {} {data}", event["id"], event["at"], event["type"])
    };
    events.iter().map(line).collect()
}

fn trouble_with_end(entrusted: &Entrusted, run: &Value) -> Option<String> {
    let (n, status) = (entrusted.n, run["status"].as_str().unwrap_or_default());
    let expected = |wanted: &str| {
        let wrong = status != wanted;
        wrong.then(|| format!("run {n} should be {wanted}: {run:#}"))
    };
    let cancels = entrusted.cancels;
    if cancels.acknowledged > 0 || (status == "cancelled" && cancels.unanswered > 0) {
        return expected("cancelled");
    }
    match entrusted.kind {
        Kind::Clerk | Kind::Flaky | Kind::Limited => clerk::trouble_with_run(n, run),
        Kind::Asker if run["final_answer"] == crowd::answer_of(n) => expected("complete"),
        Kind::Asker => Some(format!("run {n} has another answer than was given: {run:#}")),
        Kind::Doomed => expected("failed"),
        Kind::Poison => expected("quarantined"),
    }
}

/// What was acknowledged is in the history, and nothing that nobody commanded.
fn trouble_with_commands(entrusted: &Entrusted, events: &[Value]) -> Vec<String> {
    let mut rests = false;
    // A run that is paused when an outcome becomes unknown is paused again by the decision: that is no new command.
    let mut commanded = |event: &&Value| match event["type"].as_str() {
        Some("paused") => !std::mem::replace(&mut rests, true),
        Some("resumed") => {
            rests = false;
            true
        }
        _ => true,
    };
    let events: Vec<&Value> = events.iter().filter(&mut commanded).collect();
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let check = |what: &str, kind: &str, tally: Tally| {
        let (found, known) = (count(kind), tally.acknowledged);
        let right = (known..=known + tally.unanswered).contains(&found);
        (!right).then(|| format!("run {}: {found} {what} in its history, {tally:?}", entrusted.n))
    };
    let checks = [
        check("pauses", "paused", entrusted.pauses),
        check("resumes", "resumed", entrusted.resumes),
        check("cancels", "cancel_requested", entrusted.cancels),
    ];
    checks.into_iter().flatten().collect()
}

/// When all runs have ended: the ledger, every version as it was judged, the model's record, doctor.
pub(crate) async fn on_everything(storm: &Storm, world: &World, model: &ScriptedModel) {
    trouble_with_ledger(storm, &storm.ledger.entries().await)
        .into_iter()
        .for_each(|what| storm.trouble(what));
    let runs = storm.spared.try_runs(OVER).await.expect("the spared server answers");
    if runs.len() as u64 != storm.roster.borrow().entrusted() {
        let entrusted = storm.roster.borrow().entrusted();
        storm.trouble(format!("{} runs are there of {entrusted} that were launched", runs.len()));
    }
    for run in &runs {
        if let Some(what) = trouble_with_what_came_after(storm, run).await {
            storm.trouble(what);
        }
    }
    let violations = model.violations();
    if !violations.is_empty() {
        storm.trouble(format!("a strict provider would have refused: {violations:#?}"));
    }
    if let Err(said) = world.doctor_finds_nothing().await {
        storm.trouble(said);
    }
}

/// A run that has ended stays as it was judged. Only what was on its way when a run was cancelled is still recorded.
async fn trouble_with_what_came_after(storm: &Storm, run: &Value) -> Option<String> {
    const FACTS: [&str; 4] = ["model_replied", "tool_returned", "tool_failed", "outcome_unknown"];
    let id = run["id"].as_str().unwrap_or_default();
    let judged = storm.roster.borrow().ended.get(id).map(|ended| (ended.status.clone(), ended.version));
    let Some((status, version)) = judged else { return Some(format!("nobody entrusted this: {run:#}")) };
    if run["status"] == status && run["version"] == version {
        return None;
    }
    let events = storm.spared.try_events(id).await.unwrap_or_default();
    let mut after = events.iter().skip(usize::try_from(version).unwrap_or_default());
    let facts = after.all(|event| FACTS.iter().any(|fact| event["type"] == *fact));
    let right = run["status"] == "cancelled" && status == "cancelled" && facts;
    (!right).then(|| format!("changed after its end as {status}, at {version}: {run:#}{}", history(&events)))
}

/// A line is never booked twice; each line of a run that is complete is booked.
fn trouble_with_ledger(storm: &Storm, entries: &[LedgerEntry]) -> Vec<String> {
    let mut by_line: HashMap<(&str, u64), Vec<&LedgerEntry>> = HashMap::new();
    for entry in entries {
        by_line.entry((&entry.account, entry.line)).or_default().push(entry);
    }
    let mut trouble: Vec<String> = by_line
        .values()
        .filter(|booked| booked.len() > 1)
        .map(|booked| format!("booked more than once: {booked:?}"))
        .collect();
    let roster = storm.roster.borrow();
    let books = |kind| matches!(kind, Kind::Clerk | Kind::Flaky | Kind::Limited);
    for ended in roster.ended.values().filter(|ended| books(ended.kind) && ended.status == "complete") {
        let account = clerk::account(ended.n);
        let missing = (1..=clerk::LINES).filter(|line| !by_line.contains_key(&(account.as_str(), *line)));
        trouble.extend(missing.map(|line| format!("line {line} of {account} is not booked")));
    }
    trouble
}
