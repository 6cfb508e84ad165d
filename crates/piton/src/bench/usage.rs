//! What processes and the disk were busy with.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Processor time of a process so far, all its threads that are still there.
pub(super) fn processor(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = |thread: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(nanos).sum())
}

/// Bytes of memory that a process holds for itself, the pages of its program aside. Looking costs it nothing.
pub(super) fn held(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The processes that `pid` has started and that are there.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    // Each is the child of the thread that started it.
    let of_thread =
        |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let lists: Vec<String> = threads.flatten().map(of_thread).collect();
    let all = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    all.filter_map(|pid| pid.parse().ok()).collect()
}

/// The disk under a folder, by what it has written.
#[derive(Debug)]
pub(super) struct Disk {
    statistics: std::path::PathBuf,
}

impl Disk {
    /// `None` where the folder lies on no disk of its own, such as one in memory.
    pub(super) fn under(folder: &Path) -> Option<Self> {
        use std::os::linux::fs::MetadataExt;
        let device = fs::metadata(folder).ok()?.st_dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let statistics = Path::new("/sys/dev/block").join(format!("{major}:{minor}/stat"));
        statistics.exists().then_some(Self { statistics })
    }

    /// Bytes that reached it so far, once everything that waits for it is there.
    pub(super) fn written(&self) -> Option<u64> {
        const SECTOR: u64 = 512;
        Command::new("sync").status().ok()?;
        let text = fs::read_to_string(&self.statistics).ok()?;
        Some(text.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()? * SECTOR)
    }
}
