//! Places for model calls, of a row that all processes share.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::writer::{Durability, Transact};
use crate::bell::Ring;
use crate::{Meter, Pace, Places};

/// Takes places.
pub(super) struct Take {
    pub(super) endpoint: String,
    pub(super) pace: Pace,
    pub(super) wanted: u32,
}

impl Transact for Take {
    type Out = Places;

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let mut meter = read(conn, &self.endpoint)?;
        let places = meter.take(self.pace, self.wanted, now_ms);
        write(conn, &self.endpoint, meter)?;
        Ok((places, None))
    }
}

/// Counts what calls used.
pub(super) struct Spend {
    pub(super) endpoint: String,
    pub(super) pace: Pace,
    pub(super) requests: u32,
    pub(super) tokens: u64,
}

impl Transact for Spend {
    type Out = ();

    fn durability(&self) -> Durability {
        Durability::Unsynced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(Self::Out, Option<Ring>), Fault> {
        let mut meter = read(conn, &self.endpoint)?;
        meter.spend(self.pace, self.requests, self.tokens, now_ms);
        write(conn, &self.endpoint, meter)?;
        Ok(((), None))
    }
}

fn read(conn: &Connection, endpoint: &str) -> Result<Meter, Fault> {
    let mut read = conn.prepare_cached("SELECT call_at, token_at FROM paces WHERE endpoint = ?")?;
    let known = read
        .query_row([endpoint], |row| Ok(Meter { call_at: row.get(0)?, token_at: row.get(1)? }))
        .optional()?;
    Ok(known.unwrap_or_default())
}

fn write(conn: &Connection, endpoint: &str, meter: Meter) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO paces (endpoint, call_at, token_at) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET call_at = excluded.call_at, token_at = excluded.token_at",
    )?
    .execute(params![endpoint, meter.call_at, meter.token_at])?;
    Ok(())
}
