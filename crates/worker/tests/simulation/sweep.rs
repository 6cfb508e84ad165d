//! Every call of a scripted run, each in its turn, is the one at which something happens: not a sample, all of them.

use piton_core::{Decision, Event, Status};
use piton_store::RunRow;

use crate::client;
use crate::process::Terms;
use crate::seeds::{number, say};
use crate::story::{Planned, Story, Turn};
use crate::universe::{Intervention, Order, What, When};
use crate::weather::Weather;
use crate::world::{Outcome, Setting, play};

/// A calm world with these stories.
pub(crate) fn calm(stories: Vec<(Story, Vec<client::Planned>)>, interventions: Vec<Intervention>) -> Setting {
    Setting {
        seed: 1,
        stories,
        workers: 2,
        terms: Terms { concurrency: 2, lease_ms: 600, step_timeout_ms: 30_000 },
        has_locks: true,
        clients: 1,
        weather: Weather { think_ms: 30, ..Weather::calm() },
        storm_ms: 30_000,
        tick_ms: (10, 10),
        interventions,
        events: Vec::new(),
        mutant: None,
        worker_mutant: None,
        keep_lines: false,
    }
}

/// Each effect class, a question, outcomes that a human decides either way, a limit with a resume, a pause; and a second
/// run that is cancelled.
fn everything(interventions: Vec<Intervention>) -> Setting {
    let long = vec![
        Turn::Calls(vec![Planned::tool("read", 1), Planned::tool("put", 2), Planned::tool("pay", 3)]),
        Turn::Calls(vec![Planned::ask(4), Planned::tool("pay", 5).unknown_at_first(false)]),
        Turn::Calls(vec![Planned::tool("pay", 6).unknown_at_first(true), Planned::tool("nothing", 7)]),
        Turn::Calls(vec![Planned::answer("story 0 is told")]),
    ];
    let paused =
        client::Planned { when: |row: &RunRow| row.run.status == Status::Running, order: Order::Pause };
    let cancelled = client::Planned {
        when: |row: &RunRow| row.run.status == Status::WaitingHumanInput,
        order: Order::Cancel,
    };
    let short = vec![
        Turn::Calls(vec![Planned::tool("put", 1), Planned::ask(2), Planned::tool("pay", 3)]),
        Turn::Calls(vec![Planned::answer("story 1 is told")]),
    ];
    calm(
        vec![(Story::new(1, 0, long, 2), vec![paused]), (Story::new(1, 1, short, 10), vec![cancelled])],
        interventions,
    )
}

/// What a history comes to, wherever its workers were killed: a call whose outcome a human told is a call that ended so,
/// and when somebody paused it, or how often it was tried, is no part of it.
fn gist(history: &[Event]) -> Vec<String> {
    let told = history.iter().filter_map(|event| match event {
        Event::ModelReplied { turn, calls, .. } => {
            Some(format!("turn {turn} asks for {} calls", calls.len()))
        }
        Event::ToolReturned { call, result, .. }
        | Event::OutcomeDecided { call, decision: Decision::Happened { result } } => {
            Some(format!("{call}: {result}"))
        }
        Event::ToolFailed { call, error, .. } => Some(format!("{call}: {error}")),
        Event::HumanAsked { question, .. } => Some(question.clone()),
        Event::HumanAnswered { answer, .. } => Some(answer.clone()),
        Event::Completed { answer } => Some(answer.clone()),
        Event::LimitReached | Event::CancelRequested | Event::Cancelled | Event::Failed { .. } => {
            Some(event.kind().to_owned())
        }
        _ => None,
    });
    told.collect()
}

fn gists(outcome: &Outcome) -> Vec<Vec<String>> {
    outcome.histories.iter().map(|history| gist(history)).collect()
}

/// Plays a world in which nothing may go wrong.
pub(crate) fn right(setting: Setting, what: &str) -> Outcome {
    let again = setting.clone();
    let outcome = play(setting);
    if let Some(wrong) = &outcome.wrong {
        let told = play(Setting { keep_lines: true, ..again });
        told.lines.iter().for_each(|line| say(line));
        panic!("{what}: {wrong}");
    }
    outcome
}

/// Plays the whole script once for each of its calls, and holds what comes of it against the undisturbed course.
fn at_every_call(of: fn(Vec<Intervention>) -> Setting, what: &What, whens: &[When]) -> u64 {
    let undisturbed = right(of(Vec::new()), "undisturbed");
    for at in 1..=undisturbed.crossings {
        for when in whens {
            let what = what.clone();
            let named = format!("{what:?} {when:?} call {at}");
            let outcome = right(of(vec![Intervention { at, when: *when, what }]), &named);
            assert_eq!(gists(&outcome), gists(&undisturbed), "{named}");
        }
    }
    undisturbed.crossings
}

#[test]
fn the_script_has_everything_in_it() {
    let outcome = right(everything(Vec::new()), "undisturbed");
    let kinds: Vec<Vec<&str>> =
        outcome.histories.iter().map(|history| history.iter().map(Event::kind).collect()).collect();
    let everything = [
        "launched",
        "paused",
        "model_replied",
        "resumed",
        "tool_returned",
        "tool_returned",
        "tool_started",
        "tool_returned",
        "model_replied",
        "limit_reached",
        "resumed",
        "human_asked",
        "human_answered",
        "tool_started",
        "outcome_unknown",
        "outcome_decided",
        "tool_started",
        "tool_returned",
        "model_replied",
        "tool_started",
        "outcome_unknown",
        "outcome_decided",
        "tool_failed",
        "model_replied",
        "completed",
    ];
    let cancelled =
        ["launched", "model_replied", "tool_returned", "human_asked", "cancel_requested", "cancelled"];
    assert_eq!(kinds, [everything.to_vec(), cancelled.to_vec()]);
}

#[test]
fn a_crash_before_or_after_any_call_leaves_the_same_history() {
    let calls = at_every_call(everything, &What::Crash, &[When::Before, When::After]);
    say(&format!("a crash before and after each of {calls} calls: {} worlds", calls * 2));
}

#[test]
fn any_call_to_the_store_may_fail() {
    let calls = at_every_call(everything, &What::Fail, &[When::Before]);
    say(&format!("a failure at each of {calls} calls"));
}

/// As while a disk is in trouble for a moment.
#[test]
fn any_few_calls_in_a_row_may_fail() {
    let undisturbed = right(everything(Vec::new()), "undisturbed");
    for at in 1..=undisturbed.crossings {
        for row in 2..=4 {
            let fail = |at| Intervention { at, when: When::Before, what: What::Fail };
            let named = format!("{row} failures from call {at} on");
            let outcome = right(everything((at..at + row).map(fail).collect()), &named);
            assert_eq!(gists(&outcome), gists(&undisturbed), "{named}");
        }
    }
    say(&format!("2, 3 and 4 failures from each of {} calls on", undisturbed.crossings));
}

#[test]
fn any_acknowledgement_may_be_lost() {
    let calls = at_every_call(everything, &What::LoseAcknowledgement, &[When::Before]);
    say(&format!("a lost acknowledgement at each of {calls} calls"));
}

/// A run with a call of each effect class, a question and an unknown outcome: what there is to command.
fn commanded(interventions: Vec<Intervention>) -> Setting {
    let turns = vec![
        Turn::Calls(vec![
            Planned::tool("read", 1),
            Planned::tool("pay", 2).unknown_at_first(true),
            Planned::ask(3),
            Planned::tool("pay", 4),
        ]),
        Turn::Calls(vec![Planned::tool("put", 5), Planned::answer("story 0 is told")]),
    ];
    calm(vec![(Story::new(1, 0, turns, 10), Vec::new())], interventions)
}

const ORDERS: [Order; 5] = [Order::Pause, Order::Resume, Order::Cancel, Order::Answer, Order::Decide];

#[test]
fn any_command_and_any_two_may_come_before_or_after_any_call() {
    let run = commanded(Vec::new()).stories[0].0.run;
    let calls = right(commanded(Vec::new()), "undisturbed").crossings;
    let alone = ORDERS.iter().map(|order| vec![*order]);
    let pairs = ORDERS.iter().flat_map(|first| ORDERS.iter().map(|second| vec![*first, *second]));
    let orders: Vec<Vec<Order>> = alone.chain(pairs).collect();
    let mut worlds = 0;
    for at in 1..=calls {
        for when in [When::Before, When::After] {
            for orders in &orders {
                let named = format!("{orders:?} {when:?} call {at}");
                let what = What::Command(run, orders.clone());
                right(commanded(vec![Intervention { at, when, what }]), &named);
                worlds += 1;
            }
        }
    }
    say(&format!("{} commands and pairs at {calls} calls: {worlds} worlds", orders.len()));
}

/// The same with the second command later than the first: many more worlds, so by `PITON_LONG=1` only.
#[test]
fn any_two_commands_may_come_at_any_two_calls() {
    let stride = if number("PITON_LONG").is_some() { 1 } else { 7 };
    let run = commanded(Vec::new()).stories[0].0.run;
    let calls = right(commanded(Vec::new()), "undisturbed").crossings;
    let mut worlds = 0;
    let mut turn = 0;
    for first_at in 1..=calls {
        for second_at in first_at + 1..=calls {
            for first in ORDERS {
                for second in ORDERS {
                    turn += 1;
                    if turn % stride != 0 {
                        continue;
                    }
                    let order = |at, order| Intervention {
                        at,
                        when: When::After,
                        what: What::Command(run, vec![order]),
                    };
                    let named = format!("{first:?} after call {first_at}, {second:?} after call {second_at}");
                    right(commanded(vec![order(first_at, first), order(second_at, second)]), &named);
                    worlds += 1;
                }
            }
        }
    }
    say(&format!("pairs of commands at pairs of {calls} calls, one in {stride}: {worlds} worlds"));
}
