//! Opening a database: may we write it, is its schema one that we know.

use super::conn::Conn;
use super::fault::Fault;
use super::tls::Address;
use crate::Error;

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

/// Makes sure that the database has this version's schema. Safe when many processes do it at once: they take turns
/// under a lock.
pub(super) async fn prepare(address: &Address) -> Result<Server, Error> {
    let conn = Conn::open(address).await?;
    let version = setting(&conn, "SHOW server_version").await?;
    let number = setting(&conn, "SHOW server_version_num").await?;
    if number.parse().unwrap_or(0) < SERVER_MIN {
        return Err(Error::Unusable(format!("PostgreSQL {version} is too old: at least 13 is needed")));
    }
    // Waiting for another's migration may take longer than a statement should.
    conn.batch(&format!("SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({LOCK})"))
        .await?;
    let schema = migrate(&conn).await;
    conn.batch(&format!("SELECT pg_advisory_unlock({LOCK})")).await?;
    Ok(Server { version, schema: schema? })
}

/// The schema that this version writes.
pub(super) fn newest_schema() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// All statements that make the newest schema.
pub(super) fn migrations() -> String {
    MIGRATIONS.join("\n")
}

async fn setting(conn: &Conn, show: &'static str) -> Result<String, Fault> {
    Ok(conn.client().query_one(show, &[]).await?.get(0))
}

async fn migrate(conn: &Conn) -> Result<u32, Error> {
    // Only where there is none: a user that may make no tables uses those that are there.
    if conn.first("SELECT WHERE to_regclass('piton_schema') IS NOT NULL", &[]).await?.is_none() {
        conn.batch(
            "CREATE TABLE piton_schema (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    }
    let row = conn.first("SELECT coalesce(max(number), 0) FROM piton_schema", &[]).await?;
    let before = row.map_or(0, |row| super::rows::small(row.get(0)));
    let newest = newest_schema();
    if before > newest + 1 {
        return Err(Error::Unusable(format!(
            "this database has schema {before}, and this version of Piton knows {newest}: use a newer Piton"
        )));
    }
    for (number, sql) in (1_u32..).zip(MIGRATIONS).skip(before as usize) {
        conn.batch(&format!("BEGIN; {sql}; INSERT INTO piton_schema (number) VALUES ({number}); COMMIT"))
            .await?;
    }
    Ok(before.max(newest))
}
