//! One process as the rest of its world sees it. Every call out of it goes through [`Place::cross`], where it may be
//! slow, fail, be carried out without anybody hearing of it, or be the last thing that its process ever did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use piton_core::{RunId, Status, WorkerId};
use piton_store::Error;
use tokio::sync::Notify;

use crate::universe::{Order, State, Universe, What, When};

/// Cheap to clone: every seam of a process has one.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) universe: Arc<Universe>,
    pub(crate) name: WorkerId,
    /// Unique in the world; 0 is the client's.
    pub(crate) number: u64,
    inside: Arc<Mutex<Inside>>,
    thawed: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(crate) struct Inside {
    pub(crate) crash: Option<Crash>,
    /// The process stands still, for so long from the next tick on.
    pub(crate) frozen_ms: Option<u64>,
    /// The worker that the process is at the moment.
    pub(crate) incarnation: Option<WorkerId>,
    /// The statuses of a run when the process asked for its version, since it last began a call for it. More than one
    /// when a slow look from before, for another purpose, comes in late.
    pub(crate) looks: BTreeMap<RunId, Vec<Status>>,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    pub(crate) busy_with: Vec<RunId>,
    /// As against being killed from outside.
    pub(crate) own_doing: bool,
}

/// A call across a seam.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) run: Option<RunId>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    number: u64,
    pub(crate) before_ms: u64,
    pub(crate) after_ms: u64,
    pub(crate) turn: Turn,
    rings_lost: bool,
    freezes: Option<(When, u64)>,
    orders: Option<(When, RunId, Vec<Order>)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    #[default]
    Through,
    Fails,
    Unacknowledged,
    CrashesBefore,
    CrashesAfter,
}

impl Place {
    pub(crate) fn new(universe: &Arc<Universe>, name: &str, number: u64) -> Self {
        let name = WorkerId::new(name);
        let universe = Arc::clone(universe);
        Self { universe, name, number, inside: Arc::default(), thawed: Arc::default() }
    }

    pub(crate) const fn is_client(&self) -> bool {
        self.number == 0
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the process does nothing any more.
    pub(crate) fn crash(&self, busy_with: Vec<RunId>, own_doing: bool) {
        self.inside().crash.get_or_insert(Crash { busy_with, own_doing });
    }

    /// From now on the process does nothing until it is thawed.
    pub(crate) fn freeze(&self, ms: u64) {
        self.inside().frozen_ms.get_or_insert(ms);
    }

    pub(crate) fn thaw(&self) {
        self.inside().frozen_ms = None;
        self.thawed.notify_waiters();
    }

    /// Returns once the process goes on: at once if it lives, and never if it crashed.
    pub(crate) async fn alive(&self) {
        loop {
            let thawed = self.thawed.notified();
            let (is_gone, is_frozen) = {
                let inside = self.inside();
                (inside.crash.is_some(), inside.frozen_ms.is_some())
            };
            if is_gone {
                std::future::pending::<()>().await;
            }
            if !is_frozen {
                return;
            }
            thawed.await;
        }
    }

    pub(crate) async fn wait(&self, ms: u64) {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        self.alive().await;
    }

    /// Waits for a slow store, which is slow no longer when all faults cease.
    async fn wait_for_store(&self, mut ms: u64) {
        const PART_MS: u64 = 20;
        while ms > 0 && !self.universe.state().is_quiet {
            self.wait(ms.min(PART_MS)).await;
            ms = ms.saturating_sub(PART_MS);
        }
    }

    /// A call to the store.
    pub(crate) async fn cross<T, E: From<Error>>(
        &self,
        call: Call,
        carry_out: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.alive().await;
        let course = self.course_of_store_call(call);
        let power_losses = self.universe.state().power_losses;
        self.wait_for_store(course.before_ms).await;
        self.begin(call, &course).await;
        if course.turn == Turn::Fails {
            return Err(Error::Unavailable("simulated: nothing was done".to_owned()).into());
        }
        self.universe.memory.hush(course.rings_lost);
        let done = carry_out.await;
        self.universe.memory.hush(false);
        self.end(call, &course).await;
        self.wait_for_store(course.after_ms).await;
        // The server that a client speaks with goes with the power, too.
        let is_cut_off = self.is_client() && power_losses != self.universe.state().power_losses;
        if course.turn == Turn::Unacknowledged || is_cut_off {
            return Err(Error::Unavailable("simulated: the acknowledgement was lost".to_owned()).into());
        }
        done
    }

    /// The moment before a call is carried out.
    pub(crate) async fn begin(&self, call: Call, course: &Course) {
        self.strike(When::Before, call, course).await;
        self.intervene(course, When::Before);
        let numbers = [self.number, course.number, course.turn as u64];
        self.universe.state().note(call.name, &numbers, || {
            let run = call.run.map_or(String::new(), |run| format!(" {}", short(run)));
            format!("{} {} {}{run} {:?}", course.number, self.name, call.name, course.turn)
        });
    }

    /// The moment after it was.
    pub(crate) async fn end(&self, call: Call, course: &Course) {
        self.intervene(course, When::After);
        self.strike(When::After, call, course).await;
    }

    /// The process is gone or stands still, where that is how it goes.
    async fn strike(&self, now: When, call: Call, course: &Course) {
        let crashes = match now {
            When::Before => course.turn == Turn::CrashesBefore,
            When::After => course.turn == Turn::CrashesAfter,
        };
        if !self.universe.state().is_quiet {
            if crashes {
                self.crash(call.run.into_iter().collect(), false);
            }
            if let Some((_, ms)) = course.freezes.filter(|(when, _)| *when == now) {
                self.freeze(ms);
            }
        }
        self.alive().await;
    }

    fn intervene(&self, course: &Course, now: When) {
        if let Some((when, run, orders)) = &course.orders
            && *when == now
        {
            orders.iter().for_each(|order| self.universe.order(*run, *order));
        }
    }

    fn course_of_store_call(&self, call: Call) -> Course {
        let mut state = self.universe.state();
        let mut course = self.course(call, &mut state);
        let State { rng, weather, .. } = &mut *state;
        if rng.chance(weather.store_slow) {
            let ms = rng.between(1, weather.store_slow_ms);
            course.before_ms = rng.between(0, ms);
            course.after_ms = ms - course.before_ms;
        }
        course.rings_lost = rng.chance(weather.rings_lost);
        if course.turn == Turn::Through && rng.chance(weather.store_fails) {
            course.turn = Turn::Fails;
        } else if course.turn == Turn::Through && rng.chance(weather.unacknowledged) {
            course.turn = Turn::Unacknowledged;
        }
        course
    }

    /// What has nothing to do with what is called.
    pub(crate) fn course(&self, call: Call, state: &mut State) -> Course {
        state.crossings += 1;
        let mut course = Course { number: state.crossings, ..Course::default() };
        if self.is_client() {
            Self::intend(&mut course, state);
            // The server that a client speaks with is gone: to the client that is an error, be it done or not.
            course.turn = match course.turn {
                Turn::CrashesBefore => Turn::Fails,
                Turn::CrashesAfter => Turn::Unacknowledged,
                turn => turn,
            };
            return course;
        }
        let State { rng, weather, .. } = &mut *state;
        if rng.chance(weather.crash_at_call) {
            course.turn = if rng.chance(500) { Turn::CrashesBefore } else { Turn::CrashesAfter };
        }
        // Between the intent and the effect is the worst place to stand still.
        let often = if matches!(call.name, "commit" | "pay") { 4 } else { 1 };
        if rng.chance(weather.freeze_at_call * often) {
            let when = if rng.chance(300) { When::Before } else { When::After };
            course.freezes = Some((when, rng.between(1, weather.freeze_ms)));
        }
        Self::intend(&mut course, state);
        course
    }

    /// What was planned for this very call.
    fn intend(course: &mut Course, state: &mut State) {
        if let Some(planned) = state.interventions.pop_front_if(|planned| planned.at == course.number) {
            course.turn = match (&planned.what, planned.when) {
                (What::Crash, When::Before) => Turn::CrashesBefore,
                (What::Crash, When::After) => Turn::CrashesAfter,
                (What::Fail, _) => Turn::Fails,
                (What::LoseAcknowledgement, _) => Turn::Unacknowledged,
                (What::Command(..), _) => Turn::Through,
            };
            if let What::Command(run, orders) = planned.what {
                course.orders = Some((planned.when, run, orders));
            }
        }
    }
}

/// The end of a run's id, where a story's number is.
pub(crate) fn short(run: RunId) -> String {
    run.to_string().split_off(34)
}
