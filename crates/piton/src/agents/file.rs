//! The shape of an agent's file, and the way from it to a definition. Every mistake is named with file and line, and
//! with what was expected.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

use piton_core::{Agent, EVENTS_MAX, EffectClass, HttpMethod, HttpTool, Limits, ToolKind, ToolSpec};
use piton_tools::{
    HTTP_TIMEOUT_MS, HTTP_TIMEOUT_MS_DEFAULT, Registry, RegistryOptions, check_header, check_url, parameters,
};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Source, prompt};
use crate::config::AgentConfig;
use crate::config::place::{Place, most_like};

/// Providers take no more.
const TOOLS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_BYTES_MAX: usize = 4_000;
const MAX_STEPS: RangeInclusive<i64> = 1..=1_000;
const TOOL_ERRORS: RangeInclusive<i64> = 0..=1_000;
const REPEATED_CALLS: RangeInclusive<i64> = 0..=1_000;
const EVENTS: RangeInclusive<i64> = 100..=EVENTS_MAX as i64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentFile {
    name: Spanned<String>,
    description: Option<Spanned<String>>,
    prompt: Option<Spanned<String>>,
    instructions: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    max_steps: Option<Spanned<i64>>,
    #[serde(default)]
    limits: LimitsFile,
    tools: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    http_tool: Vec<HttpToolFile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    tool_errors: Option<Spanned<i64>>,
    repeated_calls: Option<Spanned<i64>>,
    events: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpToolFile {
    name: Spanned<String>,
    description: Spanned<String>,
    method: Option<Spanned<String>>,
    url: Spanned<String>,
    effect: Option<Spanned<String>>,
    timeout_ms: Option<Spanned<i64>>,
    #[serde(default)]
    allow_private: bool,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    parameters: Option<Spanned<toml::Value>>,
}

/// What an agent's file may leave to others.
pub(super) struct Around<'a> {
    pub(super) registry: &'a Registry,
    /// The configuration folder.
    pub(super) dir: &'a Path,
    pub(super) agent: &'a AgentConfig,
    pub(super) model: &'a str,
}

/// An agent as its file defines it.
pub(super) struct Defined {
    pub(super) agent: Agent,
    pub(super) prompt: Source,
    /// Where its name stands.
    pub(super) place: Place,
}

/// The agent that `text`, the content of `path`, defines. `None` when it has problems, which are added to `problems`.
pub(super) fn define(
    path: &Path,
    text: &str,
    around: &Around<'_>,
    problems: &mut Vec<String>,
) -> Option<Defined> {
    let file: AgentFile = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let place = Place::of(path, text, error.span().map_or(0, |span| span.start));
            problems.push(format!("{place}: {}", plain(error.message())));
            return None;
        }
    };
    let mut checks = Checks { path, text, around, problems: Vec::new() };
    let defined = checks.agent(file);
    let mut found = checks.problems;
    found.sort();
    let is_sound = found.is_empty();
    problems.extend(found.into_iter().map(|(place, what)| format!("{place}: {what}")));
    is_sound.then_some(defined)
}

/// A parser's message in the words of those who write the file.
fn plain(message: &str) -> String {
    let plain = [
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("expected i64", "expected a whole number"),
        ("\n", "; "),
    ]
    .iter()
    .fold(message.to_owned(), |message, (from, to)| message.replace(from, to));
    // The parser's own list of names, each in backquotes: the one that was written, then those it knows.
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match names.split_first().and_then(|(written, known)| most_like(written, known.iter().copied())) {
        Some(meant) if plain.starts_with("unknown key") => format!("{plain}; did you mean `{meant}`?"),
        _ => plain,
    }
}

/// The checks of one file. Each gives something to go on with, so that one run finds every mistake.
struct Checks<'a> {
    path: &'a Path,
    text: &'a str,
    around: &'a Around<'a>,
    problems: Vec<(Place, String)>,
}

impl Checks<'_> {
    fn agent(&mut self, file: AgentFile) -> Defined {
        let place = self.place(&file.name);
        self.name(&file.name, "name");
        let (instructions, prompt) = self.instructions(&file);
        let model = match file.model {
            Some(model) => {
                self.text_of(&model, "model", 200);
                model.into_inner()
            }
            None => self.around.model.to_owned(),
        };
        let max_steps = match &file.max_steps {
            Some(steps) => self.whole(steps, "max_steps", MAX_STEPS).try_into().unwrap_or(u32::MAX),
            None => self.around.agent.max_steps,
        };
        let description = file.description.as_ref().map_or("", |description| description.get_ref().trim());
        if let Some(description) = &file.description {
            self.text_of(description, "description", DESCRIPTION_BYTES_MAX);
        }
        let limits = self.limits(&file.limits);
        let tools = self.tools(file.tools, file.http_tool, &file.name);
        let agent = Agent {
            name: file.name.get_ref().clone(),
            description: description.to_owned(),
            instructions,
            model,
            max_steps,
            limits,
            tools,
        };
        Defined { agent, prompt, place }
    }

    fn limits(&mut self, file: &LimitsFile) -> Limits {
        let mut limits = Limits::default();
        let mut set = |limit: &mut u32, written: &Option<Spanned<i64>>, key: &str, range| {
            if let Some(written) = written {
                *limit = self.whole(written, key, range).try_into().unwrap_or_default();
            }
        };
        set(&mut limits.tool_errors, &file.tool_errors, "limits.tool_errors", TOOL_ERRORS);
        set(&mut limits.repeated_calls, &file.repeated_calls, "limits.repeated_calls", REPEATED_CALLS);
        set(&mut limits.events, &file.events, "limits.events", EVENTS);
        if let Some(written) = &file.repeated_calls
            && limits.repeated_calls == 1
        {
            self.problem(
                written,
                "limits.repeated_calls: the first time is no repetition: expected 0 for never, or 2 or more",
            );
        }
        limits
    }

    fn instructions(&mut self, file: &AgentFile) -> (String, Source) {
        let found = match (&file.prompt, &file.instructions) {
            (Some(_), Some(instructions)) => {
                self.problem(instructions, "give either prompt or instructions, not both");
                return (String::new(), Source::Inline);
            }
            (None, None) => {
                self.problem(
                    &file.name,
                    "there is no prompt: add prompt = \"prompts/NAME.md\" or instructions = \"…\"",
                );
                return (String::new(), Source::Inline);
            }
            (Some(path), None) => {
                prompt::read(path.get_ref(), self.around.dir).map_err(|why| (path, format!("prompt: {why}")))
            }
            (None, Some(text)) => prompt::checked(text.get_ref())
                .map(|text| (text, Source::Inline))
                .map_err(|why| (text, format!("instructions: {why}"))),
        };
        found.unwrap_or_else(|(at, why)| {
            self.problem(at, &why);
            (String::new(), Source::Inline)
        })
    }

    /// The listed tools in their order, then the declared ones that are not listed. Every agent can end: without
    /// `final_answer` in its list it gets it last.
    fn tools(
        &mut self,
        listed: Option<Vec<Spanned<String>>>,
        declared: Vec<HttpToolFile>,
        name: &Spanned<String>,
    ) -> Vec<ToolSpec> {
        let mut http: Vec<ToolSpec> = Vec::new();
        for tool in declared {
            let at = tool.name.clone();
            let spec = self.http_tool(tool);
            if self.is_builtin(&spec.name) {
                self.problem(&at, &format!("name: {:?} is a built-in tool; choose another name", spec.name));
            } else if http.iter().any(|other| other.name == spec.name) {
                self.problem(&at, &format!("name: there are two tools called {:?}", spec.name));
            } else {
                http.push(spec);
            }
        }
        let mut tools: Vec<ToolSpec> = Vec::new();
        let mut seen = HashSet::new();
        let listed = listed.unwrap_or_else(|| vec![Spanned::new(name.span(), "ask_human".to_owned())]);
        for tool in &listed {
            let name = tool.get_ref();
            if !seen.insert(name.clone()) {
                self.problem(tool, &format!("tools: {name:?} is listed twice"));
            } else if let Some(place) = http.iter().position(|spec| spec.name == *name) {
                tools.push(http.remove(place));
            } else if let Some(spec) = self.around.registry.spec(name) {
                tools.push(spec);
            } else {
                let why = self.unknown_tool(name, &http);
                self.problem(tool, &why);
            }
        }
        tools.append(&mut http);
        if !tools.iter().any(|tool| tool.kind == ToolKind::FinalAnswer) {
            tools.extend(self.around.registry.spec("final_answer"));
        }
        if tools.len() > TOOLS_MAX {
            self.problem(name, &format!("{} tools are too many: expected {TOOLS_MAX} at most", tools.len()));
        }
        tools
    }

    fn unknown_tool(&self, name: &str, http: &[ToolSpec]) -> String {
        let specs = self.around.registry.specs();
        let known: Vec<&str> = specs.iter().chain(http).map(|spec| spec.name.as_str()).collect();
        let hint = if self.is_builtin(name) {
            format!("{name} is a test tool, which only test.tools = true brings")
        } else if let Some(meant) = most_like(name, known.iter().copied()) {
            format!("did you mean {meant:?}?")
        } else {
            format!("there are {}", known.join(", "))
        };
        format!("tools: there is no tool {name:?}; {hint}")
    }

    /// Whether some binary of this version may have a tool of that name.
    fn is_builtin(&self, name: &str) -> bool {
        let with_test_tools = Registry::new(RegistryOptions { test_tools: true });
        with_test_tools.spec(name).is_some() || self.around.registry.spec(name).is_some()
    }

    fn http_tool(&mut self, tool: HttpToolFile) -> ToolSpec {
        self.name(&tool.name, "name");
        self.text_of(&tool.description, "description", DESCRIPTION_BYTES_MAX);
        if let Err(why) = check_url(tool.url.get_ref(), tool.allow_private) {
            self.problem(&tool.url, &format!("url: {why}"));
        }
        for (name, value) in &tool.headers {
            if let Err(why) = check_header(name, value.get_ref()) {
                self.problem(value, &format!("headers: {why}"));
            }
        }
        let timeout_ms = tool.timeout_ms.as_ref().map_or(HTTP_TIMEOUT_MS_DEFAULT, |timeout_ms| {
            let limits = signed(*HTTP_TIMEOUT_MS.start())..=signed(*HTTP_TIMEOUT_MS.end());
            self.whole(timeout_ms, "timeout_ms", limits).unsigned_abs()
        });
        ToolSpec {
            parameters: self.parameters(tool.parameters),
            effect: self.effect(tool.effect.as_ref()),
            kind: ToolKind::Http(HttpTool {
                method: self.method(tool.method.as_ref()),
                url: tool.url.into_inner(),
                timeout_ms,
                allow_private: tool.allow_private,
                headers: tool.headers.into_iter().map(|(name, value)| (name, value.into_inner())).collect(),
            }),
            name: tool.name.into_inner(),
            description: tool.description.get_ref().trim().to_owned(),
        }
    }

    fn parameters(&mut self, declared: Option<Spanned<toml::Value>>) -> Value {
        let none = || serde_json::json!({ "type": "object" });
        let (at, declared) = match declared {
            None => (None, Ok(none())),
            Some(declared) => (Some(declared.span()), json(declared.get_ref())),
        };
        declared.and_then(parameters).unwrap_or_else(|why| {
            self.problem(&Spanned::new(at.unwrap_or_default(), ()), &format!("parameters: {why}"));
            none()
        })
    }

    fn effect(&mut self, written: Option<&Spanned<String>>) -> EffectClass {
        let classes = [EffectClass::Pure, EffectClass::Idempotent, EffectClass::AtMostOnce];
        let Some(written) = written else {
            // Whoever does not say gets the class that can do no harm.
            return EffectClass::AtMostOnce;
        };
        classes.into_iter().find(|class| class.as_str() == written.get_ref()).unwrap_or_else(|| {
            self.problem(
                written,
                &format!(
                    "effect: expected \"pure\", \"idempotent\" or \"at_most_once\", got {:?}",
                    written.get_ref()
                ),
            );
            EffectClass::AtMostOnce
        })
    }

    fn method(&mut self, written: Option<&Spanned<String>>) -> HttpMethod {
        let Some(written) = written else {
            return HttpMethod::Post;
        };
        match written.get_ref().to_uppercase().as_str() {
            "GET" => HttpMethod::Get,
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "PATCH" => HttpMethod::Patch,
            "DELETE" => HttpMethod::Delete,
            _ => {
                self.problem(
                    written,
                    &format!("method: expected GET, POST, PUT, PATCH or DELETE, got {:?}", written.get_ref()),
                );
                HttpMethod::Post
            }
        }
    }

    fn name(&mut self, name: &Spanned<String>, key: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.get_ref().is_empty()
            || name.get_ref().len() > NAME_CHARS_MAX
            || !name.get_ref().chars().all(fits)
        {
            self.problem(
                name,
                &format!(
                    "{key}: expected 1 to {NAME_CHARS_MAX} letters, digits, _ or -, got {:?}",
                    name.get_ref()
                ),
            );
        }
    }

    fn text_of(&mut self, text: &Spanned<String>, key: &str, bytes_max: usize) {
        if text.get_ref().trim().is_empty() {
            self.problem(text, &format!("{key}: expected a text that is not empty"));
        } else if text.get_ref().len() > bytes_max {
            self.problem(text, &format!("{key}: longer than {bytes_max} bytes"));
        }
    }

    fn whole(&mut self, number: &Spanned<i64>, key: &str, limits: RangeInclusive<i64>) -> i64 {
        let found = *number.get_ref();
        if !limits.contains(&found) {
            self.problem(
                number,
                &format!(
                    "{key}: expected a whole number from {} to {}, got {found}",
                    limits.start(),
                    limits.end()
                ),
            );
        }
        found
    }

    fn place<T>(&self, at: &Spanned<T>) -> Place {
        Place::of(self.path, self.text, at.span().start)
    }

    fn problem<T>(&mut self, at: &Spanned<T>, what: &str) {
        let place = self.place(at);
        self.problems.push((place, what.to_owned()));
    }
}

fn signed(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A TOML value as JSON, as far as JSON has it.
fn json(value: &toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(whole) => Value::from(*whole),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Float(real) => serde_json::Number::from_f64(*real)
            .map(Value::Number)
            .ok_or_else(|| format!("JSON has no number {real}"))?,
        toml::Value::Datetime(time) => return Err(format!("JSON has no dates: put {time} in quotes")),
        toml::Value::Array(items) => items.iter().map(json).collect::<Result<_, _>>()?,
        toml::Value::Table(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), json(value)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}
