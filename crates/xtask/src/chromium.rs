//! Finds a Chromium for the browser test, or installs one from the system's packages.

use std::path::PathBuf;

use crate::packages;
use crate::shell::{Done, say};

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
    NAMES.iter().find_map(|name| packages::on_path(name))
}

fn install() -> Done {
    const BY_HAND: &str = "the browser test needs Chromium and found none: install it (Debian, Ubuntu: \
         `sudo apt-get install chromium`), or name one in CHROMIUM_PATH";
    say("the browser test needs Chromium: installing it from the system's packages");
    packages::install("chromium fonts-dejavu-core").map_err(|failure| format!("{BY_HAND} ({failure})").into())
}
