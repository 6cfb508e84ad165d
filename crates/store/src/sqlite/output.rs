//! The whole of tool outputs, beside the events that show only their beginnings.

use piton_core::{CallId, RunId};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use crate::FullOutput;

/// Keeps an output with the event that it belongs to, which is written in the same transaction.
pub(super) fn write(conn: &Connection, run: RunId, output: &FullOutput) -> Result<(), Fault> {
    let mut keep = conn.prepare_cached(
        "INSERT INTO outputs (run, call, part, body) VALUES (?, ?, ?, ?) \
         ON CONFLICT (run, call, part) DO UPDATE SET body = excluded.body",
    )?;
    for (part, body) in (0_u32..).zip(output.parts()) {
        keep.execute(params![run.to_string(), output.call.to_string(), part, body])?;
    }
    Ok(())
}

pub(super) fn read(conn: &Connection, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Fault> {
    let mut read = conn.prepare_cached("SELECT body FROM outputs WHERE run = ? AND call = ? AND part = ?")?;
    Ok(read.query_row(params![run.to_string(), call.to_string(), part], |row| row.get(0)).optional()?)
}
