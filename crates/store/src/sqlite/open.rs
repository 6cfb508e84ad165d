//! Opening a database file: is it ours, may we write it, is its schema one that we know.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::plain;
use super::line;
use crate::{Error, next};

/// What makes a schema out of the one before; the schema's number is its place here, from 1.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../migrations/sqlite/0001_runs.sql"),
    include_str!("../../migrations/sqlite/0002_deaths_and_outputs.sql"),
    include_str!("../../migrations/sqlite/0003_queue_depth.sql"),
    include_str!("../../migrations/sqlite/0004_moves_and_turns.sql"),
    include_str!("../../migrations/sqlite/0005_needs.sql"),
];

/// Marks a file as ours (`PRAGMA application_id`): "PITN".
const APPLICATION_ID: i32 = 0x5049_544E;
/// Older ones may corrupt a database when the WAL is reset under load.
const SQLITE_MIN: i32 = 3_051_003;
/// How long a statement waits for another process's turn.
const BUSY: Duration = Duration::from_secs(5);
/// The WAL file is cut back to this after a checkpoint.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// Pages in the WAL after which they are moved into the database file, by whoever commits then. A page that is written
/// often is moved once for all of them.
const WAL_PAGES: i64 = 4000;
const STATEMENTS_KEPT: usize = 64;

/// How durable an acknowledged commit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Survives a loss of power.
    #[default]
    Full,
    /// Survives the death of any process; a loss of power may take the last moments.
    Normal,
}

impl Synchronous {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// The path in a store's URL: `sqlite://data/piton.db`, or `sqlite:///var/lib/piton.db` for an absolute one.
///
/// # Errors
/// [`Error::Unusable`] for another scheme, an empty path, or a database in memory (no second process would see it).
pub(super) fn path_in(url: &str) -> Result<PathBuf, Error> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).ok_or_else(|| {
        Error::Unusable(format!(
            "{:?} is not a store this version knows: expected sqlite://PATH, such as sqlite://data/piton.db, or postgres://USER@HOST/DATABASE",
            scheme_only(url)
        ))
    })?;
    if path.is_empty() || path.contains(":memory:") || path.contains('?') {
        return Err(Error::Unusable(format!(
            "{url:?} names no file: expected sqlite://PATH, such as sqlite://data/piton.db"
        )));
    }
    Ok(PathBuf::from(path))
}

/// A URL of another scheme may hold a password.
fn scheme_only(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None => url.chars().take(40).collect(),
    }
}

/// The folder beside the database for locks and bells.
pub(super) fn live_dir(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-live");
    path.with_file_name(name)
}

/// The one connection of this process that writes.
pub(super) fn writer(path: &Path, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut waits_since = Instant::now();
    // SQLite's own handler waits up to 100 ms at a time.
    conn.busy_handler(Some(move |tries| {
        if tries == 0 {
            waits_since = Instant::now();
        }
        line::pause();
        waits_since.elapsed() < BUSY
    }))?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", synchronous.as_str())?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    Ok(conn)
}

/// A connection that only reads. It opens the file for writing all the same: whoever reads a WAL takes part in its lock.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Else a statement whose plan might depend on what is bound to it is prepared anew each time it is run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    Ok(conn)
}

/// Makes sure that `path` is a database of ours with this version's schema, and returns the schema's number.
/// Safe when many processes do it at once: they take turns under a lock.
pub(super) fn prepare(path: &Path, live: &Path) -> Result<u32, Error> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        std::fs::create_dir_all(parent)
            .map_err(|error| unusable(path, "its folder cannot be made", &error))?;
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(live)
        .map_err(|error| unusable(path, "the folder for locks beside it cannot be made", &error))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(live.join("migrate"))
        .map_err(|error| unusable(path, "the folder beside it cannot be written", &error))?;
    lock.lock().map_err(|error| unusable(path, "its lock cannot be taken", &error))?;
    // Let go of when the file is closed.
    let _held = lock;
    migrate_file(path)
}

/// Under the lock: `path` is ours, and of a schema that is known or can be brought up to date.
fn migrate_file(path: &Path) -> Result<u32, Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| unusable(path, "it cannot be opened for writing", &error))?;
    // Looked at before anything is set: even a journal mode would change another program's file.
    let not_ours = |error: rusqlite::Error| not_sqlite(path, &error);
    let look = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(not_ours)?;
    look.busy_timeout(BUSY).map_err(not_ours)?;
    check_version()?;
    check_owner(&look, path)?;
    drop(look);
    let mut conn = writer(path, Synchronous::Full).map_err(not_ours)?;
    let unavailable =
        |error: rusqlite::Error| Error::Unavailable(format!("{}: {}", path.display(), plain(&error)));
    let before = schema(&conn).map_err(unavailable)?;
    if before > newest_schema() + 1 {
        return Err(Error::Unusable(format!(
            "{} has schema {before}, and this version of Piton knows {}: use a newer Piton",
            path.display(),
            newest_schema()
        )));
    }
    if before < newest_schema() {
        migrate(&mut conn, before).map_err(unavailable)?;
    }
    schema(&conn).map_err(unavailable)
}

/// Each makes a schema out of the one before, from 1.
fn migrations() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(MIGRATIONS.into_iter().chain(next::on_sqlite().iter().copied()))
}

/// The schema that this version writes.
pub(super) fn newest_schema() -> u32 {
    migrations().last().map_or(0, |(number, _)| number)
}

/// Brings a database of ours from schema `before` up to [`newest_schema`], one transaction for each.
pub(super) fn migrate(conn: &mut Connection, before: u32) -> rusqlite::Result<()> {
    for (number, sql) in migrations().skip(before as usize) {
        let step = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", number)?;
        // With the first tables: a file that has some and not this mark is somebody else's.
        mark(&step)?;
        step.commit()?;
    }
    Ok(())
}

fn check_version() -> Result<(), Error> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(Error::Unusable(format!(
            "SQLite {} can corrupt a database; at least 3.51.3 is needed",
            rusqlite::version()
        )));
    }
    Ok(())
}

/// A database that is not empty and does not bear our mark is left alone.
fn check_owner(conn: &Connection, path: &Path) -> Result<(), Error> {
    let (mark, tables): (i32, u32) = conn
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), \
             (SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%')",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| not_sqlite(path, &error))?;
    if mark == APPLICATION_ID || tables == 0 {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "{} is another program's SQLite database; Piton leaves it alone. Name another file with --store",
        path.display()
    )))
}

/// Writes the mark by which a database is known as ours. It changes nothing where it is there already, and is a write
/// all the same.
pub(super) fn mark(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", APPLICATION_ID)
}

/// 0: it has none yet.
fn schema(conn: &Connection) -> rusqlite::Result<u32> {
    // Databases of before November 2026 keep the number in a table.
    let is_old: bool =
        conn.query_row("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'", [], |row| {
            row.get(0)
        })?;
    let sql = if is_old {
        "SELECT max(user_version, (SELECT max(version) FROM _sqlx_migrations)) FROM pragma_user_version"
    } else {
        "SELECT user_version FROM pragma_user_version"
    };
    conn.query_row(sql, [], |row| row.get(0))
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::Unusable(format!("the database {} cannot be used: {what} ({error})", path.display()))
}

fn not_sqlite(path: &Path, error: &rusqlite::Error) -> Error {
    let why = plain(error);
    if why.contains("not a database") {
        return Error::Unusable(format!(
            "{} is not an SQLite database; Piton leaves it alone. Name another file with --store",
            path.display()
        ));
    }
    if why.contains("malformed") {
        return Error::Unusable(format!(
            "the database {} is damaged ({why}): restore a backup, or save what is readable: sqlite3 FILE .recover | \
             sqlite3 NEW-FILE",
            path.display()
        ));
    }
    if why.contains("readonly") || why.contains("read-only") {
        return Error::Unusable(format!(
            "the database {} is read-only: Piton has to write it",
            path.display()
        ));
    }
    Error::Unavailable(format!("{}: {why}", path.display()))
}
