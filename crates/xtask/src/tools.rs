//! Cargo's own tools that the checks need: the machine's, or one built into target/tools.

use std::process::Command;

use crate::shell::{Done, cmd, first_line, run, say, target};

/// The versions that a machine without them gets.
const DENY: &str = "0.20.2";
const NEXTEST: &str = "0.9.143";

pub(crate) fn cargo_deny() -> Done {
    ready("cargo-deny", DENY, "deny")
}

pub(crate) fn cargo_nextest() -> Done {
    ready("cargo-nextest", NEXTEST, "nextest")
}

/// A command that finds target/tools before anything else.
pub(crate) fn command(line: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(target().join("tools/bin")).chain(std::env::split_paths(&path));
    let mut command = cmd(line);
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

fn ready(package: &str, version: &str, subcommand: &str) -> Done {
    if let Some(found) = first_line(&mut command(&format!("cargo {subcommand} --version"))) {
        say(&found);
        return Ok(());
    }
    say(&format!("{package} is not there: building version {version} into target/tools"));
    // Unoptimized: that builds in a minute or three, and what it has to do is small.
    run(cmd(&format!("cargo install --locked --debug {package} --version {version}"))
        .args(["--root".as_ref(), target().join("tools").as_os_str()])
        .env("CARGO_TARGET_DIR", target().join("tools/build")))
}
