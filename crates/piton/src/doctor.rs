//! `piton doctor` and `piton ping`: is all well, in one line each and an exit code.

use std::time::Duration;

use anyhow::Context as _;
use piton_store::{Check, Examination, QueueStats, Readiness, Repair, SqliteStore};
use serde_json::{Value, json};

use crate::cli::{Doctor, exit};
use crate::config::Loaded;
use crate::{open, out};

/// How long a server may take to say that it is up.
const PING_LIMIT: Duration = Duration::from_secs(3);

/// Checks a database, live or stopped, against every invariant; mends first what is safe to mend, where that is asked.
pub(crate) async fn doctor(loaded: &Loaded, args: &Doctor) -> anyhow::Result<u8> {
    let url = &loaded.config.store.url;
    if !loaded.config.store.is_postgres() && !SqliteStore::is_there(url)? {
        anyhow::bail!("there is no database at {url} ({}): nothing to look at", loaded.origin("store.url"));
    }
    let database = open::database(loaded).await?;
    let store = database.store();
    let repairs = if args.repair { database.repair().await? } else { Vec::new() };
    let how = Examination { deep: args.deep, step_limit_ms: Some(loaded.config.worker.step_timeout_ms) };
    let found = Found {
        readiness: store.readiness().await,
        checks: database.examine(&how).await?,
        workers: store.workers().await.map_or(0, |workers| workers.len()),
        queue: store.queue().await.unwrap_or_default(),
        repairs,
    };
    let place = database.path().map_or_else(|| url.clone(), |path| path.display().to_string());
    if args.json {
        out::json(&found.json(&place));
    } else {
        found.say(&place);
    }
    Ok(if found.is_well() { 0 } else { exit::NOT_WELL })
}

/// What one look at a database came to.
struct Found {
    readiness: Readiness,
    repairs: Vec<Repair>,
    checks: Vec<Check>,
    workers: usize,
    queue: QueueStats,
}

impl Found {
    fn is_well(&self) -> bool {
        self.readiness.trouble.is_none() && self.checks.iter().all(|check| check.trouble.is_none())
    }

    fn say(&self, path: &str) {
        for repair in &self.repairs {
            out::line(format!("{}  {}", if repair.done { "mended" } else { "left  " }, repair.said));
        }
        match &self.readiness.trouble {
            None => out::line(format!("ok  the database takes reads and writes ({path})")),
            Some(trouble) => out::line(format!("!!  the database takes reads and writes: {trouble}")),
        }
        for check in &self.checks {
            match &check.trouble {
                None => out::line(format!("ok  {} ({})", check.name, check.looked_at)),
                Some(trouble) => out::line(format!("!!  {}: {trouble}", check.name)),
            }
        }
        let Readiness { engine, engine_version, synchronous, schema, .. } = &self.readiness;
        out::line(format!(
            "    {engine} {engine_version}, synchronous={synchronous}, schema {schema}; {} workers, {} jobs due, {} runs \
             held",
            self.workers, self.queue.due, self.queue.owned
        ));
    }

    fn json(&self, path: &str) -> Value {
        let Self { readiness, queue, .. } = self;
        let checks = self.checks.iter().map(|check| {
            json!({
                "name": check.name,
                "ok": check.trouble.is_none(),
                "trouble": check.trouble,
                "looked_at": check.looked_at,
            })
        });
        let repairs = self.repairs.iter().map(|repair| json!({ "done": repair.done, "said": repair.said }));
        json!({
            "well": self.is_well(),
            "store": {
                "path": path,
                "engine": readiness.engine,
                "engine_version": readiness.engine_version,
                "synchronous": readiness.synchronous,
                "schema": readiness.schema,
                "trouble": readiness.trouble,
            },
            "repairs": repairs.collect::<Vec<_>>(),
            "checks": checks.collect::<Vec<_>>(),
            "workers": self.workers,
            "queue": {
                "due": queue.due,
                "later": queue.later,
                "oldest_ms": queue.oldest_ms,
                "owned": queue.owned,
            },
        })
    }
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
