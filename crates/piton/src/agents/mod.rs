//! Agents as files: `agents/*.toml` in the configuration folder and the prompts they name, read once at start. The
//! default agent is in the binary too; a file that defines an agent of its name takes its place.

mod file;
mod prompt;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use piton_core::Agent;
use piton_tools::Registry;
use serde::Serialize;

use crate::config::place::most_like;
use crate::config::{ConfigError, Loaded};

use file::{Around, Defined};

/// Agents that one installation may have.
const AGENTS_MAX: usize = 1_000;
/// Bytes of an agent's file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const DEFAULT_TEXT: &str = include_str!("../../../../config/agents/default.toml");

/// Where a definition or a prompt came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the binary.
    Embedded,
    File(PathBuf),
    /// In the agent's own file.
    Inline,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::File(path) => path.display().fmt(f),
            Self::Inline => f.write_str("inline"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An agent as it is launched from now on, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) agent: Agent,
    pub(crate) source: Source,
    pub(crate) prompt: Source,
}

/// All agents, the default one first, the others by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Catalog {
    listed: Vec<Listed>,
}

impl Catalog {
    /// Reads the agents of `loaded`'s folder. Their tools are those of `registry` and those they declare.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of every file, each with its place.
    pub(crate) fn load(loaded: &Loaded, registry: &Registry) -> Result<Self, ConfigError> {
        let config = &loaded.config;
        let around = Around { registry, dir: &loaded.dir, agent: &config.agent, model: &config.model.name };
        let mut problems = Vec::new();
        let mut defined = Vec::new();
        for path in files(&loaded.dir.join("agents"), &mut problems) {
            if let Some(text) = text(&path, &mut problems) {
                defined.extend(
                    file::define(&path, &text, &around, &mut problems)
                        .map(|agent| (agent, Source::File(path))),
                );
            }
        }
        let embedded = Path::new("embedded/default.toml");
        if let Some(default) = file::define(embedded, DEFAULT_TEXT, &around, &mut problems)
            && !defined.iter().any(|(other, _)| other.agent.name == default.agent.name)
        {
            defined.push((default, Source::Embedded));
        }
        refuse_twins(&mut defined, &mut problems);
        let default = &config.agent.default;
        // Where a file could not be read, its agent is not missing.
        if problems.is_empty() && !defined.iter().any(|(defined, _)| defined.agent.name == *default) {
            problems.push(no_default(loaded, &defined));
        }
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        let mut listed: Vec<Listed> = defined
            .into_iter()
            .map(|(Defined { agent, prompt, .. }, source)| Listed { agent, source, prompt })
            .collect();
        listed.sort_by(|a, b| {
            (a.agent.name != *default, &a.agent.name).cmp(&(b.agent.name != *default, &b.agent.name))
        });
        Ok(Self { listed })
    }

    pub(crate) fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The definitions, the default one first.
    pub(crate) fn agents(&self) -> Vec<Agent> {
        self.listed.iter().map(|listed| listed.agent.clone()).collect()
    }
}

/// The agent files in `dir`, by name. A missing folder has none.
fn files(dir: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(format!("{}: cannot be read: {error}", dir.display()));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")))
        .take(AGENTS_MAX + 1)
        .collect();
    if paths.len() > AGENTS_MAX {
        problems.push(format!("{}: more than {AGENTS_MAX} agents", dir.display()));
    }
    paths.sort_unstable();
    paths
}

fn text(path: &Path, problems: &mut Vec<String>) -> Option<String> {
    let is_long = fs::metadata(path).is_ok_and(|file| file.len() > FILE_BYTES_MAX);
    let text = if is_long {
        Err(format!("longer than {FILE_BYTES_MAX} bytes"))
    } else {
        fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
    };
    text.map_err(|why| problems.push(format!("{}: {why}", path.display()))).ok()
}

fn refuse_twins(defined: &mut [(Defined, Source)], problems: &mut Vec<String>) {
    for (at, (this, _)) in defined.iter().enumerate() {
        if let Some((first, _)) = defined[..at].iter().find(|(first, _)| first.agent.name == this.agent.name)
        {
            problems.push(format!(
                "{}: name: {:?} is defined in {} already",
                this.place, this.agent.name, first.place
            ));
        }
    }
}

fn no_default(loaded: &Loaded, defined: &[(Defined, Source)]) -> String {
    let names: Vec<&str> = defined.iter().map(|(defined, _)| defined.agent.name.as_str()).collect();
    let default = &loaded.config.agent.default;
    let hint = most_like(default, names.iter().copied()).map_or_else(
        || format!("there are {}", names.join(", ")),
        |meant| format!("did you mean {meant:?}?"),
    );
    format!(
        "agent.default = {default:?} ({}): there is no such agent; {hint}",
        loaded.origin("agent.default")
    )
}

#[cfg(test)]
mod tests;
