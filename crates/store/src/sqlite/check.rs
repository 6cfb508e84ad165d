//! Every invariant of a database, checked on what is stored: of a stopped one, or of one that workers are advancing.
//!
//! What depends on processes, and not on the file alone, is looked at twice before it is said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use piton_core::WorkerId;
use rusqlite::Connection;

use super::fault::{Fault, plain};
use super::replay::{Pass, pass};
use super::rows::{collect, text};
use super::{SqliteStore, Synchronous, open};
use crate::launching::digest;
use crate::{Check, Error, Examination, Lost, LostWorker, Peer, PeerLock};

/// Findings that one line names; the rest are counted.
const NAMED_MAX: usize = 5;
/// Findings of one rule that are looked at again.
const AGAIN_MAX: usize = 1000;
/// Before the second look. Workers recover what a dead one held within a fraction of this.
const SETTLE: Duration = Duration::from_secs(1);
/// The whole integrity check is made of files up to this size: indexes and all take about a second per 200 MiB.
const WHOLE_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// Who looks, among the workers.
const ME: &str = "doctor";

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
        let silent = self.silent_peers().await;
        let (first, mut checks) = self
            .readers
            .read(move |conn| {
                let first: Vec<_> = asked.iter().map(|rule| rule.broken_by(conn, None)).collect();
                let mut checks = vec![
                    integrity(conn, how.deep),
                    self::schema(conn, schema),
                    durability(&path, synchronous),
                ];
                checks.extend(replay(pass(conn)));
                Ok((first, checks))
            })
            .await?;
        let is_well = first.iter().all(|found| matches!(found, Ok(ids) if ids.is_empty()));
        let wait = silent.iter().flatten().map(|peer| peer.patience(2)).max();
        if let Some(wait) = wait.or((!is_well).then_some(SETTLE)) {
            tokio::time::sleep(wait).await;
        }
        let again = self.readers.read(move |conn| {
            let again = rules.iter().zip(first).map(|(rule, found)| rule.check(conn, found));
            Ok(again.collect::<Vec<_>>())
        });
        checks.extend(again.await?);
        checks.push(match silent {
            Ok(first) => self.workers_alive(&first).await,
            Err(error) => unchecked(WORKERS_LIVE, &error),
        });
        let agents = self.readers.read(agents).await;
        checks.push(agents.unwrap_or_else(|error| unchecked(AGENTS_KEPT, &error)));
        Ok(checks)
    }

    /// The workers that give no sign of life at first sight.
    pub(super) async fn silent_peers(&self) -> Result<Vec<Silent>, Error> {
        let now_ms = self.clock.now_ms();
        let peers = crate::Store::peers(self, &WorkerId::new(ME)).await?;
        Ok(peers.into_iter().filter_map(|peer| Silent::at_first_sight(peer, now_ms)).collect())
    }

    /// Those of `first` that have given none since.
    pub(super) async fn still_silent(&self, first: &[Silent]) -> Result<Vec<Silent>, Error> {
        if first.is_empty() {
            return Ok(Vec::new());
        }
        let again = self.silent_peers().await?;
        Ok(again.into_iter().filter(|now| first.iter().any(|before| before.is(now))).collect())
    }

    async fn workers_alive(&self, first: &[Silent]) -> Check {
        let registered = crate::Store::peers(self, &WorkerId::new(ME)).await.map_or(0, |peers| peers.len());
        let mut found = Found::default();
        match self.still_silent(first).await {
            Ok(silent) => found.extend(silent.iter().map(|silent| {
                let held = silent.peer.lock == PeerLock::Held;
                let how = if held {
                    "its process is there and does not renew its lease"
                } else {
                    silent.why.as_str()
                };
                format!("{} ({how})", silent.peer.id)
            })),
            Err(error) => return unchecked(WORKERS_LIVE, &error),
        }
        Check {
            name: WORKERS_LIVE,
            trouble: found.trouble("start a worker, which takes back what these held, or repair"),
            looked_at: format!("{registered} workers"),
        }
    }
}

/// The level that a connection which writes as this store does has in effect.
fn durability(path: &Path, synchronous: Synchronous) -> Check {
    const NAME: &str = "commits are as durable as configured";
    let read = || {
        let writer = open::writer(path, synchronous)?;
        Ok(writer.query_row(
            "SELECT (SELECT synchronous FROM pragma_synchronous), (SELECT journal_mode FROM pragma_journal_mode)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?)
    };
    match read() {
        Err::<_, Fault>(fault) => unchecked(NAME, &Error::from(fault)),
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
            Check { name: NAME, trouble, looked_at: format!("{effective}: {promise}") }
        }
    }
}

/// A worker that gives no sign of life.
#[derive(Debug)]
pub(super) struct Silent {
    pub(super) peer: Peer,
    pub(super) why: Lost,
}

impl Silent {
    /// A free lock says enough. Without one, or under one that is held, the lease must have lapsed by the wall clock;
    /// whether it is renewed all the same shows at the second look.
    fn at_first_sight(peer: Peer, now_ms: i64) -> Option<Self> {
        let lapsed = peer.expires_at_ms <= now_ms;
        let why = match peer.lock {
            PeerLock::Free => Lost::LockFree,
            PeerLock::Held | PeerLock::Unknown if lapsed => Lost::LeaseLapsed,
            PeerLock::Held | PeerLock::Unknown => return None,
        };
        Some(Self { peer, why })
    }

    /// How long it is watched: a lapsed lease for a `part`th of its length, in which a living worker renews it.
    pub(super) fn patience(&self, part: u64) -> Duration {
        match self.why {
            Lost::LockFree => SETTLE,
            Lost::LeaseLapsed => SETTLE.max(Duration::from_millis(self.peer.lease_ms / part)),
        }
    }

    fn is(&self, later: &Self) -> bool {
        (&self.peer.id, self.peer.expires_at_ms) == (&later.peer.id, later.peer.expires_at_ms)
    }

    pub(super) fn lost(self) -> LostWorker {
        let Peer { id, expires_at_ms, busy_with, .. } = self.peer;
        LostWorker { id, expires_at_ms, why: self.why, busy_with }
    }
}

const WORKERS_LIVE: &str = "every registered worker lives";
const AGENTS_KEPT: &str = "every run's agent definition is kept as it was";

/// An invariant that one statement can check.
struct Rule {
    name: &'static str,
    /// Selects, as `id`, what breaks it.
    breaks: String,
    /// Counts what is looked at.
    among: &'static str,
    unit: &'static str,
    remedy: &'static str,
}

fn rules(now_ms: i64, step_limit_ms: Option<u64>) -> Vec<Rule> {
    let overdue = step_limit_ms.map_or(i64::MIN, |limit| now_ms.saturating_sub_unsigned(limit));
    vec![
        Rule {
            name: "every run rests, or has a job or a worker",
            breaks: "SELECT id FROM runs WHERE status IN ('running', 'cancelling') AND owner IS NULL \
                     AND id NOT IN (SELECT run FROM jobs)"
                .to_owned(),
            among: "SELECT count(*) FROM runs WHERE status IN ('running', 'cancelling')",
            unit: "runs",
            remedy: "start a worker, whose sweep gives each of them a job, or repair",
        },
        Rule {
            name: "every owner is a registered worker",
            breaks: "SELECT id FROM runs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM workers)".to_owned(),
            among: "SELECT count(*) FROM runs WHERE owner IS NOT NULL",
            unit: "owned runs",
            remedy: "start a worker, whose sweep takes them back, or repair",
        },
        Rule {
            name: "no step is over its limit",
            breaks: format!(
                "SELECT id FROM runs WHERE owner IS NOT NULL AND max(updated_at, coalesce(claimed_at, updated_at)) < {overdue}"
            ),
            among: "SELECT count(*) FROM runs WHERE owner IS NOT NULL",
            unit: "owned runs",
            remedy: "look at the worker that holds it, and end its process if it stands still",
        },
        Rule {
            name: "every job is of a run that can advance",
            breaks: "SELECT jobs.run AS id FROM jobs LEFT JOIN runs ON runs.id = jobs.run \
                     WHERE runs.id IS NULL OR (runs.owner IS NULL AND runs.status NOT IN ('running', 'cancelling'))"
                .to_owned(),
            among: "SELECT count(*) FROM jobs",
            unit: "jobs",
            remedy: "harmless: a worker drops such a job when it takes it; repair drops it now",
        },
        Rule {
            name: "what is kept beside runs is of runs that are there",
            breaks: "SELECT run AS id FROM (SELECT DISTINCT run FROM outputs UNION SELECT DISTINCT run FROM lost_attempts \
                     UNION SELECT run FROM idempotency_keys) WHERE run NOT IN (SELECT id FROM runs)"
                .to_owned(),
            among: "SELECT (SELECT count(*) FROM outputs) + (SELECT count(*) FROM lost_attempts) + \
                    (SELECT count(*) FROM idempotency_keys)",
            unit: "outputs, lost attempts and idempotency keys",
            remedy: "runs were lost: restore the database from a backup",
        },
    ]
}

impl Rule {
    /// What breaks it, up to a bound; of `those` only, where they are given.
    fn broken_by(&self, conn: &Connection, those: Option<&[String]>) -> Result<Vec<String>, Fault> {
        let sql = format!(
            "SELECT id FROM ({}) WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)) ORDER BY id LIMIT {AGAIN_MAX}",
            self.breaks
        );
        let those = those.map(|those| serde_json::Value::from(those).to_string());
        collect(&mut conn.prepare(&sql)?, [those], |row| Ok(row.get(0)?))
    }

    /// Says what broke it at the first look and still does.
    fn check(&self, conn: &Connection, first: Result<Vec<String>, Fault>) -> Check {
        let again = || {
            let first = first?;
            let found = match first.is_empty() {
                true => first,
                false => self.broken_by(conn, Some(&first))?,
            };
            let among: i64 = conn.query_row(self.among, [], |row| row.get(0))?;
            Ok::<_, Fault>((Found::of(found), among))
        };
        match again() {
            Err(fault) => unchecked(self.name, &Error::from(fault)),
            Ok((found, among)) => Check {
                name: self.name,
                trouble: found.trouble(self.remedy),
                looked_at: format!("{among} {}", self.unit),
            },
        }
    }
}

fn unchecked(name: &'static str, error: &Error) -> Check {
    Check {
        name,
        trouble: Some(format!("this could not be checked: {error}")),
        looked_at: "nothing".to_owned(),
    }
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
    const NAME: &str = "the schema is this version's";
    const TABLES: &str = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master \
                          WHERE name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations' ORDER BY 1";
    let newest = open::newest_schema();
    if schema > newest {
        let looked_at = format!("schema {schema} of a newer Piton, which this one (schema {newest}) can use");
        return Check { name: NAME, trouble: None, looked_at };
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
        Err::<_, Fault>(fault) => unchecked(NAME, &Error::from(fault)),
        Ok((there, made)) => {
            let mut found = Found::default();
            let missing = made.iter().filter(|one| !there.contains(one));
            found.extend(missing.map(|(name, _)| {
                let is_there = there.iter().any(|(other, _)| other == name);
                format!("{name} {}", if is_there { "is another" } else { "is missing" })
            }));
            Check {
                name: NAME,
                trouble: found.trouble("restore the database from a backup"),
                looked_at: format!("schema {schema}, {} tables and indexes", made.len()),
            }
        }
    }
}

/// What a pass over runs and events says, one line for each thing that can be wrong.
fn replay(pass: Result<Pass, Fault>) -> Vec<Check> {
    const FOLDS: &str = "every run is the fold of its events";
    const COMPLETE: &str = "every history is complete";
    const OWNED: &str = "every event belongs to a run";
    const CALLS: &str = "every open call and question is asked about";
    let pass = match pass {
        Ok(pass) => pass,
        Err(fault) => {
            let error = Error::from(fault);
            return [FOLDS, COMPLETE, OWNED, CALLS].map(|name| unchecked(name, &error)).into();
        }
    };
    let newer = if pass.newer > 0 {
        format!("; {} of a newer Piton are left out", pass.newer)
    } else {
        String::new()
    };
    let (runs, events) = (format!("{} runs{newer}", pass.runs), format!("{} events", pass.events));
    let backup = "restore the database from a backup: events are not made up";
    vec![
        Check {
            name: FOLDS,
            trouble: pass.unlike.trouble("repair writes each row anew from its events"),
            looked_at: runs.clone(),
        },
        Check { name: COMPLETE, trouble: pass.broken.trouble(backup), looked_at: events.clone() },
        Check { name: OWNED, trouble: pass.strays.trouble(backup), looked_at: events },
        Check {
            name: CALLS,
            trouble: pass.dangling.trouble("find out what became of the call, and launch the run anew"),
            looked_at: runs,
        },
    ]
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
        trouble: found
            .trouble("restore the database from a backup: their runs cannot go on as they were launched"),
        looked_at: format!("{definitions} definitions"),
    })
}

/// What breaks one rule: the first few by name, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Found {
    named: Vec<String>,
    count: usize,
}

impl Found {
    fn of(all: Vec<String>) -> Self {
        let mut found = Self::default();
        found.extend(all);
        found
    }

    pub(super) fn add(&mut self, what: String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }

    pub(super) fn extend(&mut self, all: impl IntoIterator<Item = String>) {
        all.into_iter().for_each(|what| self.add(what));
    }

    /// A line that names them, counts the rest, and says what to do.
    pub(super) fn trouble(&self, remedy: &str) -> Option<String> {
        let rest = self.count - self.named.len();
        let rest = match rest {
            0 => String::new(),
            _ if self.count >= AGAIN_MAX => format!(" and {rest} more at least"),
            _ => format!(" and {rest} more"),
        };
        (self.count > 0).then(|| format!("{}{rest}: {remedy}", self.named.join(", ")))
    }
}
