//! Runs that go round in circles: when a human is asked, what they are told, and how it goes on from there. And runs
//! whose history grows too long.

mod common;

use common::{EPOCH, World};
use expect_test::expect;
use piton_core::{
    Command, Decision, EVENTS_MAX, Epoch, Event, Interrupt, Limits, Next, REDUCER, Refusal, Run, Status,
    StuckReason, merge, next,
};
use serde_json::{Value, json};

/// One more turn with one failing call.
fn fail(world: &mut World, turn: usize) -> Next {
    world.reply(None, &[(&format!("c{turn}"), "sum", &format!("{{\"a\":{turn}}}"))]);
    world.failed("no such number")
}

/// One more turn with one call and its result.
fn call(world: &mut World, turn: usize, arguments: &str, result: Value) -> Next {
    world.reply(None, &[(&format!("c{turn}"), "sum", arguments)]);
    world.returned(result)
}

fn question(world: &World) -> &str {
    let Some(Interrupt::Question { question, .. }) = &world.run.interrupt else { panic!("a question") };
    question
}

fn answer(world: &mut World, answer: &str) -> Next {
    world.command(&Command::Answer { question: None, answer: answer.to_owned() }).expect("answered");
    world.settle(EPOCH)
}

/// The reasons for which this run asked by itself.
fn asked_for(world: &World) -> Vec<(StuckReason, u32)> {
    let stuck = world.events.iter().filter_map(|event| match event {
        Event::Stuck { reason, times, .. } => Some((*reason, *times)),
        _ => None,
    });
    stuck.collect()
}

#[test]
fn the_fourth_error_in_a_row_asks_a_human_and_the_third_does_not() {
    let mut world = World::launched(10);
    for turn in 1..=3 {
        assert_eq!(fail(&mut world, turn), Next::CallModel, "error {turn} is still the model's");
    }
    assert_eq!(fail(&mut world, 4), Next::Rest);
    assert_eq!((world.run.status, world.run.steps), (Status::WaitingHumanInput, 5));
    expect![[r#"
        This run seems to be stuck: tool calls failed 4 times in a row. The last one was sum with the arguments {"a":4}.
        Its error: no such number
        What should be done differently? Piton asks this, not the model. The model is given your answer and goes on from there; to end the run instead, cancel it."#]]
    .assert_eq(question(&world));
    assert_eq!(answer(&mut world, "take 7"), Next::CallModel);
    assert!(world.kinds().ends_with("tool_failed stuck human_asked human_answered"));
    let context = world.context_json();
    let last: Vec<&str> = context.lines().rev().take(2).collect();
    assert!(last[1].contains(r#""name":"ask_human""#) && last[1].contains("This run seems to be stuck"));
    assert!(last[0].contains(r#"{\"answer\":\"take 7\"}"#));
    // It counts anew from there.
    for turn in 5..=7 {
        assert_eq!(fail(&mut world, turn), Next::CallModel);
    }
    assert_eq!(fail(&mut world, 8), Next::Rest);
    assert_eq!(world.run.status, Status::WaitingHumanInput);
}

#[test]
fn a_success_ends_the_row_of_errors() {
    let mut world = World::launched(20);
    for turn in 1..=3 {
        fail(&mut world, turn);
    }
    call(&mut world, 4, "{}", json!(1));
    for turn in 5..=7 {
        assert_eq!(fail(&mut world, turn), Next::CallModel);
    }
    assert_eq!(asked_for(&world), []);
}

#[test]
fn a_humans_word_ends_the_row_of_errors() {
    let mut world = World::launched(20);
    (1..=3).for_each(|turn| assert_eq!(fail(&mut world, turn), Next::CallModel));
    world.reply(None, &[("q", "ask_human", r#"{"question":"?"}"#)]);
    answer(&mut world, "go on");
    (4..=6).for_each(|turn| assert_eq!(fail(&mut world, turn), Next::CallModel));
    world.reply(None, &[("p", "pay", "{}")]);
    world.started(Epoch(1));
    world.settle(Epoch(2));
    let open = world.run.interrupt.as_ref().expect("an unknown outcome").id();
    let happened = Decision::Happened { result: json!("paid") };
    world.command(&Command::Decide { question: open, decision: happened }).expect("decided");
    (7..=9).for_each(|turn| assert_eq!(fail(&mut world, turn), Next::CallModel));
    assert_eq!(fail(&mut world, 10), Next::Rest);
    assert_eq!(asked_for(&world), [(StuckReason::ToolErrors, 4)]);
}

#[test]
fn unknown_tools_and_bad_arguments_are_errors_too() {
    let mut world = World::launched(10);
    world.reply(None, &[("a", "fly", "{}")]);
    world.reply(None, &[("b", "ask_human", "{}")]);
    world.reply(None, &[("c", "final_answer", "[]")]);
    assert_eq!(asked_for(&world), []);
    world.reply(None, &[("d", "fly", "{}")]);
    assert_eq!(asked_for(&world), [(StuckReason::ToolErrors, 4)]);
    assert!(question(&world).contains("Its error: Tool fly not found"));
}

#[test]
fn the_same_call_with_the_same_result_asks_a_human_the_fourth_time() {
    let mut world = World::launched(10);
    // The order of members, white space and 2.0 for 2 make no other call of it.
    let same = [r#"{"a":1,"b":2}"#, r#"{"b": 2, "a": 1}"#, r#"{"a":1.0,"b":2}"#, "{\n\"b\":2.0,\"a\":1}"];
    for (turn, arguments) in same[..3].iter().enumerate() {
        assert_eq!(call(&mut world, turn, arguments, json!({"x": [3], "y": 1})), Next::CallModel);
    }
    assert_eq!(call(&mut world, 3, same[3], json!({"y": 1, "x": [3.0]})), Next::Rest);
    assert_eq!(asked_for(&world), [(StuckReason::RepeatedCall, 4)]);
    expect![[r#"
        This run seems to be stuck: the same tool call came 4 times in a row, to the same end each time. It was sum with the arguments {
        "b":2.0,"a":1}.
        Its result: {"y":1,"x":[3.0]}
        What should be done differently? Piton asks this, not the model. The model is given your answer and goes on from there; to end the run instead, cancel it."#]]
    .assert_eq(question(&world));
}

#[test]
fn another_result_or_another_call_in_between_is_no_repetition() {
    let mut world = World::launched(40);
    for turn in 0..6 {
        assert_eq!(call(&mut world, turn, "{}", json!(turn)), Next::CallModel, "a counter that counts");
    }
    for turn in 6..12 {
        assert_eq!(call(&mut world, turn, &format!("{{\"a\":{turn}}}"), json!("ok")), Next::CallModel);
    }
    for turn in 12..15 {
        assert_eq!(call(&mut world, turn, "{}", json!("pending")), Next::CallModel);
    }
    // A text is not the number that it looks like, and no result is not an error of the same words.
    assert_eq!(call(&mut world, 15, "{}", json!("1")), Next::CallModel);
    assert_eq!(call(&mut world, 16, "{}", json!(1)), Next::CallModel);
    assert_eq!(call(&mut world, 17, r#""{}""#, json!(1)), Next::CallModel);
    assert_eq!(asked_for(&world), []);
}

#[test]
fn what_one_reply_asks_for_is_one_time_and_is_carried_out_before_a_human_is_asked() {
    let mut world = World::launched(20);
    let down = |world: &mut World, turn: usize| {
        let ids: Vec<String> = (0..6).map(|n| format!("c{turn}-{n}")).collect();
        let calls: Vec<(&str, &str, &str)> = ids.iter().map(|id| (&**id, "sum", "{}")).collect();
        world.reply(None, &calls);
        (1..6).for_each(|_| assert!(matches!(world.failed("down"), Next::CallTool(_)), "the others go on"));
        world.failed("down")
    };
    // The model did not see yet that the first of the six failed.
    (1..=3).for_each(|turn| assert_eq!(down(&mut world, turn), Next::CallModel));
    assert_eq!(down(&mut world, 4), Next::Rest);
    assert_eq!(asked_for(&world), [(StuckReason::ToolErrors, 4)]);
    assert_eq!(world.run.pending.len(), 1, "only the question");
    assert_eq!(answer(&mut world, "it is up again"), Next::CallModel);

    // What fails after a success in the same reply is the first time of its row.
    let mut mixed = World::limited(20, Limits { tool_errors: 2, ..Limits::default() });
    mixed.reply(None, &[("x", "sum", "{}"), ("y", "sum", "{}")]);
    mixed.returned(json!(1));
    assert_eq!(mixed.failed("down"), Next::CallModel);
    assert_eq!(fail(&mut mixed, 2), Next::Rest);

    // Of the fourth reply, too, what ends otherwise counts.
    (5..=7).for_each(|turn| assert_eq!(down(&mut world, turn), Next::CallModel));
    world.reply(None, &[("x", "sum", "{}"), ("y", "sum", "{}")]);
    world.failed("down");
    assert_eq!(world.returned(json!(1)), Next::CallModel);
}

#[test]
fn a_model_that_ends_or_asks_by_itself_is_not_kept_from_it() {
    let mut world = World::launched(20);
    (1..=3).for_each(|turn| {
        fail(&mut world, turn);
    });
    let mut done = world.clone();
    done.reply(None, &[("c", "sum", "{}"), ("f", "final_answer", r#"{"answer":"it cannot be done"}"#)]);
    done.failed("down");
    assert_eq!((done.run.status, asked_for(&done)), (Status::Complete, vec![]));
    world.reply(None, &[("c", "sum", "{}"), ("q", "ask_human", r#"{"question":"what now?"}"#)]);
    world.failed("down");
    assert_eq!((question(&world), asked_for(&world)), ("what now?", vec![]));
    assert_eq!(answer(&mut world, "go on"), Next::CallModel);
}

#[test]
fn a_question_at_the_last_step_is_put_and_its_answer_waits_for_more_steps() {
    let mut world = World::launched(5);
    (1..=4).for_each(|turn| {
        fail(&mut world, turn);
    });
    assert_eq!((world.run.status, world.run.steps), (Status::WaitingHumanInput, 5));
    assert_eq!(answer(&mut world, "take 7"), Next::Rest);
    assert_eq!(world.run.status, Status::MaxStepsReached);
    world.command(&Command::Resume).expect("resumed");
    assert_eq!(world.settle(EPOCH), Next::CallModel);
}

#[test]
fn each_limit_is_the_agents_own_and_0_is_never() {
    let limits = Limits { tool_errors: 2, repeated_calls: 0, ..Limits::default() };
    let mut world = World::limited(20, limits);
    (0..8).for_each(|turn| assert_eq!(call(&mut world, turn, "{}", json!(1)), Next::CallModel));
    assert_eq!(fail(&mut world, 8), Next::CallModel);
    assert_eq!(fail(&mut world, 9), Next::Rest);

    let limits = Limits { tool_errors: 0, repeated_calls: 2, ..Limits::default() };
    let mut world = World::limited(20, limits);
    (0..8).for_each(|turn| assert_eq!(fail(&mut world, turn), Next::CallModel));
    assert_eq!(call(&mut world, 8, "{}", json!(1)), Next::CallModel);
    assert_eq!(call(&mut world, 9, "{}", json!(1)), Next::Rest);

    let mut world = World::limited(20, Limits { tool_errors: 1, ..limits });
    assert_eq!(fail(&mut world, 1), Next::Rest);
    assert!(question(&world).starts_with("This run seems to be stuck: a tool call failed. It was sum"));
}

#[test]
fn what_the_question_shows_is_bounded() {
    let mut world = World::limited(20, Limits { tool_errors: 1, ..Limits::default() });
    let arguments = json!({ "a": "é".repeat(100_000) }).to_string();
    world.reply(None, &[("c", "sum", &arguments)]);
    let before = serde_json::to_string(&world.run.streak).expect("json").len();
    world.failed(&"é".repeat(60_000));
    assert!(question(&world).len() < 2_000, "{} bytes", question(&world).len());
    assert!(before < 200);
}

#[test]
fn a_run_that_is_stuck_while_it_is_paused_asks_when_it_goes_on() {
    let mut mine = World::launched(10);
    (1..=3).for_each(|turn| {
        fail(&mut mine, turn);
    });
    mine.reply(None, &[("c4", "sum", "{}")]);
    let mut newer = mine.clone();
    let base = mine.events.len();
    mine.failed("no");
    newer.command(&Command::Pause).expect("paused");
    let (run, events) = merge(newer.run, &mine.events[base..], EPOCH).expect("merged");
    let kinds: Vec<&str> = events.iter().map(Event::kind).collect();
    assert_eq!(
        (kinds, run.status),
        (vec!["tool_failed"], Status::Paused),
        "the question is not carried over"
    );
    let resumed = run.apply(&Event::Resumed { max_steps: 10 }).expect("legal");
    assert!(matches!(next(&resumed, EPOCH), Next::Record(Event::Stuck { .. })));
    let cancelled = resumed.apply(&Event::CancelRequested).expect("legal");
    assert_eq!(next(&cancelled, EPOCH), Next::Record(Event::Cancelled));
}

#[test]
fn the_questions_id_derives_from_the_last_call_and_no_other_call_has_it() {
    let asked = |world: &World| {
        let found = world.events.iter().find_map(|event| match event {
            Event::Stuck { call, .. } => Some(call.clone()),
            _ => None,
        });
        found.expect("it asked")
    };
    let stuck = || {
        let mut world = World::launched(10);
        (1..=4).for_each(|turn| {
            fail(&mut world, turn);
        });
        world
    };
    let (mut one, other) = (stuck(), stuck());
    assert_eq!(asked(&one), asked(&other), "whoever derives it");
    assert!(one.context.knows_call_id(&asked(&one).call_id));
    answer(&mut one, "go on");
    // A model that takes the id for its own gets another.
    one.reply(None, &[(&asked(&one).call_id, "sum", "{}")]);
    assert_ne!(one.run.front().expect("a call").call.call_id, asked(&one).call_id);
    // And the question cannot be put beside a call that is pending, or twice.
    let event = one.events.iter().find(|event| event.kind() == "stuck").expect("it asked").clone();
    assert!(other.run.clone().apply(&event).is_err(), "not while it waits");
    let mut pending = World::launched(10);
    pending.reply(None, &[("p", "pay", "{}")]);
    assert!(pending.run.apply(&event).is_err(), "not while a call is pending");
}

#[test]
fn a_fold_that_an_older_reducer_began_is_compared_as_far_as_it_counted() {
    let world = {
        let mut world = World::launched(10);
        (1..=3).for_each(|turn| {
            fail(&mut world, turn);
        });
        world
    };
    let mut stored = serde_json::to_value(&world.run).expect("json");
    stored.as_object_mut().expect("an object").remove("streak");
    let older: Run = serde_json::from_value(stored).expect("a run");
    assert!(older.is_fold(&world.run, 1) && world.run.is_fold(&world.run, REDUCER));
    assert!(!World::launched(9).run.is_fold(&World::launched(10).run, 1), "what it did count is compared");
    // The rest of its life counts from there; after a human's word the whole of it is compared again.
    let more = Event::Paused;
    let (older, newer) = (older.apply(&more).expect("legal"), world.run.apply(&more).expect("legal"));
    assert!(older.is_fold(&newer, REDUCER) && !newer.is_fold(&older, REDUCER));
}

/// A run whose history has `events` events, all pauses and resumes.
fn paused_and_resumed(limits: Limits, events: u64) -> World {
    let mut world = World::limited(10, limits);
    while world.run.version < events {
        let command = if world.run.status == Status::Paused { Command::Resume } else { Command::Pause };
        world.command(&command).expect("accepted");
    }
    world
}

#[test]
fn at_its_last_event_a_run_fails_and_says_what_to_do() {
    let limits = Limits { events: 101, ..Limits::default() };
    let mut world = paused_and_resumed(limits, 100);
    assert_eq!(world.run.status, Status::Paused);
    world.command(&Command::Resume).expect("resumed");
    let pause = world.command(&Command::Pause).expect_err("refused");
    expect!["the run has 101 events, and its limit allows no more: it cannot be paused. Launch another one"]
        .assert_eq(&pause.to_string());
    assert_eq!(world.settle(EPOCH), Next::Rest);
    expect!["the run has 101 events and may have 101: it ends here. Launch another one for what is left to do, or allow more with limits.events in the agent's file"]
        .assert_eq(world.run.error.as_deref().expect("an error"));
    assert_eq!(world.command(&Command::Resume), Err(Refusal::EventsUsedUp { events: 102, verb: "resumed" }));
    world.command(&Command::Cancel).expect("a cancel is never refused");
    assert_eq!(world.run.status, Status::Cancelled);
}

#[test]
fn an_answer_a_decision_and_a_cancel_are_taken_beyond_the_last_event() {
    let limits = Limits { events: 4, ..Limits::default() };
    let mut asked = World::limited(10, limits);
    asked.reply(None, &[("q", "ask_human", r#"{"question":"?"}"#)]);
    asked.command(&Command::Answer { question: None, answer: "5".to_owned() }).expect("answered");
    asked.settle(EPOCH);
    assert_eq!((asked.run.status, asked.run.version), (Status::Failed, 5));

    let mut unknown = World::limited(10, limits);
    unknown.reply(None, &[("p", "pay", "{}")]);
    unknown.started(Epoch(1));
    unknown.settle(Epoch(2));
    let open = unknown.run.interrupt.as_ref().expect("an unknown outcome").id();
    let mut cancelled = unknown.clone();
    unknown.command(&Command::Decide { question: open, decision: Decision::DidNotHappen }).expect("decided");
    unknown.settle(Epoch(2));
    assert_eq!(unknown.run.status, Status::Failed, "and the call is not made again");
    cancelled.command(&Command::Cancel).expect("cancelled");
    cancelled.command(&Command::Decide { question: open, decision: Decision::Abort }).expect("decided");
    assert_eq!(cancelled.run.status, Status::Cancelled);
}

#[test]
fn a_final_answer_that_is_there_is_not_withheld_for_the_number_of_events() {
    let mut world = World::limited(1, Limits { events: 2, ..Limits::default() });
    world.reply(None, &[("c", "final_answer", r#"{"answer":"x"}"#)]);
    assert_eq!(world.run.status, Status::MaxStepsReached);
    world.command(&Command::Resume).expect("resumed: it can still complete");
    assert!(matches!(world.command(&Command::Pause), Err(Refusal::EventsUsedUp { .. })));
    world.settle(EPOCH);
    assert_eq!(world.run.final_answer.as_deref(), Some("x"));
}

#[test]
fn a_run_goes_on_at_ten_thousand_events_and_no_limit_goes_beyond_the_hard_one() {
    let mut world = paused_and_resumed(Limits::default(), 10_001);
    assert_eq!(world.run.status, Status::Running);
    assert_eq!(world.settle(EPOCH), Next::CallModel);
    assert!(matches!(world.reply(None, &[("c", "sum", "{}")]), Next::CallTool(_)));
    assert_eq!(Limits { events: u32::MAX, ..Limits::default() }.events_max(), EVENTS_MAX);
}
