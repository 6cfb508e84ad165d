//! The command line, as people and scripts use it. The practice model answers.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use piton_testkit::{Ledger, Say, ScriptedModel, World, deadline, kill, until};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}\n{}", output.status, stdout(output), stderr(output));
    stdout(output)
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", stdout(output));
    let said = stderr(output);
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The last line of the output that is JSON: a stream of lines ends with the result.
fn last_json(text: &str) -> Value {
    serde_json::from_str(text)
        .ok()
        .or_else(|| text.lines().rev().find_map(|line| serde_json::from_str(line).ok()))
        .unwrap_or_else(|| panic!("no JSON in {text}"))
}

#[tokio::test]
async fn run_prints_the_answer_without_any_server() {
    let world = World::new(PITON);
    let output = world.cli(&["run", "what is 2+3?"]).await;
    assert!(succeeded(&output).contains('5'), "{}", stdout(&output));

    let output = world.cli(&["run", "--json", "what is 20*3?"]).await;
    let run = last_json(&succeeded(&output));
    assert_eq!(run["status"], "complete", "{run:#}");
    assert!(run["final_answer"].as_str().is_some_and(|answer| answer.contains("60")), "{run:#}");

    let listed = last_json(&succeeded(&world.cli(&["runs", "list", "--json"]).await));
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(2), "both are in the store: {listed:#}");
}

#[tokio::test]
async fn run_asks_its_question_in_the_terminal() {
    let world = World::new(PITON);
    let output = world.cli_with_input(&["run", "Add 5 to my number."], "7\n").await;
    assert!(succeeded(&output).contains("12"), "{} {}", stdout(&output), stderr(&output));
}

#[tokio::test]
async fn run_works_against_a_server_too() {
    let world = World::new(PITON).serve().await;
    let output = world.cli(&["run", "--server", &world.url(""), "what is 6*7?"]).await;
    assert!(succeeded(&output).contains("42"));
    let runs = world.get("/v1/runs").await.expect(200);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_run_that_fails_makes_the_command_fail() {
    let model = ScriptedModel::start().await;
    model.script("fail", [piton_testkit::Say::never(piton_testkit::Fault::status(401))]);
    let world = World::new(PITON).model(&model);
    let said = failed(&world.cli(&["run", "[fail]"]).await);
    assert!(said.contains("401"), "it says why: {said}");
    assert!(!said.contains("sk-scripted"), "{said}");
}

#[tokio::test]
async fn runs_lists_shows_answers_pauses_resumes_and_cancels() {
    let (model, gate) = (ScriptedModel::start().await, piton_testkit::Gate::new());
    model.script("ask", [piton_testkit::Say::ask("How many?"), piton_testkit::Say::answer("seven it is")]);
    model.script("slow", [piton_testkit::Say::answer("slow").held_by(&gate)]);
    let world = World::new(PITON).model(&model).serve().await;
    let server = world.url("");
    let runs = async |arguments: &[&str]| {
        let mut all = vec!["runs"];
        all.extend(arguments);
        all.extend(["--server", &server]);
        world.cli(&all).await
    };

    let asking = world.launch("[ask] a question").await;
    world.until(&asking, &["waiting_human_input"]).await;
    let listed = succeeded(&runs(&["list"]).await);
    assert!(listed.contains("[ask] a question") && listed.contains("waiting"), "{listed}");
    let shown = succeeded(&runs(&["show", &asking]).await);
    assert!(shown.contains("How many?"), "{shown}");
    let shown = last_json(&succeeded(&runs(&["show", &asking, "--json"]).await));
    assert!(shown.to_string().contains("How many?"), "{shown:#}");
    succeeded(&runs(&["answer", &asking, "seven"]).await);
    world.until(&asking, &["complete"]).await;
    let late = failed(&runs(&["answer", &asking, "eight"]).await);
    assert!(late.contains("waits for no answer"), "{late}");

    let slow = world.launch("[slow]").await;
    gate.reached(1).await;
    succeeded(&runs(&["pause", &slow]).await);
    assert_eq!(world.run(&slow).await["status"], "paused");
    succeeded(&runs(&["resume", &slow]).await);
    assert_eq!(world.run(&slow).await["status"], "running");
    succeeded(&runs(&["cancel", &slow]).await);
    let cancelled = world.until(&slow, &["cancelled"]).await;
    assert_eq!(cancelled["final_answer"], Value::Null);
    gate.open();
    let unknown = failed(&runs(&["show", "0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e"]).await);
    assert!(
        unknown.contains("0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e") || unknown.contains("no such run"),
        "{unknown}"
    );
}

#[tokio::test]
async fn config_shows_each_value_and_where_it_came_from_but_no_secret() {
    let world = World::new(PITON)
        .file("config/piton.toml", "[agent]\nmax_steps = 7\n")
        .env("PITON_MODEL__NAME", "gpt-test")
        .api_key("not-to-be-seen")
        .env("OPENAI_API_KEY", "sk-not-to-be-seen");
    let output = world.cli(&["config"]).await;
    let shown = succeeded(&output);
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.contains(key));
        found.unwrap_or_else(|| panic!("{key} is not in {shown}")).to_owned()
    };
    assert!(line("max_steps").contains('7') && line("max_steps").contains("piton.toml"), "{shown}");
    assert!(shown.contains("gpt-test") && shown.contains("PITON_MODEL__NAME"), "{shown}");
    assert!(!shown.contains("not-to-be-seen") && !stderr(&output).contains("not-to-be-seen"), "{shown}");
}

#[tokio::test]
async fn doctor_checks_the_database() {
    let world = World::new(PITON);
    succeeded(&world.cli(&["run", "what is 2+3?"]).await);
    let said = succeeded(&world.cli(&["doctor"]).await);
    assert!(said.lines().count() > 3, "one line for each invariant: {said}");
}

#[tokio::test]
async fn model_serves_the_practice_model_alone() {
    let world = World::new(PITON);
    let mut command = world.command();
    let listen = format!("127.0.0.1:{}", world.port());
    let mut child =
        command.args(["model", "--listen", &listen]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().expect("the binary starts");
    let body = json!({
        "model": "piton-practice-model", "instructions": "", "tool_choice": "required",
        "input": [{ "role": "user", "content": "what is 2+3?" }],
        "tools": [
            { "type": "function", "name": "sum_numbers", "strict": false, "parameters": {
                "type": "object", "additionalProperties": false, "required": ["a", "b"],
                "properties": { "a": { "type": "number" }, "b": { "type": "number" } } } },
            { "type": "function", "name": "final_answer", "strict": false, "parameters": {
                "type": "object", "additionalProperties": false, "required": ["answer"],
                "properties": { "answer": { "type": "string" } } } },
        ],
    });
    let reply = piton_testkit::until(piton_testkit::deadline(), "the practice model replies", async || {
        let request = world.http().post(world.url("/v1/responses")).json(&body);
        world.try_send(request).await.ok()
    });
    let reply = reply.await;
    let _gone = child.kill();
    let said: Vec<String> = child
        .stdout
        .take()
        .map(|out| BufReader::new(out).lines().map_while(Result::ok).collect())
        .unwrap_or_default();
    let _status = child.wait();
    let reply = reply.expect("the practice model listens").expect(200);
    assert_eq!(
        reply["output"][0]["name"], "sum_numbers",
        "it chooses from the tools of the request: {reply:#}"
    );
    assert!(reply["model"].as_str().is_some_and(|model| model.contains("practice")), "{reply:#} {said:?}");
}

#[tokio::test]
async fn help_teaches() {
    let world = World::new(PITON);
    let help = succeeded(&world.cli(&["--help"]).await);
    for word in ["serve", "worker", "run", "runs", "config", "doctor", "model"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    for command in ["serve", "worker", "run", "runs", "config", "doctor", "model"] {
        let help = succeeded(&world.cli(&[command, "--help"]).await);
        assert!(help.contains("Usage"), "{help}");
    }
    for wrong in [vec!["sevre"], vec!["serve", "--wokers", "2"], vec!["run"]] {
        let output = world.cli(&wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", failed(&output));
    }
}

/// Books once, and takes three seconds to say so once the effect has happened.
fn clerk(ledger: &Ledger) -> String {
    let url = ledger.url("latency_ms=3000");
    format!(
        r#"
        name = "clerk"
        description = "Books entries"
        instructions = "Book."
        tools = ["final_answer"]
        [[http_tool]]
        name = "book"
        description = "Books one entry"
        method = "POST"
        url = "{url}"
        timeout_ms = 60000
        allow_private = true
        parameters = {{ type = "object", properties = {{ account = {{ type = "string" }} }} }}
        "#
    )
}

/// Waits until the ledger has booked, which its worker does not know yet.
async fn booked(ledger: &Ledger) {
    let booked =
        until(deadline(), "the effect", async || (!ledger.booked("a", 0).await.is_empty()).then_some(()));
    booked.await.expect("the ledger books");
}

#[tokio::test]
async fn an_unknown_outcome_is_shown_with_all_there_is_to_know_and_decided() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let mut world = World::new(PITON).model(&model).agent("clerk", &clerk(&ledger)).workers(0).serve().await;
    let worker = world.start_worker();
    let id = world.launch_with(&json!({ "task": "[book]", "agent": "clerk" })).await;
    booked(&ledger).await;
    world.kill_worker(worker);
    let run = world.until(&id, &["undecided"]).await;
    let started = &run["question"]["started"];
    let [began, question, key] = [&started["worker"], &run["question"]["id"], &run["question"]["call"]["id"]]
        .map(|member| member.as_str().expect("a text"));
    assert_ne!(question, key, "the question is about this try at the call, and no other");

    let server = world.url("");
    let shown = succeeded(&world.cli(&["runs", "show", &id, "--server", &server]).await);
    for said in [
        r#"  book {"account":"a"}"#.to_owned(),
        format!(
            "begun {} by worker {began}, in attempt 1 under epoch 1",
            started["at"].as_str().expect("a time")
        ),
        format!("its key is {key}"),
        format!("why: worker {began} began book and its result was never recorded"),
        format!("worker {began} vanished (its process ended) after event 3; attempt 2 went on"),
        format!(
            "piton runs answer {id} --question {question} --decision happened --result \"…\" (or did-not-happen to call it again, or abort)"
        ),
    ] {
        assert!(shown.contains(&said), "{said:?} is not in\n{shown}");
    }
    let place = |text: &str| {
        shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in {shown}"))
    };
    assert!(
        place("tool_started") < place("lost attempt") && place("lost attempt") < place("outcome_unknown"),
        "{shown}"
    );
    let shown =
        last_json(&succeeded(&world.cli(&["runs", "show", &id, "--json", "--server", &server]).await));
    assert_eq!(shown["lost_attempts"][0]["worker"], began, "{shown:#}");

    let answer =
        ["runs", "answer", &id, "--decision", "happened", "--result", r#"{"entry":1}"#, "--server", &server];
    succeeded(&world.cli(&answer).await);
    assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "booked");
    assert_eq!(ledger.entries().await.len(), 1);
}

#[tokio::test]
async fn a_call_is_not_offered_again_while_its_worker_may_make_it() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let world = World::new(PITON).model(&model).agent("clerk", &clerk(&ledger)).workers(0);
    let mut world = world.env("PITON_WORKER__LEASE_MS", "1000").serve().await;
    let worker = world.start_worker();
    let id = world.launch_with(&json!({ "task": "[book]", "agent": "clerk" })).await;
    booked(&ledger).await;
    let caller = world.caller();
    let frozen = until(deadline(), "the worker is frozen between two writes", async || {
        piton_testkit::freeze_between_writes(worker, &caller).await.then_some(())
    });
    frozen.await.expect("it is not always writing");
    world.start_worker();
    let run = world.until(&id, &["undecided"]).await;
    assert_eq!(run["question"]["still_acting"], run["question"]["started"]["worker"], "{run:#}");

    let server = world.url("");
    let shown = succeeded(&world.cli(&["runs", "show", &id, "--server", &server]).await);
    assert!(
        shown.contains("is still there and may yet make the call") && shown.contains("(or abort)"),
        "{shown}"
    );
    let again = ["runs", "answer", &id, "--decision", "did-not-happen", "--server", &server];
    assert!(failed(&world.cli(&again).await).contains("end its process first"));
    kill(worker);
    let free = until(deadline(), "its process is gone", async || {
        world.run(&id).await["question"]["still_acting"].is_null().then_some(())
    });
    free.await.expect("it was killed");
    succeeded(&world.cli(&again).await);
    assert_eq!(world.until(&id, &["complete"]).await["final_answer"], "booked");
    assert_eq!(ledger.entries().await.len(), 2, "somebody said wrongly that it had not happened");
}

#[tokio::test]
async fn run_asks_in_the_terminal_what_became_of_a_call() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("book", [Say::call("book", json!({ "account": "a" })), Say::answer("booked")]);
    let mut world = World::new(PITON).model(&model).agent("clerk", &clerk(&ledger)).workers(0).serve().await;
    let worker = world.start_worker();
    let server = world.url("");
    let mut command = tokio::process::Command::from(world.command());
    command.args(["run", "[book]", "--agent", "clerk", "--server", &server]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"what?\ny\n{\"entry\":1}\n").await.expect("written");
    booked(&ledger).await;
    world.kill_worker(worker);
    let output =
        tokio::time::timeout(deadline(), child.wait_with_output()).await.expect("in time").expect("output");
    assert!(succeeded(&output).contains("booked"));
    let said = stderr(&output);
    assert!(said.contains(r#"book {"account":"a"}"#) && said.contains("its key is"), "{said}");
    assert_eq!(said.matches("Did it happen?").count(), 2, "what makes no sense is asked again: {said}");
}
