//! The right to write, held by this process: what a backup tool, a shell or a frozen writer does to everybody else on
//! the database.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::postgres::PostgresServer;
use crate::until::until;

/// The byte of the `-shm` file that stands for the right to write: `UNIX_SHM_BASE + WAL_WRITE_LOCK` of SQLite's
/// `os_unix.c` and `wal.c`.
const WRITE_BYTE: libc::off_t = 120;

/// Nobody writes to the database until this is dropped; reading goes on.
#[derive(Debug)]
pub struct WriteLock(Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "the lock goes with the file")] File),
    Session(Child),
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
        let mut shell = server.shell();
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut shell = shell.map_err(|error| error.to_string())?;
        let (input, output) = (shell.stdin.as_mut(), shell.stdout.as_mut());
        let (input, output) = input.zip(output).ok_or("a shell has both")?;
        let asked = input.write_all(b"BEGIN; LOCK TABLE runs IN EXCLUSIVE MODE;\n\\echo held\n");
        asked.and_then(|()| input.flush()).map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(output).lines();
        let is_held = lines.any(|line| line.is_ok_and(|line| line == "held"));
        if is_held { Ok(Self(Held::Session(shell))) } else { Err("PostgreSQL gives no lock".to_owned()) }
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        if let Held::Session(shell) = &mut self.0 {
            // The server ends its transaction once nobody is at the other end.
            let _gone = shell.kill();
            let _ended = shell.wait();
        }
    }
}
