//! A disk of one's own, in a file: its power can be cut, and it can be filled to the last byte. Needs root.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::until::{deadline, until};

/// Cuts an ext4 file system off its disk with nothing flushed, not even its journal: `EXT4_IOC_SHUTDOWN` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`, on the folder that is its argument.
const CUT: &str = "import fcntl, os, struct, sys; \
                   fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// An ext4 file system on a loop device. Unmounted when dropped, the device with it.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    folder: PathBuf,
}

impl LoopDisk {
    /// Makes a disk of `bytes` in the file `image`, and mounts it over `folder`.
    ///
    /// # Errors
    /// Why that is not possible here.
    pub fn mount(image: &Path, folder: &Path, bytes: u64) -> Result<Self, String> {
        File::create(image).and_then(|file| file.set_len(bytes)).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))?;
        let disk = Self { image: image.to_owned(), folder: folder.to_owned() };
        disk.attach()?;
        Ok(disk)
    }

    fn attach(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.folder)).map(drop)
    }

    /// From now on every call on the disk fails, and what was not synced is lost.
    /// Whoever was syncing just now may be told that it succeeded though it did not: nobody is to run on who would act on that.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub fn cut_power(&self) -> Result<(), String> {
        run(Command::new("python3").args(["-c", CUT]).arg(&self.folder)).map(drop)
    }

    /// Mounts it anew, as after a loss of power, once nobody has a file open on it any more.
    ///
    /// # Panics
    /// When somebody still has at the deadline, or the disk cannot be mounted again.
    pub async fn come_back(&self) {
        let gone = until(deadline(), "nobody uses the disk", async || {
            run(Command::new("umount").arg(&self.folder)).ok()
        });
        let back = gone.await.and_then(|_| self.attach());
        back.unwrap_or_else(|error| panic!("the disk does not come back: {error}"));
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// When it cannot be written for another reason than that it is full.
    pub fn fill(&self) {
        let file = File::options().create(true).append(true).open(self.filler());
        let mut file = file.expect("the disk takes a file");
        for chunk in [1 << 20, 4096, 1] {
            let full = loop {
                if let Err(error) = file.write_all(&vec![0; chunk]).and_then(|()| file.sync_all()) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Makes the room again that [`Self::fill`] took.
    ///
    /// # Panics
    /// When it took none.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Detached, so that it goes once nobody has a file open on it; the device goes with it.
        let _gone = run(Command::new("umount").arg("--lazy").arg(&self.folder));
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{shown}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
