//! What each action does to a state.

use crate::history::{Ask, Illegal};
use crate::model::{Fault, Keeping, Move, Protocol, Says, State};
use crate::mutant::Mutant;
use crate::store::{End, Flaw, Outcome};
use crate::worker::{At, Goal, Step, Worker};

impl Protocol {
    pub(crate) fn step(&self, state: &mut State, place: usize, what: Move) {
        match what {
            Move::Claim => {
                self.claim(state, place);
                if state.workers[place].step.is_some() {
                    self.proceed(state, place, false);
                }
            }
            Move::Look => {
                if state.rows.log.version == state.step(place).base() {
                    state.begin();
                    state.goes_on_at(place, At::Note);
                } else {
                    state.goes_on_at(place, At::Commit(Goal::CatchUp));
                }
            }
            Move::Note => {
                if self.rules.broken(Mutant::NoLook) {
                    state.begin();
                }
                let log = self.histories.returned(state.step(place).log);
                self.found(state, place, state.step(place).record(log));
                self.proceed(state, place, false);
            }
            Move::Pay => {
                self.pay(state, place);
                let log = self.histories.returned(state.step(place).log);
                self.found(state, place, state.step(place).record(log));
                state.goes_on_at(place, At::Commit(Goal::Ended));
            }
            Move::Reply => {
                let log = self.histories.replied(state.step(place).log);
                self.found(state, place, state.step(place).record(log));
                self.proceed(state, place, true);
            }
            Move::Show => state.goes_on_at(place, At::Commit(Goal::Show)),
            Move::Commit { crowded } => {
                let outcome = self.commit(state, place, crowded);
                self.hear(state, place, outcome);
            }
            Move::HandBack => {
                let (name, epoch) = (state.workers[place].name, state.step(place).epoch);
                self.unsynced(state);
                state.rows.hand_back(name, epoch);
                state.workers[place].step = None;
            }
            Move::DropCall => state.goes_on_at(place, At::Commit(Goal::End(End::GiveBack))),
        }
    }

    pub(crate) fn keep(&self, state: &mut State, what: Keeping) {
        match what {
            Keeping::Renew(place) => {
                let name = state.workers[place].name;
                if let Some(lease) = state.rows.lease_mut(name) {
                    lease.number += 1;
                    lease.lapsed = false;
                }
            }
            Keeping::See(worker) => {
                state.seen = state.rows.lease(worker).map(|lease| (worker, lease.number));
            }
            Keeping::Retire(place) | Keeping::BeginAnew(place) => {
                self.unsynced(state);
                state.rows.retire(state.workers[place].name);
                state.workers[place] = Worker::FRESH;
            }
            Keeping::Recover(worker) => {
                self.unsynced(state);
                state.rows.recover(worker, self.rules);
            }
            Keeping::RecoverSeen => {
                let Some((worker, number)) = state.seen.take() else { return };
                let Some(lease) = state.rows.lease(worker).copied() else { return };
                if lease.number == number || self.rules.broken(Mutant::RecoverBlindly) {
                    self.unsynced(state);
                    state.rows.recover(worker, self.rules);
                    if !lease.lapsed {
                        state.flaw = Some(Flaw::Robbed);
                    }
                }
            }
            Keeping::Sweep => {
                self.unsynced(state);
                state.rows.sweep();
            }
        }
    }

    pub(crate) fn command(&self, state: &mut State, says: Says) {
        let stands = match says {
            Says::Ask(ask) if self.rules.broken(Mutant::AckBeforeCommit) => {
                state.spend(ask);
                state.acked = self.answer(state, ask).unwrap_or(state.acked);
                state.promised = Some(ask);
                return;
            }
            Says::Ask(ask) => {
                state.spend(ask);
                self.accept(state, ask)
            }
            Says::Again => {
                let Some((ask, asked)) = state.unheard.take() else { return };
                let decides = matches!(ask, Ask::Happened | Ask::DidNotHappen | Ask::GiveUp);
                let other = decides && asked != state.rows.log.asked;
                (!other || self.rules.broken(Mutant::DecisionNamesCall)) && self.accept(state, ask)
            }
            Says::Late => {
                let Some(ask) = state.promised.take() else { return };
                self.accept(state, ask)
            }
        };
        if stands {
            state.acked = state.rows.log;
        }
    }

    pub(crate) fn fault(&self, state: &mut State, fault: Fault) {
        match fault {
            Fault::Kill(place) => state.workers[place] = Worker::FRESH,
            Fault::Lapse(place) => {
                let name = state.workers[place].name;
                if let Some(lease) = state.rows.lease_mut(name) {
                    lease.lapsed = true;
                }
            }
            Fault::ClaimUnheard(place) => {
                self.claim(state, place);
                if self.rules.broken(Mutant::ClaimForgotten) {
                    state.workers[place].step = None;
                }
            }
            Fault::CommitUnheard(place) => {
                if let Err(flaw) = self.commit(state, place, false) {
                    state.flaw = Some(flaw);
                }
            }
            Fault::AskUnheard(ask) => {
                state.spend(ask);
                state.unheard = Some((ask, state.rows.log.asked));
                self.accept(state, ask);
            }
            Fault::LoseJob => {
                state.rows.job = false;
                state.rows.job_lost = true;
            }
            Fault::ReadFails(place) => state.goes_on_at(place, At::HandBack),
            Fault::HandBackFails(place) => {
                if self.rules.broken(Mutant::HandBackOnce) {
                    state.workers[place].step = None;
                }
            }
            Fault::OverLimit { worker, paid } => {
                if paid {
                    self.pay(state, worker);
                }
                let log = self.histories.unknown(state.step(worker).log);
                self.found(state, worker, state.step(worker).record(log));
                state.goes_on_at(worker, At::Commit(Goal::Ended));
            }
            Fault::StepOverLimit { worker, paid } => {
                if paid {
                    self.pay(state, worker);
                }
                state.workers[worker].step = Some(self.program().cut_off(state.step(worker)));
            }
            Fault::Quarantine => {
                if let Ok(after) = self.histories.quarantined(state.rows.log) {
                    state.rows.quarantine(after);
                    state.unsynced.clear();
                }
            }
            Fault::Stop(place) => state.workers[place].stopping = true,
            Fault::KillServer => state.promised = None,
            Fault::LosePower { kept } => {
                state.workers.fill(Worker::FRESH);
                (state.seen, state.promised) = (None, None);
                if kept < state.unsynced.len() {
                    state.rows = state.unsynced.swap_remove(kept);
                }
                state.unsynced.clear();
            }
        }
    }

    /// A claimed run is the worker's to give back until it is told of it.
    fn claim(&self, state: &mut State, place: usize) {
        self.unsynced(state);
        match state.rows.claim(state.workers[place].name, self.rules) {
            Err(flaw) => state.flaw = Some(flaw),
            Ok(None) => {}
            Ok(Some(name)) => {
                state.workers[place].name = name;
                let step = Step::claimed(state.rows.epoch, state.rows.log, At::HandBack);
                state.workers[place].step = Some(step);
            }
        }
    }

    fn pay(&self, state: &mut State, place: usize) {
        let step = state.step(place);
        if step.log.open != Some((state.workers[place].name, step.epoch)) {
            // Not announced, so it begins only here.
            state.begin();
        }
        state.payments += 1;
    }

    fn commit(&self, state: &mut State, place: usize, crowded: bool) -> Result<Outcome, Flaw> {
        let commit = state.step(place).commit(state.workers[place].name, crowded);
        if self.rules.broken(Mutant::CommitUnsynced) {
            self.unsynced(state);
        }
        let (before, key) = (state.rows.log, state.rows.key);
        let outcome = state.rows.commit(&commit, self.rules);
        if state.rows.key != key && !self.rules.broken(Mutant::CommitUnsynced) {
            state.unsynced.clear();
        }
        if state.rows.log.open.is_some() && before.open.is_none() && before.rests {
            state.flaw = Some(Flaw::BegunAtRest);
        }
        outcome
    }

    fn hear(&self, state: &mut State, place: usize, outcome: Result<Outcome, Flaw>) {
        let worker = state.workers[place];
        match outcome {
            Err(flaw) => state.flaw = Some(flaw),
            Ok(outcome) => {
                let step = state.step(place);
                match self.program().heard(step, outcome, state.rows.log, &worker) {
                    Ok(step) => state.workers[place].step = step,
                    Err(Illegal) => state.flaw = Some(Flaw::Unrecordable),
                }
            }
        }
    }

    fn accept(&self, state: &mut State, ask: Ask) -> bool {
        let Some(after) = self.answer(state, ask) else { return false };
        if self.rules.broken(Mutant::CommandUnsynced) {
            self.unsynced(state);
        }
        if let Err(flaw) = state.rows.command(after, self.rules) {
            state.flaw = Some(flaw);
        }
        if !self.rules.broken(Mutant::CommandUnsynced) {
            state.unsynced.clear();
        }
        true
    }

    fn proceed(&self, state: &mut State, place: usize, asked: bool) {
        let worker = state.workers[place];
        let next = self.program().proceed(state.step(place), worker.name, worker.stopping, asked);
        self.found(state, place, next);
    }

    fn found(&self, state: &mut State, place: usize, step: Result<Step, Illegal>) {
        match step {
            Ok(step) => state.workers[place].step = Some(step),
            Err(Illegal) => state.flaw = Some(Flaw::Unrecordable),
        }
    }

    /// Notes what a loss of power may leave, before something is written that is not synced.
    fn unsynced(&self, state: &mut State) {
        state.unsynced.push(state.rows.clone());
    }

    /// Takes out of the state what makes no difference any more.
    pub(crate) fn tidy(&self, state: &mut State) {
        if state.faults_left == 0 {
            state.unsynced.clear();
        }
        // A worker that holds nothing is like one that was just started.
        for worker in &mut state.workers {
            if worker.name != 0
                && worker.step.is_none()
                && !worker.stopping
                && state.rows.owner != Some(worker.name)
            {
                state.rows.leases.retain(|lease| lease.worker != worker.name);
                *worker = Worker::FRESH;
            }
        }
        state.workers.sort_unstable();
        if let Some((worker, number)) = state.seen
            && state.rows.lease(worker).is_none_or(|lease| lease.number != number)
            && !self.rules.broken(Mutant::RecoverBlindly)
        {
            state.seen = None;
        }
    }
}
