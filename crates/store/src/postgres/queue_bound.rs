//! How many runs may wait for a worker. Only launches are held to it: what is asked of a run that is there already is
//! never refused for it.
//!
//! Neither counted at every launch, which would read every job, nor in its transaction, where all launches would wait for
//! one row: a process counts now and then, and adds what it launches since. So several processes may pass the bound
//! together by what they launch between two counts.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::conn::Pool;
use super::read;
use crate::Error;

/// How long a count is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The same where it leaves no room: room may be there again at any moment.
const FULL_FOR: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct QueueBound {
    max: u64,
    known: Mutex<Known>,
    under_way: std::sync::Mutex<u64>,
}

#[derive(Debug, Default)]
struct Known {
    counted_at: Option<Instant>,
    waiting: u64,
}

/// A launch under way; over when dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a QueueBound);

impl QueueBound {
    pub(super) fn new(max: u64) -> Self {
        Self { max, known: Mutex::default(), under_way: std::sync::Mutex::default() }
    }

    /// A place for one launch, or [`Error::QueueFull`] where there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they cannot be counted.
    pub(super) async fn enter(&self, pool: &Pool) -> Result<Result<Place<'_>, Error>, Error> {
        let mut known = self.known.lock().await;
        let good_for = if known.waiting < self.max { GOOD_FOR } else { FULL_FOR };
        if known.counted_at.is_none_or(|at| at.elapsed() >= good_for) {
            // What is under way is not in the count yet, or in both: then it is counted anew soon.
            let counted = pool.read(async |conn| read::waiting(conn, self.max).await).await?;
            *known = Known { counted_at: Some(Instant::now()), waiting: counted + *self.under_way() };
        }
        if known.waiting >= self.max {
            return Ok(Err(Error::QueueFull { waiting: self.max, max: self.max }));
        }
        known.waiting += 1;
        *self.under_way() += 1;
        Ok(Ok(Place(self)))
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, u64> {
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.under_way() -= 1;
    }
}
