//! What a worker's death says about the runs it held: who may have caused it, who did, and who is kept from all workers.

use async_trait::async_trait;
use piton_core::{Event, RunId};
use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::rows::{append_events, dequeue, read_run, run_id, write_fold};
use super::writer::{Fault, Transact};
use crate::bell::Ring;
use crate::{Death, Lost, Verdict};

/// Deaths at one step, after which a run is kept from all workers.
const DEATHS_MAX: u32 = 3;
/// Ids of a worker's incarnations, by the name they begin with.
const INCARNATION: &str = "(worker = ?1 OR (worker >= ?1 || '.' AND worker < ?1 || '/'))";

/// Judges a death whose worker was recovered already, by whomever.
pub(super) struct Judge(pub(super) Death);

#[async_trait]
impl Transact for Judge {
    type Out = Vec<Verdict>;
    const SYNCED: bool = true;

    async fn run(
        &self,
        conn: &mut SqliteConnection,
        now_ms: i64,
    ) -> Result<(Self::Out, Option<Ring>), Fault> {
        let said = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE lost_attempts SET how = ?2 WHERE {INCARNATION} AND how = ?3"
        )))
        .bind(self.0.worker.as_str())
        .bind(&self.0.how)
        .bind(Lost::LockFree.as_str())
        .execute(&mut *conn)
        .await?;
        // Told before, or it held nothing.
        if said.rows_affected() == 0 || !self.0.own_doing {
            return Ok((Vec::new(), None));
        }
        let suspects = self.suspects(conn).await?;
        self.accuse(conn, &suspects).await?;
        let [only] = suspects[..] else {
            return Ok((suspects.into_iter().map(Verdict::Suspected).collect(), None));
        };
        let (verdict, ring) = self.blame(conn, only, now_ms).await?;
        Ok((vec![verdict], ring))
    }
}

impl Judge {
    /// The runs it was polling; where it was polling none, whatever it held: a thread of a tool's own may have died.
    async fn suspects(&self, conn: &mut SqliteConnection) -> Result<Vec<RunId>, Fault> {
        let held = format!("SELECT run FROM lost_attempts WHERE {INCARNATION} AND how = ?2");
        let seen = format!("SELECT id FROM runs WHERE id IN ({held}) AND suspect IS NOT NULL");
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(seen))
            .bind(self.0.worker.as_str())
            .bind(&self.0.how)
            .fetch_all(&mut *conn)
            .await?;
        if rows.is_empty() {
            let all = format!("UPDATE runs SET suspect = ?1 WHERE id IN ({held}) RETURNING id");
            rows = sqlx::query(sqlx::AssertSqlSafe(all))
                .bind(self.0.worker.as_str())
                .bind(&self.0.how)
                .fetch_all(&mut *conn)
                .await?;
        }
        rows.iter().map(|row| run_id(row.try_get(0)?)).collect()
    }

    /// Counts the death for each of them, until a whole step clears it.
    async fn accuse(&self, conn: &mut SqliteConnection, suspects: &[RunId]) -> Result<(), Fault> {
        let ids = json!(suspects.iter().map(RunId::to_string).collect::<Vec<_>>()).to_string();
        sqlx::query("UPDATE runs SET deaths = deaths + 1 WHERE id IN (SELECT value FROM json_each(?))")
            .bind(&ids)
            .execute(&mut *conn)
            .await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE lost_attempts SET suspected = 1 WHERE run IN (SELECT value FROM json_each(?3)) AND {INCARNATION} \
             AND how = ?2"
        )))
        .bind(self.0.worker.as_str())
        .bind(&self.0.how)
        .bind(&ids)
        .execute(&mut *conn)
        .await?;
        Ok(())
    }

    /// It died where nothing else was: that says who did it the times before, too.
    async fn blame(
        &self,
        conn: &mut SqliteConnection,
        run: RunId,
        now_ms: i64,
    ) -> Result<(Verdict, Option<Ring>), Fault> {
        let id = run.to_string();
        sqlx::query("UPDATE lost_attempts SET blamed = 1 WHERE run = ? AND suspected")
            .bind(&id)
            .execute(&mut *conn)
            .await?;
        let deaths = sqlx::query("SELECT deaths FROM runs WHERE id = ?")
            .bind(&id)
            .fetch_one(&mut *conn)
            .await?
            .try_get::<u32, _>(0)?;
        if deaths < DEATHS_MAX {
            return Ok((Verdict::Blamed { run, deaths }, None));
        }
        let hows =
            sqlx::query("SELECT how FROM lost_attempts WHERE run = ? AND blamed ORDER BY epoch DESC LIMIT ?")
                .bind(&id)
                .bind(DEATHS_MAX)
                .fetch_all(&mut *conn)
                .await?;
        let hows = hows.iter().rev().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        let reason = format!("it took its worker down {deaths} times in a row: {}", hows.join(", "));
        let Some(row) = read_run(conn, run).await? else {
            return Ok((Verdict::Blamed { run, deaths }, None));
        };
        let (base, event) = (row.run.version, Event::Quarantined { reason });
        // A run that rests, or was cancelled meanwhile, does no more harm.
        let Ok(after) = row.run.apply(&event) else { return Ok((Verdict::Blamed { run, deaths }, None)) };
        append_events(conn, run, base, None, &[event], now_ms).await?;
        write_fold(conn, run, &after, now_ms).await?;
        sqlx::query("UPDATE runs SET owner = NULL, attempt = 0, deaths = 0 WHERE id = ?")
            .bind(&id)
            .execute(&mut *conn)
            .await?;
        dequeue(conn, run).await?;
        Ok((Verdict::Quarantined(run), Some(Ring::Events)))
    }
}
