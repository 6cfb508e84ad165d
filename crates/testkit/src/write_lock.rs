//! The right to write, held by this process: what a backup tool, a shell or a frozen writer does to everybody else on
//! the database.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::postgres::{OpenTransaction, PostgresServer};
use crate::until::until;

/// The byte of the `-shm` file that stands for the right to write: `UNIX_SHM_BASE + WAL_WRITE_LOCK` of SQLite's
/// `os_unix.c` and `wal.c`.
const WRITE_BYTE: libc::off_t = 120;

/// Nobody writes to the database until this is dropped; reading goes on.
#[derive(Debug)]
pub struct WriteLock(#[expect(dead_code, reason = "it is held until it is dropped")] Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "the lock goes with the file")] File),
    Session(#[expect(dead_code, reason = "the lock goes with the transaction")] OpenTransaction),
}

impl WriteLock {
    /// Waits for its turn to write, as any writer does.
    ///
    /// # Errors
    /// When it does not come within `limit`, or the database is not open in WAL mode anywhere.
    pub async fn take(database: &Path, limit: Duration) -> Result<Self, String> {
        let path = database.with_extension("db-shm");
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let byte = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: WRITE_BYTE,
            l_len: 1,
            l_pid: 0,
        };
        until(limit, "the turn to write", async || fcntl(&file, FcntlArg::F_SETLK(&byte)).ok()).await?;
        Ok(Self(Held::File(file)))
    }

    /// The same on a PostgreSQL server: nobody writes a run.
    ///
    /// # Errors
    /// When the lock is not to be had.
    pub(crate) fn take_on(server: &PostgresServer) -> Result<Self, String> {
        Ok(Self(Held::Session(server.leave_open("LOCK TABLE runs IN EXCLUSIVE MODE")?)))
    }
}
