//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// The configuration cannot be used. It names every problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// `problems`, each of which says where it is, what it is about and what was expected. No secrets.
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}
