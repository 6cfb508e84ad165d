//! The whole of tool outputs, beside the events that show only their beginnings.

use piton_core::{CallId, RunId};

use super::conn::Conn;
use super::fault::Fault;
use crate::FullOutput;

/// Keeps an output with the event that it belongs to, which is written in the same transaction.
pub(super) async fn write(conn: &Conn, run: RunId, output: &FullOutput) -> Result<(), Fault> {
    for (part, body) in (0_i64..).zip(output.parts()) {
        conn.execute(
            "INSERT INTO outputs (run, call, part, body) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (run, call, part) DO UPDATE SET body = excluded.body",
            &[&run.as_uuid(), &output.call.to_string(), &part, &body.as_bytes()],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn read(conn: &Conn, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Fault> {
    let read = "SELECT body FROM outputs WHERE run = $1 AND call = $2 AND part = $3";
    let row = conn.first(read, &[&run.as_uuid(), &call.to_string(), &i64::from(part)]).await?;
    row.map(|row| String::from_utf8(row.get(0)).map_err(Fault::corrupt)).transpose()
}
