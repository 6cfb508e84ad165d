//! `piton worker drain`: workers that finish their steps and end.

use anyhow::bail;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Drain;
use crate::client::{Client, Refused};
use crate::config::Loaded;
use crate::out;

#[derive(Debug, Deserialize)]
struct Worker {
    id: String,
    runs: u32,
}

pub(crate) async fn drain(loaded: &Loaded, args: Drain) -> anyhow::Result<u8> {
    let client = Client::at(args.at.server.as_deref(), loaded).await?;
    let ids = if args.all {
        let listed = client.get("/v1/workers").await?["workers"].take();
        let workers: Vec<Worker> = serde_json::from_value(listed)?;
        workers.into_iter().map(|worker| worker.id).collect()
    } else {
        args.ids
    };
    let mut drained = Vec::new();
    for id in &ids {
        let shown = match client.post(&path(id)?, &json!({})).await {
            // It ended meanwhile.
            Err(error)
                if args.all
                    && error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 404) =>
            {
                continue;
            }
            shown => shown?,
        };
        if !args.at.json {
            let Worker { id, runs } = serde_json::from_value(shown.clone())?;
            out::line(format!("{id} takes nothing new, and ends with the {runs} steps it has under way"));
        }
        drained.push(shown);
    }
    if args.at.json {
        out::json(&json!({ "workers": Value::Array(drained) }));
    } else if ids.is_empty() {
        out::note("There are no workers.");
    }
    Ok(0)
}

fn path(id: &str) -> anyhow::Result<String> {
    let mut url = Url::parse("http://path/v1/workers")?;
    let Ok(mut segments) = url.path_segments_mut() else { bail!("{id:?} is no worker's id") };
    segments.push(id).push("drain");
    drop(segments);
    Ok(url.path().to_owned())
}
