//! What has to hold in every state, and what has to come up somewhere, lest the model prove nothing.

use piton_core::Status;
use stateright::Property;

use crate::history::Script;
use crate::model::{Protocol, State};
use crate::store::Flaw;
use crate::worker::At;

pub(crate) const PAID_ONCE: &str = "a payment is made at most once";
pub(crate) const NEVER_GUESSED: &str = "what is recorded of a payment is true, and never left out";
pub(crate) const FOLDED_ONCE: &str = "what a step found out is recorded, once";
pub(crate) const ACKED_STAYS: &str = "what was acknowledged is in the log";
pub(crate) const NO_STALE_WRITE: &str = "nothing is written under a stale epoch";
pub(crate) const ATTEMPTS_FIRST: &str = "an attempt is counted before it can fail";
pub(crate) const REST_IS_REST: &str = "no tool is begun after a pause or cancel";
pub(crate) const ACCOUNTED_FOR: &str = "a run is over, waits, or has a job or an owner";
pub(crate) const GOES_ON: &str = "a run that is left alone ends or waits";
pub(crate) const COMMAND_WAKES: &str = "a command that makes a run runnable leaves it a job";
pub(crate) const LEASE_STANDS: &str = "nobody takes a run whose owner's lease stands";

pub(crate) fn hold() -> Vec<Property<Protocol>> {
    vec![
        Property::always(PAID_ONCE, |_, state: &State| state.payments <= 1),
        Property::always(NEVER_GUESSED, |_, state: &State| never_guessed(state)),
        Property::always(FOLDED_ONCE, |_, state: &State| state.flaw != Some(Flaw::Unrecordable)),
        Property::always(ACKED_STAYS, |model: &Protocol, state: &State| {
            state.promised.is_some() || model.histories.begins_with(state.rows.log, state.acked)
        }),
        Property::always(NO_STALE_WRITE, |_, state: &State| state.flaw != Some(Flaw::StaleWrite)),
        Property::always(ATTEMPTS_FIRST, |_, state: &State| state.rows.attempt >= state.rows.deaths),
        Property::always(REST_IS_REST, |_, state: &State| state.flaw != Some(Flaw::BegunAtRest)),
        Property::always(ACCOUNTED_FOR, |_, state: &State| accounted_for(state)),
        Property::always(GOES_ON, goes_on),
        Property::always(COMMAND_WAKES, |_, state: &State| state.flaw != Some(Flaw::Unwoken)),
        Property::always(LEASE_STANDS, |_, state: &State| state.flaw != Some(Flaw::Robbed)),
    ]
}

pub(crate) fn come_up(script: Script) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::sometimes("a run completes", |_, state: &State| state.rows.log.status == Status::Complete),
        Property::sometimes("a run is paused", |_, state: &State| state.rows.log.status == Status::Paused),
        Property::sometimes("a run is cancelled", |_, state: &State| {
            state.rows.log.status == Status::Cancelled
        }),
        Property::sometimes("a stale commit is fenced", |_, state: &State| {
            state.about_to_commit().any(|(worker, step)| {
                !state.rows.holds(worker, step.epoch) && state.rows.key != (step.epoch, step.ordinal)
            })
        }),
        Property::sometimes("a commit finds a command", |_, state: &State| {
            state.about_to_commit().any(|(worker, step)| {
                state.rows.holds(worker, step.epoch) && state.rows.log.version > step.log.version
            })
        }),
        Property::sometimes("a commit that stood is made again", |_, state: &State| {
            state.about_to_commit().any(|(_, step)| state.rows.key == (step.epoch, step.ordinal))
        }),
        Property::sometimes("a command is sent again", |_, state: &State| state.unheard.is_some()),
        Property::sometimes("a worker is taken for dead and lives", |_, state: &State| {
            state.workers.iter().any(|worker| worker.name != 0 && state.rows.lease(worker.name).is_none())
        }),
        Property::sometimes("a lapsed lease is renewed in time", |_, state: &State| {
            state.rows.leases.iter().any(|lease| lease.number > 0 && state.rows.owner == Some(lease.worker))
        }),
        Property::sometimes("the sweep has work", |model: &Protocol, state: &State| {
            state.rows.is_adrift(model.rules)
        }),
        Property::sometimes("power would take something", |_, state: &State| !state.unsynced.is_empty()),
        Property::sometimes("a third attempt is under way", |_, state: &State| state.rows.attempt >= 3),
        Property::sometimes("a run is quarantined", |_, state: &State| {
            state.rows.log.status == Status::Quarantined
        }),
    ];
    if script != Script::Ask {
        properties.extend([
            Property::sometimes("an unknown outcome is put to a human", |_, state: &State| {
                state.rows.log.status == Status::Undecided
            }),
            Property::sometimes("a payment is made under a lost lease", |_, state: &State| {
                state
                    .workers
                    .iter()
                    .any(|worker| worker.at() == Some(At::Pay) && state.rows.lease(worker.name).is_none())
            }),
            Property::sometimes("a payment is called for a second time", |_, state: &State| {
                state.rows.log.asked > 0 && state.workers.iter().any(|worker| worker.at() == Some(At::Pay))
            }),
        ]);
    } else {
        properties.push(Property::sometimes("a question is put", |_, state: &State| {
            state.rows.log.status == Status::WaitingHumanInput
        }));
    }
    properties
}

fn never_guessed(state: &State) -> bool {
    let log = state.rows.log;
    let made = state.payments > 0;
    let true_to_life = !log.paid || made;
    let told = !made || log.paid || log.given_up || !log.status.is_final();
    true_to_life && told
}

/// The owner may be dead: its lease is there, so it will be recovered. Only where a fault took the job is the run the
/// sweep's to find.
fn accounted_for(state: &State) -> bool {
    let rows = &state.rows;
    let owned = rows.owner.is_some_and(|owner| rows.lease(owner).is_some());
    rows.is_at_rest() || rows.job || owned || rows.job_lost
}

/// No way leads round in a circle, so a run that does not end or wait would stand still somewhere.
fn goes_on(model: &Protocol, state: &State) -> bool {
    let is_busy = state.workers.iter().any(|worker| worker.step.is_some());
    if is_busy || state.rows.is_at_rest() || state.flaw.is_some() {
        return true;
    }
    let mut actions = Vec::new();
    model.progress(state, &mut actions);
    !actions.is_empty()
}
