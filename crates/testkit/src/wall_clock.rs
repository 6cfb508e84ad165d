//! A wall clock that a test sets for processes that run already, by libfaketime. Their monotonic clock is left alone,
//! as it is when an operator or a time server sets the real one.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` puts the library, on the machines we know of.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

#[derive(Debug)]
pub struct WallClock {
    file: PathBuf,
    library: &'static str,
}

impl WallClock {
    /// Right to begin with; `file` is where processes look. `None` when the library is not on this machine.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn at(file: &Path) -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists())?;
        let clock = Self { file: file.to_owned(), library };
        clock.set(0);
        Some(clock)
    }

    /// How to get the library, for those who have it not.
    pub const fn remedy() -> &'static str {
        "libfaketime is not on this machine: apt-get install faketime"
    }

    /// What a process is started with so that it goes by this clock.
    pub fn env(&self) -> [(&str, &str); 6] {
        [
            ("LD_PRELOAD", self.library),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().expect("a path in a folder of ours is UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
    }

    /// Sets it this far beside the right time, at once for everybody who goes by it.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(&self, offset_s: i64) {
        // In one go, so that nobody reads half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset_s:+}\n")).expect("the clock's file can be written");
        fs::rename(&new, &self.file).expect("the clock's file can be replaced");
    }
}
