use std::fs;

use expect_test::{expect, expect_file};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

/// A project with `config/piton.toml`, an environment, and flags.
struct World {
    root: TempDir,
    env: Vec<(OsString, OsString)>,
    flags: Overrides,
}

impl World {
    fn new(file: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("config")).expect("a folder");
        fs::write(root.path().join("config/piton.toml"), file).expect("a file");
        Self { root, env: Vec::new(), flags: Overrides::default() }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &'static str, key: &'static str, value: &str) -> Self {
        self.flags.set(flag, key, value);
        self
    }

    fn try_load(&self) -> Result<Loaded, ConfigError> {
        Config::load_from(Some(&self.root.path().join("config")), self.env.clone(), &self.flags)
    }

    #[track_caller]
    fn load(&self) -> Loaded {
        self.try_load().expect("a configuration")
    }

    #[track_caller]
    fn error(&self) -> String {
        let error = self.try_load().expect_err("it was accepted").to_string();
        error.replace(&format!("{}/", self.root.path().display()), "")
    }
}

fn origin(loaded: &Loaded, key: &str, world: &World) -> String {
    loaded.origin(key).to_string().replace(&format!("{}/", world.root.path().display()), "")
}

#[test]
fn without_anything_the_defaults_hold() {
    let world = World::new("");
    let loaded = world.load();
    let Config { store, server, queue, worker, retention, model, agent, test, log } = &loaded.config;
    assert_eq!(retention.finished_days, None, "runs are kept for good");
    assert_eq!((store.url.as_str(), store.synchronous), ("sqlite://data/piton.db", Synchronous::Full));
    assert_eq!(server.listen.to_string(), "127.0.0.1:3000");
    assert_eq!((server.workers, server.allow_anonymous), (1, false));
    assert!(server.api_key.is_none() && server.allowed_origins.is_empty());
    assert_eq!((server.live_clients_max, queue.waiting_max), (2000, 1_000_000));
    assert_eq!((worker.concurrency, worker.lease_ms, worker.shutdown_ms), (16, 10_000, 10_000));
    assert_eq!((model.name.as_str(), model.api), ("gpt-5", Api::Auto));
    assert_eq!(model.reasoning_effort.as_deref(), Some("low"));
    assert!(model.is_practice() && model.max_output_tokens.is_none());
    assert_eq!((agent.default.as_str(), agent.max_steps), ("default", 10));
    assert!(!test.tools);
    assert_eq!((log.format, log.level.as_str()), (LogFormat::Auto, "info"));
    assert!(loaded.entries.iter().all(|entry| entry.origin == Origin::Default));
    assert_eq!(loaded.entries.len(), KEYS.len());
}

#[test]
fn a_file_wins_over_defaults_the_environment_over_the_file_and_flags_over_all() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 2\n[worker]\nconcurrency = 3\n[agent]\nmax_steps = 0x10\n";
    let world = World::new(file)
        .env("PITON_SERVER__WORKERS", "4")
        .env("PITON_WORKER__CONCURRENCY", "5")
        .env("PITON_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example")
        .flag("--concurrency", "worker.concurrency", "6");
    let loaded = world.load();
    let Config { server, worker, agent, .. } = &loaded.config;
    assert_eq!((server.listen.port(), server.workers, worker.concurrency, agent.max_steps), (1, 4, 6, 16));
    assert_eq!(server.allowed_origins, ["https://a.example", "https://b.example"]);
    for (key, from) in [
        ("store.url", "default"),
        ("server.listen", "config/piton.toml"),
        ("server.workers", "PITON_SERVER__WORKERS"),
        ("worker.concurrency", "--concurrency"),
    ] {
        assert_eq!(origin(&loaded, key, &world), from);
    }
}

#[test]
fn what_flags_say_can_be_handed_to_children() {
    let world = World::new("").flag("--listen", "server.listen", "127.0.0.1:7").flag(
        "--reasoning-effort",
        "model.reasoning_effort",
        "",
    );
    let handed: Vec<(String, String)> = world.flags.variables().collect();
    let child = handed.iter().fold(World::new(""), |child, (name, value)| child.env(name, value)).load();
    assert_eq!(child.config.server.listen.port(), 7);
    assert_eq!(child.config.model.reasoning_effort, None);
}

#[test]
fn the_variables_of_every_openai_client_work_too() {
    let world = World::new("[model]\nbase_url = \"http://file.example/v1\"\n")
        .env("OPENAI_API_KEY", "sk-shared")
        .env("OPENAI_BASE_URL", "http://shared.example/v1");
    let model = world.load().config.model;
    assert_eq!(model.api_key.expect("a key").expose_secret(), "sk-shared");
    assert_eq!(model.base_url.as_deref(), Some("http://shared.example/v1"));
    let world =
        world.env("PITON_MODEL__BASE_URL", "http://own.example/v1").env("PITON_MODEL__API_KEY", "sk-own");
    let loaded = world.load();
    assert_eq!(loaded.config.model.base_url.as_deref(), Some("http://own.example/v1"));
    assert_eq!(loaded.config.model.api_key.as_ref().expect("a key").expose_secret(), "sk-own");
    assert!(!loaded.config.model.is_practice());
    assert_eq!(origin(&loaded, "model.base_url", &world), "PITON_MODEL__BASE_URL");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let world = World::new("[model]\nname = \"m\"\n")
        .env("OPENAI_API_KEY", "")
        .env("PITON_MODEL__BASE_URL", "")
        .env("PITON_MODEL__NAME", "")
        .env("OPENAI_BASE_URL", "http://shared.example");
    let model = world.load().config.model;
    assert!(model.api_key.is_none());
    assert_eq!((model.name.as_str(), model.base_url.as_deref()), ("m", Some("http://shared.example")));
}

#[test]
fn every_problem_of_a_file_is_named_with_its_place() {
    let world = World::new(
        "[server]\nlisten = 3000\nworkrs = 2\napi_key = 12345\n\n[serve]\nlisten = \"x\"\n[worker]\n  lease_ms = 200\n\
         concurrency = 1.5\n[store.url]\n[nonsense]\n",
    );
    expect![[r#"
        config/piton.toml:2:10: server.listen: expected an address and a port, such as 127.0.0.1:3000, got 3000
        config/piton.toml:3:1: server.workrs: no such key; did you mean server.workers?
        config/piton.toml:4:11: server.api_key: expected a key of printable ASCII characters without spaces
        config/piton.toml:7:1: serve.listen: no such key; did you mean server.listen?
        config/piton.toml:9:14: worker.lease_ms: expected a whole number from 300 to 600000, got 200
        config/piton.toml:10:15: worker.concurrency: expected a whole number from 1 to 10000, got a value of type float
        config/piton.toml:11:1: store.url: expected sqlite://PATH, such as sqlite://data/piton.db, or postgres://USER@HOST/DATABASE with the password in store.password, got a value of type table
        config/piton.toml:12:2: nonsense: no such section; there are store, server, queue, worker, retention, model, agent, test, log"#]]
    .assert_eq(&world.error());
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_place() {
    expect!["config/piton.toml:2:10: string values must be quoted, expected literal string"]
        .assert_eq(&World::new("[server]\nlisten = \n").error());
    expect!["config/piton.toml:2:2: duplicate key"].assert_eq(&World::new("[server]\n[server]\n").error());
    expect!["config/piton.toml:1:1: server: expected a table [server]"]
        .assert_eq(&World::new("server = 1\n").error());
    expect!["config/piton.toml:1:1: listen: no such key; did you mean server.listen?"]
        .assert_eq(&World::new("listen = 1\n").error());
}

#[test]
fn problems_of_variables_and_flags_name_them() {
    let world = World::new("")
        .env("PITON_WORKER__CONCURRENCY", "many")
        .env("PITON_WORKER__CONCURENCY", "1")
        .env("PITON_WRKER__LEASE_MS", "1")
        .env("PITON_NONSENSE__X", "1")
        .env("PITON_A__B__C", "1")
        .env("PITON_SERVER__API_KEY", "two words")
        .flag("--listen", "server.listen", "nowhere");
    expect![[r#"
        environment variable PITON_A__B__C: no such section; there are store, server, queue, worker, retention, model, agent, test, log
        environment variable PITON_NONSENSE__X: no such section; there are store, server, queue, worker, retention, model, agent, test, log
        environment variable PITON_SERVER__API_KEY: expected a key of printable ASCII characters without spaces
        environment variable PITON_WORKER__CONCURENCY: no such key; did you mean PITON_WORKER__CONCURRENCY?
        environment variable PITON_WORKER__CONCURRENCY: expected a whole number from 1 to 10000, got "many"
        environment variable PITON_WRKER__LEASE_MS: no such key; did you mean PITON_WORKER__LEASE_MS?
        --listen: expected an address and a port, such as 127.0.0.1:3000, got "nowhere""#]]
    .assert_eq(&world.error());
}

#[test]
fn variables_that_orchestrators_inject_are_warned_about_and_never_refused() {
    let world = World::new("").env("PITON_PORT_3000_TCP_ADDR", "10.0.0.1").env("PITON_SERVICE_HOST", "x");
    let warnings = world.load().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("PITON_PORT_3000_TCP_ADDR") && warnings[1].contains("PITON_SERVICE_HOST"));
}

#[test]
fn a_step_that_is_too_short_for_its_model_is_warned_about() {
    let world = World::new("").env("PITON_WORKER__STEP_TIMEOUT_MS", "1000");
    expect![[r#"
        [
            "worker.step_timeout_ms = 1000 (PITON_WORKER__STEP_TIMEOUT_MS) is shorter than model.timeout_ms = 120000 (default): a slow model call is cut off by the step's limit, without another try",
        ]
    "#]]
    .assert_debug_eq(&world.load().warnings);
}

#[test]
fn a_folder_that_was_named_must_be_there_and_the_usual_one_need_not() {
    let missing = Path::new("/nowhere/config");
    let error = Config::load_from(Some(missing), [], &Overrides::default()).expect_err("it is missing");
    assert_eq!(error.to_string(), "--config /nowhere/config: there is no such folder");
    // The tests run in the crate's folder, which has none.
    let loaded = Config::load_from(None, [], &Overrides::default()).expect("defaults");
    assert_eq!(loaded.dir, Path::new("config"));
    let world = World::new("");
    fs::remove_file(world.root.path().join("config/piton.toml")).expect("removed");
    world.load();
}

#[test]
fn secrets_are_never_shown() {
    let world = World::new("[server]\napi_key = \"file-secret\"\n").env("OPENAI_API_KEY", "env-secret").flag(
        "--api-key",
        "server.api_key",
        "flag-secret",
    );
    let loaded = world.load();
    let shown =
        format!("{loaded:?} {:?} {}", world.flags, serde_json::to_string(&loaded.entries).expect("JSON"));
    for secret in ["file-secret", "env-secret", "flag-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let entry = |key| loaded.entries.iter().find(|entry| entry.key == key).expect(key);
    assert_eq!(entry("server.api_key").value, "(set)");
    let error = World::new("").env("OPENAI_BASE_URL", "http://me:url-secret@model.example/v1").error();
    assert!(error.contains("http://…@model.example/v1") && !error.contains("url-secret"), "{error}");
    for url in ["postgres://me:url-secret@db/piton", "postgres://me@db/piton?password=url-secret"] {
        let error = World::new("").env("PITON_STORE__URL", url).error();
        assert!(error.contains("store.password") && !error.contains("url-secret"), "{error}");
    }
    let defaults = World::new("").load();
    let entry = |key| defaults.entries.iter().find(|entry| entry.key == key).expect(key);
    assert_eq!(entry("server.api_key").value, "(not set)");
}

#[test]
fn the_generated_file_and_reference_are_not_stale() {
    expect_file!["../../../../config/piton.toml"].assert_eq(&reference::commented_file());
    expect_file!["../../../../docs/config.md"].assert_eq(&reference::page());
}

#[test]
fn the_generated_file_changes_nothing_and_can_be_uncommented_line_by_line() {
    let file = reference::commented_file();
    let world = World::new(&file);
    assert!(world.load().entries.iter().all(|entry| entry.origin == Origin::Default));
    let uncommented: String = file
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.contains('`')).unwrap_or(line)
        })
        .filter(|line| !line.ends_with("# not set"))
        .map(|line| format!("{line}\n"))
        .collect();
    let loaded = World::new(&uncommented).load();
    let set = loaded.entries.iter().filter(|entry| matches!(entry.origin, Origin::File(_))).count();
    let defaults = KEYS.iter().filter(|key| key.default_value().is_some()).count();
    assert_eq!(set, defaults);
}
