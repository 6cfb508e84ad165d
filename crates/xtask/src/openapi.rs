//! `cargo xtask openapi`: writes anew what is generated from the code and committed.

use crate::frontend;
use crate::shell::{Done, run};

/// The OpenAPI document from the API's code, then the web UI's types from that document.
pub(crate) fn write() -> Done {
    run(&mut crate::shell::cmd("cargo run --quiet --package piton-api --example openapi --locked"))?;
    frontend::ready()?;
    run(&mut frontend::npm("run api"))
}
