//! The one place that reads the wall clock; tests tell it the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// UTC milliseconds, from the system or as told.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    told: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub const fn system() -> Self {
        Self { told: None }
    }

    /// A clock that stands until [`Clock::advance`] is called.
    pub fn told(now_ms: i64) -> Self {
        Self { told: Some(Arc::new(AtomicI64::new(now_ms))) }
    }

    pub fn now_ms(&self) -> i64 {
        match &self.told {
            Some(told) => told.load(Ordering::SeqCst),
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Moves a told clock on; the system's clock does not listen.
    pub fn advance(&self, ms: i64) {
        if let Some(told) = &self.told {
            told.fetch_add(ms, Ordering::SeqCst);
        }
    }
}
