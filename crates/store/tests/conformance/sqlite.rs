//! The embedded store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use piton_core::{RunId, WorkerId};
use piton_store::{Clock, Error, Scheduling, SqliteOptions, SqliteStore, Store, Synchronous, WorkerLock};
use piton_testkit::copies_sql;
use rusqlite::Connection;

use crate::world::Engine;

pub(crate) struct Sqlite {
    pub(crate) dir: tempfile::TempDir,
    locks: Mutex<BTreeMap<WorkerId, WorkerLock>>,
    options: SqliteOptions,
}

impl Sqlite {
    pub(crate) fn in_a_folder() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, locks: Mutex::default(), options: SqliteOptions::default() }
    }

    /// For what is not about the disk.
    pub(crate) fn unsynced() -> Self {
        let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
        Self { options, ..Self::in_a_folder() }
    }

    pub(crate) async fn store(&self, clock: &Clock) -> Result<SqliteStore, Error> {
        SqliteStore::open(&self.url(), self.options.clone(), clock.clone()).await
    }

    /// A connection that goes round the store.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.dir.path().join("piton.db")).expect("a connection")
    }

    /// Makes copies of what a table has of a run; `id` is its column that names the run.
    pub(crate) fn copy_rows(&self, table: &str, id: &str, of: RunId, copies: u32) {
        let raw = self.raw();
        raw.pragma_update(None, "synchronous", "OFF").expect("quick");
        let mut read =
            raw.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).expect("columns");
        let names = read.query_map([], |row| row.get::<_, String>(0)).expect("names");
        let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
        let sql = copies_sql(table, &names, id, &of.to_string(), 1..=copies);
        raw.execute_batch(&sql).expect(&sql);
    }

    pub(crate) fn live_dir(&self) -> PathBuf {
        self.dir.path().join("piton.db-live")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("piton.db").display())
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn fresh() -> Self {
        Self::in_a_folder()
    }

    async fn open_for(&self, clock: &Clock, scheduling: Scheduling) -> Arc<dyn Store> {
        let options = SqliteOptions { scheduling, ..self.options.clone() };
        Arc::new(SqliteStore::open(&self.url(), options, clock.clone()).await.expect("a store"))
    }

    fn lock(&self, worker: &WorkerId) {
        let lock = WorkerLock::take(&self.live_dir(), worker).expect("taken").expect("kept");
        self.locks.lock().expect("locks").insert(worker.clone(), lock);
    }

    fn die(&self, worker: &WorkerId, busy_with: &[RunId]) {
        self.locks.lock().expect("locks").remove(worker);
        // A process that is killed leaves its file behind.
        let slots: String = busy_with.iter().map(RunId::to_string).collect();
        std::fs::write(self.live_dir().join(format!("{worker}.lock")), slots).expect("a file");
    }

    async fn multiply(&self, waiting: RunId, copies: u32) {
        for (table, id) in [("runs", "id"), ("jobs", "run")] {
            self.copy_rows(table, id, waiting, copies);
        }
    }

    async fn lose_jobs(&self) {
        self.raw().execute_batch("DELETE FROM jobs").expect("jobs lost");
    }

    async fn lose_workers(&self) {
        self.raw().execute_batch("DELETE FROM workers").expect("workers lost");
    }
}
