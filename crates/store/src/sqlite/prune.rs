//! Deleting runs that were over long ago.

use piton_core::RunId;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{collect, ids, run_id, text};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::moving::REFUSAL;
use crate::pruning::{LOOKED_AT, PARTS};
use crate::{Error, Prunable, Prune, PruneBatch, Pruned};

/// Chosen outside of a write: a look takes longer than most writes.
pub(super) fn choose(conn: &Connection, prune: &Prune, after: RunId) -> Result<PruneBatch, Fault> {
    let mut read = conn.prepare_cached(
        "SELECT id, status, tenant, finished_at, owner IS NOT NULL, version, CASE WHEN finished_at < ?2 THEN \
         (SELECT count(*) FROM outputs WHERE run = id) ELSE 0 END \
         FROM runs WHERE id > ?1 AND id < ?3 ORDER BY id LIMIT ?4",
    )?;
    let wanted = params![after.to_string(), prune.over_before_ms, prune.ids_before(), LOOKED_AT];
    let looked_at = collect(&mut read, wanted, |row| {
        Ok(Prunable {
            run: run_id(text(row, 0)?)?,
            status: text(row, 1)?.parse().ok(),
            tenant: row.get(2)?,
            finished_at_ms: row.get(3)?,
            is_held: row.get(4)?,
            events: row.get(5)?,
            parts: row.get(6)?,
        })
    })?;
    Ok(prune.choose(looked_at))
}

/// Deletes a batch, but for those that were resumed since it was chosen.
pub(super) struct WritePrune {
    pub(super) prune: Prune,
    pub(super) after: RunId,
    pub(super) batch: PruneBatch,
}

impl Transact for WritePrune {
    type Out = Result<Pruned, Error>;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, _now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        if conn.prepare_cached("SELECT 1 FROM moves WHERE way = 'to'")?.exists([])? {
            return Ok((Err(Error::Unavailable(REFUSAL.to_owned())), None));
        }
        let chosen: Vec<RunId> = self.batch.runs.iter().map(|(run, ..)| *run).collect();
        let mut still = conn.prepare_cached(
            "SELECT id, created_at FROM runs WHERE id IN (SELECT value FROM json_each(?1)) AND finished_at < ?2 \
             AND owner IS NULL",
        )?;
        let still = collect(&mut still, params![ids(&chosen), self.prune.over_before_ms], |row| {
            Ok((run_id(text(row, 0)?)?, row.get::<_, i64>(1)?))
        })?;
        if let Some(large) = self.batch.too_large().filter(|_| !still.is_empty()) {
            let sql = "DELETE FROM outputs WHERE run = ?1 AND (call, part) IN \
                       (SELECT call, part FROM outputs WHERE run = ?1 ORDER BY call, part LIMIT ?2)";
            let rows = conn.prepare_cached(sql)?.execute(params![large.to_string(), PARTS])?;
            return Ok((Ok(Pruned { runs: 0, rows: rows as u64, next: Some(self.after) }), None));
        }
        // A key is as old as its run, and found by that.
        let mut forget =
            conn.prepare_cached("DELETE FROM idempotency_keys WHERE created_at = ? AND run = ?")?;
        for (run, created_at_ms) in &still {
            forget.execute(params![created_at_ms, run.to_string()])?;
        }
        let gone: Vec<RunId> = still.into_iter().map(|(run, _)| run).collect();
        for sql in [
            "DELETE FROM jobs WHERE run IN (SELECT value FROM json_each(?))",
            "DELETE FROM lost_attempts WHERE run IN (SELECT value FROM json_each(?))",
            "DELETE FROM outputs WHERE run IN (SELECT value FROM json_each(?))",
            "DELETE FROM events WHERE run IN (SELECT value FROM json_each(?))",
            "DELETE FROM runs WHERE id IN (SELECT value FROM json_each(?))",
        ] {
            conn.prepare_cached(sql)?.execute([ids(&gone)])?;
        }
        Ok((Ok(self.batch.done(|run| gone.contains(&run))), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open;

    #[test]
    fn who_was_resumed_or_taken_since_the_batch_was_chosen_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("piton.db");
        open::prepare(&path, dir.path()).expect("a database");
        let conn = Connection::open(&path).expect("a connection");
        let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
        let insert = "INSERT INTO runs (id, tenant, labels, priority, agent_digest, agent_name, task, status, version, \
                      reducer, fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
                      VALUES (?, 't', '{}', 0, 'd', 'a', 'x', 'failed', 1, 1, '{}', 0, 0, 0, 0, 0, 0)";
        conn.execute(insert, [run.to_string()]).expect("a run");
        let prune = Prune { over_before_ms: 100, ..Prune::default() };
        let batch = PruneBatch { runs: vec![(run, 1, 0)], next: None };
        let write = WritePrune { prune, after: Prune::BEGINNING, batch };
        let runs_gone = |set: &str| {
            conn.execute(&format!("UPDATE runs SET {set}"), []).expect("set");
            let (pruned, _) = write.run(&conn, 0).expect("written");
            pruned.expect("pruned").runs
        };
        assert_eq!(runs_gone("finished_at = NULL"), 0);
        assert_eq!(runs_gone("finished_at = 100"), 0);
        assert_eq!(runs_gone("finished_at = 99, owner = 'w'"), 0);
        assert_eq!(runs_gone("owner = NULL"), 1);
    }
}
