//! `piton bench`: how fast this machine runs steps, on the real path (HTTP API, queue, worker processes, model client),
//! beside what the machine could do at most, measured in the same round on the same disk. Every answer is checked.

mod bare;
mod load;
mod model;
mod report;
mod usage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use piton_store::{BareCommits, ScratchDatabase, Synchronous};
use secrecy::SecretString;

use crate::cli::Bench;
use load::Installation;
use model::Manner;
use report::{Floors, Report, Round, median};
use usage::Disk;

/// The password for the server, where its URL has none.
const PASSWORD: &str = "PITON_STORE__PASSWORD";
/// Runs alone, one after the other, in each round; fewer where each takes long by itself.
const ALONE: usize = 20;
const ALONE_SLOW: usize = 3;
const SLOW: Duration = Duration::from_millis(20);
/// Single commits that make the floor of a run alone.
const SINGLE_COMMITS: usize = 200;

/// What is measured.
#[derive(Debug, Clone)]
struct Plan {
    runs: usize,
    concurrency: usize,
    steps: usize,
    workers: u32,
    latency: Duration,
    rounds: usize,
    synchronous: Synchronous,
    /// Where the throw-away databases lie.
    folder: PathBuf,
    /// A PostgreSQL server to make them on instead.
    server: Option<PostgresUrl>,
}

/// Where a PostgreSQL server is.
#[derive(Debug, Clone)]
struct PostgresUrl {
    url: String,
    password: Option<SecretString>,
}

impl Plan {
    /// Steps at once in one worker.
    const fn slots(&self) -> usize {
        self.concurrency.div_ceil(self.workers as usize)
    }
}

/// Measures and prints. Nothing of it touches a database that was there before.
pub(crate) async fn bench(args: &Bench, store: Option<&str>) -> anyhow::Result<()> {
    let plan = Plan {
        runs: args.runs as usize,
        concurrency: args.concurrency as usize,
        steps: args.steps as usize,
        workers: args.workers,
        latency: Duration::from_millis(args.latency_ms),
        rounds: args.rounds as usize,
        synchronous: args.synchronous.into(),
        folder: args.folder.clone().unwrap_or_else(std::env::temp_dir),
        server: store.map(PostgresUrl::from_flag).transpose()?,
    };
    if plan.server.is_some() && plan.synchronous == Synchronous::Normal {
        anyhow::bail!(
            "commits on PostgreSQL are as durable as the server is: say --synchronous full, or nothing"
        );
    }
    let model = model::serve(Manner { turns: plan.steps, latency: plan.latency }).await?;
    let bar = ProgressBar::new(plan.rounds as u64).with_message("measuring");
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:20} round {pos} of {len}") {
        bar.set_style(style);
    }
    let mut rounds = Vec::with_capacity(plan.rounds);
    for _ in 0..plan.rounds {
        rounds.push(round(&plan, model).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = Report::of(&plan, &rounds);
    if args.json {
        crate::out::json(&serde_json::to_value(&report)?);
    } else {
        crate::out::line(report.shown());
    }
    Ok(())
}

impl PostgresUrl {
    /// Only what is said on the command line counts: nobody's production is to be measured by accident.
    fn from_flag(url: &str) -> anyhow::Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            anyhow::bail!(
                "--store for a measurement is postgres://USER@HOST/DATABASE, a server on which databases may be made \
                           and dropped again; for SQLite say --in FOLDER"
            );
        }
        let password = std::env::var(PASSWORD).ok().map(SecretString::from);
        Ok(Self { url: url.to_owned(), password })
    }

    async fn scratch(&self) -> anyhow::Result<ScratchDatabase> {
        let made = ScratchDatabase::make(&self.url, self.password.as_ref()).await;
        made.context("no database can be made on that server to measure with")
    }
}

async fn round(plan: &Plan, model: std::net::SocketAddr) -> anyhow::Result<Round> {
    let folder = tempfile::Builder::new()
        .prefix("piton-bench-")
        .tempdir_in(&plan.folder)
        .with_context(|| format!("no folder can be made in {}", plan.folder.display()))?;
    let scratch = match &plan.server {
        Some(server) => Some(server.scratch().await?),
        None => None,
    };
    let measured = measure(plan, model, folder.path(), scratch.as_ref()).await;
    if let Some(scratch) = scratch {
        scratch.remove().await.context("the database that was measured with cannot be dropped")?;
    }
    measured
}

async fn measure(
    plan: &Plan,
    model: std::net::SocketAddr,
    folder: &Path,
    scratch: Option<&ScratchDatabase>,
) -> anyhow::Result<Round> {
    let floors = floors(plan, model, folder, scratch).await?;
    let installation = Installation::start(plan, model, folder, scratch).await?;
    let measured = async {
        let load = installation.load(plan, Disk::under(folder).as_ref()).await?;
        let alone = if plan.latency < SLOW { ALONE } else { ALONE_SLOW };
        let alone = installation.alone(plan, alone).await?;
        anyhow::Ok((load, alone))
    };
    let measured = measured.await;
    installation.stop().await;
    let (load, alone) = measured?;
    Ok(Round { floors, load, alone })
}

/// What the machine can do with nothing else to do.
async fn floors(
    plan: &Plan,
    model: std::net::SocketAddr,
    folder: &Path,
    scratch: Option<&ScratchDatabase>,
) -> anyhow::Result<Floors> {
    let total = plan.runs * plan.steps;
    let bare = bare::measure(model, plan.runs, plan.concurrency, plan.steps).await?;
    let disk = Disk::under(folder);
    let (synchronous, group) = (plan.synchronous, plan.concurrency);
    let commits = |name: &str, group, steps, synchronous| {
        let dir = folder.join(name);
        async move {
            std::fs::create_dir(&dir)?;
            let commits = BareCommits { group, steps, synchronous };
            if let Some(scratch) = scratch {
                return Ok(scratch.commits(commits).await?);
            }
            anyhow::Ok(tokio::task::spawn_blocking(move || commits.measure(&dir)).await??)
        }
    };
    let before = disk.as_ref().and_then(Disk::written);
    let groups = commits("grouped", group, total.max(group), synchronous).await?;
    let after = disk.as_ref().and_then(Disk::written);
    let steps = groups.len() * group;
    let mut singles = commits("single", 1, SINGLE_COMMITS, Synchronous::Full).await?;
    Ok(Floors {
        bare: total as f64 / bare.as_secs_f64(),
        grouped: steps as f64 / groups.iter().sum::<Duration>().as_secs_f64(),
        grouped_bytes: before.zip(after).map(|(before, after)| (after - before) as f64 / steps as f64),
        single: median(&mut singles),
    })
}
