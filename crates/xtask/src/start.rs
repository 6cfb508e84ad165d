//! `cargo xtask start`: from a clone to a running Piton.

use crate::frontend;
use crate::shell::{Done, cmd, run, say, spelled, target};

/// Builds what is not built and becomes the server; returns only when that fails.
pub(crate) fn start(args: &[String]) -> Done {
    frontend::ready()?;
    frontend::build()?;
    run(&mut cmd("cargo build --release --package piton --bin piton --locked"))?;

    let mut serve = std::process::Command::new(target().join("release/piton"));
    serve.arg("serve").args(args).current_dir(crate::shell::root());
    say(&spelled(&serve));
    if !args.iter().any(|a| a == "--listen" || a.starts_with("--listen=")) {
        say(
            "the web UI is at http://127.0.0.1:3000 unless your configuration says otherwise; Ctrl-C stops it",
        );
    }
    // The server takes this process's place, so that signals reach it and nothing stands in between.
    let failure = std::os::unix::process::CommandExt::exec(&mut serve);
    Err(format!("`{}` did not start: {failure}", spelled(&serve)).into())
}
