//! The system's packages: what a test wants of the machine is installed where that is possible.

use std::path::{Path, PathBuf};

use crate::shell::{Done, cmd, first_line, run, say};

/// Programs with which tests make faults from outside, with the package that each comes in.
const FAULTS: [(&str, &str); 8] = [
    ("strace", "strace"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("python3", "python3-minimal"),
    ("faketime", "faketime"),
    ("ip", "iproute2"),
    ("sqlite3", "sqlite3"),
    ("pgbouncer", "pgbouncer"),
];

/// Where Debian puts PostgreSQL's server, which is not to be started by its name.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Installs what the tests of faults from outside use, and PostgreSQL's server. Of the first, a test that finds it missing
/// all the same says so, and that it was skipped; without the second its tests fail, and say how to get it.
pub(crate) fn for_tests() {
    let mut missing: Vec<&str> = FAULTS
        .iter()
        .filter(|(program, _)| on_path(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !Path::new(POSTGRES).exists() && on_path("initdb").is_none() {
        missing.push("postgresql");
    }
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    say(&format!(
        "tests of PostgreSQL, cut networks, full disks, lost power, failing calls and wrong clocks need {packages}"
    ));
    if let Err(failure) = install(&packages) {
        say(&format!(
            "{failure}: some of those tests will say that they were skipped, and PostgreSQL's fail"
        ));
    }
}

/// Installs packages by name, separated by blanks.
///
/// # Errors
/// When this is no Debian, not root, or the packages cannot be had.
pub(crate) fn install(packages: &str) -> Done {
    let is_root = first_line(&mut cmd("id -u")).is_some_and(|id| id == "0");
    if !is_root || first_line(&mut cmd("apt-get --version")).is_none() {
        return Err(format!("{packages}: only root can install this, with apt-get").into());
    }
    run(cmd("apt-get update --quiet").env("DEBIAN_FRONTEND", "noninteractive"))?;
    run(cmd(&format!("apt-get install --yes --quiet --no-install-recommends {packages}"))
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Where a program lies that can be started by its name.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
