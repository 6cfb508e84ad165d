//! The table of all keys: name, kind, default and meaning. The checks, `config/piton.toml` and `docs/config.md` all
//! come from it.

use std::net::SocketAddr;

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::{lists, place};

/// One key of the configuration.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.key`.
    pub(crate) name: &'static str,
    pub(super) kind: Kind,
    /// As an environment variable would say it. Empty: not set.
    pub(super) default: &'static str,
    pub(crate) meaning: &'static str,
}

/// What values a key takes.
#[derive(Debug)]
pub(super) enum Kind {
    Flag,
    Whole {
        min: i64,
        max: i64,
    },
    Choice(&'static [&'static str]),
    Text,
    /// A text that may be empty, which means none, as `off` does.
    TextOrOff,
    Store,
    Listen,
    Url,
    /// A list of web origins.
    Origins,
    /// A list of names with a number each.
    PerName {
        max: u32,
    },
    /// A list of the agents and tenants that a worker is for.
    Only,
    LogLevel,
    /// Never shown.
    Secret,
}

/// A value as somebody gave it, before it is known to fit its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Given {
    Flag(bool),
    Whole(i64),
    Text(String),
    List(Vec<String>),
}

macro_rules! key {
    ($name:literal, $kind:expr, $default:literal, $meaning:literal) => {
        Key { name: $name, kind: $kind, default: $default, meaning: $meaning }
    };
}

const fn whole(min: i64, max: i64) -> Kind {
    Kind::Whole { min, max }
}

/// In the order in which they are shown. Keys of one section stand together.
pub(crate) const KEYS: &[Key] = &[
    key!(
        "store.url",
        Kind::Store,
        "sqlite://data/piton.db",
        "The database: an embedded one, which is made when it is not there, or one of a PostgreSQL server."
    ),
    key!(
        "store.password",
        Kind::Secret,
        "",
        "The password of the user that a PostgreSQL server is asked as."
    ),
    key!(
        "store.lock_dir",
        Kind::Text,
        "data/locks",
        "With PostgreSQL: a folder on this machine for the locks of its workers. An embedded database has its own."
    ),
    key!(
        "store.synchronous",
        Kind::Choice(&["full", "normal"]),
        "full",
        "What an acknowledged write survives: full, a loss of power; normal, the death of any process."
    ),
    key!(
        "server.listen",
        Kind::Listen,
        "127.0.0.1:3000",
        "Where the server listens. Any address but loopback needs server.api_key or server.allow_anonymous."
    ),
    key!(
        "server.workers",
        whole(0, 256),
        "1",
        "Worker processes that the server starts and keeps alive. 0: the API only."
    ),
    key!("server.api_key", Kind::Secret, "", "The key that callers must send, and that people log in with."),
    key!("server.allow_anonymous", Kind::Flag, "false", "Lets anybody who can reach the server use it."),
    key!(
        "server.allowed_origins",
        Kind::Origins,
        "",
        "Web origins beside the server's own that browsers may call from (CORS)."
    ),
    key!(
        "server.live_clients_max",
        whole(1, 100_000),
        "2000",
        "Clients that follow runs live at once. Who comes later is told to come back, with 503."
    ),
    key!(
        "server.linger_ms",
        whole(0, 600_000),
        "0",
        "How long a server that is told to stop goes on answering while `/readyz` says 503, so that a balancer before it finds \
         another one."
    ),
    key!(
        "queue.waiting_max",
        whole(1, 1_000_000_000),
        "1000000",
        "Runs that may wait for a worker. A launch beyond them is refused with 429; answers and resumes never are."
    ),
    key!(
        "queue.tenant_weights",
        Kind::PerName { max: 1_000 },
        "",
        "Shares of tenants beside the others that have something to do: with [\"acme=3\"] acme gets three turns where \
         others get one."
    ),
    key!(
        "queue.tenant_concurrency",
        Kind::PerName { max: 1_000_000 },
        "",
        "Runs of a tenant that workers advance at once, over all workers of all machines. * is every tenant not named."
    ),
    key!(
        "queue.agent_concurrency",
        Kind::PerName { max: 1_000_000 },
        "",
        "Runs of an agent that workers advance at once, over all workers of all machines. * is every agent not named."
    ),
    key!("worker.concurrency", whole(1, 10_000), "16", "Runs that one worker process advances at once."),
    key!("worker.only", Kind::Only, "", "The agents and tenants whose runs a worker takes. Empty: all."),
    key!(
        "worker.lease_ms",
        whole(300, 600_000),
        "10000",
        "How long a worker that falls silent keeps its runs. A worker that dies is noticed sooner."
    ),
    key!(
        "worker.step_timeout_ms",
        whole(1_000, 86_400_000),
        "900000",
        "The hard limit of one step: its tool calls and its model call with all tries."
    ),
    key!(
        "worker.shutdown_ms",
        whole(0, 600_000),
        "10000",
        "How long a worker that is told to stop may finish its steps before it hands them back."
    ),
    key!(
        "retention.finished_days",
        whole(1, 36_500),
        "",
        "Days that a run is kept after it was over, with all that is kept of it. Workers delete it then. Not set: for good."
    ),
    key!("model.name", Kind::Text, "gpt-5", "The model of agents that name none."),
    key!(
        "model.api",
        Kind::Choice(&["auto", "responses", "chat"]),
        "auto",
        "Which API of the endpoint is used. auto asks Responses, and Chat Completions where there is none."
    ),
    key!(
        "model.base_url",
        Kind::Url,
        "",
        "An OpenAI-compatible endpoint. Not set: OpenAI's if there is a key, else the practice model."
    ),
    key!("model.api_key", Kind::Secret, "", "The key for the endpoint."),
    key!("model.timeout_ms", whole(10, 3_600_000), "120000", "The limit of one try at a model call."),
    key!("model.tries_max", whole(1, 20), "4", "Tries at one model call before the run fails."),
    key!(
        "model.reasoning_effort",
        Kind::TextOrOff,
        "low",
        "How long a reasoning model may think, in the endpoint's own words. off or \"\": not sent."
    ),
    key!(
        "model.max_output_tokens",
        whole(1, 10_000_000),
        "",
        "The most tokens of one reply. Not set: the endpoint decides."
    ),
    key!(
        "model.requests_per_minute",
        Kind::PerName { max: 1_000_000 },
        "",
        "Requests a minute to each model, by its name, over all workers of all machines. * is every model not named."
    ),
    key!(
        "model.tokens_per_minute",
        Kind::PerName { max: 1_000_000_000 },
        "",
        "Tokens a minute of each model, both ways, over all workers. They are counted when a reply tells them."
    ),
    key!("agent.default", Kind::Text, "default", "The agent that a launch without a name gets."),
    key!("agent.max_steps", whole(1, 1_000), "10", "The step limit of agents that set none."),
    key!("test.tools", Kind::Flag, "false", "Adds the tools abort, panic and sleep, to try crashes with."),
    key!(
        "log.format",
        Kind::Choice(&["auto", "text", "json"]),
        "auto",
        "How the log is written. auto: text on a terminal, else JSON lines."
    ),
    key!(
        "log.level",
        Kind::LogLevel,
        "info",
        "What is logged: a level, or directives such as info,piton_worker=debug."
    ),
];

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that somebody who wrote `name` may have meant.
pub(super) fn suggest(name: &str) -> Option<&'static Key> {
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let meant = place::most_like(name, KEYS.iter().map(|key| key.name));
    if let Some(meant) = meant {
        return find(meant);
    }
    // The right key in the wrong section.
    let written = name.rsplit('.').next().unwrap_or(name);
    KEYS.iter().find(|key| last(key.name) == written)
}

impl Key {
    pub(super) fn section(&self) -> &'static str {
        self.name.split('.').next().unwrap_or(self.name)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("PITON_{}", self.name.to_uppercase().replace('.', "__"))
    }

    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// From text, as environment variables and flags give it.
    pub(super) fn read(&self, text: &str) -> Result<Given, String> {
        let text = text.trim();
        let given = match self.kind {
            Kind::Flag => match text {
                "true" | "1" | "yes" | "on" => Given::Flag(true),
                "false" | "0" | "no" | "off" => Given::Flag(false),
                other => Given::Text(other.to_owned()),
            },
            Kind::Whole { .. } => {
                text.replace('_', "").parse().map_or_else(|_| Given::Text(text.to_owned()), Given::Whole)
            }
            Kind::Origins | Kind::PerName { .. } | Kind::Only => Given::List(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
            ),
            _ => Given::Text(text.to_owned()),
        };
        self.check(given)
    }

    /// `given` if it fits.
    ///
    /// # Errors
    /// What was expected and what was given, which of a secret is not said.
    pub(super) fn check(&self, given: Given) -> Result<Given, String> {
        if self.kind.fits(&given) {
            return Ok(given);
        }
        let got = match self.kind {
            Kind::Secret => String::new(),
            Kind::Url | Kind::Store => format!(", got {}", without_password(given.shown())),
            _ => format!(", got {}", given.shown()),
        };
        Err(format!("{}{got}", self.expected()))
    }

    /// `None`: not set.
    pub(super) fn default_value(&self) -> Option<Given> {
        let has_default = !self.default.is_empty()
            || matches!(self.kind, Kind::Origins | Kind::PerName { .. } | Kind::Only);
        has_default.then(|| self.read(self.default).ok()).flatten()
    }

    /// What to say to somebody who gave something else.
    pub(super) fn expected(&self) -> String {
        format!("expected {}", self.kind.expected())
    }
}

impl Kind {
    fn fits(&self, given: &Given) -> bool {
        match (self, given) {
            (Self::Flag, Given::Flag(_)) | (Self::TextOrOff, Given::Text(_)) => true,
            (Self::Whole { min, max }, Given::Whole(whole)) => (min..=max).contains(&whole),
            (Self::Choice(choices), Given::Text(text)) => choices.contains(&text.as_str()),
            (Self::Text, Given::Text(text)) => !text.is_empty() && text.len() <= 200,
            (Self::Store, Given::Text(text)) => is_store(text),
            (Self::Listen, Given::Text(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::Url, Given::Text(text)) => is_url(text),
            (Self::Origins, Given::List(origins)) => origins.iter().all(|origin| is_origin(origin)),
            (Self::PerName { max }, Given::List(items)) => lists::per_name(items, *max).is_some(),
            (Self::Only, Given::List(items)) => lists::only(items).is_some(),
            (Self::LogLevel, Given::Text(text)) => is_log_level(text),
            (Self::Secret, Given::Text(text)) => {
                !text.is_empty() && text.len() <= 10_000 && text.bytes().all(|byte| byte.is_ascii_graphic())
            }
            _ => false,
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Text => "a text that is not empty".to_owned(),
            Self::TextOrOff => "a text such as low, or off".to_owned(),
            Self::Store => {
                "sqlite://PATH, such as sqlite://data/piton.db, or postgres://USER@HOST/DATABASE with the \
                 password in store.password"
                    .to_owned()
            }
            Self::Listen => "an address and a port, such as 127.0.0.1:3000".to_owned(),
            Self::Url => {
                "an http or https URL without user and password, such as https://api.openai.com/v1".to_owned()
            }
            Self::Origins => "a list of origins, such as https://app.example.com".to_owned(),
            Self::PerName { max } => {
                format!("a list of different names with a number from 1 to {max} each, such as acme=3")
            }
            Self::Only => "a list of agents and tenants, such as agent=research or tenant=acme".to_owned(),
            Self::LogLevel => {
                "error, warn, info, debug, trace or off, or directives such as info,piton=debug".to_owned()
            }
            Self::Secret => "a key of printable ASCII characters without spaces".to_owned(),
        }
    }
}

impl Given {
    /// As TOML.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(whole) => whole.to_string(),
            Self::Text(text) => toml::Value::String(piton_core::clip(text, 200)).to_string(),
            Self::List(items) => {
                let items: Vec<toml::Value> = items.iter().cloned().map(toml::Value::String).collect();
                toml::Value::Array(items).to_string()
            }
        }
    }
}

fn is_store(text: &str) -> bool {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return is_open_store(text);
    }
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
    path.is_some_and(|path| !path.is_empty() && !path.contains(":memory:") && !path.contains('?'))
}

/// A URL is shown and logged, so that no password may be in it, be it as a parameter.
fn is_open_store(text: &str) -> bool {
    reqwest::Url::parse(&with_one_server(text)).is_ok_and(|url| {
        let is_open = url.password().is_none() && url.query_pairs().all(|(name, _)| name != "password");
        is_open && url.has_host()
    })
}

fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        let is_open = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_open
    })
}

/// The URL with the last of its servers, where it names several, as PostgreSQL's own programs know it and other URLs do not.
fn with_one_server(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (servers, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, servers) = servers.rsplit_once('@').map_or(("", servers), |(user, servers)| (user, servers));
    let last = servers.rsplit_once(',').map_or(servers, |(_, last)| last);
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{last}{path}")
}

/// A URL that was refused may hold a user and a password, or parameters.
fn without_password(mut shown: String) -> String {
    if let Some(parameters) = shown.find('?').filter(|_| shown.contains("://")) {
        shown.replace_range(parameters.., "?…\"");
    }
    match (shown.find("://"), shown.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &shown[..scheme], &shown[at..]),
        _ => shown,
    }
}

/// Scheme, host and maybe port, as browsers send it: nothing behind.
fn is_origin(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text.to_lowercase()
    })
}

fn is_log_level(text: &str) -> bool {
    let is_level =
        matches!(text.to_lowercase().as_str(), "error" | "warn" | "info" | "debug" | "trace" | "off");
    // A lone word that is no level would pass as the name of a target.
    is_level || (text.contains('=') && EnvFilter::builder().parse(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_key_and_every_name_is_there_once() {
        for (place, key) in KEYS.iter().enumerate() {
            assert_eq!(key.name.matches('.').count(), 1, "{}", key.name);
            assert_eq!(KEYS.iter().position(|other| other.name == key.name), Some(place), "{}", key.name);
            assert_eq!(key.variable().to_lowercase(), format!("piton_{}", key.name.replace('.', "__")));
            if !key.default.is_empty() {
                key.read(key.default).expect(key.name);
            }
        }
    }

    #[test]
    fn values_that_do_not_fit_say_what_was_expected() {
        let refused = |name: &str, text: &str| find(name).expect(name).read(text).expect_err(text);
        for (name, text, error) in [
            ("worker.concurrency", "0", "expected a whole number from 1 to 10000, got 0"),
            ("worker.concurrency", "many", "expected a whole number from 1 to 10000, got \"many\""),
            (
                "worker.lease_ms",
                "99999999999999999999",
                "expected a whole number from 300 to 600000, got \"99999999999999999999\"",
            ),
            ("test.tools", "maybe", "expected true or false, got \"maybe\""),
            ("model.api", "Chat", "expected one of auto, responses, chat, got \"Chat\""),
            ("model.name", "", "expected a text that is not empty, got \"\""),
            (
                "store.url",
                "mysql://h/d",
                "expected sqlite://PATH, such as sqlite://data/piton.db, or postgres://USER@HOST/DATABASE with \
                 the password in store.password, got \"mysql://h/d\"",
            ),
            (
                "store.url",
                "postgres://u:secret@h/d",
                "expected sqlite://PATH, such as sqlite://data/piton.db, or postgres://USER@HOST/DATABASE with \
                 the password in store.password, got \"postgres://…@h/d\"",
            ),
            ("server.listen", "3000", "expected an address and a port, such as 127.0.0.1:3000, got \"3000\""),
            (
                "model.base_url",
                "api.openai.com",
                "expected an http or https URL without user and password, such as https://api.openai.com/v1, got \"api.openai.com\"",
            ),
            (
                "server.allowed_origins",
                "https://a.example/x",
                "expected a list of origins, such as https://app.example.com, got [\"https://a.example/x\"]",
            ),
            (
                "log.level",
                "debgu",
                "expected error, warn, info, debug, trace or off, or directives such as info,piton=debug, got \"debgu\"",
            ),
            ("server.api_key", "two words", "expected a key of printable ASCII characters without spaces"),
        ] {
            assert_eq!(refused(name, text), error, "{name}");
        }
    }

    #[test]
    fn values_that_fit_are_taken() {
        for (name, text) in [
            ("worker.concurrency", "10_000"),
            ("test.tools", "on"),
            ("store.url", "sqlite:///var/lib/piton.db"),
            ("store.url", "postgres://piton@db.example:5432/piton"),
            ("store.url", "postgres://piton@%2Fvar%2Frun%2Fpostgresql/piton"),
            ("store.url", "postgres://piton@db-1.example:5432,db-2.example/piton?sslmode=verify-full"),
            ("server.listen", "[::1]:0"),
            ("model.base_url", "http://127.0.0.1:8080"),
            ("model.reasoning_effort", ""),
            ("server.allowed_origins", "https://a.example, http://localhost:5173,"),
            ("log.level", "WARN"),
            ("log.level", "info,piton_worker=debug"),
        ] {
            find(name).expect(name).read(text).expect(text);
        }
    }

    #[test]
    fn a_name_that_is_nearly_right_is_suggested() {
        for (written, meant) in [
            ("server.lisen", Some("server.listen")),
            ("servr.listen", Some("server.listen")),
            ("worker.listen", Some("server.listen")),
            ("worker.concurency", Some("worker.concurrency")),
            ("model.temperature", None),
        ] {
            assert_eq!(suggest(written).map(|key| key.name), meant, "{written}");
        }
    }
}
