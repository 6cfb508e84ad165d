//! The doorbell: tells every process on this database that something was written, without polling the tables.
//!
//! One unix datagram socket per process beside the database. A lost ring is normal: whoever waits also looks by
//! itself now and then.

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixDatagram;
use tokio::sync::watch;

/// What a ring says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// A job is due (and there are events to see, too).
    Job,
    /// Only events.
    Events,
}

impl Ring {
    const fn byte(self) -> u8 {
        match self {
            Self::Job => b'j',
            Self::Events => b'e',
        }
    }
}

/// Rings and hears rings; cheap to clone.
#[derive(Debug, Clone)]
pub struct Bell {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Where the other processes' bells hang; `None` where there are none.
    line: Option<Line>,
    jobs: watch::Sender<u64>,
    events: watch::Sender<u64>,
    listener: std::sync::Mutex<Option<tokio::task::AbortHandle>>,
}

/// This process's socket and the folder that it is in.
#[derive(Debug)]
struct Line {
    dir: PathBuf,
    name: String,
    sender: Option<StdDatagram>,
}

/// Waits for rings of one sort. Rings that come while nobody waits are not lost, only joined to one.
#[derive(Debug)]
pub struct Listener {
    heard: watch::Receiver<u64>,
}

impl Listener {
    /// Returns at the next ring, or at once if one came since the last call.
    pub async fn heard(&mut self) {
        if self.heard.changed().await.is_err() {
            // The bell is gone: nothing rings any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Bell {
    /// Opens this process's bell in `dir`. Must be called inside a tokio runtime.
    pub(crate) fn open(dir: &Path) -> Self {
        let name = format!("{}.bell", uuid::Uuid::now_v7().simple());
        let sender = StdDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .inspect_err(|error| tracing::warn!(%error, "no doorbell: looking for work now and then instead"))
            .ok();
        let bell = Self::on(Some(Line { dir: dir.to_owned(), name, sender }));
        if let Err(error) = bell.listen() {
            tracing::warn!(%error, "no doorbell: looking for work now and then instead");
        }
        bell
    }

    /// A bell that is heard where it is rung and nowhere else.
    pub fn unconnected() -> Self {
        Self::on(None)
    }

    fn on(line: Option<Line>) -> Self {
        Self {
            inner: Arc::new(Inner {
                line,
                jobs: watch::Sender::new(0),
                events: watch::Sender::new(0),
                listener: std::sync::Mutex::new(None),
            }),
        }
    }

    /// Rings of jobs that are due.
    pub fn jobs(&self) -> Listener {
        Listener { heard: self.inner.jobs.subscribe() }
    }

    /// Rings of anything that was written.
    pub fn events(&self) -> Listener {
        Listener { heard: self.inner.events.subscribe() }
    }

    fn listen(&self) -> io::Result<()> {
        let Some(line) = &self.inner.line else { return Ok(()) };
        let socket = UnixDatagram::bind(line.dir.join(&line.name))?;
        let (jobs, events) = (self.inner.jobs.clone(), self.inner.events.clone());
        let task = tokio::spawn(async move {
            let mut byte = [0_u8; 1];
            loop {
                match socket.recv(&mut byte).await {
                    Ok(_) => sound(&jobs, &events, byte[0]),
                    Err(error) => {
                        tracing::warn!(%error, "the doorbell fell silent");
                        return;
                    }
                }
            }
        });
        if let Ok(mut listener) = self.inner.listener.lock() {
            *listener = Some(task.abort_handle());
        }
        Ok(())
    }

    /// Rings in this process and in every other that listens beside this database.
    pub fn ring(&self, ring: Ring) {
        sound(&self.inner.jobs, &self.inner.events, ring.byte());
        let Some(Line { dir, name: ours, sender: Some(sender) }) = &self.inner.line else { return };
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_bell = name.to_str().is_some_and(|name| name.ends_with(".bell") && name != ours.as_str());
            if !is_bell {
                continue;
            }
            // A full socket has rings to hear already. A refused one belongs to a process that is gone.
            if let Err(error) = sender.send_to(&[ring.byte()], entry.path())
                && error.kind() == io::ErrorKind::ConnectionRefused
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            let _ = std::fs::remove_file(line.dir.join(&line.name));
        }
        if let Ok(mut listener) = self.listener.lock()
            && let Some(task) = listener.take()
        {
            task.abort();
        }
    }
}

fn sound(jobs: &watch::Sender<u64>, events: &watch::Sender<u64>, byte: u8) {
    if byte == Ring::Job.byte() {
        jobs.send_modify(|rings| *rings = rings.wrapping_add(1));
    }
    events.send_modify(|rings| *rings = rings.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_ring_is_heard_by_the_other_process_and_by_oneself() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, other) = (Bell::open(dir.path()), Bell::open(dir.path()));
        let (mut mine, mut theirs, mut events) = (one.jobs(), other.jobs(), other.events());
        one.ring(Ring::Job);
        let both = async { tokio::join!(mine.heard(), theirs.heard(), events.heard()) };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("three rings");
    }

    #[tokio::test]
    async fn a_ring_of_events_wakes_nobody_who_waits_for_jobs() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, other) = (Bell::open(dir.path()), Bell::open(dir.path()));
        let (mut jobs, mut events) = (other.jobs(), other.events());
        one.ring(Ring::Events);
        tokio::time::timeout(Duration::from_secs(5), events.heard()).await.expect("a ring");
        assert!(tokio::time::timeout(Duration::from_millis(50), jobs.heard()).await.is_err());
    }

    #[tokio::test]
    async fn the_bell_of_a_dead_process_is_cleared_away() {
        let dir = tempfile::tempdir().expect("a folder");
        let dead = dir.path().join("dead.bell");
        drop(StdDatagram::bind(&dead).expect("bind"));
        Bell::open(dir.path()).ring(Ring::Job);
        assert!(!dead.exists());
    }
}
