//! `piton runs`: list, show, answer, pause, resume, cancel, release.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use piton_core::Status;
use reqwest::Url;
use serde_json::{Value, json};

use crate::cli::RunsCommand;
use crate::client::{Client, LostAttempt, Shown, run_path};
use crate::config::Loaded;
use crate::out;
use crate::question::{how_to_answer, question_text};

/// Characters of a task in a list.
const TASK_CHARS: usize = 60;

pub(crate) async fn runs(loaded: &Loaded, command: RunsCommand) -> anyhow::Result<u8> {
    match command {
        RunsCommand::List { statuses, search, tenant, limit, at } => {
            let client = Client::at(at.server.as_deref(), loaded).await?;
            let mut query = Url::parse("http://query/v1/runs")?;
            query.query_pairs_mut().append_pair("limit", &limit.to_string());
            if !statuses.is_empty() {
                query.query_pairs_mut().append_pair("status", &statuses.join(","));
            }
            if let Some(search) = search {
                query.query_pairs_mut().append_pair("q", &search);
            }
            if let Some(tenant) = tenant {
                query.query_pairs_mut().append_pair("tenant", &tenant);
            }
            let page = client.get(&format!("/v1/runs?{}", query.query().unwrap_or_default())).await?;
            if at.json {
                out::json(&page);
            } else {
                list(
                    &serde_json::from_value::<Vec<Shown>>(page["runs"].clone())?,
                    page["next_cursor"].is_string(),
                );
                for run in page["unreadable"].as_array().into_iter().flatten() {
                    let (id, note) = (run["id"].as_str(), run["note"].as_str());
                    out::note(format!("{}: {}", id.unwrap_or_default(), note.unwrap_or_default()));
                }
            }
        }
        RunsCommand::Show { id, at } => {
            let client = Client::at(at.server.as_deref(), loaded).await?;
            let path = run_path(&id)?;
            let run = client.get(&path).await?;
            let events = events(&client, &path).await?;
            let lost = client.get(&format!("{path}/lost-attempts")).await?["lost_attempts"].take();
            if at.json {
                out::json(&json!({ "run": run, "events": events, "lost_attempts": lost }));
            } else {
                show(&serde_json::from_value(run)?, &events, &serde_json::from_value::<Vec<_>>(lost)?);
            }
        }
        RunsCommand::Answer { id, answer, question, decision, result, at } => {
            let client = Client::at(at.server.as_deref(), loaded).await?;
            let path = run_path(&id)?;
            let question = match question {
                Some(question) => question,
                None => {
                    let run: Shown = serde_json::from_value(client.get(&path).await?)?;
                    let Some(open) = run.question else {
                        anyhow::bail!("the run is {} and waits for no answer", run.status);
                    };
                    open.id
                }
            };
            let mut body = json!({ "question": question });
            if let Some(decision) = decision {
                body["decision"] = json!(decision.as_str());
                if let Some(result) = result {
                    body["result"] = serde_json::from_str(&result).unwrap_or(Value::String(result));
                }
            } else if let Some(answer) = answer {
                body["answer"] = json!(answer);
            }
            said(&client.post(&format!("{path}/answer"), &body).await?, at.json)?;
        }
        RunsCommand::Pause { id, at } => command_run(loaded, &id, "pause", &at).await?,
        RunsCommand::Resume { id, at } => command_run(loaded, &id, "resume", &at).await?,
        RunsCommand::Cancel { id, at } => command_run(loaded, &id, "cancel", &at).await?,
        RunsCommand::Release { id, at } => command_run(loaded, &id, "release", &at).await?,
    }
    Ok(0)
}

async fn command_run(loaded: &Loaded, id: &str, verb: &str, at: &crate::cli::At) -> anyhow::Result<()> {
    let client = Client::at(at.server.as_deref(), loaded).await?;
    let run = client.post(&format!("{}/{verb}", run_path(id)?), &json!({})).await?;
    said(&run, at.json)
}

async fn events(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    let mut after = Some(0);
    while let Some(seq) = after {
        let page = client.get(&format!("{path}/events?after={seq}&limit=1000")).await?;
        events.extend(page["events"].as_array().cloned().unwrap_or_default());
        after = page["next_after"].as_u64();
    }
    Ok(events)
}

fn said(run: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        out::json(run);
    } else {
        let run: Shown = serde_json::from_value(run.clone())?;
        out::line(format!("{} is {}", run.id, run.status));
    }
    Ok(())
}

fn list(runs: &[Shown], more: bool) {
    if runs.is_empty() {
        out::note("No runs. Launch one: piton run \"what is (17+5)*3 / 4?\"");
        return;
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["ID", "STATUS", "STEPS", "AGENT", "LAUNCHED", "TASK"]);
    for run in runs {
        let task: String = run.task.chars().take(TASK_CHARS).collect();
        table.add_row([
            run.id.clone(),
            run.status.to_string(),
            format!("{}/{}", run.steps, run.max_steps),
            run.agent.name.clone(),
            run.created_at.clone(),
            task,
        ]);
    }
    // An id that is broken over two lines cannot be copied.
    for column in table.column_iter_mut().take(5) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    out::line(table.to_string());
    if more {
        out::note("There are more: raise --limit, or narrow with --status, --search and --tenant.");
    }
}

fn show(run: &Shown, events: &[Value], lost: &[LostAttempt]) {
    out::line(format!("{}  {}", run.id, run.status));
    out::line(format!(
        "agent {}, {} of {} steps, launched {}",
        run.agent.name, run.steps, run.max_steps, run.created_at
    ));
    if let Some(owner) = &run.owner {
        out::line(format!("held by {owner}"));
    }
    let mut lost = lost.iter().peekable();
    for event in events {
        let id = event["id"].as_u64().unwrap_or(u64::MAX);
        while let Some(attempt) = lost.next_if(|attempt| attempt.version < id) {
            say_lost(attempt, lost.peek().copied(), run);
        }
        let data = match &event["data"] {
            Value::Object(members) if !members.is_empty() => event["data"].to_string(),
            _ => String::new(),
        };
        out::line(format!(
            "{:>4}  {}  {:<16} {data}",
            event["id"],
            event["at"].as_str().unwrap_or_default(),
            event["type"].as_str().unwrap_or_default(),
        ));
    }
    while let Some(attempt) = lost.next() {
        say_lost(attempt, lost.peek().copied(), run);
    }
    if let Some(answer) = &run.final_answer {
        out::line(format!("answer: {answer}"));
    }
    if let Some(error) = &run.error {
        out::line(format!("error: {error}"));
    }
    if run.status == Status::Quarantined {
        out::line(format!(
            "To let it go on, once its next call is known to do no harm: piton runs release {}",
            run.id
        ));
    }
    if let Some(question) = &run.question {
        question_text(question).into_iter().for_each(out::line);
        if run.was_paused {
            out::line("It was paused, and is paused again after the decision.");
        }
        out::line(how_to_answer(&run.id, question));
    }
}

/// An attempt that ended with its worker, between the events; `next` is the one after it, if that was lost too.
fn say_lost(attempt: &LostAttempt, next: Option<&LostAttempt>, run: &Shown) {
    let LostAttempt { worker, how, version, at, .. } = attempt;
    let what = if attempt.blamed { "was taken down by it" } else { "vanished" };
    let went_on = match next.map_or(attempt.attempt + 1, |next| next.attempt) {
        _ if run.epoch <= attempt.epoch => String::new(),
        later => format!("; attempt {later} went on"),
    };
    out::line(format!(
        "      {at}  {:<16} worker {worker} {what} ({how}) after event {version}{went_on}",
        "lost attempt"
    ));
}
