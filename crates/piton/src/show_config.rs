//! `piton config`: each setting with its origin, and the agents in use.

use serde_json::json;

use crate::config::Loaded;
use crate::{open, out};

pub(crate) fn show(loaded: &Loaded, as_json: bool) -> anyhow::Result<u8> {
    let tools = open::tools(loaded);
    let catalog = open::agents(loaded, &tools)?;
    if as_json {
        let agents: Vec<_> = catalog
            .listed()
            .iter()
            .map(
                |listed| json!({ "name": listed.agent.name, "file": listed.source, "prompt": listed.prompt }),
            )
            .collect();
        out::json(&json!({ "settings": loaded.entries, "agents": agents }));
        return Ok(0);
    }
    let width = loaded.entries.iter().map(|entry| entry.key.len()).max().unwrap_or_default();
    let values =
        loaded.entries.iter().map(|entry| entry.value.chars().count()).max().unwrap_or_default().min(40);
    for entry in &loaded.entries {
        out::line(format!("{:<width$}  {:<values$}  {}", entry.key, entry.value, entry.origin));
    }
    for listed in catalog.listed() {
        out::line(format!("agent {}  {}  prompt {}", listed.agent.name, listed.source, listed.prompt));
    }
    Ok(0)
}
