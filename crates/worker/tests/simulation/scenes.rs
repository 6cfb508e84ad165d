//! What the seeds found, told once more in as few words as it takes.

use piton_core::{Event, Status};
use piton_store::RunRow;

use crate::client;
use crate::story::{Planned, Story, Turn};
use crate::sweep::{calm, right};
use crate::universe::Order;
use crate::world::{Happening, Setting};

const HOUR_MS: i64 = 3_600_000;

fn told(calls: Vec<Planned>) -> Story {
    let turns = vec![Turn::Calls(calls), Turn::Calls(vec![Planned::answer("story 0 is told")])];
    Story::new(1, 0, turns, 10)
}

/// The job of a run that was launched in between lay an hour ahead, and no worker could have noticed.
#[test]
fn a_clock_that_is_set_forth_and_back_while_all_workers_stand_still_parks_no_run() {
    let story = Story { launched_at_ms: 400, ..told(vec![Planned::tool("read", 1)]) };
    let setting = Setting {
        events: vec![
            (100, Happening::Freeze { ms: 2_000 }),
            (200, Happening::SetClock { ms: HOUR_MS }),
            (1_000, Happening::SetClock { ms: -HOUR_MS }),
        ],
        ..calm(vec![(story, Vec::new())], Vec::new())
    };
    let outcome = right(setting, "an hour forth and back");
    assert!(outcome.settled_ms < 15_000, "settled after {} ms", outcome.settled_ms);
}

/// Its outcome stayed untold, and as the worker that had let go of the call was alive and well, nobody could ever say
/// that it did not happen.
#[test]
fn a_call_that_outlives_its_step_is_told_as_unknown_though_its_run_was_paused() {
    let pause = client::Planned {
        when: |row: &RunRow| row.run.status == Status::Running && row.run.has_open_call(),
        order: Order::Pause,
    };
    let story = told(vec![Planned::tool("pay", 1).slow_at_first(5_000)]);
    let leave = client::Planned {
        when: |row: &RunRow| row.run.status == Status::Paused && row.run.has_open_call(),
        order: Order::Nothing,
    };
    let mut setting = calm(vec![(story, vec![pause, leave])], Vec::new());
    setting.terms.step_timeout_ms = 400;
    let outcome = right(setting, "a step over its limit");
    let kinds: Vec<&str> = outcome.histories[0].iter().map(Event::kind).collect();
    let middle = ["tool_started", "paused", "outcome_unknown", "outcome_decided", "paused", "resumed"];
    assert_eq!(kinds[2..8], middle);
}
