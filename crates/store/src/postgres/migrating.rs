//! Carrying a migration out while others go on using the database.
//!
//! A migration is made of parts, each below a line that says how it is carried out (`migrations/README.md`). Whoever migrates may
//! be killed between any two of them, or within one: the next one begins at the first part again, so that each of them can be
//! carried out twice. The schema's number is written once all parts are done.

#[cfg(test)]
mod tests;

use std::time::Duration;

use uuid::Uuid;

use super::backoff;
use super::conn::{Conn, STATEMENT};
use super::fault::Fault;

/// How long a part waits for a lock on a table. Whoever comes after it waits behind it, so it is to be unnoticeable.
const LOCK: Duration = Duration::from_millis(100);
/// Tries of one part after which the log says what it waits for; and again after twice as many.
const TRIES_UNSAID: u32 = 8;
const MARK: &str = "-- part:";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    /// Some statements in one transaction, tried again until it has its locks.
    Together(&'a str),
    /// One statement outside of any transaction, for as long as it takes.
    Alone(&'a str),
    /// One statement for some rows from run `$1` on, which returns the run that it got to, and no row at the end.
    Again(&'a str),
}

/// The parts of a migration, in order.
///
/// # Errors
/// What is wrong with it, for its author.
fn parts(migration: &str) -> Result<Vec<Part<'_>>, String> {
    let mut sections = migration.split(MARK);
    let before = sections.next().unwrap_or_default();
    if before.lines().any(|line| !line.trim().is_empty() && !line.starts_with("--")) {
        return Err(format!("{:?} comes before the first line {MARK:?}", before.trim()));
    }
    let parts: Result<Vec<_>, _> = sections
        .map(|section| {
            let (how, sql) = section.split_once('\n').unwrap_or((section, ""));
            match how.trim() {
                "together" => Ok(Part::Together(sql)),
                "alone" => Ok(Part::Alone(sql)),
                "again until none" => Ok(Part::Again(sql)),
                other => Err(format!("{other:?} is no part: expected together, alone or again until none")),
            }
        })
        .collect();
    match parts {
        Ok(parts) if parts.is_empty() => Err(format!("it has no line {MARK:?}")),
        parts => parts,
    }
}

/// What a migration makes of empty tables, as statements that may stand in one transaction.
pub(super) fn at_once(migration: &str) -> Result<String, Fault> {
    let parts = parts(migration).map_err(Fault::Corrupt)?;
    let made = parts.iter().map(|part| match part {
        Part::Together(sql) => (*sql).to_owned(),
        Part::Alone(sql) => sql.replace(" CONCURRENTLY", ""),
        Part::Again(_) => String::new(),
    });
    Ok(made.map(|sql| sql + "\n;").collect())
}

/// Makes schema `number` out of the one before, by whoever holds the right to migrate. The session's statements and locks must
/// have no limits.
pub(super) async fn carry_out(conn: &Conn, number: u32, migration: &str) -> Result<(), Fault> {
    let parts = parts(migration).map_err(Fault::Corrupt)?;
    for (at, part) in (1..).zip(&parts) {
        tracing::info!(schema = number, part = at, of = parts.len(), "migrating the database");
        let mut waits = backoff::waits();
        let mut tries = 0_u32;
        while let Err(fault) = part.carry_out(conn).await {
            if !fault.is_of_a_lock() && !fault.is_of_the_order() {
                return Err(fault);
            }
            tries += 1;
            if tries >= TRIES_UNSAID && tries.is_power_of_two() {
                tracing::warn!(
                    schema = number,
                    part = at,
                    tries,
                    "the migration waits for a table that somebody has locked: pg_stat_activity shows who it is"
                );
            }
            tokio::time::sleep(waits.next().unwrap_or(LOCK)).await;
        }
    }
    conn.batch(&format!("INSERT INTO piton_schema (number) VALUES ({number})")).await
}

impl Part<'_> {
    async fn carry_out(self, conn: &Conn) -> Result<(), Fault> {
        match self {
            Self::Together(sql) => together(conn, sql).await,
            Self::Alone(sql) => alone(conn, sql).await,
            Self::Again(sql) => again(conn, sql).await,
        }
    }
}

async fn together(conn: &Conn, sql: &str) -> Result<(), Fault> {
    let (lock, statement) = (LOCK.as_millis(), STATEMENT.as_millis());
    // All others wait while it holds a table: then it is not to last.
    let limits = format!("SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}");
    let done = conn.batch(&format!("BEGIN; {limits}; {sql}\n; COMMIT")).await;
    if done.is_err() {
        // A connection that is lost takes it back by itself.
        let _ = conn.batch("ROLLBACK").await;
    }
    done
}

async fn alone(conn: &Conn, sql: &str) -> Result<(), Fault> {
    // An index whose making was broken off stays there, is written, and is never read.
    let invalid = "SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %I', c.relname) \
                   FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                   WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::text::regnamespace \
                   AND strpos($1, ' ' || c.relname || ' ') > 0";
    for row in conn.client().query(invalid, &[&sql.replace([';', '\n'], " ")]).await? {
        conn.batch(row.get(0)).await?;
    }
    conn.batch(sql).await
}

async fn again(conn: &Conn, sql: &str) -> Result<(), Fault> {
    let statement = conn.client().prepare(sql).await?;
    let mut after = Uuid::nil();
    while let Some(row) = conn.client().query_opt(&statement, &[&after]).await? {
        let got_to: Uuid = row.get(0);
        if got_to <= after {
            return Err(Fault::Corrupt(format!("a migration does not get beyond run {after}")));
        }
        after = got_to;
    }
    Ok(())
}
