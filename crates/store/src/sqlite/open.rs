//! Opening a database file: is it ours, may we write it, is its schema one that we know.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::writer::plain;
use crate::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Marks a file as ours (`PRAGMA application_id`): "PITN".
const APPLICATION_ID: i32 = 0x5049_544E;
/// Older ones may corrupt a database when the WAL is reset under load.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);
/// How long a statement waits for another process's turn.
const BUSY_MS: u64 = 5_000;
/// The WAL file is cut back to this after a checkpoint.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;

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
            "{:?} is not a store this version knows: expected sqlite://PATH, such as sqlite://data/piton.db",
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

pub(super) fn connect_options(path: &Path, synchronous: Synchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        })
        .foreign_keys(false)
        .busy_timeout(Duration::from_millis(BUSY_MS))
        .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
        .pragma("temp_store", "memory")
        .statement_cache_capacity(64)
        .disable_statement_logging()
}

/// Makes sure that `path` is a database of ours with this version's schema, and returns the schema's number.
/// Safe when many processes do it at once: they take turns under a lock.
pub(super) async fn prepare(path: &Path, live: &Path) -> Result<u32, Error> {
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
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| unusable(path, "its lock cannot be taken", &error))
        .map(Held)?
        .migrate(path)
        .await
}

/// The lock under which a schema changes; let go when dropped.
struct Held(#[expect(dead_code, reason = "held, not read")] std::fs::File);

impl Held {
    async fn migrate(self, path: &Path) -> Result<u32, Error> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| unusable(path, "it cannot be opened for writing", &error))?;
        // Looked at before anything is set: even a journal mode would change another program's file.
        let mut look = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::from_millis(BUSY_MS))
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| not_sqlite(path, &error))?;
        check_owner(&mut look, path).await?;
        check_version(&mut look).await?;
        let _ = look.close().await;
        let mut conn = connect_options(path, Synchronous::Full)
            .connect()
            .await
            .map_err(|error| not_sqlite(path, &error))?;
        let newest = i64::from(newest_schema());
        let before = schema(&mut conn).await;
        if before > newest + 1 {
            return Err(Error::Unusable(format!(
                "{} has schema {before}, and this version of Piton knows {newest}: use a newer Piton",
                path.display()
            )));
        }
        if before < newest {
            migrate(&mut conn)
                .await
                .map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?;
            // The mark comes last: a file without it and with tables is somebody else's.
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
                .execute(&mut conn)
                .await
                .map_err(|error| Error::Unavailable(plain(&error)))?;
        }
        let after = schema(&mut conn).await;
        let _ = conn.close().await;
        u32::try_from(after).map_err(|_| Error::Corrupt(format!("schema {after}")))
    }
}

/// The schema that this version writes.
pub(super) fn newest_schema() -> u32 {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    u32::try_from(newest).unwrap_or_default()
}

/// Brings a database of ours up to [`newest_schema`].
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), MigrateError> {
    let mut migrations = Migrator { ignore_missing: true, ..Migrator::DEFAULT };
    migrations.migrations = MIGRATIONS.migrations.clone();
    migrations.run_direct(None, conn, false).await
}

async fn check_version(conn: &mut SqliteConnection) -> Result<(), Error> {
    let version = version(conn).await?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    if (part(), part(), part()) < SQLITE_MIN {
        return Err(Error::Unusable(format!(
            "SQLite {version} can corrupt a database; at least 3.51.3 is needed"
        )));
    }
    Ok(())
}

pub(super) async fn version(conn: &mut SqliteConnection) -> Result<String, Error> {
    sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(conn)
        .await
        .map_err(|error| Error::Unavailable(plain(&error)))
}

/// A database that is not empty and does not bear our mark is left alone.
async fn check_owner(conn: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id), \
         (SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'), \
         (SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(conn)
    .await
    .map_err(|error| not_sqlite(path, &error))?;
    let (mark, tables, migrations): (i32, i64, i64) = (row.get(0), row.get(1), row.get(2));
    // Our own first migration may have been killed before it set the mark.
    if mark == APPLICATION_ID || tables == 0 || (mark == 0 && migrations == 1) {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "{} is another program's SQLite database; Piton leaves it alone. Name another file with --store",
        path.display()
    )))
}

async fn schema(conn: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::Unusable(format!("the database {} cannot be used: {what} ({error})", path.display()))
}

fn not_sqlite(path: &Path, error: &sqlx::Error) -> Error {
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
