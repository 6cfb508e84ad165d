//! Somebody who launches a run and looks after it: answers what it asks, decides what is unknown by looking it up, and
//! pauses, resumes and cancels when they feel like it. They never lie, and they remember what they were told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use piton_core::{Command, Decision, RunId, Status};
use piton_store::{Launch, RunRow, Store};

use crate::place::Place;
use crate::story::{Story, agent};
use crate::universe::{Order, Universe};

/// Looks after one run for ever.
pub(crate) async fn mind(place: Place, store: Arc<dyn Store>, story: Story, orders: Vec<Planned>) {
    let run = story.run;
    place.wait(story.launched_at_ms).await;
    loop {
        match store.launch(launch(&story)).await {
            Ok(launched) => {
                place.universe.state().oracle.acknowledged(run, launched.run.run.version);
                break;
            }
            Err(_) => think(&place).await,
        }
    }
    let mut orders = VecDeque::from(orders);
    loop {
        think(&place).await;
        let Ok(Some(row)) = store.run(run).await else { continue };
        let planned = orders.front().filter(|planned| (planned.when)(&row)).copied();
        let command = match planned {
            Some(planned) => planned.order.spell_out(&place, &row),
            None => next_command(&place, &row),
        };
        let Some(command) = command else { continue };
        if let Ok(row) = store.command(run, command.clone()).await {
            place.universe.state().oracle.command_acknowledged(run, row.run.version, &command);
            if planned.is_some() {
                orders.pop_front();
            }
        }
    }
}

/// A command that is given, until it is taken, when the run is seen to stand so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) when: fn(&RunRow) -> bool,
    pub(crate) order: Order,
}

impl Order {
    fn spell_out(self, place: &Place, row: &RunRow) -> Option<Command> {
        match self {
            Self::Pause => Some(Command::Pause),
            Self::Resume => Some(Command::Resume),
            Self::Cancel => Some(Command::Cancel),
            Self::Answer => Some(Universe::answer_to(row)),
            Self::Decide => place.universe.decision_on(row),
            Self::Nothing => None,
        }
    }
}

async fn think(place: &Place) {
    let ms = {
        let mut state = place.universe.state();
        let most = state.weather.think_ms;
        state.rng.between(1, most)
    };
    place.wait(ms).await;
}

fn next_command(place: &Place, row: &RunRow) -> Option<Command> {
    let (meddles, what) = {
        let mut state = place.universe.state();
        let commands = state.weather.commands;
        (state.rng.chance(commands), state.rng.between(0, 9))
    };
    if meddles && row.run.status == Status::Quarantined {
        return Some(Command::Release);
    }
    if meddles {
        return match what {
            0 => Some(Command::Cancel),
            1..=5 => Some(Command::Pause),
            6..=7 => Some(Command::Resume),
            8 => Some(Universe::answer_to(row)),
            _ => Some(Command::Decide {
                question: row.open_question().or(row.run.front().map(|front| front.call.id))?,
                decision: Decision::Abort,
            }),
        };
    }
    match row.run.status {
        Status::WaitingHumanInput => Some(Universe::answer_to(row)),
        Status::Undecided => place.universe.decision_on(row),
        Status::Paused | Status::Failed | Status::MaxStepsReached => Some(Command::Resume),
        Status::Running | Status::Cancelling => None,
        Status::Complete | Status::Cancelled | Status::Quarantined => None,
    }
}

fn launch(story: &Story) -> Launch {
    Launch {
        run: RunId::clone(&story.run),
        agent: agent(),
        task: story.task(),
        max_steps: story.max_steps,
        tenant: "default".to_owned(),
        labels: BTreeMap::new(),
        priority: 0,
        idempotency: None,
    }
}
