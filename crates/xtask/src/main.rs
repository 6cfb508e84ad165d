//! The project's own commands: `cargo xtask start | test | chaos | openapi | real-model`.
//!
//! Owns what has to be installed, built and checked, in which order. Refuses to know anything about Piton
//! that its command line and its HTTP interface don't show.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what these commands are for")]
#![expect(
    clippy::disallowed_methods,
    reason = "no async runtime here: what is waited for is looked at again"
)]

mod arrows;
mod chaos;
mod checks;
mod chromium;
mod frontend;
mod http;
mod openapi;
mod packages;
mod real_model;
mod served;
mod shell;
mod start;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  start [ARGS…]    build the web UI and the release binary, then serve on http://127.0.0.1:3000
                   ARGS go to `piton serve`: --workers 4, --listen 0.0.0.0:8080, …
  test [STEP…]     every check there is, exactly what CI runs; with names, only those steps
  chaos [--minutes N] [--seed S]
                   kill, stop and freeze everything at random for N minutes (default 10) on the release binary,
                   and see that nothing is lost or done twice
  openapi          write crates/api/openapi.json and the web UI's types anew from the code
  real-model [N]   run N tasks (default 12) against a small language model on this machine
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match command.as_str() {
        "start" => start::start(&rest),
        "test" => checks::test(&rest),
        "chaos" => chaos::chaos(&rest),
        "openapi" => openapi::write(),
        "real-model" => real_model::run(&rest),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        unknown => Err(format!("there is no command `{unknown}`\n\n{USAGE}").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
