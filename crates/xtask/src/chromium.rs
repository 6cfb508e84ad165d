//! Finds a Chromium for the browser test, or installs one from the system's packages.

use std::path::PathBuf;

use crate::shell::{Done, cmd, run, say};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The path of a Chromium that can be started.
pub(crate) fn path() -> Done<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM_PATH").map(PathBuf::from) {
        if named.is_file() {
            return Ok(named);
        }
        return Err(format!("CHROMIUM_PATH names {}, which is not there", named.display()).into());
    }
    if let Some(found) = found() {
        return Ok(found);
    }
    install()?;
    found().ok_or_else(|| "chromium was installed and is still not on the PATH".into())
}

fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).find(|file| file.is_file())
}

fn install() -> Done {
    const BY_HAND: &str = "the browser test needs Chromium and found none: install it (Debian, Ubuntu: \
         `sudo apt-get install chromium`), or name one in CHROMIUM_PATH";
    let root_user = crate::shell::first_line(&mut cmd("id -u")).is_some_and(|id| id == "0");
    if !root_user || crate::shell::first_line(&mut cmd("apt-get --version")).is_none() {
        return Err(BY_HAND.into());
    }
    say("the browser test needs Chromium: installing it from the system's packages");
    run(cmd("apt-get update --quiet").env("DEBIAN_FRONTEND", "noninteractive"))
        .and_then(|()| {
            run(cmd("apt-get install --yes --quiet --no-install-recommends chromium fonts-dejavu-core")
                .env("DEBIAN_FRONTEND", "noninteractive"))
        })
        .map_err(|failure| format!("{BY_HAND} ({failure})").into())
}
