//! What a writer says of a database that takes no writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;

/// Why the last write failed, until one succeeds. Logged when it begins and when it is over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(crate) fn now(&self) -> Option<String> {
        self.why().clone()
    }

    pub(crate) fn begins(&self, error: &Error) {
        let now = error.to_string();
        let before = self.why().replace(now.clone());
        if before.is_none() {
            tracing::warn!(error = %now, "the database does not take writes");
        }
    }

    pub(crate) fn is_over(&self) {
        if self.why().take().is_some() {
            tracing::info!("the database takes writes again");
        }
    }

    fn why(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
