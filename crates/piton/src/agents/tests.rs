use std::os::unix::fs::symlink;

use expect_test::{Expect, expect};
use piton_core::{EffectClass, HttpMethod, Limits, ToolKind};
use piton_tools::RegistryOptions;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Overrides};

/// A project folder with `config/` in it.
struct World {
    root: TempDir,
    flags: Overrides,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("config")).expect("a folder");
        Self { root, flags: Overrides::default() }
    }

    /// A project with one agent file.
    fn with(agent: &str) -> Self {
        Self::new().file("config/agents/clerk.toml", agent)
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    fn set(mut self, key: &'static str, value: &str) -> Self {
        self.flags.set("--set", key, value);
        self
    }

    fn try_load(&self) -> Result<Catalog, ConfigError> {
        let loaded = Config::load_from(Some(&self.root.path().join("config")), [], &self.flags)
            .expect("a configuration");
        let registry = Registry::new(RegistryOptions { test_tools: loaded.config.test.tools });
        Catalog::load(&loaded, &registry)
    }

    #[track_caller]
    fn load(&self) -> Catalog {
        self.try_load().expect("agents")
    }

    #[track_caller]
    fn agent(&self, name: &str) -> Listed {
        let catalog = self.load();
        catalog.listed().iter().find(|listed| listed.agent.name == name).expect(name).clone()
    }

    #[track_caller]
    fn refuses(&self, expect: &Expect) {
        let error = self.try_load().expect_err("it was accepted").to_string();
        expect.assert_eq(&error.replace(&format!("{}/", self.root.path().display()), ""));
    }
}

fn tools(agent: &Agent) -> Vec<&str> {
    agent.tools.iter().map(|tool| tool.name.as_str()).collect()
}

const CLERK: &str = r#"
name = "clerk"
description = "Books entries"
prompt = "prompts/clerk.md"
model = "gpt-5-mini"
max_steps = 20
tools = ["sum_numbers", "ask_human", "final_answer"]

[[http_tool]]
name = "book"
description = "Books one entry"
method = "POST"
url = "http://127.0.0.1:9000/entries"
effect = "at_most_once"
timeout_ms = 10000
allow_private = true
headers = { authorization = "env:LEDGER_TOKEN" }
parameters = { type = "object", properties = { amount = { type = "number" } }, required = ["amount"], additionalProperties = false }
"#;

#[test]
fn the_default_agent_needs_no_file() {
    let catalog = World::new().load();
    let [Listed { agent, source, prompt }] = catalog.listed() else {
        panic!("{catalog:?}");
    };
    assert_eq!((source, prompt), (&Source::Embedded, &Source::Embedded));
    assert_eq!((agent.name.as_str(), agent.model.as_str(), agent.max_steps), ("default", "gpt-5", 10));
    assert_eq!(
        tools(agent),
        [
            "sum_numbers",
            "subtract_numbers",
            "multiply_numbers",
            "divide_numbers",
            "power",
            "square_root",
            "ask_human",
            "final_answer"
        ]
    );
    assert!(agent.instructions.contains("ask_human") && agent.instructions.contains("final_answer"));
    assert_eq!(&catalog.agents()[0], agent);
}

#[test]
fn a_whole_agent_file_becomes_a_definition() {
    let world = World::with(CLERK).file("prompts/clerk.md", "\nYou keep the books.\n\n");
    let Listed { agent, source, prompt } = world.agent("clerk");
    assert_eq!(source, Source::File(world.root.path().join("config/agents/clerk.toml")));
    assert_eq!(prompt, Source::File(world.root.path().join("prompts/clerk.md")));
    assert_eq!(agent.instructions, "You keep the books.");
    assert_eq!(
        (agent.description.as_str(), agent.model.as_str(), agent.max_steps),
        ("Books entries", "gpt-5-mini", 20)
    );
    assert_eq!(tools(&agent), ["sum_numbers", "ask_human", "final_answer", "book"]);
    let book = agent.tool("book").expect("book");
    assert_eq!(book.effect, EffectClass::AtMostOnce);
    assert_eq!(
        book.parameters,
        json!({
            "type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"],
            "additionalProperties": false,
        })
    );
    let ToolKind::Http(http) = &book.kind else {
        panic!("{book:?}");
    };
    assert_eq!((http.method, http.timeout_ms, http.allow_private), (HttpMethod::Post, 10_000, true));
    assert_eq!(http.headers["authorization"], "env:LEDGER_TOKEN");
}

#[test]
fn what_a_file_leaves_out_comes_from_the_configuration_or_is_the_safe_choice() {
    let world = World::with(
        "name = \"a\"\ninstructions = \"Do it.\"\n[[http_tool]]\nname = \"ping\"\ndescription = \"Pings\"\nurl = \"https://a.example/\"\n",
    )
    .set("model.name", "m")
    .set("agent.max_steps", "7");
    let Listed { agent, prompt, .. } = world.agent("a");
    assert_eq!((agent.model.as_str(), agent.max_steps, &prompt), ("m", 7, &Source::Inline));
    assert_eq!(tools(&agent), ["ask_human", "ping", "final_answer"]);
    let ping = agent.tool("ping").expect("ping");
    assert_eq!(ping.effect, EffectClass::AtMostOnce);
    assert_eq!(
        ping.parameters,
        json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false})
    );
    let ToolKind::Http(http) = &ping.kind else {
        panic!("{ping:?}");
    };
    assert_eq!((http.method, http.timeout_ms, http.allow_private), (HttpMethod::Post, 10_000, false));
}

#[test]
fn a_list_of_tools_gives_declared_ones_their_place_and_every_agent_can_end() {
    let world = World::with(
        "name = \"a\"\ninstructions = \"x\"\ntools = [\"ping\", \"now\"]\n[[http_tool]]\nname = \"ping\"\ndescription = \"x\"\nurl = \"https://a.example/\"\n",
    );
    assert_eq!(tools(&world.agent("a").agent), ["ping", "now", "final_answer"]);
}

#[test]
fn the_default_agent_comes_first_then_the_others_by_name() {
    let agent = |name: &str| format!("name = \"{name}\"\ninstructions = \"x\"\n");
    let world = World::new()
        .file("config/agents/1.toml", &agent("b"))
        .file("config/agents/2.toml", &agent("a"))
        .file("config/agents/.hidden.toml", "no toml")
        .file("config/agents/notes.md", "no toml")
        .set("agent.default", "b");
    let names: Vec<String> = world.load().agents().into_iter().map(|agent| agent.name).collect();
    assert_eq!(names, ["b", "a", "default"]);
}

#[test]
fn files_take_the_place_of_what_is_embedded() {
    let prompt = World::new().file("prompts/default.md", "Mine.");
    let listed = prompt.agent("default");
    assert_eq!((listed.agent.instructions.as_str(), &listed.source), ("Mine.", &Source::Embedded));
    assert_eq!(listed.prompt, Source::File(prompt.root.path().join("prompts/default.md")));

    let agent =
        World::new().file("config/agents/own.toml", "name = \"default\"\nprompt = \"prompts/default.md\"\n");
    let listed = agent.agent("default");
    assert_eq!(tools(&listed.agent), ["ask_human", "final_answer"]);
    assert_eq!(listed.prompt, Source::Embedded);
    assert_eq!(agent.load().listed().len(), 1);
}

#[test]
fn a_prompt_may_lie_in_the_configuration_folder_too() {
    let world = World::with(CLERK).file("config/prompts/clerk.md", "In config.");
    assert_eq!(world.agent("clerk").agent.instructions, "In config.");
}

#[test]
fn a_prompt_stays_inside_of_the_project() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret.md"), "secret").expect("a file");
    let named = |path: &str| World::with(&format!("name = \"a\"\nprompt = {path:?}\n"));
    let expected = expect![
        "config/agents/clerk.toml:2:10: prompt: expected a path inside of the project, such as prompts/clerk.md, without .."
    ];
    for path in ["../secret.md", "prompts/../../secret.md", "/etc/passwd", ""] {
        named(path).refuses(&expected);
    }
    let world = named("prompts/link.md").file("prompts/x", "");
    symlink(outside.path().join("secret.md"), world.root.path().join("prompts/link.md")).expect("a link");
    let error = world.try_load().expect_err("it leads out").to_string();
    assert!(
        error.contains("prompts/link.md leads out of the project") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn a_prompt_that_is_missing_says_where_it_was_looked_for() {
    World::with(CLERK).refuses(&expect!["config/agents/clerk.toml:4:10: prompt: there is no such file: looked for prompts/clerk.md and config/prompts/clerk.md"]);
    World::with(CLERK)
        .file("prompts/clerk.md", " \n")
        .refuses(&expect!["config/agents/clerk.toml:4:10: prompt: prompts/clerk.md: the prompt is empty"]);
    World::with("name = \"a\"\ninstructions = \"\"\n")
        .refuses(&expect!["config/agents/clerk.toml:2:16: instructions: the prompt is empty"]);
    World::with("name = \"a\"\nprompt = \"prompts\"\n")
        .file("prompts/x.md", "x")
        .refuses(&expect!["config/agents/clerk.toml:2:10: prompt: prompts is not a file"]);
}

#[test]
fn a_prompt_is_given_once() {
    World::with("name = \"a\"\nprompt = \"prompts/a.md\"\ninstructions = \"x\"\n")
        .refuses(&expect!["config/agents/clerk.toml:3:16: give either prompt or instructions, not both"]);
    World::with("name = \"a\"\n").refuses(&expect![[r#"config/agents/clerk.toml:1:8: there is no prompt: add prompt = "prompts/NAME.md" or instructions = "…""#]]);
}

#[test]
fn unknown_keys_and_wrong_types_are_named_with_their_line() {
    World::with("name = \"a\"\ninstructions = \"x\"\nmax_step = 3\n").refuses(&expect!["config/agents/clerk.toml:3:1: unknown key `max_step`, expected one of `name`, `description`, `prompt`, `instructions`, `model`, `max_steps`, `limits`, `tools`, `http_tool`; did you mean `max_steps`?"]);
    World::with("name = \"a\"\ninstructions = \"x\"\nmax_steps = \"3\"\n").refuses(&expect![[
        r#"config/agents/clerk.toml:3:13: invalid type: string "3", expected a whole number"#
    ]]);
    World::with("instructions = \"x\"\n")
        .refuses(&expect!["config/agents/clerk.toml:1:1: missing key `name`"]);
    World::with("name = \"a\"\ninstructions = \"x\"\n[[http_tool]]\nname = \"b\"\n")
        .refuses(&expect!["config/agents/clerk.toml:3:1: missing key `description`"]);
    World::with("name = \"a\"\ninstructions = \"x\"\n[[http_tool]]\nnam = \"b\"\n").refuses(&expect!["config/agents/clerk.toml:4:1: unknown key `nam`, expected one of `name`, `description`, `method`, `url`, `effect`, `timeout_ms`, `allow_private`, `headers`, `parameters`; did you mean `name`?"]);
    World::with("name = \n").refuses(&expect![
        "config/agents/clerk.toml:1:8: string values must be quoted, expected literal string"
    ]);
}

#[test]
fn every_mistake_of_a_file_is_found_at_once() {
    World::with(
        r#"name = "my clerk"
description = ""
instructions = "x"
model = " "
max_steps = 1001
tools = ["sum_number", "ask_human", "ask_human", "abort", "teleport"]

[[http_tool]]
name = "now"
description = "x"
url = "example.com"
effect = "once"
method = "FETCH"
timeout_ms = 0
headers = { "bad name" = "x", host = "y", authorization = "env:MY-TOKEN" }
parameters = { type = "array" }

[[http_tool]]
name = "book"
description = "x"
url = "http://10.0.0.1/"
parameters = { type = "object", properties = { a = { type = "nummer" } } }

[[http_tool]]
name = "book"
description = "x"
url = "https://me:word@a.example/"
parameters = { type = "object", default = 2026-01-01 }
"#,
    )
    .refuses(&expect![[r#"
        config/agents/clerk.toml:1:8: name: expected 1 to 64 letters, digits, _ or -, got "my clerk"
        config/agents/clerk.toml:2:15: description: expected a text that is not empty
        config/agents/clerk.toml:4:9: model: expected a text that is not empty
        config/agents/clerk.toml:5:13: max_steps: expected a whole number from 1 to 1000, got 1001
        config/agents/clerk.toml:6:10: tools: there is no tool "sum_number"; did you mean "sum_numbers"?
        config/agents/clerk.toml:6:37: tools: "ask_human" is listed twice
        config/agents/clerk.toml:6:50: tools: there is no tool "abort"; abort is a test tool, which only test.tools = true brings
        config/agents/clerk.toml:6:59: tools: there is no tool "teleport"; there are sum_numbers, subtract_numbers, multiply_numbers, divide_numbers, power, square_root, ask_human, final_answer, now, book
        config/agents/clerk.toml:9:8: name: "now" is a built-in tool; choose another name
        config/agents/clerk.toml:11:7: url: expected a URL such as https://example.com/path: relative URL without a base
        config/agents/clerk.toml:12:10: effect: expected "pure", "idempotent" or "at_most_once", got "once"
        config/agents/clerk.toml:13:10: method: expected GET, POST, PUT, PATCH or DELETE, got "FETCH"
        config/agents/clerk.toml:14:14: timeout_ms: expected a whole number from 1 to 600000, got 0
        config/agents/clerk.toml:15:26: headers: "bad name" is not a header name
        config/agents/clerk.toml:15:38: headers: the header host is set by Piton itself
        config/agents/clerk.toml:15:59: headers: the header authorization refers to "MY-TOKEN", which is no name of an environment variable
        config/agents/clerk.toml:16:14: parameters: expected type = "object" at the top, got "array"
        config/agents/clerk.toml:21:7: url: 10.0.0.1 is not on the public internet, and this tool does not have allow_private = true
        config/agents/clerk.toml:22:14: parameters: not a valid JSON Schema: properties.a.type: "nummer" is not valid under any of the schemas listed in the 'anyOf' keyword
        config/agents/clerk.toml:25:8: name: there are two tools called "book"
        config/agents/clerk.toml:27:7: url: a URL must not hold a user or password; use headers = { authorization = "env:NAME" }
        config/agents/clerk.toml:28:14: parameters: JSON has no dates: put 2026-01-01 in quotes"#]]);
}

#[test]
fn limits_are_the_files_own_or_the_usual_ones() {
    let agent = |limits: &str| format!("name = \"a\"\ninstructions = \"x\"\n{limits}");
    let limits = |text: &str| World::with(&agent(text)).agent("a").agent.limits;
    assert_eq!(limits(""), Limits::default());
    assert_eq!(limits("[limits]\n"), Limits::default());
    assert_eq!(limits("limits = { tool_errors = 2 }"), Limits { tool_errors: 2, ..Limits::default() });
    let all = "[limits]\ntool_errors = 0\nrepeated_calls = 10\nevents = 1_000_000\n";
    assert_eq!(limits(all), Limits { tool_errors: 0, repeated_calls: 10, events: 1_000_000 });
    World::with(&agent("[limits]\ntool_errors = -1\nrepeated_calls = 1\nevents = 0\n")).refuses(&expect![[r#"
        config/agents/clerk.toml:4:15: limits.tool_errors: expected a whole number from 0 to 1000, got -1
        config/agents/clerk.toml:5:18: limits.repeated_calls: the first time is no repetition: expected 0 for never, or 2 or more
        config/agents/clerk.toml:6:10: limits.events: expected a whole number from 100 to 1000000, got 0"#]]);
    World::with(&agent("[limits]\ntool_error = 2\n")).refuses(&expect!["config/agents/clerk.toml:4:1: unknown key `tool_error`, expected one of `tool_errors`, `repeated_calls`, `events`; did you mean `tool_errors`?"]);
    World::with(&agent("[limits]\nevents = \"many\"\n")).refuses(&expect![[
        r#"config/agents/clerk.toml:4:10: invalid type: string "many", expected a whole number"#
    ]]);
    World::with(&agent("[limit]\nevents = 100\n")).refuses(&expect!["config/agents/clerk.toml:3:2: unknown key `limit`, expected one of `name`, `description`, `prompt`, `instructions`, `model`, `max_steps`, `limits`, `tools`, `http_tool`; did you mean `limits`?"]);
}

#[test]
fn an_agent_without_limits_keeps_the_digest_it_had_before_there_were_any() {
    let agent = World::new().agent("default").agent;
    let definition = serde_json::to_string(&agent).expect("json");
    assert!(!definition.contains("limits"), "{definition}");
    let limited = Agent { limits: Limits { tool_errors: 2, ..Limits::default() }, ..agent.clone() };
    let definition = serde_json::to_string(&limited).expect("json");
    assert_eq!(serde_json::from_str::<Agent>(&definition).expect("an agent"), limited);
}

#[test]
fn two_agents_of_one_name_are_refused() {
    World::new()
        .file("config/agents/a.toml", "name = \"same\"\ninstructions = \"x\"\n")
        .file("config/agents/b.toml", "\nname = \"same\"\ninstructions = \"x\"\n")
        .refuses(&expect![[
            r#"config/agents/b.toml:2:8: name: "same" is defined in config/agents/a.toml:1:8 already"#
        ]]);
}

#[test]
fn a_default_agent_that_is_not_there_is_refused() {
    World::new().set("agent.default", "defualt").refuses(&expect![[
        r#"agent.default = "defualt" (--set): there is no such agent; did you mean "default"?"#
    ]]);
    World::new()
        .set("agent.default", "clerk")
        .refuses(&expect![[r#"agent.default = "clerk" (--set): there is no such agent; there are default"#]]);
}

#[test]
fn test_tools_can_be_listed_only_where_they_are() {
    let crash = "name = \"crash\"\ninstructions = \"x\"\ntools = [\"abort\", \"sleep\"]\n";
    let world = World::with(crash).set("test.tools", "true");
    assert_eq!(tools(&world.agent("crash").agent), ["abort", "sleep", "final_answer"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let world = World::new().file("config/agents/a.toml", "");
    fs::write(world.root.path().join("config/agents/a.toml"), b"name = \"\xff\"").expect("a file");
    world.refuses(&expect!["config/agents/a.toml: cannot be read: stream did not contain valid UTF-8"]);
    let world = World::new().file("config/agents", "a file, not a folder");
    world.refuses(&expect!["config/agents: cannot be read: Not a directory (os error 20)"]);
}

#[test]
fn the_example_in_the_documentation_works() {
    let page = include_str!("../../../../docs/agents.md");
    let example =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let world = World::with(example).file("prompts/clerk.md", "You keep the books.");
    assert_eq!(tools(&world.agent("clerk").agent), ["sum_numbers", "ask_human", "final_answer", "book"]);
}
