//! What the disk and SQLite can do at most: commits as an engine with nothing else to do would make them, for
//! measurements to be held against.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::open;
use crate::Error;
use crate::floor::{BareCommits, EVENT, ROW};

impl BareCommits {
    /// Makes a database in the folder `dir` and commits to it: per step two events of a run and its row anew. Returns how
    /// long each transaction took.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the folder cannot be written.
    pub fn measure(&self, dir: &Path) -> Result<Vec<Duration>, Error> {
        let path = dir.join("floor.db");
        let file = || {
            drop(Connection::open(&path)?);
            let conn = open::writer(&path, self.synchronous)?;
            conn.execute_batch(
                "CREATE TABLE runs (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, fold TEXT NOT NULL) STRICT;
                 CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, \
                 PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID;",
            )?;
            Ok::<_, Fault>(conn)
        };
        Ok(self.commits(&file()?)?)
    }

    fn commits(&self, conn: &Connection) -> Result<Vec<Duration>, Fault> {
        let (event, row) = ("e".repeat(EVENT), "r".repeat(ROW));
        let runs: Vec<String> = (0..self.group).map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let mut write = conn.prepare(
            "INSERT INTO runs VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET version = ?2, fold = ?3",
        )?;
        let mut append = conn.prepare("INSERT INTO events VALUES (?, ?, ?)")?;
        let mut took = Vec::with_capacity(self.steps / self.group);
        for turn in 0..self.steps / self.group {
            let begun = Instant::now();
            conn.execute_batch("BEGIN IMMEDIATE")?;
            for run in &runs {
                append.execute(params![run, 2 * turn, event])?;
                append.execute(params![run, 2 * turn + 1, event])?;
                write.execute(params![run, turn, row])?;
            }
            conn.execute_batch("COMMIT")?;
            took.push(begun.elapsed());
        }
        Ok(took)
    }
}
