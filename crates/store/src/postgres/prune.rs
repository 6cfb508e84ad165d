//! Deleting runs that were over long ago.
//!
//! Not by the writer: steps that are to be committed do not wait for it.

use piton_core::RunId;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{run_id, unsigned};
use crate::moving::REFUSAL;
use crate::pruning::{LOOKED_AT, PARTS};
use crate::{Prunable, Prune, PruneBatch, Pruned};

/// Whoever deletes holds this advisory lock till its transaction ends, so that one does at a time: "PITP".
const PRUNING: i64 = 0x5049_5450;

pub(super) async fn choose(conn: &Conn, prune: &Prune, after: RunId) -> Result<PruneBatch, Fault> {
    let sql = "SELECT id, status, tenant, finished_at, owner IS NOT NULL, version, CASE WHEN finished_at < $2 THEN \
               (SELECT count(*) FROM outputs WHERE run = id) ELSE 0 END \
               FROM runs WHERE id > $1 AND id < $3 ORDER BY id LIMIT $4";
    let before = prune.id_before().map_err(Fault::corrupt)?;
    let rows =
        conn.query(sql, &[&after.as_uuid(), &prune.over_before_ms, &before, &i64::from(LOOKED_AT)]).await?;
    let looked_at = rows.iter().map(|row| Prunable {
        run: run_id(row, 0),
        status: row.get::<_, &str>(1).parse().ok(),
        tenant: row.get(2),
        finished_at_ms: row.get(3),
        is_held: row.get(4),
        events: unsigned(row.get(5)),
        parts: unsigned(row.get(6)),
    });
    Ok(prune.choose(looked_at))
}

/// Deletes a batch, but for those that were resumed since it was chosen.
pub(super) async fn delete(
    conn: &Conn,
    prune: &Prune,
    after: RunId,
    batch: &PruneBatch,
) -> Result<Pruned, Fault> {
    conn.batch("BEGIN").await?;
    let deleted = write(conn, prune, after, batch).await;
    conn.batch(if deleted.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    deleted
}

async fn write(conn: &Conn, prune: &Prune, after: RunId, batch: &PruneBatch) -> Result<Pruned, Fault> {
    let turn = conn.first("SELECT pg_try_advisory_xact_lock($1)", &[&PRUNING]).await?;
    if !turn.is_some_and(|row| row.get(0)) {
        // Another process is at it: what is left then is looked at anew.
        return Ok(Pruned { next: Some(after), ..Pruned::default() });
    }
    if conn.first("SELECT FROM moves WHERE way = 'to'", &[]).await?.is_some() {
        return Err(Fault::NotNow(REFUSAL.to_owned()));
    }
    let chosen: Vec<_> = batch.runs.iter().map(|(run, ..)| run.as_uuid()).collect();
    // Who resumes one at this moment is not waited for.
    let still = "SELECT id FROM runs WHERE id = ANY($1) AND finished_at < $2 AND owner IS NULL ORDER BY id \
                 FOR UPDATE SKIP LOCKED";
    let still = conn.query(still, &[&chosen, &prune.over_before_ms]).await?;
    if let Some(large) = batch.too_large().filter(|_| !still.is_empty()) {
        let trim = "DELETE FROM outputs WHERE run = $1 AND (call, part) IN \
                    (SELECT call, part FROM outputs WHERE run = $1 ORDER BY call, part LIMIT $2)";
        let rows = conn.execute(trim, &[&large.as_uuid(), &PARTS.cast_signed()]).await?;
        return Ok(Pruned { runs: 0, rows, next: Some(after) });
    }
    let gone: Vec<RunId> = still.iter().map(|row| run_id(row, 0)).collect();
    let of_gone: Vec<_> = gone.iter().map(RunId::as_uuid).collect();
    for sql in [
        // A key is as old as its run, and found by that.
        "DELETE FROM idempotency_keys USING runs WHERE runs.id = ANY($1) \
         AND idempotency_keys.created_at = runs.created_at AND idempotency_keys.run = runs.id",
        "DELETE FROM jobs WHERE run = ANY($1)",
        "DELETE FROM lost_attempts WHERE run = ANY($1)",
        "DELETE FROM outputs WHERE run = ANY($1)",
        "DELETE FROM events WHERE run = ANY($1)",
        "DELETE FROM runs WHERE id = ANY($1)",
    ] {
        conn.execute(sql, &[&of_gone]).await?;
    }
    Ok(batch.done(|run| gone.contains(&run)))
}
