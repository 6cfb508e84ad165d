//! `piton run`: one run from launch to outcome in a terminal, whatever dies and comes back meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use indicatif::ProgressBar;
use piton_core::Status;
use piton_store::Only;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::children::Children;
use crate::cli::{Run, exit};
use crate::client::{Client, Question, Refused, Shown, run_path};
use crate::config::{Loaded, Overrides};
use crate::question::{how_to_answer, question_text};
use crate::{out, signals, work};

/// Between two tries to reach a server that went away.
const RECONNECT: Duration = Duration::from_millis(500);
/// A live view without a sign of life for this long is asked for anew.
const SILENCE: Duration = Duration::from_secs(45);
/// Characters of an argument or a result on one line.
const SHOWN_CHARS: usize = 160;

pub(crate) async fn run(
    loaded: &Loaded,
    flags: &Overrides,
    config_dir: Option<&Path>,
    args: Run,
) -> anyhow::Result<u8> {
    let stop = signals::stop_token();
    // Its own worker is for its own run, whatever the others are for.
    let mut loaded = loaded.clone();
    loaded.config.worker.only = Only::default();
    let loaded = &loaded;
    let client = Client::at(args.at.server.as_deref(), loaded).await?;
    let labels: BTreeMap<_, _> = args.labels.iter().cloned().collect();
    let mut body = json!({ "task": args.task, "labels": labels });
    if let Some(agent) = &args.agent {
        body["agent"] = json!(agent);
    }
    if let Some(tenant) = &args.tenant {
        body["tenant"] = json!(tenant);
    }
    if let Some(max_steps) = args.max_steps {
        body["max_steps"] = json!(max_steps);
    }
    // Sent again after a lost reply, it is still one launch.
    let key = uuid::Uuid::new_v4().to_string();
    let request = client.request(Method::POST, "/v1/runs")?.header("Idempotency-Key", key).json(&body);
    let launched = client.asked(request).await?;
    let id = serde_json::from_value::<Shown>(launched.clone())?.id;
    if args.detach {
        if args.at.json {
            out::json(&launched);
        } else {
            out::line(&id);
        }
        return Ok(0);
    }
    if client.database.is_some() && loaded.config.model.is_practice() && !args.at.json {
        out::note(
            "The practice model answers (rules, no language model); for a real one set OPENAI_API_KEY.",
        );
    }
    let worker = match client.database.clone() {
        None => None,
        Some(database) => {
            let shutdown_ms = loaded.config.worker.shutdown_ms;
            let children =
                Children::new(flags, config_dir, shutdown_ms, database.store(), client.stop.clone())?;
            let (loaded, stop) = (loaded.clone(), client.stop.clone());
            Some(tokio::spawn(async move { work::beside(&loaded, &database, children, stop).await }))
        }
    };
    let mut view = View::new(&args, id.clone());
    let ended = tokio::select! {
        ended = view.follow(&client) => ended,
        () = stop.cancelled() => {
            view.note(&format!("Left. The run goes on with the next worker: piton runs show {id}"));
            Ok(exit::WAITING)
        }
    };
    view.clear();
    client.stop.cancel();
    if let Some(worker) = worker
        && let Ok(Err(error)) = worker.await
    {
        out::note(format!("the worker of this command: {error:#}"));
    }
    ended
}

struct View {
    id: String,
    json: bool,
    /// The last event that was shown.
    seen: u64,
    calls: HashMap<String, String>,
    spinner: Option<ProgressBar>,
}

impl View {
    fn new(args: &Run, id: String) -> Self {
        let spinner = (io::stderr().is_terminal() && !args.at.json).then(|| {
            let spinner = ProgressBar::new_spinner().with_message("launched");
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        let view = Self { id, json: args.at.json, seen: 0, calls: HashMap::new(), spinner };
        view.note(&format!("run {}", view.id));
        view
    }

    /// Until the run rests for good, or waits for a human where there is none.
    async fn follow(&mut self, client: &Client) -> anyhow::Result<u8> {
        let path = run_path(&self.id)?;
        let mut away = false;
        loop {
            match self.watch(client, &path).await {
                Ok(()) => away = false,
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(_) if !away => {
                    away = true;
                    self.note("The server is away; waiting for it to come back.");
                }
                Err(_) => {}
            }
            match client.get(&path).await {
                Ok(run) => {
                    let shown: Shown = serde_json::from_value(run.clone())?;
                    if let Some(code) = self.settle(client, &shown, &run).await? {
                        return Ok(code);
                    }
                }
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(_) => tokio::time::sleep(RECONNECT).await,
            }
        }
    }

    /// Shows events as they come, until there is something to do about the run.
    async fn watch(&mut self, client: &Client, path: &str) -> anyhow::Result<()> {
        let request = client
            .request(Method::GET, &format!("{path}/events"))?
            .header(header::ACCEPT, "text/event-stream")
            .header("Last-Event-ID", self.seen);
        let response = client.answered(request).await?;
        let mut events = eventsource_stream::Eventsource::eventsource(response.bytes_stream());
        while let Some(event) = tokio::time::timeout(SILENCE, events.next()).await? {
            let event = event?;
            let Ok(data) = serde_json::from_str::<Value>(&event.data) else { continue };
            if event.event == "run" {
                let status = data["status"].as_str().and_then(|status| status.parse::<Status>().ok());
                if status.is_some_and(|status| !status.is_runnable()) {
                    return Ok(());
                }
            } else if let Some(seq) = data["id"].as_u64() {
                self.seen = seq;
                self.show(&event.event, &data["data"]);
                if self.json {
                    out::json(&data);
                }
            }
        }
        Ok(())
    }

    /// What is to be done about a run that does not advance: its exit code, or `None` to go on watching.
    async fn settle(&self, client: &Client, shown: &Shown, run: &Value) -> anyhow::Result<Option<u8>> {
        let outcome = |code: u8| {
            self.clear();
            if self.json {
                out::json(run);
            } else if let Some(answer) = &shown.final_answer {
                out::line(answer);
            } else {
                let why = shown.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                out::note(format!("The run is {}{why}", shown.status));
                if matches!(shown.status, Status::Failed | Status::MaxStepsReached | Status::Paused) {
                    out::note(format!("To let it go on: piton runs resume {}", shown.id));
                }
            }
            Some(code)
        };
        Ok(match shown.status {
            Status::Running | Status::Cancelling => None,
            Status::Complete => outcome(0),
            Status::Failed | Status::Cancelled | Status::MaxStepsReached | Status::Quarantined => {
                outcome(exit::NOT_WELL)
            }
            Status::Paused => outcome(exit::WAITING),
            Status::WaitingHumanInput | Status::Undecided => {
                let Some(question) = &shown.question else { return Ok(None) };
                self.clear();
                if !self.json && self.ask(client, &shown.id, question).await? {
                    return Ok(None);
                }
                if self.json {
                    out::json(run);
                }
                question_text(question).into_iter().for_each(out::note);
                out::note(how_to_answer(&shown.id, question));
                Some(exit::WAITING)
            }
        })
    }

    /// Asks here, and says whether there was anybody to answer: not when standard input has ended. An answer that came
    /// too late, because somebody answered elsewhere, is said and no harm.
    async fn ask(&self, client: &Client, id: &str, question: &Question) -> anyhow::Result<bool> {
        let body = if question.kind == "question" {
            let Some(answer) = prompt("  your answer > ").await? else { return Ok(false) };
            if answer.is_empty() {
                return Ok(true);
            }
            json!({ "question": question.id, "answer": answer })
        } else {
            match decide(question).await? {
                Decided::As(body) => body,
                Decided::NotYet => return Ok(true),
                Decided::Nobody => return Ok(false),
            }
        };
        match client.post(&format!("{}/answer", run_path(id)?), &body).await {
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.slug == "still-acting" => {
                    out::note(format!("Not yet: {refused}"));
                    Ok(true)
                }
                Some(refused) if refused.status == 409 => {
                    out::note("That question was answered elsewhere meanwhile.");
                    Ok(true)
                }
                _ => Err(error),
            },
            Ok(_) => Ok(true),
        }
    }

    fn show(&mut self, kind: &str, data: &Value) {
        let text = |member: &str| data[member].as_str().unwrap_or_default().to_owned();
        let line = match kind {
            "model_replied" => {
                for call in data["calls"].as_array().into_iter().flatten() {
                    let written = format!(
                        "{} {}",
                        call["name"].as_str().unwrap_or_default(),
                        clipped(call["arguments"].as_str().unwrap_or_default())
                    );
                    self.calls.insert(call["id"].as_str().unwrap_or_default().to_owned(), written);
                }
                if let Some(spinner) = &self.spinner {
                    spinner.set_message(format!("turn {}", data["turn"]));
                }
                if data["text"].is_string() { clipped(&text("text")) } else { return }
            }
            "tool_started" => format!("{} …", self.call(data)),
            "tool_returned" => format!("{} → {}", self.call(data), clipped(&data["result"].to_string())),
            "tool_failed" => format!("{} → Error: {}", self.call(data), clipped(&text("error"))),
            "human_asked" => format!("asks: {}", clipped(&text("question"))),
            "human_answered" => format!("answered: {}", clipped(&text("answer"))),
            "outcome_unknown" => {
                format!("{}: outcome unknown ({})", self.call(data), clipped(&text("reason")))
            }
            "model_failed" => format!("the model could not be asked: {}", clipped(&text("error"))),
            "paused" | "resumed" | "cancelled" | "limit_reached" => kind.replace('_', " "),
            _ => return,
        };
        self.note(&format!("  {line}"));
    }

    fn call(&self, data: &Value) -> &str {
        data["call"].as_str().and_then(|id| self.calls.get(id)).map_or("a call", String::as_str)
    }

    fn note(&self, text: &str) {
        if self.json {
            return;
        }
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| out::note(text)),
            None => out::note(text),
        }
    }

    fn clear(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// What somebody at this terminal said of an unknown outcome.
enum Decided {
    /// The body of a decision.
    As(Value),
    /// Nothing that can be made sense of: to be asked again.
    NotYet,
    /// Standard input has ended.
    Nobody,
}

async fn decide(question: &Question) -> anyhow::Result<Decided> {
    out::note("");
    question_text(question).into_iter().for_each(out::note);
    let choices = match &question.still_acting {
        None => "Did it happen? [y]es, [n]o: call it again, [a]bort > ",
        Some(_) => "Did it happen? [y]es, [a]bort; [n]o once that worker's process has ended > ",
    };
    let Some(word) = prompt(choices).await? else { return Ok(Decided::Nobody) };
    let id = &question.id;
    Ok(match word.to_ascii_lowercase().chars().next() {
        Some('y') => {
            let Some(result) = prompt("What did it return? (JSON or text) > ").await? else {
                return Ok(Decided::Nobody);
            };
            let result = serde_json::from_str(&result).unwrap_or(Value::String(result));
            Decided::As(json!({ "question": id, "decision": "happened", "result": result }))
        }
        Some('n') => Decided::As(json!({ "question": id, "decision": "did_not_happen" })),
        Some('a') => Decided::As(json!({ "question": id, "decision": "abort" })),
        _ => Decided::NotYet,
    })
}

/// A line from standard input; `None` when it has ended.
async fn prompt(what: &'static str) -> anyhow::Result<Option<String>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut err = io::stderr().lock();
        let _ = write!(err, "{what}").and_then(|()| err.flush());
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|read| (read, line))
    });
    let (read, line) = read.await??;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

fn clipped(text: &str) -> String {
    let line: String = text.chars().take(SHOWN_CHARS).map(|c| if c == '\n' { ' ' } else { c }).collect();
    if text.chars().count() > SHOWN_CHARS { format!("{line}…") } else { line }
}
