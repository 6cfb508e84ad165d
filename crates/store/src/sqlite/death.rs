//! What a worker's death says about the runs it held: who may have caused it, who did, and who is kept from all workers.

use piton_core::{Event, RunId};
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{append_events, collect, dequeue, ids, read_run, run_id, text, write_fold};
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::judging::{DEATHS_MAX, quarantine_reason};
use crate::{Death, Lost, Verdict};

/// Ids of a worker's incarnations, by the name they begin with.
const INCARNATION: &str = "(worker = ?1 OR (worker >= ?1 || '.' AND worker < ?1 || '/'))";

/// Judges a death whose worker was recovered already, by whomever.
pub(super) struct Judge(pub(super) Death);

impl Transact for Judge {
    type Out = Vec<Verdict>;

    fn durability(&self) -> Durability {
        Durability::AsSet
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let said = conn.execute(
            &format!("UPDATE lost_attempts SET how = ?2 WHERE {INCARNATION} AND how = ?3"),
            params![self.0.worker.as_str(), self.0.how, Lost::LockFree.as_str()],
        )?;
        // Told before, or it held nothing.
        if said == 0 || !self.0.own_doing {
            return Ok((Vec::new(), None));
        }
        let suspects = self.suspects(conn)?;
        self.accuse(conn, &suspects)?;
        let [only] = suspects[..] else {
            return Ok((suspects.into_iter().map(Verdict::Suspected).collect(), None));
        };
        let (verdict, ring) = self.blame(conn, only, now_ms)?;
        Ok((vec![verdict], ring))
    }
}

impl Judge {
    /// The runs it was polling; where it was polling none, whatever it held: a thread of a tool's own may have died.
    fn suspects(&self, conn: &Connection) -> Result<Vec<RunId>, Fault> {
        let held = format!("SELECT run FROM lost_attempts WHERE {INCARNATION} AND how = ?2");
        let seen = format!("SELECT id FROM runs WHERE id IN ({held}) AND suspect IS NOT NULL");
        let all = format!("UPDATE runs SET suspect = ?1 WHERE id IN ({held}) RETURNING id");
        let among = |sql: &str| {
            let mut statement = conn.prepare(sql)?;
            collect(&mut statement, params![self.0.worker.as_str(), self.0.how], |row| run_id(text(row, 0)?))
        };
        let polled = among(&seen)?;
        if polled.is_empty() { among(&all) } else { Ok(polled) }
    }

    /// Counts the death for each of them, until a whole step clears it.
    fn accuse(&self, conn: &Connection, suspects: &[RunId]) -> Result<(), Fault> {
        let ids = ids(suspects);
        conn.execute(
            "UPDATE runs SET deaths = deaths + 1 WHERE id IN (SELECT value FROM json_each(?))",
            [&ids],
        )?;
        conn.execute(
            &format!(
                "UPDATE lost_attempts SET suspected = 1 WHERE run IN (SELECT value FROM json_each(?3)) \
                 AND {INCARNATION} AND how = ?2"
            ),
            params![self.0.worker.as_str(), self.0.how, ids],
        )?;
        Ok(())
    }

    /// It died where nothing else was: that says who did it the times before, too.
    fn blame(&self, conn: &Connection, run: RunId, now_ms: i64) -> Result<(Verdict, Option<Ring>), Fault> {
        let id = run.to_string();
        conn.execute("UPDATE lost_attempts SET blamed = 1 WHERE run = ? AND suspected", [&id])?;
        let deaths = conn.query_row("SELECT deaths FROM runs WHERE id = ?", [&id], |row| row.get(0))?;
        if deaths < DEATHS_MAX {
            return Ok((Verdict::Blamed { run, deaths }, None));
        }
        let mut read = conn
            .prepare("SELECT how FROM lost_attempts WHERE run = ? AND blamed ORDER BY epoch DESC LIMIT ?")?;
        let mut hows = collect(&mut read, params![id, DEATHS_MAX], |row| Ok(row.get::<_, String>(0)?))?;
        hows.reverse();
        let reason = quarantine_reason(deaths, hows);
        let Some(row) = read_run(conn, run)? else {
            return Ok((Verdict::Blamed { run, deaths }, None));
        };
        let (base, event) = (row.run.version, Event::Quarantined { reason });
        // A run that rests, or was cancelled meanwhile, does no more harm.
        let Ok(after) = row.run.apply(&event) else { return Ok((Verdict::Blamed { run, deaths }, None)) };
        append_events(conn, run, base, None, &[event], now_ms)?;
        write_fold(conn, run, &after, now_ms)?;
        conn.execute("UPDATE runs SET owner = NULL, attempt = 0, deaths = 0 WHERE id = ?", [&id])?;
        dequeue(conn, run)?;
        Ok((Verdict::Quarantined(run), Some(Ring::Events)))
    }
}
