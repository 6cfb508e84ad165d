//! The distributed store, on a server of the test's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use piton_core::{RunId, WorkerId};
use piton_store::{Clock, Error, PostgresOptions, PostgresStore, Scheduling, Store, WorkerLock};
use piton_testkit::PostgresServer;

use crate::world::Engine;

pub(crate) struct Postgres {
    pub(crate) server: PostgresServer,
    lock_dir: tempfile::TempDir,
    locks: Mutex<BTreeMap<WorkerId, WorkerLock>>,
}

impl Postgres {
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) async fn store(&self, waiting_max: u64, clock: &Clock) -> PostgresStore {
        self.store_for(waiting_max, clock, Scheduling::default()).await
    }

    async fn store_for(&self, waiting_max: u64, clock: &Clock, scheduling: Scheduling) -> PostgresStore {
        let lock_dir = self.lock_dir.path().to_owned();
        let options = PostgresOptions { waiting_max, lock_dir, password: None, scheduling };
        PostgresStore::open(&self.server.url(), options, clock.clone()).await.expect("a store")
    }

    /// Another way to it than [`Self::url`].
    pub(crate) async fn store_at(&self, url: &str, clock: &Clock) -> Result<PostgresStore, Error> {
        let lock_dir = self.lock_dir.path().to_owned();
        let options = PostgresOptions {
            waiting_max: 1_000_000,
            lock_dir,
            password: None,
            scheduling: Scheduling::default(),
        };
        PostgresStore::open(url, options, clock.clone()).await
    }

    pub(crate) fn as_shipped() -> Self {
        let lock_dir = tempfile::tempdir().expect("a folder");
        Self { server: PostgresServer::start_as_shipped(), lock_dir, locks: Mutex::default() }
    }

    pub(crate) fn with_tls() -> Self {
        let lock_dir = tempfile::tempdir().expect("a folder");
        Self { server: PostgresServer::start_with_tls(), lock_dir, locks: Mutex::default() }
    }

    /// Carries `sql` out behind the store's back.
    pub(crate) async fn raw(&self, sql: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.server.url(), tokio_postgres::NoTls).await.expect("a connection");
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.expect(sql);
        connection.abort();
    }
}

#[async_trait]
impl Engine for Postgres {
    async fn fresh() -> Self {
        let lock_dir = tempfile::tempdir().expect("a folder");
        Self { server: PostgresServer::start(), lock_dir, locks: Mutex::default() }
    }

    async fn open_for(&self, clock: &Clock, scheduling: Scheduling) -> Arc<dyn Store> {
        Arc::new(self.store_for(1_000_000, clock, scheduling).await)
    }

    fn lock(&self, worker: &WorkerId) {
        let lock = WorkerLock::take(self.lock_dir.path(), worker).expect("taken").expect("kept");
        self.locks.lock().expect("locks").insert(worker.clone(), lock);
    }

    fn die(&self, worker: &WorkerId, busy_with: &[RunId]) {
        self.locks.lock().expect("locks").remove(worker);
        // A process that is killed leaves its file behind.
        let slots: String = busy_with.iter().map(RunId::to_string).collect();
        std::fs::write(self.lock_dir.path().join(format!("{worker}.lock")), slots).expect("a file");
    }

    async fn multiply(&self, waiting: RunId, copies: u32) {
        let (of, prefix) = (waiting.to_string(), &waiting.to_string()[..24]);
        let sql = format!(
            "DO $$ DECLARE source text; id text; names text; made text; BEGIN \
               FOR source, id IN VALUES ('runs', 'id'), ('jobs', 'run') LOOP \
                 SELECT string_agg(column_name, ', '), string_agg(CASE WHEN column_name = id \
                   THEN '(''{prefix}'' || lpad(n::text, 12, ''0''))::uuid' ELSE 't.' || column_name END, ', ') \
                 INTO names, made FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = source AND is_generated = 'NEVER'; \
                 EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM generate_series(1, {copies}) n CROSS JOIN %I t \
                   WHERE t.%I = ''{of}''', source, names, made, source, id); \
               END LOOP; END $$; ANALYZE runs, jobs"
        );
        self.raw(&sql).await;
    }

    async fn lose_jobs(&self) {
        self.raw("DELETE FROM jobs").await;
    }

    async fn lose_workers(&self) {
        self.raw("DELETE FROM workers").await;
    }
}
