//! The configuration: built-in defaults, then `piton.toml`, then the environment, then flags. What does not fit is
//! refused here, with an error that names the place; nothing else in the binary reads the environment for settings.

mod error;
mod keys;
mod layer;
mod lists;
pub(crate) mod place;
#[cfg(test)]
mod reference;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use piton_model::Api;
use piton_store::{Only, PerName, Scheduling, Synchronous};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use error::ConfigError;
pub(crate) use keys::{KEYS, Key};

use layer::Layer;

/// Where configuration is looked for when nobody says where.
pub(crate) const DEFAULT_DIR: &str = "config";
const FILE: &str = "piton.toml";

/// Every setting, checked. `Debug` shows no secret.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    pub(crate) store: StoreConfig,
    pub(crate) server: ServerConfig,
    pub(crate) queue: QueueConfig,
    pub(crate) worker: WorkerConfig,
    /// None of its keys has a default, so that it may be missing as a whole.
    #[serde(default)]
    pub(crate) retention: RetentionConfig,
    pub(crate) model: ModelConfig,
    pub(crate) agent: AgentConfig,
    pub(crate) test: TestConfig,
    pub(crate) log: LogConfig,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StoreConfig {
    /// `sqlite://PATH` or `postgres://USER@HOST/DATABASE`, without password.
    pub(crate) url: String,
    pub(crate) password: Option<SecretString>,
    pub(crate) lock_dir: String,
    #[serde(deserialize_with = "synchronous")]
    pub(crate) synchronous: Synchronous,
}

impl StoreConfig {
    pub(crate) fn is_postgres(&self) -> bool {
        !self.url.starts_with("sqlite:")
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    /// 0: the API only.
    pub(crate) workers: u32,
    pub(crate) api_key: Option<SecretString>,
    pub(crate) allow_anonymous: bool,
    /// As browsers send them: scheme, host and port.
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) live_clients_max: usize,
    pub(crate) linger_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct QueueConfig {
    pub(crate) waiting_max: u64,
    #[serde(deserialize_with = "lists::read_per_name")]
    pub(crate) tenant_weights: PerName,
    #[serde(deserialize_with = "lists::read_per_name")]
    pub(crate) tenant_concurrency: PerName,
    #[serde(deserialize_with = "lists::read_per_name")]
    pub(crate) agent_concurrency: PerName,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WorkerConfig {
    pub(crate) concurrency: u32,
    #[serde(deserialize_with = "lists::read_only")]
    pub(crate) only: Only,
    pub(crate) lease_ms: u64,
    pub(crate) step_timeout_ms: u64,
    pub(crate) shutdown_ms: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RetentionConfig {
    pub(crate) finished_days: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ModelConfig {
    pub(crate) name: String,
    #[serde(deserialize_with = "api")]
    pub(crate) api: Api,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<SecretString>,
    pub(crate) timeout_ms: u64,
    pub(crate) tries_max: u32,
    #[serde(deserialize_with = "unless_off")]
    pub(crate) reasoning_effort: Option<String>,
    pub(crate) max_output_tokens: Option<u32>,
    #[serde(deserialize_with = "lists::read_per_name")]
    pub(crate) requests_per_minute: PerName,
    #[serde(deserialize_with = "lists::read_per_name")]
    pub(crate) tokens_per_minute: PerName,
}

impl ModelConfig {
    /// Whether there is no endpoint to ask, so that the practice model answers.
    pub(crate) const fn is_practice(&self) -> bool {
        self.base_url.is_none() && self.api_key.is_none()
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AgentConfig {
    /// Its name.
    pub(crate) default: String,
    pub(crate) max_steps: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TestConfig {
    pub(crate) tools: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    /// A level or directives.
    pub(crate) level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    Text,
    Json,
}

/// Values that flags give, by key. They win over everything else.
#[derive(Clone, Default)]
pub(crate) struct Overrides(BTreeMap<&'static str, (&'static str, String)>);

impl Overrides {
    /// Sets `key` (`server.listen`) to what `flag` (`--listen`) says, written as in an environment variable.
    pub(crate) fn set(&mut self, flag: &'static str, key: &'static str, value: impl Into<String>) {
        self.0.insert(key, (flag, value.into()));
    }

    /// The same values as environment variables, for child processes.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().filter_map(|(name, (_, value))| {
            // An empty variable counts as not set; the one key that may be empty has a word for it.
            let value = if value.trim().is_empty() { "off".to_owned() } else { value.clone() };
            Some((keys::find(name)?.variable(), value))
        })
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// Such as `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One key as `piton config` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: &'static str,
    /// As TOML; of a secret only whether it is set.
    pub(crate) value: String,
    pub(crate) origin: Origin,
    pub(crate) meaning: &'static str,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Every key, in the order of [`KEYS`].
    pub(crate) entries: Vec<Entry>,
    /// To be logged once logging is set up.
    pub(crate) warnings: Vec<String>,
    /// The configuration folder, whether or not it is there.
    pub(crate) dir: PathBuf,
}

impl Config {
    /// Reads `dir/piton.toml` (without `dir`: `config/piton.toml`) and the environment, and puts `flags` on top. A
    /// folder that nobody named and a file in it may be missing.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem that was found.
    pub(crate) fn load(dir: Option<&Path>, flags: &Overrides) -> Result<Loaded, ConfigError> {
        Self::load_from(dir, std::env::vars_os(), flags)
    }

    /// [`Config::load`] with an environment of one's own.
    pub(crate) fn load_from(
        dir: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let is_named = dir.is_some();
        let dir = dir.unwrap_or(Path::new(DEFAULT_DIR)).to_owned();
        if !dir.is_dir() && (is_named || dir.exists()) {
            problems.push(format!("--config {}: there is no such folder", dir.display()));
        }
        let mut layers = vec![Layer::defaults()];
        layers.extend(Layer::file(&dir.join(FILE), &mut problems));
        layers.extend(Layer::environment(env, &mut warnings, &mut problems));
        layers.push(Layer::flags(flags, &mut problems));
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        let figment = layers.iter().fold(Figment::new(), Figment::merge);
        // Every value fits its key by now; what is wrong here is a key that the types and the table disagree about.
        let config: Config = figment.extract().map_err(|error| ConfigError::new(vec![error.to_string()]))?;
        let entries = KEYS.iter().map(|key| entry(key, &layers, &figment)).collect();
        let mut loaded = Loaded { config, entries, warnings, dir };
        loaded.warn_of_contradictions();
        Ok(loaded)
    }
}

impl Config {
    /// How this process's workers share themselves out.
    pub(crate) fn scheduling(&self) -> Scheduling {
        let QueueConfig { tenant_weights, tenant_concurrency, agent_concurrency, .. } = self.queue.clone();
        Scheduling {
            weights: tenant_weights,
            tenant_max: tenant_concurrency,
            agent_max: agent_concurrency,
            only: self.worker.only.clone(),
        }
    }
}

impl Loaded {
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.entries.iter().find(|entry| entry.key == key).map_or(&Origin::Default, |entry| &entry.origin)
    }

    /// What no key can say alone.
    fn warn_of_contradictions(&mut self) {
        let Config { worker, model, .. } = &self.config;
        if worker.step_timeout_ms < model.timeout_ms {
            self.warnings.push(format!(
                "worker.step_timeout_ms = {} ({}) is shorter than model.timeout_ms = {} ({}): a slow model call is cut \
                 off by the step's limit, without another try",
                worker.step_timeout_ms,
                self.origin("worker.step_timeout_ms"),
                model.timeout_ms,
                self.origin("model.timeout_ms")
            ));
        }
    }
}

fn entry(key: &'static Key, layers: &[Layer], figment: &Figment) -> Entry {
    let winner = figment.find_metadata(key.name).map(|metadata| metadata.name.as_ref());
    let set =
        layers.iter().find(|layer| Some(layer.name) == winner).and_then(|layer| layer.values.get(key.name));
    let value = match set {
        None => "(not set)".to_owned(),
        Some(_) if key.is_secret() => "(set)".to_owned(),
        Some((given, _)) => given.shown(),
    };
    let origin = set.map_or(Origin::Default, |(_, origin)| origin.clone());
    Entry { key: key.name, value, origin, meaning: key.meaning }
}

fn synchronous<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Synchronous, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "full" => Ok(Synchronous::Full),
        "normal" => Ok(Synchronous::Normal),
        other => Err(serde::de::Error::unknown_variant(other, &["full", "normal"])),
    }
}

fn api<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Api, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "auto" => Ok(Api::Auto),
        "responses" => Ok(Api::Responses),
        "chat" => Ok(Api::Chat),
        other => Err(serde::de::Error::unknown_variant(other, &["auto", "responses", "chat"])),
    }
}

fn unless_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty() && text != "off"))
}

#[cfg(test)]
mod tests;
