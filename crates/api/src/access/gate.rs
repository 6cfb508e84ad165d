//! Slows down those who guess at the login form.
//!
//! Whoever fails keeps one of few places for a while, and whoever finds none free is not even heard: so there are at
//! most sixteen guesses a second, whatever their number, and nothing is remembered about anybody.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::problem::{Kind, Problem};

const PLACES: usize = 8;
const FAILED_HOLDS: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Gate {
    places: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self { places: Semaphore::new(PLACES) }
    }
}

impl Gate {
    /// Lets those through who know the key.
    pub(super) async fn pass(&self, knows: impl FnOnce() -> bool) -> Result<(), Problem> {
        let Ok(_place) = self.places.try_acquire() else {
            // Not heard at all: an answer would tell right from wrong without the wait.
            return Err(Problem::new(Kind::TooManyLogins, "Too many failed just now. Try again in a moment")
                .retry_after_s(1));
        };
        if knows() {
            return Ok(());
        }
        tracing::warn!("a login failed");
        tokio::time::sleep(FAILED_HOLDS).await;
        Err(Problem::new(Kind::Unauthorized, "That is not the API key"))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn guesses_wait_and_are_few_at_a_time() {
        let gate = Gate::default();
        let begin = tokio::time::Instant::now();
        let guesses = join_all((0..100).map(|_| gate.pass(|| false))).await;
        let unheard = guesses.iter().filter(|guess| {
            let text = format!("{:?}", guess.as_ref().expect_err("a refusal"));
            text.contains("TooManyLogins")
        });
        assert_eq!(unheard.count(), 100 - PLACES);
        assert!(begin.elapsed() >= FAILED_HOLDS);
        gate.pass(|| true).await.expect("the right key, once there is a place");
    }
}
