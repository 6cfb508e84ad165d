//! The whole of tool outputs, beside the events that show only their beginnings.

use piton_core::{CallId, RunId};
use sqlx::SqliteConnection;

use super::writer::Fault;
use crate::FullOutput;

/// Keeps an output with the event that it belongs to, which is written in the same transaction.
pub(super) async fn write(conn: &mut SqliteConnection, run: RunId, output: &FullOutput) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO outputs (run, call, body) VALUES (?, ?, ?) \
         ON CONFLICT (run, call) DO UPDATE SET body = excluded.body",
    )
    .bind(run.to_string())
    .bind(output.call.to_string())
    .bind(&*output.text)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn read(
    conn: &mut SqliteConnection,
    run: RunId,
    call: CallId,
) -> Result<Option<String>, Fault> {
    Ok(sqlx::query_scalar("SELECT body FROM outputs WHERE run = ? AND call = ?")
        .bind(run.to_string())
        .bind(call.to_string())
        .fetch_optional(conn)
        .await?)
}
