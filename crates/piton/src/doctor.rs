//! `piton doctor` and `piton ping`: is all well, in one line each and an exit code.

use std::time::Duration;

use anyhow::Context as _;
use piton_store::Store;
use serde_json::json;

use crate::cli::exit;
use crate::config::Loaded;
use crate::{open, out};

/// How long a server may take to say that it is up.
const PING_LIMIT: Duration = Duration::from_secs(3);

/// Checks a database, live or stopped, against every invariant.
pub(crate) async fn doctor(loaded: &Loaded, as_json: bool) -> anyhow::Result<u8> {
    let store = open::store(loaded).await?;
    let readiness = store.readiness().await;
    let checks = store.check().await?;
    let workers = store.workers().await?;
    let queue = store.queue().await?;
    let well = readiness.trouble.is_none() && checks.iter().all(|check| check.trouble.is_none());
    if as_json {
        out::json(&json!({
            "well": well,
            "store": {
                "path": store.path().display().to_string(),
                "engine": readiness.engine,
                "engine_version": readiness.engine_version,
                "synchronous": readiness.synchronous,
                "schema": readiness.schema,
                "trouble": readiness.trouble,
            },
            "checks": checks.iter().map(|check| json!({
                "name": check.name, "ok": check.trouble.is_none(), "trouble": check.trouble, "looked_at": check.looked_at,
            })).collect::<Vec<_>>(),
            "workers": workers.len(),
            "queue": { "due": queue.due, "later": queue.later, "oldest_ms": queue.oldest_ms, "owned": queue.owned },
        }));
        return Ok(if well { 0 } else { exit::NOT_WELL });
    }
    match &readiness.trouble {
        None => out::line(format!("ok  the database takes reads and writes ({})", store.path().display())),
        Some(trouble) => out::line(format!("!!  the database takes reads and writes: {trouble}")),
    }
    for check in &checks {
        match &check.trouble {
            None => out::line(format!("ok  {} ({})", check.name, check.looked_at)),
            Some(trouble) => out::line(format!("!!  {}: {trouble}", check.name)),
        }
    }
    out::line(format!(
        "    {} {}, synchronous={}, schema {}; {} workers, {} jobs due, {} runs held",
        readiness.engine,
        readiness.engine_version,
        readiness.synchronous,
        readiness.schema,
        workers.len(),
        queue.due,
        queue.owned
    ));
    Ok(if well { 0 } else { exit::NOT_WELL })
}

/// Asks a server whether it is up.
pub(crate) async fn ping(loaded: &Loaded, server: Option<&str>) -> anyhow::Result<u8> {
    let mut listen = loaded.config.server.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let base =
        server.map_or_else(|| format!("http://{listen}"), |server| server.trim_end_matches('/').to_owned());
    let http = reqwest::Client::builder().timeout(PING_LIMIT).no_proxy().build()?;
    let response =
        http.get(format!("{base}/healthz")).send().await.with_context(|| format!("no answer from {base}"))?;
    response.error_for_status().with_context(|| format!("{base} is not well"))?;
    out::line(format!("{base} is up"));
    Ok(0)
}
