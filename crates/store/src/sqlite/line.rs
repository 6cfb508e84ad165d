//! The line of processes that want to write.
//!
//! SQLite's lock is not fair: whoever looks at the right moment gets it, and a process that has just written is always
//! the first to look. Here the one that is next keeps a lock of ours until it has got SQLite's, so that whoever has
//! written cannot be next before those that wait had their chance. It is a courtesy, not a safeguard: who does not get
//! to be next in time (its holder may stand still) tries its luck at SQLite's lock directly.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two tries to be next, and between two tries of the one that is next.
pub(super) const LOOK: Duration = Duration::from_micros(100);
/// How long one waits to be next.
const PATIENCE: Duration = Duration::from_millis(100);
/// After that was in vain: how long it is not tried again.
const DISTRUST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Line {
    next: File,
    distrusted_until: Option<Instant>,
}

/// Being next; over when dropped.
#[derive(Debug)]
pub(super) struct Next<'a>(Option<&'a File>);

impl Line {
    /// The line in a database's folder for locks.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn open(live: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        Ok(Self { next: options.open(live.join("next"))?, distrusted_until: None })
    }

    /// Waits to be next, though not for long.
    pub(super) fn stand(&mut self) -> Next<'_> {
        let now = Instant::now();
        if self.distrusted_until.is_some_and(|until| now < until) {
            return Next(None);
        }
        self.distrusted_until = None;
        loop {
            match self.next.try_lock() {
                Ok(()) => return Next(Some(&self.next)),
                Err(TryLockError::WouldBlock) => {}
                // A file system that keeps no locks keeps no line either.
                Err(TryLockError::Error(_)) => return Next(None),
            }
            if now.elapsed() >= PATIENCE {
                self.distrusted_until = Some(Instant::now() + DISTRUST);
                return Next(None);
            }
            pause();
        }
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let Some(next) = self.0 {
            let _ = next.unlock();
        }
    }
}

/// Waits until the next look.
#[expect(clippy::disallowed_methods, reason = "on the writer's own thread, where nothing else waits")]
pub(super) fn pause() {
    std::thread::sleep(LOOK);
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use rusqlite::Connection;

    use super::*;
    use crate::Synchronous;
    use crate::sqlite::open;

    #[test]
    fn whoever_stands_behind_somebody_who_does_not_move_goes_on_after_a_while() {
        let dir = tempfile::tempdir().expect("a folder");
        let line = || Line::open(dir.path()).expect("a line");
        let (mut one, mut other) = (line(), line());
        let next = one.stand();
        assert!(next.0.is_some());
        let begun = Instant::now();
        assert!(other.stand().0.is_none());
        assert!(begun.elapsed() >= PATIENCE);
        let begun = Instant::now();
        assert!(other.stand().0.is_none());
        assert!(begun.elapsed() < PATIENCE, "it does not stand there again and again");
        drop(next);
        other.distrusted_until = None;
        assert!(other.stand().0.is_some());
    }

    /// Turns that a writer got, and the longest that it waited for one.
    fn write(dir: &Path, barrier: &Barrier) -> (u32, Duration) {
        let mut line = Line::open(dir).expect("a line");
        let conn = open::writer(&dir.join("piton.db"), Synchronous::Full).expect("a connection");
        barrier.wait();
        let (mut turns, mut longest) = (0, Duration::ZERO);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let begun = Instant::now();
            let next = line.stand();
            conn.execute_batch("BEGIN IMMEDIATE").expect("a turn");
            drop(next);
            longest = longest.max(begun.elapsed());
            conn.execute_batch("INSERT INTO written DEFAULT VALUES; COMMIT").expect("written");
            turns += 1;
        }
        (turns, longest)
    }

    #[test]
    fn four_writers_get_their_share_and_none_waits_long() {
        let dir = tempfile::tempdir().expect("a folder");
        let raw = Connection::open(dir.path().join("piton.db")).expect("a database");
        raw.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE written (n INTEGER PRIMARY KEY)")
            .expect("a table");
        let barrier = Barrier::new(4);
        let told: Vec<(u32, Duration)> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(|| write(dir.path(), &barrier))).collect();
            writers.into_iter().map(|writer| writer.join().expect("it wrote")).collect()
        });
        let all: u32 = told.iter().map(|(turns, _)| turns).sum();
        for (turns, longest) in &told {
            assert!(turns * 4 * 2 >= all, "half its share at least: {told:?}");
            assert!(*longest <= PATIENCE, "{told:?}");
        }
    }
}
