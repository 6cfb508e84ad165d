//! `cargo xtask openapi`: writes anew what is generated from the code and committed.

use crate::frontend;
use crate::shell::{Done, cmd, run};

/// The OpenAPI document from the API's code, then the web UI's types from that document.
pub(crate) fn write() -> Done {
    // The test that says whether the committed document is stale is also what writes it.
    run(cmd("cargo test --quiet --locked --package piton-api the_committed_document")
        .env("UPDATE_OPENAPI", "1"))?;
    frontend::ready()?;
    run(&mut frontend::npm("run api"))
}
