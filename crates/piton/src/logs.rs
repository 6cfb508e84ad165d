//! Logs on standard error: readable on a terminal, JSON lines otherwise or on request.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{Loaded, LogFormat, Origin};

/// Libraries that say at info what only their makers want to know.
const QUIET: &str = "apalis=warn,apalis_core=warn,hyper=warn,reqwest=warn,tokio_postgres=warn";

/// Sets logging up, once per process. A command that ends by itself says only what went wrong, unless somebody set
/// the level.
pub(crate) fn start(loaded: &Loaded, is_role: bool) {
    let config = &loaded.config.log;
    let is_quiet = !is_role && *loaded.origin("log.level") == Origin::Default;
    let level = if is_quiet { "error" } else { config.level.as_str() };
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let as_json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    // A second call, as in tests, changes nothing.
    let _ = if as_json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
    };
}
