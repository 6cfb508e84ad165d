//! What holds for every history: any prefix folds, a restart in the middle changes nothing, every context is valid,
//! and an event out of place is an error and never a panic.

mod common;

use std::collections::{HashMap, HashSet};

use common::{World, run_id};
use piton_core::{
    CallId, Command, Context, Decision, Epoch, Event, Item, Limits, Next, Run, Status, StuckReason, WorkerId,
    is_fact, merge, next,
};
use proptest::prelude::*;
use serde_json::json;

/// What the world does to a run.
#[derive(Debug, Clone)]
enum Act {
    /// The worker does what is owed; the number picks how that goes.
    Work(u8),
    /// Another worker takes over.
    TakeOver,
    Command(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => any::<u8>().prop_map(Act::Work),
        1 => Just(Act::TakeOver),
        2 => any::<u8>().prop_map(Act::Command),
    ];
    prop::collection::vec(act, 0..60)
}

fn command(run: &Run, pick: u8) -> Command {
    let question = run.interrupt.as_ref().map(piton_core::Interrupt::id);
    let stale = CallId::derive(run_id(), 99, 0);
    match pick % 9 {
        0 => Command::Pause,
        1 => Command::Resume,
        2 => Command::Cancel,
        3 => Command::Answer { question, answer: "5".to_owned() },
        4 => Command::Answer { question: Some(stale), answer: "late".to_owned() },
        5 => Command::Decide { question: question.unwrap_or(stale), decision: Decision::DidNotHappen },
        6 => Command::Decide {
            question: question.unwrap_or(stale),
            decision: Decision::Happened { result: json!("so") },
        },
        7 => Command::Decide { question: question.unwrap_or(stale), decision: Decision::Abort },
        _ => Command::Release,
    }
}

fn work(world: &mut World, epoch: Epoch, pick: u8) {
    match next(&world.run, epoch) {
        Next::Record(event) => world.record(event),
        Next::CallModel => {
            let calls: &[(&str, &str, &str)] = match pick % 8 {
                0 => &[("c", "sum", "{}"), ("d", "sum", "{}")],
                1 => &[("c", "sum", "{}"), ("c", "pay", "{}"), ("d", "ask_human", r#"{"question":"?"}"#)],
                2 => &[("p", "pay", "{}")],
                3 => &[("f", "final_answer", r#"{"answer":"x"}"#), ("g", "sum", "{}")],
                4 => &[("m", "missing", "junk")],
                5 => &[("a", "ask_human", r#"{"question":"?"}"#)],
                _ => &[],
            };
            if pick % 16 == 15 {
                world.record(Event::ModelFailed { error: "down".to_owned(), tries: 1 });
            } else {
                world.reply((pick % 8 == 6).then_some("words"), calls);
            }
        }
        Next::CallTool(call) => {
            if call.effect() == Some(piton_core::EffectClass::AtMostOnce) {
                world.started(epoch);
                if pick.is_multiple_of(3) {
                    return;
                }
                if pick.is_multiple_of(5) {
                    world.record(Event::OutcomeUnknown { call: call.id, reason: "too slow".to_owned() });
                    return;
                }
            }
            let (took_ms, attempt, full_bytes) = (0, 1, None);
            let failed =
                Event::ToolFailed { call: call.id, error: "no".to_owned(), took_ms, attempt, full_bytes };
            let result = json!(pick % 2);
            let returned = Event::ToolReturned { call: call.id, result, took_ms, attempt, full_bytes };
            world.record(if pick.is_multiple_of(4) { failed } else { returned });
        }
        Next::Rest => {}
    }
}

/// So that short histories reach them.
const LIMITS: Limits = Limits { tool_errors: 2, repeated_calls: 2, events: 40 };

fn apply(world: &mut World, act: &Act, epoch: &mut u64) {
    match act {
        Act::Work(pick) => work(world, Epoch(*epoch), *pick),
        Act::TakeOver => *epoch += 1,
        Act::Command(pick) => {
            // A refusal is an answer too; it must change nothing.
            let before = world.run.clone();
            let command = command(&world.run, *pick);
            if world.command(&command).is_err() {
                assert_eq!(before, world.run);
            }
        }
    }
}

fn play(acts: &[Act]) -> World {
    play_within(LIMITS, acts)
}

fn play_within(limits: Limits, acts: &[Act]) -> World {
    let mut world = World::limited(8, limits);
    let mut epoch = 1;
    for act in acts {
        apply(&mut world, act, &mut epoch);
        let again: Run =
            serde_json::from_str(&serde_json::to_string(&world.run).expect("json")).expect("a run");
        assert_eq!(again, world.run, "a restart changes nothing");
    }
    world
}

fn assert_valid(context: &Context, is_over: bool) {
    let mut open: Option<&str> = None;
    let mut ids = HashSet::new();
    for item in context.items() {
        match item {
            Item::Call { call_id, arguments, .. } => {
                assert_eq!(open, None, "a call before the last one's output");
                assert!(ids.insert(call_id), "a call id twice");
                assert!(
                    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok()
                );
                open = Some(call_id);
            }
            Item::Output { call_id, .. } => {
                assert_eq!(open, Some(call_id.as_str()), "an output without its call");
                open = None;
            }
            Item::Message { .. } => assert_eq!(open, None),
        }
    }
    // Only a question or the final answer stands without an output.
    assert!(open.is_none() || is_over);
}

/// In how many turns in a row calls failed, and in how many the last call came with the same end.
fn streaks(events: &[Event]) -> (u32, u32) {
    let (mut turn, mut asked, mut ends) = (0, HashMap::new(), Vec::new());
    for event in events {
        match event {
            Event::ModelReplied { turn: this, calls, .. } => {
                turn = *this;
                asked.extend(calls.iter().map(|call| (call.id, (&call.name, &call.arguments))));
            }
            Event::Stuck { .. }
            | Event::HumanAnswered { .. }
            | Event::OutcomeDecided { decision: Decision::Happened { .. }, .. } => ends.clear(),
            Event::ToolReturned { call, result, .. } => {
                ends.push((turn, false, format!("{:?} {result}", asked[call])));
            }
            Event::ToolFailed { call, error, .. } => {
                ends.push((turn, true, format!("{:?} failed: {error}", asked[call])));
            }
            _ => {}
        }
    }
    let turns = |is_like: &dyn Fn(bool, &String) -> bool| {
        let streak = ends.iter().rev().take_while(|(_, failed, what)| is_like(*failed, what));
        u32::try_from(streak.map(|end| end.0).collect::<HashSet<_>>().len()).expect("few")
    };
    (turns(&|failed, _| failed), turns(&|_, what| ends.last().is_some_and(|last| last.2 == *what)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_prefix_of_any_history_folds_to_the_same_run(acts in acts()) {
        let world = play(&acts);
        let mut run = Run::begin(&world.events[0]).expect("a launch");
        for (event, length) in world.events[1..].iter().zip(2..) {
            run = run.apply(event).expect("legal");
            let replayed = Run::replay(&world.events[..length]).expect("folds");
            prop_assert_eq!(&replayed, &run);
            prop_assert_eq!(run.version, length as u64);
        }
        prop_assert_eq!(&run, &world.run);
    }

    #[test]
    fn no_history_outgrows_its_limit_by_more_than_what_was_under_way(acts in acts()) {
        let world = play_within(Limits { events: 10, ..LIMITS }, &acts);
        prop_assert!(world.run.version <= 10 + 8, "{}", world.kinds());
    }

    /// Counted once more, in the simplest way: a human is asked in the model's place when a limit is reached, and never else.
    #[test]
    fn a_human_is_asked_when_a_limit_is_reached_and_never_else(acts in acts()) {
        let world = play(&acts);
        let mut run = Run::begin(&world.events[0]).expect("a launch");
        for (event, place) in world.events[1..].iter().zip(1..) {
            let (errors, repeats) = streaks(&world.events[..place]);
            let limit = if errors >= LIMITS.tool_errors {
                Some((StuckReason::ToolErrors, errors))
            } else {
                (repeats >= LIMITS.repeated_calls).then_some((StuckReason::RepeatedCall, repeats))
            };
            match (event, limit) {
                (Event::Stuck { reason, times, .. }, limit) => prop_assert_eq!(Some((*reason, *times)), limit),
                (_, Some(_)) => prop_assert!(next(&run, Epoch(1)) != Next::CallModel),
                (_, None) => {}
            }
            run = run.apply(event).expect("legal");
        }
    }

    #[test]
    fn every_context_is_one_that_a_provider_takes(acts in acts()) {
        let world = play(&acts);
        let waits = matches!(world.run.status, Status::WaitingHumanInput | Status::Complete | Status::Cancelled | Status::Cancelling);
        assert_valid(&world.context, waits);
        prop_assert_eq!(world.context.through_seq(), world.run.version);
    }

    #[test]
    fn events_survive_being_written_and_read(acts in acts()) {
        for event in &play(&acts).events {
            let read = Event::decode(event.kind(), piton_core::FORMAT, &event.encode().expect("json")).expect("reads");
            prop_assert_eq!(&read, event);
        }
    }

    #[test]
    fn an_event_out_of_place_is_an_error_and_never_a_panic(acts in acts(), other in acts(), place in any::<usize>()) {
        let world = play(&acts);
        let foreign = play(&other);
        let event = &foreign.events[place % foreign.events.len()];
        if let Ok(run) = world.run.clone().apply(event) {
            prop_assert_eq!(run.version, world.run.version + 1);
        }
    }

    /// Two folds of the same step: a command slips in before the step's facts are committed.
    #[test]
    fn facts_merge_onto_whatever_was_commanded(acts in acts(), picks in prop::collection::vec(any::<u8>(), 1..4), commands in prop::collection::vec(any::<u8>(), 1..3)) {
        let base = play(&acts);
        let epoch = Epoch(1_000);
        let mut mine = base.clone();
        for pick in picks {
            // One that began an at_most_once call committed its announcement: no command slips in before that.
            if matches!(next(&mine.run, epoch), Next::CallTool(call) if call.effect() == Some(piton_core::EffectClass::AtMostOnce)) {
                break;
            }
            work(&mut mine, epoch, pick);
        }
        let mut newer = base.clone();
        for pick in commands {
            let command = command(&newer.run, pick);
            let _ = newer.command(&command);
        }
        // Commands to a run that rests wake it under another epoch: then the step is fenced, not merged.
        if base.run.status.is_runnable() {
            let facts = &mine.events[base.events.len()..];
            let (run, events) = merge(newer.run.clone(), facts, epoch).expect("facts are legal");
            let again = events.iter().try_fold(newer.run, |run, event| run.apply(event)).expect("legal");
            prop_assert_eq!(&again, &run);
            let kept = events.iter().filter(|event| matches!(event, Event::ModelReplied { .. })).count();
            let made = facts.iter().filter(|event| matches!(event, Event::ModelReplied { .. })).count();
            prop_assert_eq!(kept, made, "a reply is never lost");
            prop_assert!(facts.iter().filter(|event| is_fact(event)).count() >= kept);
        }
    }

    /// From an accepted pause until somebody resumes or cancels, whatever became unknown or known meanwhile.
    #[test]
    fn an_accepted_pause_is_not_lost(acts in acts(), facts in any::<bool>(), more in acts()) {
        let mut world = play(&acts);
        let epoch = Epoch(1_000);
        let base = world.clone();
        if world.command(&Command::Pause).is_ok() && facts && let Next::Record(fact) = next(&base.run, epoch) {
            let (_, events) = merge(world.run.clone(), &[fact], epoch).expect("merged");
            events.into_iter().for_each(|event| world.record(event));
        }
        for act in &more {
            apply(&mut world, act, &mut 2_000);
            let said = world.events.iter().rev().find(|event| {
                matches!(event, Event::Paused | Event::Resumed { .. } | Event::CancelRequested)
            });
            let aborted = matches!(world.run.status, Status::Cancelled);
            if matches!(said, Some(Event::Paused)) && !aborted {
                let rests = world.run.status == Status::Paused;
                prop_assert!(rests || (world.run.was_paused && world.run.status == Status::Undecided), "{}", world.kinds());
            } else {
                prop_assert!(!world.run.was_paused, "{}", world.kinds());
            }
        }
    }
}

#[test]
fn a_worker_id_is_shown_as_it_is() {
    assert_eq!(WorkerId::new("w-1").to_string(), "w-1");
}
