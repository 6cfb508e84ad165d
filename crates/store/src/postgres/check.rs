//! The invariants of a database, checked on what is stored.

use piton_core::{Event, Recorded, Run};

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{read_events, read_run, run_id, signed, small};
use crate::Check;

/// Findings that one line names; the rest are counted.
const NAMED_MAX: usize = 5;
/// Runs that are read between two looks at the table.
const PAGE: i64 = 500;
/// Events read at a time.
const EVENTS: u32 = 1000;

/// A rule, and the query for what breaks it.
const RULES: [(&str, &str); 4] = [
    (
        "every run rests, or has a job or a worker",
        "SELECT id::text FROM runs WHERE status IN ('running', 'cancelling') AND owner IS NULL \
         AND NOT EXISTS (SELECT FROM jobs WHERE jobs.run = runs.id)",
    ),
    (
        "every owner is a registered worker",
        "SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL \
         AND NOT EXISTS (SELECT FROM workers WHERE workers.id = runs.owner)",
    ),
    (
        "every job is of a run that can advance",
        "SELECT run::text FROM jobs WHERE NOT EXISTS (SELECT FROM runs WHERE runs.id = jobs.run \
         AND status IN ('running', 'cancelling'))",
    ),
    (
        "every run's agent definition is kept as it was",
        "SELECT id::text FROM runs WHERE NOT EXISTS (SELECT FROM agents WHERE agents.digest = runs.agent_digest)",
    ),
];

/// One line for each rule, and one for the histories: each folded anew and compared with its row.
pub(super) async fn check(conn: &Conn) -> Result<Vec<Check>, Fault> {
    let mut checks = vec![histories(conn).await?];
    let runs = conn.first("SELECT count(*) FROM runs", &[]).await?.map_or(0, |row| row.get::<_, i64>(0));
    for (name, sql) in RULES {
        let found: Vec<String> = conn.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        checks.push(Check { name, trouble: trouble(&found), looked_at: format!("{runs} runs") });
    }
    Ok(checks)
}

fn trouble(found: &[String]) -> Option<String> {
    let named: Vec<&str> = found.iter().take(NAMED_MAX).map(String::as_str).collect();
    match found.len().saturating_sub(NAMED_MAX) {
        _ if found.is_empty() => None,
        0 => Some(named.join(", ")),
        more => Some(format!("{} and {more} more", named.join(", "))),
    }
}

async fn histories(conn: &Conn) -> Result<Check, Fault> {
    let (mut after, mut looked_at, mut found) = (uuid::Uuid::nil(), 0_usize, Vec::new());
    loop {
        let page = "SELECT id, reducer FROM runs WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = conn.query(page, &[&after, &PAGE]).await?;
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        looked_at += rows.len();
        for row in &rows {
            let run = run_id(row, 0);
            let Some(stored) = read_run(conn, run).await? else { continue };
            match replayed(conn, run, stored.run.version).await {
                Ok(Some(replayed)) if stored.run.is_fold(&replayed, small(row.get(1))) => {}
                Ok(_) => found.push(format!("{run}: its row is not the fold of its events")),
                Err(Fault::Corrupt(why)) => found.push(format!("{run}: {why}")),
                Err(other) => return Err(other),
            }
        }
    }
    Ok(Check {
        name: "every run is the fold of its events",
        trouble: trouble(&found),
        looked_at: format!("{looked_at} runs"),
    })
}

/// The run as its first `version` events tell it.
async fn replayed(conn: &Conn, run: piton_core::RunId, version: u64) -> Result<Option<Run>, Fault> {
    let mut folded: Option<Run> = None;
    let mut seq = 0;
    while seq < version {
        let page = read_events(conn, run, seq, EVENTS).await?;
        if page.is_empty() {
            return Err(Fault::Corrupt(format!("event {} is missing", signed(seq + 1))));
        }
        for Recorded { seq: at, event, .. } in page.iter().take_while(|recorded| recorded.seq <= version) {
            if *at != seq + 1 {
                return Err(Fault::Corrupt(format!("event {} is missing", seq + 1)));
            }
            seq = *at;
            folded = Some(fold(folded, event)?);
        }
    }
    Ok(folded)
}

fn fold(run: Option<Run>, event: &Event) -> Result<Run, Fault> {
    match run {
        Some(run) => run.apply(event).map_err(Fault::corrupt),
        None => Run::begin(event).map_err(Fault::corrupt),
    }
}
