//! The web UI's tool chain: Node and npm fit to build it, its packages installed, its scripts run.

use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Done, While, cmd, first_line, root, run, say};

/// What Vite asks for: 20.19 or newer in the 20 series, 22.12 or newer after it.
const NODE: &str = "20.19 (or 22.12) or newer";
const NPM_MAJOR_MIN: u32 = 10;

fn folder() -> PathBuf {
    root().join("frontend")
}

/// `npm …` in the web UI's folder.
pub(crate) fn npm(line: &str) -> Command {
    let mut command = cmd(&format!("npm {line}"));
    command.current_dir(folder());
    command
}

/// Node and npm are there, new enough, and the web UI's packages are those of its lock file.
pub(crate) fn ready() -> Done {
    tools()?;
    let (lock, installed) =
        (folder().join("package-lock.json"), folder().join("node_modules/.installed-lock.json"));
    let wanted = std::fs::read(&lock).while_doing("reading frontend/package-lock.json")?;
    if std::fs::read(&installed).is_ok_and(|had| had == wanted) {
        say("the web UI's packages are installed");
        return Ok(());
    }
    // npm takes node_modules away first, so the copy of the lock file stands only for a finished install.
    run(&mut npm("ci --no-audit --no-fund"))?;
    std::fs::write(installed, wanted).while_doing("noting what was installed in frontend/node_modules")
}

/// Builds `frontend/dist`, which the binary embeds.
pub(crate) fn build() -> Done {
    run(&mut npm("run build"))
}

fn tools() -> Done {
    let node = first_line(&mut cmd("node --version")).ok_or_else(|| {
        format!("Node.js is needed to build the web UI and was not found: install Node {NODE}")
    })?;
    if !node_fits(&node) {
        return Err(format!("Node {NODE} is needed to build the web UI; `node --version` says {node}").into());
    }
    let npm = first_line(&mut cmd("npm --version")).ok_or("npm was not found; it comes with Node.js")?;
    if numbers(&npm).first().is_none_or(|major| *major < NPM_MAJOR_MIN) {
        return Err(format!("npm {NPM_MAJOR_MIN} or newer is needed; `npm --version` says {npm}").into());
    }
    say(&format!("node {node}, npm {npm}"));
    Ok(())
}

fn node_fits(version: &str) -> bool {
    match numbers(version)[..] {
        [20, minor, ..] => minor >= 19,
        [22, minor, ..] => minor >= 12,
        [major, ..] => major > 22,
        [] => false,
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.trim_start_matches('v').split('.').map_while(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_judged_as_vite_does() {
        for fits in ["v20.19.0", "v20.20.2", "v22.12.0", "v24.1.0"] {
            assert!(node_fits(fits), "{fits}");
        }
        for not in ["v18.20.8", "v20.18.3", "v21.7.3", "v22.11.0", "", "weird"] {
            assert!(!node_fits(not), "{not}");
        }
    }
}
