//! What can happen next in a state: what goes on by itself, what people may say, and what may go wrong.

use crate::history::{Ask, History};
use crate::model::{Action, Fault, Keeping, Move, Protocol, Says, State};
use crate::mutant::Mutant;
use crate::store::End;
use crate::worker::{At, Goal, Worker};

impl Protocol {
    /// What goes on by itself, without anybody's command and without a fault.
    pub(crate) fn progress(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, worker) in state.workers.iter().enumerate() {
            if place > 0 && state.workers[place - 1] == *worker {
                continue;
            }
            self.worker_progress(state, place, worker, actions);
        }
        let keep = |keeping| Action::Keep(keeping);
        for lease in &state.rows.leases {
            if !state.lives(lease.worker) {
                actions.push(keep(Keeping::Recover(lease.worker)));
            } else if lease.lapsed && state.seen != Some((lease.worker, lease.number)) {
                actions.push(keep(Keeping::See(lease.worker)));
            }
        }
        if state.seen.is_some() {
            actions.push(keep(Keeping::RecoverSeen));
        }
        if state.rows.is_adrift(self.rules) {
            actions.push(keep(Keeping::Sweep));
        }
        if state.promised.is_some() {
            actions.push(Action::Person(Says::Late));
        }
    }

    fn worker_progress(&self, state: &State, place: usize, worker: &Worker, actions: &mut Vec<Action>) {
        let mut may = |what| actions.push(Action::Step(place, what));
        match worker.step.map(|step| (step, step.at)) {
            None if worker.stopping => actions.push(Action::Keep(Keeping::Retire(place))),
            None if state.rows.is_claimable(worker.name, self.rules) => may(Move::Claim),
            None => {}
            Some((_, At::Look)) => may(Move::Look),
            Some((_, At::Note)) => may(Move::Note),
            Some((_, At::Pay)) => may(Move::Pay),
            Some((_, At::HandBack)) => may(Move::HandBack),
            Some((step, At::Reply)) => {
                may(Move::Reply);
                if step.uncommitted > 0 || state.rows.log.version != step.base() {
                    may(Move::Show);
                }
            }
            Some((_, At::Commit(goal))) => {
                may(Move::Commit { crowded: false });
                if goal == Goal::End(End::Done) {
                    may(Move::Commit { crowded: true });
                }
            }
        }
        if worker.stopping && matches!(worker.at(), Some(At::Reply | At::Note)) {
            actions.push(Action::Step(place, Move::DropCall));
        }
        let lapsed = state.rows.lease(worker.name).map(|lease| lease.lapsed);
        if worker.name != 0 && lapsed != Some(false) {
            actions.push(Action::Keep(Keeping::BeginAnew(place)));
            if lapsed.is_some() {
                actions.push(Action::Keep(Keeping::Renew(place)));
            }
        }
    }

    pub(crate) fn commands(&self, state: &State, actions: &mut Vec<Action>) {
        let mut asks = vec![Ask::Answer];
        // A person who decides about a payment tells the truth, as the world stands then.
        asks.push(if state.payments > 0 { Ask::Happened } else { Ask::DidNotHappen });
        if state.commands_left > 0 {
            asks.extend([Ask::Pause, Ask::Resume, Ask::Cancel, Ask::GiveUp, Ask::Release]);
        }
        for ask in asks {
            if self.answer(state, ask).is_none() || state.promised.is_some() {
                continue;
            }
            actions.push(Action::Person(Says::Ask(ask)));
            if state.faults_left > 0 && state.unheard.is_none() {
                actions.push(Action::Fault(Fault::AskUnheard(ask)));
            }
        }
        if state.unheard.is_some() {
            actions.push(Action::Person(Says::Again));
        }
    }

    /// The history after a command, if it is accepted.
    pub(crate) fn answer(&self, state: &State, ask: Ask) -> Option<History> {
        let log = state.rows.log;
        let acting = log.open.is_some_and(|(by, epoch)| epoch < state.rows.epoch && state.lives(by));
        if ask == Ask::DidNotHappen && acting && !self.rules.broken(Mutant::CallAgainWhileAlive) {
            return None;
        }
        self.histories.ask(log, ask, self.rules.broken(Mutant::PauseForgotten))
    }

    pub(crate) fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        if state.faults_left == 0 {
            return;
        }
        let mut may = |fault| actions.push(Action::Fault(fault));
        if state.rows.is_advancing() {
            may(Fault::Quarantine);
        }
        if state.rows.job {
            may(Fault::LoseJob);
        }
        if state.promised.is_some() {
            may(Fault::KillServer);
        }
        for kept in 0..=state.unsynced.len() {
            may(Fault::LosePower { kept });
        }
        for (place, worker) in state.workers.iter().enumerate() {
            if worker.name != 0 {
                may(Fault::Kill(place));
            }
            let stands = state.rows.lease(worker.name).is_some_and(|lease| !lease.lapsed);
            if stands && state.rows.owner == Some(worker.name) {
                may(Fault::Lapse(place));
            }
            if worker.step.is_none() && !worker.stopping && state.rows.is_claimable(worker.name, self.rules) {
                may(Fault::ClaimUnheard(place));
            }
            if let Some(at) = worker.at() {
                step_faults(place, worker, at, &mut may);
            }
        }
    }
}

fn step_faults(place: usize, worker: &Worker, at: At, may: &mut impl FnMut(Fault)) {
    match at {
        At::Commit(_) => may(Fault::CommitUnheard(place)),
        At::Look | At::Reply => may(Fault::ReadFails(place)),
        At::HandBack => may(Fault::HandBackFails(place)),
        At::Pay => {
            may(Fault::OverLimit { worker: place, paid: false });
            may(Fault::OverLimit { worker: place, paid: true });
            may(Fault::StepOverLimit { worker: place, paid: true });
        }
        At::Note => {}
    }
    // What comes after the limit is not under it.
    if !matches!(at, At::HandBack | At::Commit(Goal::CutOff | Goal::Fail)) {
        may(Fault::StepOverLimit { worker: place, paid: false });
    }
    if !worker.stopping {
        may(Fault::Stop(place));
    }
}
