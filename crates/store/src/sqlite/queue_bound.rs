//! How many runs may wait for a worker. Only launches are held to it: what is asked of a run that is there already is
//! never refused for it.
//!
//! The launch itself asks, in the statement that writes its run. Once one was refused, the next ones look at the
//! depth before they take a turn at writing, so that a flood of launches does not hold up answers.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::fault::Fault;
use crate::Error;

#[derive(Debug)]
pub(super) struct QueueBound {
    pub(super) waiting_max: u64,
    was_full: AtomicBool,
}

impl QueueBound {
    pub(super) const fn new(waiting_max: u64) -> Self {
        Self { waiting_max, was_full: AtomicBool::new(false) }
    }

    /// Whether the last launch was refused, so that it is worth a look whether the next will be.
    pub(super) fn was_full(&self) -> bool {
        self.was_full.load(Ordering::Relaxed)
    }

    /// Remembers what became of a launch.
    pub(super) fn note<T>(&self, launched: &Result<T, Error>) {
        let is_full = matches!(launched, Err(Error::QueueFull { .. }));
        if is_full != self.was_full() {
            self.was_full.store(is_full, Ordering::Relaxed);
        }
    }

    /// # Errors
    /// [`Error::QueueFull`] when there is no room for a launch beside `waiting`.
    pub(super) const fn look(&self, waiting: u64) -> Result<(), Error> {
        if waiting < self.waiting_max { Ok(()) } else { Err(full(waiting, self.waiting_max)) }
    }
}

pub(super) const fn full(waiting: u64, max: u64) -> Error {
    Error::QueueFull { waiting, max }
}

/// How many jobs there are, due or not.
pub(super) fn waiting(conn: &Connection) -> Result<u64, Fault> {
    let mut read = conn.prepare_cached("SELECT max(waiting, 0) FROM queue_depth")?;
    Ok(read.query_row([], |row| row.get(0))?)
}
