//! The places a value can come from, each read into the same shape and checked against the table of keys.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::keys::{self, Given, KEYS};
use super::place::{self, Place};
use super::{Origin, Overrides};

/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Variables that every OpenAI client reads.
const SHARED: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "model.api_key"), ("OPENAI_BASE_URL", "model.base_url")];

/// The values of one place, all of which fit their keys.
pub(super) struct Layer {
    /// Tells it from the other layers.
    pub(super) name: &'static str,
    pub(super) values: BTreeMap<&'static str, (Given, Origin)>,
}

impl Layer {
    fn empty(name: &'static str) -> Self {
        Self { name, values: BTreeMap::new() }
    }

    pub(super) fn defaults() -> Self {
        let mut layer = Self::empty("default");
        for key in KEYS {
            if let Some(given) = key.default_value() {
                layer.values.insert(key.name, (given, Origin::Default));
            }
        }
        layer
    }

    /// The file at `path`, if there is one.
    pub(super) fn file(path: &Path, problems: &mut Vec<String>) -> Option<Self> {
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Ok(file) if file.len() > FILE_BYTES_MAX => {
                problems.push(format!("{}: longer than {FILE_BYTES_MAX} bytes", path.display()));
                return None;
            }
            Ok(_) | Err(_) => std::fs::read_to_string(path),
        };
        match text {
            Ok(text) => Some(Self::parse(path, &text, problems)),
            Err(error) => {
                problems.push(format!("{}: cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn parse(path: &Path, text: &str, problems: &mut Vec<String>) -> Self {
        let mut layer = Self::empty("file");
        let at = |offset: usize| Place::of(path, text, offset);
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                problems.push(format!("{}: {}", at(offset), error.message().replace('\n', "; ")));
                return layer;
            }
        };
        for (section, content) in table.get_ref() {
            let name = section.get_ref();
            let DeValue::Table(members) = content.get_ref() else {
                let problem = if KEYS.iter().any(|key| key.section() == name) {
                    format!("expected a table [{name}]")
                } else {
                    unknown(name)
                };
                problems.push(format!("{}: {name}: {problem}", at(section.span().start)));
                continue;
            };
            for (member, value) in members {
                let name = format!("{name}.{}", member.get_ref());
                let Some(key) = keys::find(&name) else {
                    problems.push(format!("{}: {name}: {}", at(member.span().start), unknown(&name)));
                    continue;
                };
                let given = given(value.get_ref()).map_or_else(
                    || Err(format!("{}, got a value of type {}", key.expected(), value.get_ref().type_str())),
                    |given| key.check(given),
                );
                match given {
                    Ok(given) => {
                        layer.values.insert(key.name, (given, Origin::File(path.to_owned())));
                    }
                    Err(problem) => {
                        problems.push(format!("{}: {name}: {problem}", at(value.span().start)));
                    }
                }
            }
            if members.is_empty() && !KEYS.iter().any(|key| key.section() == name) {
                problems.push(format!("{}: {name}: {}", at(section.span().start), unknown(name)));
            }
        }
        layer
    }

    /// The variables of `env` that are Piton's, and those it shares with other programs.
    pub(super) fn environment(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
        problems: &mut Vec<String>,
    ) -> [Self; 2] {
        let mut shared = Self::empty("shared environment");
        let mut own = Self::empty("environment");
        let mut variables: Vec<(String, OsString)> = env
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        variables.sort_unstable();
        for (variable, value) in variables {
            let shares = SHARED.iter().find(|(name, _)| *name == variable);
            let (layer, name) = match (shares, variable.strip_prefix("PITON_")) {
                (Some((_, name)), _) => (&mut shared, (*name).to_owned()),
                (None, Some(rest)) if rest.contains("__") => {
                    (&mut own, rest.to_lowercase().replace("__", "."))
                }
                (None, Some(_)) => {
                    warnings.push(format!(
                        "the environment variable {variable} is not read: Piton's have two underscores, as in \
                         PITON_SERVER__LISTEN"
                    ));
                    continue;
                }
                (None, None) => continue,
            };
            let Some(key) = keys::find(&name) else {
                problems.push(format!("environment variable {variable}: {}", unknown_variable(&name)));
                continue;
            };
            let value = value.to_str().map(str::trim);
            match value.map_or_else(|| Err("not valid UTF-8".to_owned()), |value| key.read(value)) {
                Ok(given) => {
                    layer.values.insert(key.name, (given, Origin::Variable(variable)));
                }
                Err(problem) => problems.push(format!("environment variable {variable}: {problem}")),
            }
        }
        [shared, own]
    }

    pub(super) fn flags(overrides: &Overrides, problems: &mut Vec<String>) -> Self {
        let mut layer = Self::empty("flags");
        for (name, (flag, text)) in &overrides.0 {
            let Some(key) = keys::find(name) else {
                problems.push(format!("{flag}: {}", unknown(name)));
                continue;
            };
            match key.read(text) {
                Ok(given) => {
                    layer.values.insert(key.name, (given, Origin::Flag(flag)));
                }
                Err(problem) => problems.push(format!("{flag}: {problem}")),
            }
        }
        layer
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut sections: BTreeMap<&str, Dict> = BTreeMap::new();
        for (name, (given, _)) in &self.values {
            let (section, key) = name.split_once('.').unwrap_or((name, ""));
            sections.entry(section).or_default().insert(key.to_owned(), Value::serialize(given)?);
        }
        let dict: Dict = sections.into_iter().map(|(name, dict)| (name.to_owned(), dict.into())).collect();
        Ok(Profile::Default.collect(dict))
    }
}

/// A TOML value, if it is of a kind that some key takes.
fn given(value: &DeValue<'_>) -> Option<Given> {
    match value {
        DeValue::Boolean(flag) => Some(Given::Flag(*flag)),
        DeValue::String(text) => Some(Given::Text(text.to_string())),
        DeValue::Integer(whole) => i64::from_str_radix(whole.as_str(), whole.radix()).ok().map(Given::Whole),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            items.collect::<Option<Vec<_>>>().map(Given::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn unknown(name: &str) -> String {
    let sections: Vec<&str> =
        KEYS.chunk_by(|a, b| a.section() == b.section()).map(|keys| keys[0].section()).collect();
    let section = name.split('.').next().unwrap_or(name);
    if let Some(key) = keys::suggest(name) {
        return format!("no such key; did you mean {}?", key.name);
    }
    if !name.contains('.')
        && let Some(meant) = place::most_like(name, sections.iter().copied())
    {
        return format!("no such section; did you mean [{meant}]?");
    }
    let siblings: Vec<&str> =
        KEYS.iter().filter(|key| key.section() == section).map(|key| key.name).collect();
    if siblings.is_empty() {
        format!("no such section; there are {}", sections.join(", "))
    } else {
        format!("no such key; there are {}", siblings.join(", "))
    }
}

fn unknown_variable(name: &str) -> String {
    match keys::suggest(name) {
        Some(key) => format!("no such key; did you mean {}?", key.variable()),
        None => unknown(name),
    }
}
