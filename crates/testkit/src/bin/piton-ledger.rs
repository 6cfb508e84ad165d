//! The ledger as a process: prints its address, serves until its standard input closes.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    piton_testkit::ledger::serve(file.as_deref())
}
