//! Carrying out a command: decided by the reducer on the run as it stands, in the transaction that records it.

use piton_core::{Command, RunId};
use rusqlite::Connection;

use super::fault::Fault;
use super::rows::{append_events, dequeue, enqueue, read_run, write_fold};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::{CommandError, JobKind, RunRow};

pub(super) struct WriteCommand {
    pub(super) run: RunId,
    pub(super) command: Command,
}

impl Transact for WriteCommand {
    type Out = Result<RunRow, CommandError>;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let Some(mut row) = read_run(conn, self.run)? else {
            return Ok((Err(CommandError::NotFound), None));
        };
        let events = match self.command.decide(&row.run) {
            Ok(events) => events,
            Err(refusal) => return Ok((Err(refusal.into()), None)),
        };
        let base = row.run.version;
        for event in &events {
            row.run = row.run.apply(event).map_err(Fault::corrupt)?;
        }
        append_events(conn, self.run, base, None, &events, now_ms)?;
        write_fold(conn, self.run, &row.run, now_ms)?;
        row.updated_at_ms = now_ms;
        row.finished_at_ms = row.run.status.is_over().then_some(now_ms);
        // The job is written whether or not a worker holds the run: it is what makes sure that somebody looks.
        let ring = if row.run.status.is_runnable() {
            enqueue(conn, self.run, JobKind::after(&self.command), now_ms)?;
            Ring::Job
        } else {
            dequeue(conn, self.run)?;
            Ring::Events
        };
        Ok((Ok(row), Some(ring)))
    }
}
