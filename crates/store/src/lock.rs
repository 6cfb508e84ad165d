//! A lock that dies with its worker: how a death is known sooner than a lease lapses.
//!
//! One file per worker incarnation, locked with `flock` while the process lives. The kernel lets go of it at death,
//! however the process dies. Rust opens files close-on-exec, so no child keeps a dead worker "alive".

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use piton_core::WorkerId;

/// Whether a worker's process is there, as far as its lock tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    /// No lock to ask: only the lease tells.
    Unknown,
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
        if probe(dir, worker) != Liveness::Alive {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        Ok(Some(Self { path, _file: file }))
    }
}

impl Drop for WorkerLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks whether a worker lives. Probers share the lock, so that two of them do not take each other for it.
pub(crate) fn probe(dir: &Path, worker: &WorkerId) -> Liveness {
    let Ok(file) = File::open(path_of(dir, worker)) else {
        return Liveness::Unknown;
    };
    match file.try_lock_shared() {
        Ok(()) => Liveness::Dead,
        Err(TryLockError::WouldBlock) => Liveness::Alive,
        Err(TryLockError::Error(_)) => Liveness::Unknown,
    }
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
        assert_eq!(probe(dir.path(), &worker), Liveness::Unknown);
        let lock = WorkerLock::take(dir.path(), &worker).expect("lock").expect("flock works here");
        assert_eq!(probe(dir.path(), &worker), Liveness::Alive);
        assert!(WorkerLock::take(dir.path(), &worker).is_err(), "a second holder is refused");
        drop(lock);
        assert_eq!(probe(dir.path(), &worker), Liveness::Unknown);
    }

    #[test]
    fn a_file_left_behind_is_a_death() {
        let dir = tempfile::tempdir().expect("a folder");
        let worker = WorkerId::new("w-2");
        File::create(path_of(dir.path(), &worker)).expect("file");
        assert_eq!(probe(dir.path(), &worker), Liveness::Dead);
        remove(dir.path(), &worker);
        assert_eq!(probe(dir.path(), &worker), Liveness::Unknown);
    }
}
