//! What a worker's death says about the runs it held: who may have caused it, who did, and who is kept from all workers.

use piton_core::{Event, RunId};
use uuid::Uuid;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{append_events, dequeue, read_run, run_id, small, write_fold};
use super::writer::{Transact, Written};
use crate::bell::Ring;
use crate::judging::{DEATHS_MAX, quarantine_reason};
use crate::{Death, Lost, Verdict};

/// Rows of a worker's incarnations, by the name (`$1`) that their ids begin with.
macro_rules! of_the_dead {
    ($sql:literal) => {
        concat!($sql, " (worker = $1 OR starts_with(worker, $1 || '.'))")
    };
    ($sql:literal, $and:literal) => {
        concat!($sql, " (worker = $1 OR starts_with(worker, $1 || '.'))", $and)
    };
}

/// Judges a death whose worker was recovered already, by whomever.
pub(super) struct Judge(pub(super) Death);

impl Transact for Judge {
    type Out = Vec<Verdict>;

    fn run<'a>(&'a self, conn: &'a Conn, now_ms: i64) -> Written<'a, Self::Out> {
        Box::pin(self.judge(conn, now_ms))
    }
}

impl Judge {
    async fn judge(&self, conn: &Conn, now_ms: i64) -> Result<(Vec<Verdict>, Option<Ring>), Fault> {
        let (worker, how) = (self.0.worker.as_str(), self.0.how.as_str());
        let said = conn
            .query(
                of_the_dead!("UPDATE lost_attempts SET how = $2 WHERE how = $3 AND", " RETURNING run"),
                &[&worker, &how, &Lost::LockFree.as_str()],
            )
            .await?;
        // Told before, or it held nothing.
        if said.is_empty() || !self.0.own_doing {
            return Ok((Vec::new(), None));
        }
        let mut held: Vec<Uuid> = said.iter().map(|row| row.get(0)).collect();
        held.sort_unstable();
        conn.query("SELECT FROM runs WHERE id = ANY($1) ORDER BY id FOR UPDATE", &[&held]).await?;
        let suspects = suspects(conn, worker, &held).await?;
        self.accuse(conn, &suspects).await?;
        let [only] = suspects[..] else {
            return Ok((suspects.into_iter().map(Verdict::Suspected).collect(), None));
        };
        let (verdict, ring) = blame(conn, only, now_ms).await?;
        Ok((vec![verdict], ring))
    }

    /// Counts the death for each of them, until a whole step clears it.
    async fn accuse(&self, conn: &Conn, suspects: &[RunId]) -> Result<(), Fault> {
        let ids: Vec<Uuid> = suspects.iter().map(RunId::as_uuid).collect();
        conn.execute("UPDATE runs SET deaths = deaths + 1 WHERE id = ANY($1)", &[&ids]).await?;
        conn.execute(
            of_the_dead!("UPDATE lost_attempts SET suspected = true WHERE run = ANY($3) AND how = $2 AND"),
            &[&self.0.worker.as_str(), &self.0.how, &ids],
        )
        .await?;
        Ok(())
    }
}

/// The runs it was polling; where it was polling none, whatever it held: a thread of a tool's own may have died.
async fn suspects(conn: &Conn, worker: &str, held: &[Uuid]) -> Result<Vec<RunId>, Fault> {
    let seen = "SELECT id FROM runs WHERE id = ANY($1) AND suspect IS NOT NULL ORDER BY id";
    let mut polled = conn.query(seen, &[&held]).await?;
    if polled.is_empty() {
        let all = "UPDATE runs SET suspect = $2 WHERE id = ANY($1) RETURNING id";
        polled = conn.query(all, &[&held, &worker]).await?;
    }
    Ok(polled.iter().map(|row| run_id(row, 0)).collect())
}

/// It died where nothing else was: that says who did it the times before, too.
async fn blame(conn: &Conn, run: RunId, now_ms: i64) -> Result<(Verdict, Option<Ring>), Fault> {
    let id = run.as_uuid();
    conn.execute("UPDATE lost_attempts SET blamed = true WHERE run = $1 AND suspected", &[&id]).await?;
    let deaths = conn.first("SELECT deaths FROM runs WHERE id = $1", &[&id]).await?;
    let deaths = deaths.map_or(0, |row| small(row.get(0)));
    if deaths < DEATHS_MAX {
        return Ok((Verdict::Blamed { run, deaths }, None));
    }
    let blamed = "SELECT how FROM lost_attempts WHERE run = $1 AND blamed ORDER BY epoch DESC LIMIT $2";
    let hows = conn.query(blamed, &[&id, &i64::from(DEATHS_MAX)]).await?;
    let hows = hows.iter().rev().map(|row| row.get(0)).collect();
    let Some(row) = read_run(conn, run).await? else {
        return Ok((Verdict::Blamed { run, deaths }, None));
    };
    let (base, event) = (row.run.version, Event::Quarantined { reason: quarantine_reason(deaths, hows) });
    // A run that rests, or was cancelled meanwhile, does no more harm.
    let Ok(after) = row.run.apply(&event) else { return Ok((Verdict::Blamed { run, deaths }, None)) };
    append_events(conn, run, base, None, &[event], now_ms).await?;
    write_fold(conn, run, &after, now_ms).await?;
    conn.execute("UPDATE runs SET owner = NULL, attempt = 0, deaths = 0 WHERE id = $1", &[&id]).await?;
    dequeue(conn, run).await?;
    Ok((Verdict::Quarantined(run), Some(Ring::Events)))
}
