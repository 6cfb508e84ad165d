//! Runs as stories: what is owed after each event, what is refused, and what the model is shown.

mod common;

use common::{EPOCH, World, run_id};
use expect_test::{Expect, expect};
use piton_core::{
    CallId, Command, Decision, Epoch, Event, Next, Refusal, ReplyNote, Run, Status, merge, next,
};
use serde_json::json;

fn check(world: &World, kinds: &Expect, context: &Expect) {
    kinds.assert_eq(&world.kinds());
    context.assert_eq(&world.context_json());
}

#[test]
fn two_tool_turns_and_an_answer_are_four_steps() {
    let mut world = World::launched(10);
    assert_eq!(world.settle(EPOCH), Next::CallModel);
    assert!(matches!(world.reply(None, &[("c1", "sum", r#"{"a":1}"#)]), Next::CallTool(_)));
    assert_eq!(world.returned(json!(1)), Next::CallModel);
    world.reply(None, &[("c2", "sum", r#"{"a":2}"#)]);
    world.returned(json!(2.5));
    assert_eq!(world.reply(None, &[("c3", "final_answer", r#"{"answer":"done"}"#)]), Next::Rest);
    assert_eq!((world.run.steps, world.run.status), (4, Status::Complete));
    check(
        &world,
        &expect!["launched model_replied tool_returned model_replied tool_returned model_replied completed"],
        &expect![[r#"
            {"role":"user","content":"do it"}
            {"type":"function_call","name":"sum","arguments":"{\"a\":1}","call_id":"c1"}
            {"type":"function_call_output","call_id":"c1","output":"{\"result\":1}"}
            {"type":"function_call","name":"sum","arguments":"{\"a\":2}","call_id":"c2"}
            {"type":"function_call_output","call_id":"c2","output":"{\"result\":2.5}"}
            {"type":"function_call","name":"final_answer","arguments":"{\"answer\":\"done\"}","call_id":"c3"}"#]],
    );
}

#[test]
fn a_question_is_a_step_and_calls_behind_it_stay_pending() {
    let mut world = World::launched(10);
    let asked = world.reply(None, &[("q", "ask_human", r#"{"question":"how many?"}"#), ("s", "sum", "{}")]);
    assert_eq!(asked, Next::Rest);
    assert_eq!(
        (world.run.status, world.run.steps, world.run.pending.len()),
        (Status::WaitingHumanInput, 2, 2)
    );
    assert_eq!(world.command(&Command::Resume), Err(Refusal::WaitsForAnswer));
    let other = CallId::derive(run_id(), 9, 9);
    let late = Command::Answer { question: Some(other), answer: "5".to_owned() };
    assert!(matches!(world.command(&late), Err(Refusal::OtherQuestion { .. })));
    world.command(&Command::Answer { question: None, answer: "5".to_owned() }).expect("answered");
    assert!(matches!(world.settle(EPOCH), Next::CallTool(call) if call.name == "sum"));
    let again = Command::Answer { question: None, answer: "6".to_owned() };
    assert_eq!(world.command(&again), Err(Refusal::NotWaiting { status: Status::Running }));
    check(
        &world,
        &expect!["launched model_replied human_asked human_answered"],
        &expect![[r#"
            {"role":"user","content":"do it"}
            {"type":"function_call","name":"ask_human","arguments":"{\"question\":\"how many?\"}","call_id":"q"}
            {"type":"function_call_output","call_id":"q","output":"{\"answer\":\"5\"}"}"#]],
    );
}

#[test]
fn the_limit_holds_back_even_a_final_answer_and_a_resume_grants_ten() {
    let mut world = World::launched(1);
    world.reply(None, &[("c", "final_answer", r#"{"answer":"x"}"#)]);
    assert_eq!((world.run.status, world.run.steps), (Status::MaxStepsReached, 1));
    world.command(&Command::Resume).expect("resumed");
    assert_eq!(world.run.max_steps, 11);
    world.settle(EPOCH);
    assert_eq!((world.run.status, world.run.steps), (Status::Complete, 2));
}

#[test]
fn text_is_nudged_once_and_then_taken_as_the_answer() {
    let mut world = World::launched(10);
    assert_eq!(world.reply(Some("It is 4."), &[]), Next::CallModel);
    world.reply(Some("It is 4, I said."), &[]);
    assert_eq!(world.run.final_answer.as_deref(), Some("It is 4, I said."));
    assert_eq!(world.run.steps, 2);
    check(
        &world,
        &expect!["launched model_replied model_replied completed"],
        &expect![[r#"
            {"role":"user","content":"do it"}
            {"role":"assistant","content":"It is 4."}
            {"role":"user","content":"That was text, not a tool call. Go on by calling one of your tools; when you are done, call final_answer with the answer."}
            {"role":"assistant","content":"It is 4, I said."}
            {"role":"user","content":"That was text, not a tool call. Go on by calling one of your tools; when you are done, call final_answer with the answer."}"#]],
    );
}

#[test]
fn three_empty_replies_fail_the_run_and_a_resume_counts_anew() {
    let mut world = World::launched(10);
    assert_eq!(world.reply(None, &[]), Next::CallModel);
    assert_eq!(world.reply(Some("  "), &[]), Next::CallModel);
    assert_eq!(world.reply(None, &[]), Next::Rest);
    assert_eq!(world.run.error.as_deref(), Some("the model gave 3 empty replies in a row"));
    world.command(&Command::Resume).expect("resumed");
    assert_eq!(world.settle(EPOCH), Next::CallModel);
    assert_eq!(world.run.error, None);
}

#[test]
fn an_unknown_tool_and_bad_arguments_are_errors_the_model_sees() {
    let mut world = World::launched(10);
    let replied = world
        .reply(None, &[("a", "fly", "{}"), ("b", "ask_human", "not json"), ("c", "final_answer", "{\"ans")]);
    assert_eq!(replied, Next::CallModel);
    let Event::ModelReplied { notes, .. } = &world.events[1] else { panic!("a reply") };
    assert_eq!(notes, &[ReplyNote::BadArguments]);
    check(
        &world,
        &expect!["launched model_replied tool_failed tool_failed tool_failed"],
        &expect![[r#"
            {"role":"user","content":"do it"}
            {"type":"function_call","name":"fly","arguments":"{}","call_id":"a"}
            {"type":"function_call_output","call_id":"a","output":"{\"result\":\"Error: Tool fly not found\"}"}
            {"type":"function_call","name":"ask_human","arguments":"{}","call_id":"b"}
            {"type":"function_call_output","call_id":"b","output":"{\"result\":\"Error: the arguments of ask_human are not a JSON object such as {\\\"question\\\": \\\"…\\\"}\"}"}
            {"type":"function_call","name":"final_answer","arguments":"{}","call_id":"c"}
            {"type":"function_call_output","call_id":"c","output":"{\"result\":\"Error: the arguments of final_answer are not a JSON object such as {\\\"answer\\\": \\\"…\\\"}\"}"}"#]],
    );
}

#[test]
fn call_ids_are_unique_whatever_the_model_repeats() {
    let mut world = World::launched(10);
    world.reply(None, &[("c", "sum", "{}"), ("c", "sum", "{}"), ("", "sum", "{}")]);
    for n in 0..3 {
        world.returned(json!(n));
    }
    world.reply(None, &[("c", "sum", "{}"), ("with space", "sum", "{}"), (&"x".repeat(65), "sum", "{}")]);
    let mut ids: Vec<String> = world.run.pending.iter().map(|pending| pending.call.call_id.clone()).collect();
    ids.extend(world.context.items().iter().filter_map(|item| match item {
        piton_core::Item::Call { call_id, .. } => Some(call_id.clone()),
        _ => None,
    }));
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((count, ids.len()), (6, 6));
}

#[test]
fn a_pause_derives_nothing_and_keeps_the_reply_that_was_on_its_way() {
    let mut world = World::launched(10);
    world.command(&Command::Pause).expect("paused");
    assert_eq!(world.reply(None, &[("c", "final_answer", r#"{"answer":"x"}"#)]), Next::Rest);
    assert_eq!((world.run.status, world.run.pending.len()), (Status::Paused, 1));
    assert!(matches!(world.command(&Command::Pause), Err(Refusal::NotInStatus { .. })));
    world.command(&Command::Resume).expect("resumed");
    world.settle(EPOCH);
    assert_eq!(world.run.status, Status::Complete);
    assert!(matches!(world.command(&Command::Resume), Err(Refusal::NotInStatus { .. })));
    assert!(matches!(world.command(&Command::Cancel), Err(Refusal::NotInStatus { .. })));
}

#[test]
fn a_call_that_another_epoch_began_is_never_begun_again_by_itself() {
    let mut world = World::launched(10);
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(Epoch(1));
    assert_eq!(next(&world.run, Epoch(1)), Next::Rest, "our own: its result is on its way");
    assert_eq!(world.settle(Epoch(2)), Next::Rest);
    assert_eq!(world.run.status, Status::Undecided);
    let question = world.run.interrupt.as_ref().expect("a question").id();
    let answer = Command::Answer { question: Some(question), answer: "yes".to_owned() };
    assert_eq!(world.command(&answer), Err(Refusal::OtherKind { wanted: "a decision" }));
    assert!(matches!(world.command(&Command::Resume), Err(Refusal::NotInStatus { .. })));
    let again = Command::Decide { question, decision: Decision::DidNotHappen };
    let mut not = world.clone();
    not.command(&again).expect("decided");
    assert!(matches!(not.settle(Epoch(3)), Next::CallTool(call) if call.name == "pay"));
    let happened = Command::Decide { question, decision: Decision::Happened { result: json!("r-1") } };
    world.command(&happened).expect("decided");
    assert_eq!(world.settle(Epoch(3)), Next::CallModel);
    assert!(
        world
            .context_json()
            .ends_with(r#"{"type":"function_call_output","call_id":"p","output":"{\"result\":\"r-1\"}"}"#)
    );
}

#[test]
fn a_cancel_waits_for_an_open_call() {
    let mut world = World::launched(10);
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(EPOCH);
    world.command(&Command::Cancel).expect("accepted");
    assert_eq!(world.run.status, Status::Cancelling);
    let mut lost = world.clone();
    lost.settle(Epoch(2));
    assert_eq!(lost.run.status, Status::Undecided, "the unknown outcome lies in the inbox");
    let question = lost.run.interrupt.as_ref().expect("a question").id();
    lost.command(&Command::Decide { question, decision: Decision::Happened { result: json!(1) } })
        .expect("decided");
    assert_eq!(lost.run.status, Status::Cancelled);
    world.returned(json!("paid"));
    assert_eq!(world.run.status, Status::Cancelled);
}

#[test]
fn a_result_that_comes_after_its_call_was_declared_unknown_is_recorded() {
    let mut world = World::launched(10);
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(Epoch(1));
    world.settle(Epoch(2));
    assert_eq!(world.returned(json!("paid after all")), Next::CallModel);
    assert_eq!(world.run.interrupt, None);
}

#[test]
fn facts_are_merged_and_decisions_derived_anew() {
    let mut mine = World::launched(10);
    let mut newer = mine.clone();
    mine.reply(None, &[("c", "final_answer", r#"{"answer":"x"}"#)]);
    assert_eq!(mine.run.status, Status::Complete);
    newer.command(&Command::Pause).expect("paused");
    let (run, events) = merge(newer.run.clone(), &mine.events[1..], EPOCH).expect("merged");
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["model_replied"]);
    assert_eq!((run.status, run.pending.len()), (Status::Paused, 1));
    newer.command(&Command::Cancel).expect("cancelled");
    let (run, events) = merge(newer.run, &mine.events[1..], EPOCH).expect("merged");
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["model_replied"]);
    assert_eq!(run.status, Status::Cancelled);
}

#[test]
fn a_call_that_was_announced_but_paused_before_is_not_begun() {
    let mut mine = World::launched(10);
    mine.reply(None, &[("p", "pay", "{}")]);
    let mut newer = mine.clone();
    mine.started(EPOCH);
    newer.command(&Command::Pause).expect("paused");
    let (run, events) = merge(newer.run, &mine.events[2..], EPOCH).expect("merged");
    assert_eq!((events.len(), run.has_open_call()), (0, false));
}

#[test]
fn a_model_that_could_not_be_asked_fails_the_run_unless_it_was_paused_meanwhile() {
    let mut mine = World::launched(10);
    let mut newer = mine.clone();
    mine.record(Event::ModelFailed { error: "503".to_owned(), tries: 4 });
    mine.settle(EPOCH);
    assert_eq!((mine.run.status, mine.run.error.as_deref()), (Status::Failed, Some("503")));
    newer.command(&Command::Pause).expect("paused");
    let (run, events) = merge(newer.run, &mine.events[1..], EPOCH).expect("merged");
    assert_eq!((events.len(), run.status), (0, Status::Paused));
}

#[test]
fn a_history_begins_with_a_launch_and_is_launched_once() {
    let world = World::launched(10);
    assert!(Run::replay([]).is_err());
    assert!(Run::replay([&Event::Paused]).is_err());
    let error = world.run.clone().apply(&world.events[0]).expect_err("illegal");
    expect!["launched cannot happen to a run that is running at version 1: a run is launched once"]
        .assert_eq(&error.to_string());
}

/// A run whose only call was begun under `EPOCH` and whose outcome became unknown while it was paused: the worker gave
/// the call up at its limit, and the pause had come in between.
fn paused_then_unknown() -> World {
    let mut world = World::launched(10);
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(EPOCH);
    let call = world.run.front().expect("a call").call.id;
    let mine = [Event::OutcomeUnknown { call, reason: "no answer in time".to_owned() }];
    world.command(&Command::Pause).expect("paused");
    let (run, events) = merge(world.run.clone(), &mine, EPOCH).expect("merged");
    assert_eq!((run.status, run.was_paused), (Status::Undecided, true));
    events.into_iter().for_each(|event| world.record(event));
    world
}

fn decide(world: &mut World, decision: Decision) {
    let question = world.run.interrupt.as_ref().expect("a question").id();
    world.command(&Command::Decide { question, decision }).expect("decided");
}

#[test]
fn a_pause_outlives_an_unknown_outcome() {
    for decision in [Decision::DidNotHappen, Decision::Happened { result: json!("r-1") }] {
        let mut world = paused_then_unknown();
        decide(&mut world, decision.clone());
        assert_eq!((world.run.status, world.run.was_paused), (Status::Paused, false));
        assert_eq!(world.settle(Epoch(2)), Next::Rest, "nothing begins before somebody resumes it");
        world.command(&Command::Resume).expect("resumed");
        let owed = world.settle(Epoch(2));
        let again = matches!(&owed, Next::CallTool(call) if call.name == "pay");
        assert_eq!(again, decision == Decision::DidNotHappen, "{owed:?}");
        assert_eq!(Run::replay(&world.events).expect("folds"), world.run);
    }
}

#[test]
fn a_cancel_or_an_abort_takes_the_place_of_a_pause() {
    let mut world = paused_then_unknown();
    decide(&mut world, Decision::Abort);
    assert_eq!((world.run.status, world.run.was_paused), (Status::Cancelled, false));
    let mut world = paused_then_unknown();
    world.command(&Command::Cancel).expect("accepted");
    assert_eq!((world.run.status, world.run.was_paused), (Status::Undecided, false));
    decide(&mut world, Decision::Happened { result: json!("r-1") });
    assert_eq!(world.run.status, Status::Cancelled);
}

#[test]
fn a_result_that_comes_after_all_leaves_the_run_paused() {
    let mut world = paused_then_unknown();
    assert_eq!(world.returned(json!("paid after all")), Next::Rest);
    assert_eq!((world.run.status, world.run.was_paused), (Status::Paused, false));
    assert!(world.kinds().ends_with("paused outcome_unknown tool_returned paused"), "{}", world.kinds());
}

#[test]
fn a_resume_before_the_outcome_becomes_unknown_ends_the_pause() {
    let mut world = World::launched(10);
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(EPOCH);
    world.command(&Command::Pause).expect("paused");
    world.command(&Command::Resume).expect("resumed");
    world.settle(Epoch(2));
    assert_eq!((world.run.status, world.run.was_paused), (Status::Undecided, false));
    decide(&mut world, Decision::DidNotHappen);
    assert_eq!(world.run.status, Status::Running);
}

#[test]
fn a_pause_outlives_a_quarantine() {
    let mut world = World::launched(10);
    world.command(&Command::Pause).expect("paused");
    world.record(Event::Quarantined { reason: "three deaths".to_owned() });
    world.command(&Command::Release).expect("released");
    assert_eq!((world.run.status, world.run.was_paused), (Status::Paused, false));
    world.command(&Command::Resume).expect("resumed");
    world.record(Event::Quarantined { reason: "three deaths".to_owned() });
    world.command(&Command::Release).expect("released");
    assert_eq!(world.run.status, Status::Running);
}

/// Before reducer 3 a decision let such a run go on: what was written then still folds.
#[test]
fn a_history_in_which_the_pause_was_forgotten_folds_as_it_did() {
    let mut world = paused_then_unknown();
    let mut stored = serde_json::to_value(&world.run).expect("json");
    stored.as_object_mut().expect("an object").remove("was_paused");
    stored["interrupt"].as_object_mut().expect("an object").remove("asked");
    let older: Run = serde_json::from_value(stored).expect("a run");
    assert!(older.is_fold(&world.run, 2) && !older.is_fold(&world.run, 3));
    assert!(!Run { interrupt: None, ..older }.is_fold(&world.run, 2), "what it did remember is compared");
    let call = world.run.front().expect("a call").call.id;
    world.record(Event::OutcomeDecided { call, decision: Decision::DidNotHappen });
    assert_eq!((world.run.status, world.run.was_paused), (Status::Running, false));
    world.started(Epoch(2));
}
