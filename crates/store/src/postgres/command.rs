//! Carrying out a command: decided by the reducer on the run as it stands, in the transaction that records it.

use piton_core::{Command, RunId};

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{append_events, dequeue, enqueue, run_columns, run_row, write_fold};
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::{CommandError, JobKind, RunRow};

pub(super) struct WriteCommand {
    pub(super) run: RunId,
    pub(super) command: Command,
}

impl Transact for WriteCommand {
    type Out = Result<RunRow, CommandError>;

    fn run_id(&self) -> Option<RunId> {
        Some(self.run)
    }

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(self.write(conn, now_ms))
    }
}

impl WriteCommand {
    async fn write(
        &self,
        conn: &Conn,
        now_ms: i64,
    ) -> Result<(Result<RunRow, CommandError>, Option<Ring>), Fault> {
        let sql = concat!("SELECT ", run_columns!(), " FROM runs WHERE id = $1 FOR UPDATE");
        let Some(row) = conn.first(sql, &[&self.run.as_uuid()]).await? else {
            return Ok((Err(CommandError::NotFound), None));
        };
        let mut row = run_row(&row)?;
        let events = match self.command.decide(&row.run) {
            Ok(events) => events,
            Err(refusal) => return Ok((Err(refusal.into()), None)),
        };
        let base = row.run.version;
        for event in &events {
            row.run = row.run.apply(event).map_err(Fault::corrupt)?;
        }
        append_events(conn, self.run, base, None, &events, now_ms).await?;
        write_fold(conn, self.run, &row.run, now_ms).await?;
        row.updated_at_ms = now_ms;
        row.finished_at_ms = row.run.status.is_over().then_some(now_ms);
        // The job is written whether or not a worker holds the run: it is what makes sure that somebody looks.
        let ring = if row.run.status.is_runnable() {
            enqueue(conn, self.run, JobKind::after(&self.command), now_ms).await?;
            Ring::Job
        } else {
            dequeue(conn, self.run).await?;
            Ring::Events
        };
        Ok((Ok(row), Some(ring)))
    }
}
