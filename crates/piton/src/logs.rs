//! Logs on standard error: readable on a terminal, JSON lines otherwise or on request.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Libraries that say at info what only their makers want to know.
const QUIET: &str = "apalis=warn,apalis_core=warn,sqlx=warn,hyper=warn,reqwest=warn";

/// Sets logging up, once per process.
pub(crate) fn start(config: &LogConfig) {
    let filter =
        EnvFilter::try_new(format!("{QUIET},{}", config.level)).unwrap_or_else(|_| EnvFilter::new("info"));
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
