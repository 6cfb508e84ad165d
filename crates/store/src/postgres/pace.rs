//! Places for model calls, of a row that all processes share.
//!
//! Not by the writer: its transactions hold other locks meanwhile, and two of them could wait for each other.

use super::conn::Conn;
use super::fault::Fault;
use crate::Meter;

/// Changes the meter of `endpoint`. It need not survive a crash of the server.
pub(super) async fn change<T>(
    conn: &Conn,
    endpoint: &str,
    change: impl FnOnce(&mut Meter) -> T,
) -> Result<T, Fault> {
    conn.batch("BEGIN; SET LOCAL synchronous_commit = off").await?;
    let changed = write(conn, endpoint, change).await;
    conn.batch(if changed.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    changed
}

async fn write<T>(conn: &Conn, endpoint: &str, change: impl FnOnce(&mut Meter) -> T) -> Result<T, Fault> {
    let begin = "INSERT INTO paces (endpoint, call_at, token_at) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING";
    conn.execute(begin, &[&endpoint]).await?;
    let read = "SELECT call_at, token_at FROM paces WHERE endpoint = $1 FOR UPDATE";
    let row = conn.first(read, &[&endpoint]).await?;
    let mut meter =
        row.map_or_else(Meter::default, |row| Meter { call_at: row.get(0), token_at: row.get(1) });
    let out = change(&mut meter);
    let write = "UPDATE paces SET call_at = $2, token_at = $3 WHERE endpoint = $1";
    conn.execute(write, &[&endpoint, &meter.call_at, &meter.token_at]).await?;
    Ok(out)
}
