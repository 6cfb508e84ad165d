//! A lock that dies with its worker: how a death is known sooner than a lease lapses.
//!
//! One file per worker incarnation, locked with `flock` while the process lives. The kernel lets go of it at death,
//! however the process dies. Rust opens files close-on-exec, so no child keeps a dead worker "alive".

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use piton_core::{RunId, WorkerId};

use crate::{Peer, PeerLock, RunRow, WorkerRow};

/// Bytes of a slot: a run's id as text.
const SLOT_BYTES: u64 = 36;
/// Threads that have a slot of their own.
const SLOTS: u64 = 64;

thread_local! {
    static SLOT: u64 = {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % SLOTS
    };
    /// What this thread's slot says.
    static BUSY: RefCell<Option<(Slots, RunId)>> = const { RefCell::new(None) };
}

/// Which runs a worker's threads are busy with, kept in its lock file: who finds the worker dead by its own doing reads
/// there which run took it down. Unsynced: it tells of processes, not of power.
///
/// A run stands there until its thread polls another or goes idle. Blanking it after every poll would double the writes.
#[derive(Debug, Clone)]
pub struct Slots(Arc<File>);

impl Slots {
    /// This thread begins with `run`.
    pub fn enter(&self, run: RunId) {
        BUSY.with_borrow_mut(|busy| {
            if busy.as_ref().is_some_and(|(slots, with)| *with == run && Arc::ptr_eq(&slots.0, &self.0)) {
                return;
            }
            self.write(run.to_string().as_bytes());
            *busy = Some((self.clone(), run));
        });
    }

    /// This thread has nothing to do: to be called before it goes to sleep.
    pub fn idle() {
        if let Some((slots, _)) = BUSY.take() {
            slots.write(&[b' '; SLOT_BYTES as usize]);
        }
    }

    fn write(&self, text: &[u8]) {
        // Only evidence: a step goes on without it.
        let _ = self.0.write_all_at(text, SLOT.with(|slot| slot * SLOT_BYTES));
    }
}

/// What a dead worker was busy with.
pub(crate) fn last_words(dir: &Path, worker: &WorkerId) -> Vec<RunId> {
    let slots = std::fs::read(path_of(dir, worker)).unwrap_or_default();
    let slots = slots.chunks(SLOT_BYTES as usize).filter_map(|slot| std::str::from_utf8(slot).ok());
    let mut runs: Vec<RunId> = slots.filter_map(|slot| slot.parse().ok()).collect();
    runs.sort_unstable();
    runs.dedup();
    runs
}

/// Held by a worker for as long as it lives.
#[derive(Debug)]
pub struct WorkerLock {
    path: PathBuf,
    _file: File,
}

impl WorkerLock {
    /// Takes the lock of a worker that is about to register. `None` where this file system does not refuse a
    /// second holder: then the lease alone must do.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn take(dir: &Path, worker: &WorkerId) -> io::Result<Option<Self>> {
        let path = path_of(dir, worker);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "another process holds this worker's lock",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A prober that cleans up may have unlinked the file between our open and our lock.
        let same = std::fs::metadata(&path).is_ok_and(|on_disk| {
            file.metadata().is_ok_and(|ours| ours.ino() == on_disk.ino() && ours.dev() == on_disk.dev())
        });
        if !same {
            return Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "the lock file was removed while it was taken",
            ));
        }
        if probe(dir, worker) != PeerLock::Held {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        Ok(Some(Self { path, _file: file }))
    }

    /// Where the worker notes what it is busy with.
    ///
    /// # Errors
    /// When the lock file cannot be opened a second time.
    pub fn slots(&self) -> io::Result<Slots> {
        OpenOptions::new().write(true).open(&self.path).map(|file| Slots(Arc::new(file)))
    }
}

impl Drop for WorkerLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks whether a worker lives. Probers share the lock, so that two of them do not take each other for it.
pub(crate) fn probe(dir: &Path, worker: &WorkerId) -> PeerLock {
    let Ok(file) = File::open(path_of(dir, worker)) else {
        return PeerLock::Unknown;
    };
    match file.try_lock_shared() {
        Ok(()) => PeerLock::Free,
        Err(TryLockError::WouldBlock) => PeerLock::Held,
        Err(TryLockError::Error(_)) => PeerLock::Unknown,
    }
}

/// A worker as its lock shows it.
pub(crate) fn peer(dir: &Path, worker: WorkerRow) -> Peer {
    let lock = probe(dir, &worker.id);
    let busy_with = match lock {
        PeerLock::Free => last_words(dir, &worker.id),
        PeerLock::Held | PeerLock::Unknown => Vec::new(),
    };
    Peer { id: worker.id, expires_at_ms: worker.expires_at_ms, lease_ms: worker.lease_ms, lock, busy_with }
}

/// The worker that began the call which a run waits for, if it lost the run and lives.
pub(crate) fn still_acting(dir: &Path, row: &RunRow) -> Option<WorkerId> {
    let began = row.run.front()?.started.clone()?;
    (began.epoch < row.epoch && probe(dir, &began.worker) == PeerLock::Held).then_some(began.worker)
}

/// Removes a dead worker's file, if it is still free.
pub(crate) fn remove(dir: &Path, worker: &WorkerId) {
    let path = path_of(dir, worker);
    if let Ok(file) = File::open(&path)
        && file.try_lock().is_ok()
    {
        let _ = std::fs::remove_file(&path);
    }
}

fn path_of(dir: &Path, worker: &WorkerId) -> PathBuf {
    dir.join(format!("{worker}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_alive_and_a_dropped_one_is_unknown() {
        let dir = tempfile::tempdir().expect("a folder");
        let worker = WorkerId::new("w-1");
        assert_eq!(probe(dir.path(), &worker), PeerLock::Unknown);
        let lock = WorkerLock::take(dir.path(), &worker).expect("lock").expect("flock works here");
        assert_eq!(probe(dir.path(), &worker), PeerLock::Held);
        assert!(WorkerLock::take(dir.path(), &worker).is_err(), "a second holder is refused");
        drop(lock);
        assert_eq!(probe(dir.path(), &worker), PeerLock::Unknown);
    }

    #[test]
    fn a_dead_worker_says_what_it_was_busy_with() {
        let dir = tempfile::tempdir().expect("a folder");
        let worker = WorkerId::new("w-7-ab");
        let lock = WorkerLock::take(dir.path(), &worker).expect("lock").expect("flock works here");
        let slots = lock.slots().expect("slots");
        let [done, busy] = [1, 2].map(|n| RunId::from_uuid(uuid::Uuid::from_u128(n)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                slots.enter(done);
                Slots::idle();
            });
            scope.spawn(|| {
                slots.enter(done);
                slots.enter(busy);
            });
        });
        assert_eq!(last_words(dir.path(), &worker), [busy]);
        assert_eq!(last_words(dir.path(), &WorkerId::new("w-7-abc")), []);
    }

    #[test]
    fn a_file_left_behind_is_a_death() {
        let dir = tempfile::tempdir().expect("a folder");
        let worker = WorkerId::new("w-2");
        File::create(path_of(dir.path(), &worker)).expect("file");
        assert_eq!(probe(dir.path(), &worker), PeerLock::Free);
        remove(dir.path(), &worker);
        assert_eq!(probe(dir.path(), &worker), PeerLock::Unknown);
    }
}
