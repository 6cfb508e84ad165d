//! A limit on the memory of some processes, past which the kernel kills one of them. Needs root.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group of one's own; removed when dropped, once its processes are gone.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    /// `None` where control groups for memory cannot be made.
    pub fn new(bytes: u64) -> Option<Self> {
        let name = format!("piton-test-{}-{}", std::process::id(), rand::random::<u32>());
        let (group, limit) = match Path::new("/sys/fs/cgroup/memory") {
            v1 if v1.is_dir() => (v1.join(name), "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup").join(name), "memory.max"),
        };
        fs::create_dir(&group).ok()?;
        let made = Self { group };
        fs::write(made.group.join(limit), bytes.to_string()).ok()?;
        // Swap would only make it slow.
        let _unless_there_is_none = fs::write(made.group.join("memory.swap.max"), "0");
        Some(made)
    }

    /// Puts a process under the limit, and the children that it starts from now on.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn hold(&self, pid: u32) {
        fs::write(self.group.join("cgroup.procs"), pid.to_string())
            .expect("a process of ours can be limited");
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let _unless_somebody_is_in_it = fs::remove_dir(&self.group);
    }
}
