//! Opening a database: may we write it, is its schema one that we know.

use super::conn::Conn;
use super::fault::Fault;
use super::tls::Address;
use super::{backoff, migrating};
use crate::{Error, next};

/// What makes a schema out of the one before; the schema's number is its place here, from 1.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/postgres/0001_runs.sql"),
    include_str!("../../migrations/postgres/0002_moves_and_turns.sql"),
    include_str!("../../migrations/postgres/0003_needs.sql"),
];
/// Whoever migrates holds this advisory lock: "PITN".
const LOCK: i64 = 0x5049_544E;
/// Older ones are out of support.
const SERVER_MIN: i32 = 130_000;

/// What was found out about a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) version: String,
    pub(super) schema: u32,
}

/// Makes sure that the database has this version's schema. Safe when many processes do it at once: one migrates, and those that
/// need it wait. Whoever needs no migration waits for none.
pub(super) async fn prepare(address: &Address) -> Result<Server, Error> {
    let conn = Conn::open(address).await?;
    let version = setting(&conn, "SHOW server_version").await?;
    let number = setting(&conn, "SHOW server_version_num").await?;
    if number.parse().unwrap_or(0) < SERVER_MIN {
        return Err(Error::Unusable(format!("PostgreSQL {version} is too old: at least 13 is needed")));
    }
    // What is migrated at leisure may take longer than a statement should.
    conn.batch("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    let mut waits = backoff::waits();
    let mut schema = schema(&conn).await?;
    while schema < newest_schema() {
        // Asked for again and again: a statement that waited for it would hold a snapshot, which the making of an index waits
        // for in its turn.
        if conn.query("SELECT WHERE pg_try_advisory_lock($1)", &[&LOCK]).await?.is_empty() {
            tracing::info!("another process migrates the database: waiting for it");
            tokio::time::sleep(waits.next().unwrap_or_default()).await;
        } else {
            let migrated = migrate(&conn).await;
            let let_go = conn.query("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
            migrated.and(let_go)?;
        }
        schema = self::schema(&conn).await?;
    }
    check_known(schema)?;
    Ok(Server { version, schema })
}

/// Each makes a schema out of the one before, from 1.
pub(super) fn migrations() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(MIGRATIONS.into_iter().chain(next::on_postgres().iter().copied()))
}

/// The schema that this version writes.
pub(super) fn newest_schema() -> u32 {
    migrations().last().map_or(0, |(number, _)| number)
}

/// All statements that make the newest schema in an empty place, in one transaction.
pub(super) fn at_once() -> Result<String, Fault> {
    migrations().map(|(_, migration)| migrating::at_once(migration)).collect()
}

/// Versions one apart work side by side; a schema further on may lack what this one reads.
fn check_known(schema: u32) -> Result<(), Error> {
    let newest = newest_schema();
    if schema <= newest + 1 {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "this database has schema {schema}, and this version of Piton knows {newest}: use a newer Piton"
    )))
}

async fn setting(conn: &Conn, show: &'static str) -> Result<String, Fault> {
    Ok(conn.client().query_one(show, &[]).await?.get(0))
}

/// 0: it has none yet.
async fn schema(conn: &Conn) -> Result<u32, Fault> {
    if conn.first("SELECT WHERE to_regclass('piton_schema') IS NOT NULL", &[]).await?.is_none() {
        return Ok(0);
    }
    let row = conn.first("SELECT coalesce(max(number), 0) FROM piton_schema", &[]).await?;
    Ok(row.map_or(0, |row| super::rows::small(row.get(0))))
}

/// By whoever holds the lock.
async fn migrate(conn: &Conn) -> Result<(), Fault> {
    conn.batch(
        "CREATE TABLE IF NOT EXISTS piton_schema (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
    )
    .await?;
    // Another process may have been here.
    let before = schema(conn).await?;
    for (number, migration) in migrations().filter(|(number, _)| *number > before) {
        migrating::carry_out(conn, number, migration).await?;
    }
    Ok(())
}
