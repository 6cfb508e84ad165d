//! A way through the model as a list that a person can follow: what happened, and what it changed.

use stateright::Path;

use crate::model::{Action, Fault, Keeping, Move, Protocol, Says, State};
use crate::worker::{At, Goal};

pub(crate) fn tell(model: &Protocol, path: Path<State, Action>) -> String {
    let steps = path.into_vec();
    let lines = steps.windows(2).enumerate().map(|(number, pair)| {
        let ((before, action), (after, _)) = (&pair[0], &pair[1]);
        let what = action.as_ref().map_or_else(String::new, |action| words(before, after, *action));
        format!("  {:>2}. {what:<72} {}", number + 1, changes(model, before, after))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn words(before: &State, after: &State, action: Action) -> String {
    match action {
        Action::Step(worker, what) => step(before, after, worker, what),
        Action::Keep(what) => keeping(before, what),
        Action::Person(Says::Ask(ask)) => format!("a person says {ask:?}, and hears that it is done"),
        Action::Person(Says::Again) => "a person says it again".to_owned(),
        Action::Person(Says::Late) => "the server writes what it has answered".to_owned(),
        Action::Fault(what) => format!("FAULT: {}", fault(before, after, what)),
    }
}

fn name(state: &State, place: usize) -> String {
    match state.workers[place].name {
        0 => "an idle worker".to_owned(),
        name => format!("w{name}"),
    }
}

fn owner(state: &State) -> String {
    state.rows.owner.map_or("an idle worker".to_owned(), |owner| format!("w{owner}"))
}

/// A worker, and what it is at.
fn busy(state: &State, place: usize) -> String {
    let name = name(state, place);
    match state.workers[place].at() {
        Some(At::Commit(Goal::End(end))) => format!("{name} (at the commit that ends its step: {end:?})"),
        Some(At::Commit(goal)) => format!("{name} (at a commit: {goal:?})"),
        Some(at) => format!("{name} (at: {at:?})"),
        None => name,
    }
}

fn step(before: &State, after: &State, place: usize, what: Move) -> String {
    let name = name(before, place);
    match what {
        Move::Claim => format!("{} claims the run", owner(after)),
        Move::Look => format!("{name} looks at the version before the note"),
        Move::Note => format!("{name} makes the idempotent call: note"),
        Move::Pay => format!("{name} makes the at_most_once call: pay"),
        Move::Reply => format!("{name} has the model's reply"),
        Move::Show => format!("{name} is going to show what it has so far"),
        Move::Commit { crowded: false } => format!("{} commits", busy(before, place)),
        Move::Commit { crowded: true } => format!("{} commits, and an older run waits", busy(before, place)),
        Move::HandBack => format!("{name} hands the run back"),
        Move::DropCall => format!("{name} drops its call, because it stops"),
    }
}

fn keeping(before: &State, what: Keeping) -> String {
    match what {
        Keeping::Retire(place) => format!("{} says good-bye", name(before, place)),
        Keeping::BeginAnew(place) => format!("{} finds its lease lost and begins anew", name(before, place)),
        Keeping::Renew(place) => format!("{} renews its lease", name(before, place)),
        Keeping::Recover(worker) => format!("somebody finds w{worker}'s lock free and recovers its run"),
        Keeping::See(worker) => format!("somebody sees that w{worker}'s lease lapsed"),
        Keeping::RecoverSeen => "who saw the lapsed lease recovers the run".to_owned(),
        Keeping::Sweep => "the sweep mends the run".to_owned(),
    }
}

fn fault(before: &State, after: &State, what: Fault) -> String {
    let made = |paid| if paid { "made" } else { "not made" };
    match what {
        Fault::Kill(place) => format!("{} is killed", busy(before, place)),
        Fault::Lapse(place) => format!("the lease of {} lapses", busy(before, place)),
        Fault::ClaimUnheard(_) => format!("{} claims the run and is not told", owner(after)),
        Fault::CommitUnheard(place) => format!("{} commits and is not told", busy(before, place)),
        Fault::AskUnheard(ask) => format!("a person says {ask:?} and hears nothing"),
        Fault::LoseJob => "the job vanishes".to_owned(),
        Fault::ReadFails(place) => format!("{} cannot read", busy(before, place)),
        Fault::HandBackFails(place) => format!("{} cannot write", busy(before, place)),
        Fault::OverLimit { worker, paid } => {
            format!("{}'s payment takes too long; it was {}", name(before, worker), made(paid))
        }
        Fault::StepOverLimit { worker, paid } => {
            format!("the step of {} takes too long; payment {}", busy(before, worker), made(paid))
        }
        Fault::Quarantine => "the run is quarantined".to_owned(),
        Fault::Stop(place) => format!("{} is asked to stop", busy(before, place)),
        Fault::KillServer => "the server is killed".to_owned(),
        Fault::LosePower { kept } if kept < before.unsynced.len() => {
            format!("the power goes, with {} unsynced writes", before.unsynced.len() - kept)
        }
        Fault::LosePower { .. } => "the power goes".to_owned(),
    }
}

fn changes(model: &Protocol, before: &State, after: &State) -> String {
    let (was, is) = (&before.rows, &after.rows);
    let mut changes = Vec::new();
    if was.log != is.log {
        let news = if model.histories.begins_with(is.log, was.log) {
            format!("+ {}", model.histories.tell(is.log, is.log.version - was.log.version))
        } else {
            format!("log: {}", model.histories.tell(is.log, is.log.version))
        };
        changes.push(format!("{news}: {}", is.log.status));
    }
    if was.owner != is.owner {
        changes.push(is.owner.map_or("no owner".to_owned(), |owner| format!("owner w{owner}")));
    }
    if was.epoch != is.epoch {
        changes.push(format!("epoch {}", is.epoch));
    }
    if was.attempt != is.attempt {
        changes.push(format!("attempt {}", is.attempt));
    }
    if was.job != is.job {
        changes.push(if is.job { "a job" } else { "no job" }.to_owned());
    }
    if before.payments != after.payments {
        changes.push(format!("PAYMENT {}", after.payments));
    }
    if let Some(flaw) = after.flaw {
        changes.push(format!("{flaw:?}!"));
    }
    if changes.is_empty() { String::new() } else { format!("[{}]", changes.join("; ")) }
}
