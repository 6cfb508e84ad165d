//! After a try to connect that failed, none is made for a moment: longer each time, and never in step with other processes, so
//! that a server that comes back is not met by all of them at once. Whoever asks meanwhile is told why, without waiting.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::fault::Fault;
use crate::Error;

/// Before the second try, at least; up to twice that.
const FIRST: Duration = Duration::from_millis(50);
/// The most that a wait grows to, before jitter doubles it at most.
const MAX: Duration = Duration::from_millis(500);

/// One process's, for one server.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    why: String,
    until: Instant,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// # Errors
    /// Why the last try failed, while the next one has to wait.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failing) if Instant::now() < failing.until => Err(Fault::NotNow(failing.why.clone())),
            _ => Ok(()),
        }
    }

    /// Returns `fault`, as those are told it who ask before the next try.
    pub(super) fn failed(&self, fault: Fault) -> Fault {
        let why = match Error::from(fault) {
            Error::Unavailable(why) => why,
            other => other.to_string(),
        };
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = failing.get_or_insert_with(|| Failing {
            why: String::new(),
            until: Instant::now(),
            waits: waits(),
        });
        failing.why.clone_from(&why);
        // Tries that were made side by side count as one.
        if failing.until <= Instant::now() {
            failing.until = Instant::now() + failing.waits.next().unwrap_or(MAX);
        }
        Fault::NotNow(why)
    }

    pub(super) fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How long to wait before each next try, for as long as one likes.
pub(super) fn waits() -> ExponentialBackoff {
    let waits = ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(MAX);
    waits.without_max_times().with_jitter().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_next_try_waits_longer_each_time_and_a_success_ends_that() {
        let backoff = Backoff::default();
        backoff.check().expect("nothing has failed");
        let mut before = Duration::ZERO;
        for _ in 0..3 {
            let fault = backoff.failed(Fault::NotNow("gone".to_owned()));
            assert!(matches!(fault, Fault::NotNow(why) if why == "gone"));
            assert!(matches!(backoff.check(), Err(Fault::NotNow(why)) if why == "gone"), "too early");
            let mut failing = backoff.0.lock().expect("a lock");
            let failing = failing.as_mut().expect("it fails");
            let wait = failing.until.saturating_duration_since(Instant::now());
            assert!(
                wait + Duration::from_millis(10) > before && wait <= 2 * MAX,
                "{before:?}, then {wait:?}"
            );
            before = 2 * (wait / 2).min(MAX / 2);
            failing.until = Instant::now();
        }
        backoff.check().expect("it has waited");
        backoff.succeeded();
        assert!(backoff.0.lock().expect("a lock").is_none());
    }
}
