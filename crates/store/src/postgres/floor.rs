//! What a PostgreSQL server can do at most: commits as an engine with nothing else to do would make them, in a database of
//! their own, for measurements to be held against.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::conn::Conn;
use super::fault::Fault;
use super::tls::Address;
use crate::floor::{BareCommits, EVENT, ROW};
use crate::{Error, Synchronous};

/// A database to be thrown away, on a server where databases may be made.
#[derive(Debug)]
pub struct ScratchDatabase {
    server: Address,
    own: Address,
    name: String,
    url: String,
}

impl ScratchDatabase {
    /// Makes one on the server of `url`, which names a database to ask from.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the URL is not one of PostgreSQL's; [`Error::Unavailable`] when the server cannot be
    /// reached, or lets this user make no database.
    pub async fn make(url: &str, password: Option<&SecretString>) -> Result<Self, Error> {
        let mut server = Address::of(url)?;
        if let Some(password) = password {
            server.config.password(password.expose_secret());
        }
        let name = format!("piton_scratch_{}", uuid::Uuid::now_v7().simple());
        let mut own_url =
            Url::parse(url).map_err(|_| Error::Unusable("the store's URL is not one".to_owned()))?;
        own_url.set_path(&name);
        let mut own = server.clone();
        own.config.dbname(&name);
        Conn::open(&server).await?.batch(&format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server, own, name, url: own_url.into() })
    }

    /// Where it is, as `store.url` has it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// # Errors
    /// [`Error::Unavailable`] when it cannot be removed; it is there still then.
    pub async fn remove(self) -> Result<(), Error> {
        let conn = Conn::open(&self.server).await?;
        Ok(conn.batch(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await?)
    }

    /// Commits to it, and nothing else: per step two events of a run and its row anew. Returns how long each transaction
    /// took.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be written.
    pub async fn commits(&self, commits: BareCommits) -> Result<Vec<Duration>, Error> {
        let conn = Arc::new(Conn::open(&self.own).await?);
        conn.batch(
            "CREATE SCHEMA IF NOT EXISTS floor; SET search_path = floor;
             CREATE TABLE IF NOT EXISTS runs (id uuid PRIMARY KEY, version bigint NOT NULL, fold text NOT NULL);
             CREATE TABLE IF NOT EXISTS events (run uuid, seq bigint, body text NOT NULL, PRIMARY KEY (run, seq))",
        )
        .await?;
        if commits.synchronous == Synchronous::Normal {
            conn.batch("SET synchronous_commit = off").await?;
        }
        let (event, row) = (&"e".repeat(EVENT), &"r".repeat(ROW));
        let runs: Vec<uuid::Uuid> = (0..commits.group).map(|_| uuid::Uuid::now_v7()).collect();
        let mut took = Vec::with_capacity(commits.steps / commits.group);
        for turn in 0..i64::try_from(commits.steps / commits.group).unwrap_or(i64::MAX) {
            let begun = Instant::now();
            conn.batch("BEGIN").await?;
            try_join_all(runs.iter().map(async |run| {
                let append = "INSERT INTO events VALUES ($1, $2, $3)";
                conn.execute(append, &[run, &(2 * turn), event]).await?;
                conn.execute(append, &[run, &(2 * turn + 1), event]).await?;
                let write = "INSERT INTO runs VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET version = $2, fold = $3";
                conn.execute(write, &[run, &turn, row]).await?;
                Ok::<_, Fault>(())
            }))
            .await?;
            conn.batch("COMMIT").await?;
            took.push(begun.elapsed());
        }
        Ok(took)
    }
}
