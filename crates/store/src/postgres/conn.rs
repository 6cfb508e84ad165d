//! One connection, with the statements that were prepared on it.
//!
//! Requests that are under way at once on one connection are sent one behind the other without waiting for replies:
//! that is what makes a group of commits cost the round trips of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::fault::Fault;
use super::tls::{Address, UNHEARD};

/// How long a statement may run. Whatever is longer is asked for again later.
pub(super) const STATEMENT: Duration = Duration::from_secs(10);
/// How long a statement waits for what another session has locked.
const LOCK: Duration = Duration::from_secs(2);
/// How long the server keeps a transaction, and all that it has locked, for a process that says nothing more: ours are never
/// idle, unless their process stands still or the network is cut.
const IDLE: Duration = Duration::from_secs(3);
/// How long a server that does not answer at all is waited for.
pub(super) const SILENCE: Duration = Duration::from_secs(12);

/// Statements go along indexes whatever the server believes of its tables, and are planned once: a plan that was made while a
/// table was empty is kept for as long as the connection, and making one takes longer than most of ours.
const FIXED: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_mergejoin = off; \
                     SET plan_cache_mode = force_generic_plan";
/// Plans by what is asked and by what the tables hold.
const PLANNED: &str = "SET enable_seqscan = on; SET enable_bitmapscan = on; SET enable_mergejoin = on; \
                       SET plan_cache_mode = force_custom_plan";

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

#[derive(Debug)]
pub(super) struct Conn {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    driver: AbortHandle,
}

impl Drop for Conn {
    fn drop(&mut self) {
        // A server that fell silent would keep it for long.
        self.driver.abort();
    }
}

impl Conn {
    /// Connects, and sets what every connection of ours has.
    pub(super) async fn open(address: &Address) -> Result<Self, Fault> {
        let (client, connection) = address.connect().await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        let conn = Self { client, prepared: Mutex::default(), driver: driver.abort_handle() };
        let (statement, lock, idle) = (STATEMENT.as_millis(), LOCK.as_millis(), IDLE.as_millis());
        // Ours are short statements, and compiling one of them may take seconds. The server, too, is to notice when nobody is
        // there any more: its sessions are few.
        conn.batch(&format!(
            "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
             SET idle_in_transaction_session_timeout = {idle}; SET client_min_messages = warning; \
             SET default_transaction_isolation = 'read committed'; SET jit = off; SET TIME ZONE 'UTC'; \
             {FIXED}; \
             SET tcp_user_timeout = {unheard}; SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; \
             SET tcp_keepalives_count = 3",
            unheard = UNHEARD.as_millis()
        ))
        .await?;
        Ok(conn)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn prepare(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query(&self.prepare(sql).await?, params).await?)
    }

    /// The first row.
    pub(super) async fn first(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// A statement that is put together as it is asked, and planned for what it asks.
    pub(super) async fn query_planned(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.client.prepare(sql).await?;
        let (planned, rows, fixed) =
            futures::join!(self.batch(PLANNED), self.client.query(&statement, params), self.batch(FIXED));
        planned?;
        fixed?;
        Ok(rows?)
    }

    /// Returns how many rows it touched.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Result<u64, Fault> {
        Ok(self.client.execute(&self.prepare(sql).await?, params).await?)
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// Connections for reading, made when they are needed and kept for the next.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    address: Arc<Address>,
    idle: Arc<Mutex<Vec<Conn>>>,
    places: Arc<tokio::sync::Semaphore>,
}

/// Connections of one process that read at once.
const READERS_MAX: usize = 4;

impl Pool {
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self { address, idle: Arc::default(), places: Arc::new(tokio::sync::Semaphore::new(READERS_MAX)) }
    }

    /// Uses a connection of its own, for as long as it takes.
    pub(super) async fn long<T>(
        &self,
        look: impl AsyncFnOnce(&Conn) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let conn = Conn::open(&self.address).await?;
        conn.batch(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        )
        .await?;
        conn.batch(PLANNED).await?;
        look(&conn).await
    }

    /// Reads with a connection that is kept where nothing went wrong with it.
    pub(super) async fn read<T>(
        &self,
        look: impl AsyncFnOnce(&Conn) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let gone = |_| Fault::NotNow("the store is shutting down".to_owned());
        let _place = self.places.acquire().await.map_err(gone)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle.filter(|conn| !conn.is_closed()) {
            Some(conn) => conn,
            None => Conn::open(&self.address).await?,
        };
        let read = tokio::time::timeout(SILENCE, look(&conn))
            .await
            .unwrap_or_else(|_| Err(Fault::NotNow("PostgreSQL does not answer".to_owned())));
        if read.as_ref().err().is_none_or(Fault::is_of_the_statement) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
        read
    }
}
