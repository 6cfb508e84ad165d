//! Every invariant of a database, checked on what is stored.

use std::str::FromStr;

use piton_core::{Run, RunId};
use sqlx::{Row, SqliteConnection};

use super::rows::{RUN_COLUMNS, read_events, run_row};
use super::writer::Fault;
use crate::Check;

/// Findings that one line names; the rest are counted.
const NAMED_MAX: usize = 5;

pub(super) async fn check(conn: &mut SqliteConnection, now_ms: i64) -> Result<Vec<Check>, Fault> {
    Ok(vec![
        integrity(conn).await?,
        replay(conn).await?,
        none(
            conn,
            "every runnable run has a job or a worker",
            "SELECT id FROM runs WHERE status IN ('running', 'cancelling') AND owner IS NULL \
             AND id NOT IN (SELECT run FROM jobs)",
            now_ms,
            "start a worker: its sweep gives each of them a job",
        )
        .await?,
        none(
            conn,
            "every owner is a registered worker",
            "SELECT id FROM runs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM workers)",
            now_ms,
            "start a worker: its sweep takes them back",
        )
        .await?,
        none(
            conn,
            "every lease stands",
            "SELECT id FROM workers WHERE expires_at <= ?1",
            now_ms,
            "start a worker: it recovers what these held",
        )
        .await?,
        none(
            conn,
            "every job belongs to a run that can advance",
            "SELECT run FROM jobs LEFT JOIN runs ON runs.id = jobs.run \
             WHERE runs.id IS NULL OR runs.status NOT IN ('running', 'cancelling')",
            now_ms,
            "harmless: a worker drops such a job when it takes it",
        )
        .await?,
        none(
            conn,
            "every run's agent definition is kept",
            "SELECT id FROM runs WHERE agent_digest NOT IN (SELECT digest FROM agents)",
            now_ms,
            "restore the database from a backup: these runs cannot go on",
        )
        .await?,
    ])
}

async fn integrity(conn: &mut SqliteConnection) -> Result<Check, Fault> {
    let rows = sqlx::query("PRAGMA quick_check(5)").fetch_all(conn).await?;
    let lines = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    let trouble = (lines != ["ok"]).then(|| format!("{}: restore it from a backup", lines.join("; ")));
    Ok(Check { name: "the file is intact", trouble, looked_at: "all pages".to_owned() })
}

/// Folds every run's events again and compares with its row.
async fn replay(conn: &mut SqliteConnection) -> Result<Check, Fault> {
    let mut found = Vec::new();
    let mut looked_at = 0_u64;
    let mut after = String::new();
    let page = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id > ? ORDER BY id LIMIT 200");
    loop {
        let rows = sqlx::query(sqlx::AssertSqlSafe(page.clone())).bind(&after).fetch_all(&mut *conn).await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        for row in &rows {
            looked_at += 1;
            let id: String = row.try_get(0)?;
            if let Err(why) = replays(conn, row).await? {
                found.push(format!("{id} ({why})"));
            }
        }
    }
    Ok(Check {
        name: "every run is the fold of its events",
        trouble: (!found.is_empty()).then(|| summary(&found, "restore the database from a backup")),
        looked_at: format!("{looked_at} runs"),
    })
}

async fn replays(
    conn: &mut SqliteConnection,
    row: &sqlx::sqlite::SqliteRow,
) -> Result<Result<(), String>, Fault> {
    let id: String = row.try_get(0)?;
    let (stored, events) = match (run_row(row), RunId::from_str(&id)) {
        (Ok(stored), Ok(run)) => match read_events(conn, run, 0, u32::MAX).await {
            Ok(events) => (stored, events),
            Err(Fault::Corrupt(why)) => return Ok(Err(why)),
            Err(fault) => return Err(fault),
        },
        (Err(Fault::Corrupt(why)), _) => return Ok(Err(why)),
        (Err(fault), _) => return Err(fault),
        (_, Err(error)) => return Ok(Err(error.to_string())),
    };
    if events.iter().zip(1..).any(|(event, seq)| event.seq != seq) {
        return Ok(Err("an event is missing".to_owned()));
    }
    // A live worker may have written between the two reads: only the events up to the row's version count.
    let counted = events.iter().take(usize::try_from(stored.run.version).unwrap_or(usize::MAX));
    Ok(match Run::replay(counted.map(|recorded| &recorded.event)) {
        Ok(run) if stored.run.is_fold(&run, row.try_get(6)?) => Ok(()),
        Ok(_) => Err("its events fold to another state".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}

async fn none(
    conn: &mut SqliteConnection,
    name: &'static str,
    sql: &'static str,
    now_ms: i64,
    remedy: &str,
) -> Result<Check, Fault> {
    let query = sqlx::query(sql);
    let query = if sql.contains("?1") { query.bind(now_ms) } else { query };
    let rows = query.fetch_all(conn).await?;
    let found = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    Ok(Check {
        name,
        trouble: (!found.is_empty()).then(|| summary(&found, remedy)),
        looked_at: format!("{} found", found.len()),
    })
}

fn summary(found: &[String], remedy: &str) -> String {
    let named = found.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = found.len().saturating_sub(NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{named}{rest}: {remedy}")
}
