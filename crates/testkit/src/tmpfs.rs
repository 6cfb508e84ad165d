//! A small disk of one's own, to be filled or made read-only. Needs root.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// Unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    /// Mounts one of `bytes` over `folder`; `None` where that is not permitted.
    pub fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        let size = CString::new(format!("size={bytes}")).expect("a size holds no NUL");
        mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(size.as_c_str())).ok()?;
        Some(Self { folder: folder.to_owned() })
    }

    /// # Panics
    /// When it cannot be remounted.
    pub fn make_read_only(&self, read_only: bool) {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        mount_remount(&self.folder, flags, "").expect("our own mount can be remounted");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Detached, so that it goes once nobody has a file open in it.
        let _gone = unmount(&self.folder, UnmountFlags::DETACH);
    }
}
