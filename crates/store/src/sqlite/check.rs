//! Every invariant of a database, checked on what is stored: of a stopped one, or of one that workers are advancing.
//!
//! What depends on processes, and not on the file alone, is looked at twice before it is said.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::fault::{Fault, plain};
use super::replay::pass;
use super::rows::{collect, text};
use super::{SqliteStore, Synchronous, open};
use crate::examining::{
    AGAIN_MAX, AGENTS_KEPT, AGENTS_REMEDY, DURABLE, Found, Rule, SCHEMA, SETTLE, replayed, rules,
    silent_peers, unchecked, unlike, workers_alive,
};
use crate::launching::digest;
use crate::{Check, Error, Examination};

/// The whole integrity check is made of files up to this size: indexes and all take about a second per 200 MiB.
const WHOLE_BYTES_MAX: i64 = 1024 * 1024 * 1024;

impl SqliteStore {
    /// Whether there is a file at `url`, which [`Self::open`] would make.
    ///
    /// # Errors
    /// [`Error::Unusable`] when `url` names no file.
    pub fn is_there(url: &str) -> Result<bool, Error> {
        Ok(open::path_in(url)?.exists())
    }

    /// Checks every invariant, one line each. A check that cannot be carried out is trouble too.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be read at all.
    pub async fn examine(&self, how: &Examination) -> Result<Vec<Check>, Error> {
        let how = *how;
        let (schema, synchronous, path) = (self.schema, self.synchronous, self.path.clone());
        let rules = Arc::new(rules(self.clock.now_ms(), how.step_limit_ms));
        let asked = Arc::clone(&rules);
        let silent = silent_peers(self, self.clock.now_ms()).await;
        let (first, mut checks) = self
            .readers
            .read(move |conn| {
                let first: Vec<_> = asked.iter().map(|rule| broken_by(rule, conn, None)).collect();
                let mut checks = vec![
                    integrity(conn, how.deep),
                    self::schema(conn, schema),
                    durability(&path, synchronous),
                ];
                checks.extend(replayed(pass(conn).map_err(Error::from)));
                Ok((first, checks))
            })
            .await?;
        let is_well = first.iter().all(|found| matches!(found, Ok(ids) if ids.is_empty()));
        let wait = silent.iter().flatten().map(|peer| peer.patience(2)).max();
        if let Some(wait) = wait.or((!is_well).then_some(SETTLE)) {
            tokio::time::sleep(wait).await;
        }
        let again = self.readers.read(move |conn| {
            let again = rules.iter().zip(first).map(|(rule, found)| rule.said(again(rule, conn, found)));
            Ok(again.collect::<Vec<_>>())
        });
        checks.extend(again.await?);
        checks.push(workers_alive(self, self.clock.now_ms(), silent).await);
        let agents = self.readers.read(agents).await;
        checks.push(agents.unwrap_or_else(|error| unchecked(AGENTS_KEPT, &error)));
        Ok(checks)
    }
}

/// The level that a connection which writes as this store does has in effect.
fn durability(path: &Path, synchronous: Synchronous) -> Check {
    let read = || {
        let writer = open::writer(path, synchronous)?;
        Ok(writer.query_row(
            "SELECT (SELECT synchronous FROM pragma_synchronous), (SELECT journal_mode FROM pragma_journal_mode)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?)
    };
    match read() {
        Err::<_, Fault>(fault) => unchecked(DURABLE, &Error::from(fault)),
        Ok((level, journal)) => {
            let is_full = synchronous == Synchronous::Full;
            let holds = level == (if is_full { 2 } else { 1 }) && journal == "wal";
            let promise = if is_full {
                "what was acknowledged survives a loss of power"
            } else {
                "a loss of power may take the last moments"
            };
            let effective = format!("synchronous={}, journal_mode={journal}", synchronous.as_str());
            let trouble = (!holds).then(|| {
                format!("{effective}, and the level in effect is {level}: look at what opened the file")
            });
            Check { name: DURABLE, trouble, looked_at: format!("{effective}: {promise}") }
        }
    }
}

/// What breaks a rule, up to a bound; of `those` only, where they are given.
fn broken_by(rule: &Rule, conn: &Connection, those: Option<&[String]>) -> Result<Vec<String>, Fault> {
    let sql = format!(
        "SELECT id FROM ({}) WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)) ORDER BY id LIMIT {AGAIN_MAX}",
        rule.breaks
    );
    let those = those.map(|those| serde_json::Value::from(those).to_string());
    collect(&mut conn.prepare(&sql)?, [those], |row| Ok(row.get(0)?))
}

/// What broke a rule at the first look and still does, and how much there is to break it.
fn again(
    rule: &Rule,
    conn: &Connection,
    first: Result<Vec<String>, Fault>,
) -> Result<(Vec<String>, i64), Error> {
    let first = first?;
    let found = if first.is_empty() { first } else { broken_by(rule, conn, Some(&first))? };
    let among = conn.query_row(rule.among, [], |row| row.get(0)).map_err(Fault::from)?;
    Ok((found, among))
}

/// The file itself: all of it where it is small enough or `deep` is asked for, else without comparing indexes with
/// their tables.
pub(super) fn integrity(conn: &Connection, deep: bool) -> Check {
    const INTACT: &str = "the file is intact";
    let read = || {
        let bytes: i64 = conn.query_row(
            "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)",
            [],
            |row| row.get(0),
        )?;
        let whole = deep || bytes <= WHOLE_BYTES_MAX;
        let sql = if whole { "PRAGMA integrity_check(5)" } else { "PRAGMA quick_check(5)" };
        let lines =
            conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        Ok((lines, whole, bytes))
    };
    let remedy = "restore a backup, or save what is readable: sqlite3 FILE .recover | sqlite3 NEW-FILE";
    match read() {
        Err::<_, rusqlite::Error>(error) => Check {
            name: INTACT,
            trouble: Some(format!("{}: {remedy}", plain(&error))),
            looked_at: "as far as it can be read".to_owned(),
        },
        Ok((lines, whole, bytes)) => Check {
            name: INTACT,
            trouble: (lines != ["ok"]).then(|| format!("{}: {remedy}", lines.join("; "))),
            looked_at: if whole {
                format!("{} KiB, tables and indexes", bytes / 1024)
            } else {
                format!("{} MiB, tables; --deep looks at the indexes too", bytes / 1024 / 1024)
            },
        },
    }
}

/// The tables and indexes against those that the migrations make.
fn schema(conn: &Connection, schema: u32) -> Check {
    const TABLES: &str = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master \
                          WHERE name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations' ORDER BY 1";
    let newest = open::newest_schema();
    if schema > newest {
        let looked_at = format!("schema {schema} of a newer Piton, which this one (schema {newest}) can use");
        return Check { name: SCHEMA, trouble: None, looked_at };
    }
    let tables = |conn: &Connection| {
        collect(&mut conn.prepare(TABLES)?, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
    };
    let read = || {
        let mut fresh = Connection::open_in_memory()?;
        open::migrate(&mut fresh, 0)?;
        Ok((tables(conn)?, tables(&fresh)?))
    };
    match read() {
        Err::<_, Fault>(fault) => unchecked(SCHEMA, &Error::from(fault)),
        Ok((there, made)) => {
            let looked_at = format!("schema {schema}, {} tables and indexes", made.len());
            Check { name: SCHEMA, trouble: unlike(&there, &made), looked_at }
        }
    }
}

/// Every run's agent is there, and its text is the one that the digest is of.
fn agents(conn: &Connection) -> Result<Check, Fault> {
    let mut found = Found::default();
    let mut missing = conn.prepare(
        "SELECT agent_digest, count(*) FROM runs WHERE agent_digest NOT IN (SELECT digest FROM agents) GROUP BY 1",
    )?;
    found.extend(collect(&mut missing, [], |row| {
        Ok(format!("{} of {} runs is missing", row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?);
    let mut read = conn.prepare("SELECT digest, definition FROM agents ORDER BY 1")?;
    let mut rows = read.query([])?;
    let mut definitions = 0;
    while let Some(row) = rows.next()? {
        definitions += 1;
        let named = text(row, 0)?;
        if digest(text(row, 1)?).as_str() != named {
            found.add(format!("{named} is another text by now"));
        }
    }
    Ok(Check {
        name: AGENTS_KEPT,
        trouble: found.trouble(AGENTS_REMEDY),
        looked_at: format!("{definitions} definitions"),
    })
}
