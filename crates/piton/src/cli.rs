//! The command line, as `--help` teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use piton_store::Synchronous;

use crate::config::Overrides;

/// How a command ends, for scripts.
pub(crate) mod exit {
    /// The run failed, was cancelled or reached its limit; a check found something.
    pub(crate) const NOT_WELL: u8 = 1;
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// The run waits for a human and there is none at this terminal.
    pub(crate) const WAITING: u8 = 3;
    /// The server or the database cannot be used.
    pub(crate) const UNAVAILABLE: u8 = 4;
}

/// Runs LLM agents the way a database runs transactions.
#[derive(Debug, Parser)]
#[command(
    name = "piton",
    version,
    max_term_width = 100,
    after_help = "\
Try it:
  piton serve                                  the server with one worker, on http://127.0.0.1:3000
  piton run \"what is (17+5)*3 / 4?\"            one run in this terminal, no server needed
  piton worker                                 one more worker on the same database

Exit codes: 0 done, 1 the run did not complete or a check found something, 2 wrong usage or configuration,
3 the run waits for a human, 4 the server or the database cannot be used."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Folder with piton.toml and agents/ [default: ./config]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,

    /// Database, such as sqlite://data/piton.db
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,

    /// What is logged: error, warn, info, debug, trace, or directives such as piton_worker=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// How it is logged: auto is text on a terminal, else JSON lines
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormatFlag>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormatFlag {
    Auto,
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the web UI and the API, with workers as child processes
    Serve(Serve),
    /// Advance runs: start as many as you like on one database, kill them as you like
    Worker(Work),
    /// Launch one run, watch it here, answer its questions here, print its answer
    Run(Run),
    /// List, show and steer runs
    Runs(Runs),
    /// Check the database against every invariant, one line each, and mend what is safe to mend
    Doctor(Doctor),
    /// Move all runs to another database while this one is being used: from SQLite to PostgreSQL, or back
    Migrate(Migrate),
    /// Delete runs that were over long ago, with all that is kept of them
    Prune(Prune),
    /// Ask a server whether it is up; for health checks
    Ping(Ping),
    /// Measure how fast this machine runs steps, beside what it could do at most
    Bench(Bench),
    /// Serve the practice model alone: an OpenAI-compatible endpoint that knows arithmetic
    Model(Model),
    /// Show each setting, where it came from, and which agents are in use
    Config(ShowConfig),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port [default: 127.0.0.1:3000]; any other than loopback needs an API key
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// Worker processes to start and keep running; 0 serves the API alone [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<u32>,

    /// Let anybody call who can reach the address
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Work {
    #[command(subcommand)]
    pub(crate) command: Option<WorkCommand>,

    /// Steps at once [default: 16]
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,

    /// Take only runs of this agent or tenant (agent=NAME, tenant=NAME); may be given more than once
    #[arg(long, value_name = "WHAT=NAME")]
    pub(crate) only: Vec<String>,

    /// Started by another Piton process, which chose the end of its name: ends when standard input does
    #[arg(long, hide = true, value_name = "SUFFIX")]
    pub(crate) child: Option<String>,

    /// Take up one run that may have taken its worker down, and end with it
    #[arg(long, hide = true, requires = "child")]
    pub(crate) apart: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkCommand {
    /// Let workers finish their steps under way, take nothing new, and end
    Drain(Drain),
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Ids of workers, as the system page shows them
    #[arg(required_unless_present = "all")]
    pub(crate) ids: Vec<String>,

    /// Every worker there is, on every machine
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Runs in each round
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,

    /// Runs in flight
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: u32,

    /// Model calls of a run, the last of which is the answer
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=900))]
    pub(crate) steps: u32,

    /// Worker processes
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,

    /// How long the model takes to reply
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) latency_ms: u64,

    /// How often everything is measured; figures are medians
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// How durable commits are
    #[arg(long, default_value = "full", value_enum, value_name = "LEVEL")]
    pub(crate) synchronous: SynchronousFlag,

    /// Folder on the disk to measure, for throw-away databases [default: the system's for temporary files]
    #[arg(long = "in", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,

    /// JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SynchronousFlag {
    Full,
    Normal,
}

impl From<SynchronousFlag> for Synchronous {
    fn from(flag: SynchronousFlag) -> Self {
        match flag {
            SynchronousFlag::Full => Self::Full,
            SynchronousFlag::Normal => Self::Normal,
        }
    }
}

/// Which runs a command is about: those of a server, or of a database on this machine.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// A server, such as http://127.0.0.1:3000; without it the database is used directly
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// What the agent is to do, in plain language
    pub(crate) task: String,

    /// The agent to launch [default: the configured one]
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,

    /// Labels to find the run by
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,

    /// The tenant it is of [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,

    /// Steps it may take before it rests
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u32>,

    /// Launch it, print its id and leave
    #[arg(long)]
    pub(crate) detach: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    List {
        /// Only runs with this status; may be given more than once
        #[arg(long = "status", value_name = "STATUS")]
        statuses: Vec<String>,
        /// Only runs whose task holds this text, or whose id begins with it
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Only runs of this tenant
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        #[command(flatten)]
        at: At,
    },
    /// Show a run: where it stands, what happened, what it waits for
    Show {
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Answer the open question of a run
    Answer {
        id: String,
        /// The answer; for an unknown outcome see --decision
        #[arg(required_unless_present = "decision")]
        answer: Option<String>,
        /// The question's id, so that a late answer never meets the next question [default: the open one, as shown]
        #[arg(long, value_name = "ID")]
        question: Option<String>,
        /// What became of a call whose outcome is unknown
        #[arg(long, value_enum, conflicts_with = "answer")]
        decision: Option<DecisionFlag>,
        /// With --decision happened: what the call returned, as JSON or as text
        #[arg(long, value_name = "RESULT", requires = "decision")]
        result: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Pause a running run: nothing new begins
    Pause {
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Let a paused, failed or limited run go on
    Resume {
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Cancel a run for good
    Cancel {
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Let a quarantined run go on: it took its worker down, and may do so again
    Release {
        id: String,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DecisionFlag {
    /// It took effect: go on with --result
    Happened,
    /// It took no effect: call it again
    DidNotHappen,
    /// Give the run up
    Abort,
}

impl DecisionFlag {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::DidNotHappen => "did_not_happen",
            Self::Abort => "abort",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
A server and workers may be running meanwhile. Lines begin with ok, with !! where something is wrong, and with
mended or left where --repair was at work. Events are never changed; a file that is damaged itself is not repaired.

Exit codes: 0 all is well, or was mended; 1 something is wrong, or still is; 4 the database cannot be used.")]
pub(crate) struct Doctor {
    /// Mend what is safe to mend: missing and stray jobs, runs of dead workers, rows that are not the fold of their events
    #[arg(long)]
    pub(crate) repair: bool,

    /// Look at the whole file, its indexes too, however large it is
    #[arg(long)]
    pub(crate) deep: bool,

    /// JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Servers and workers on the source may be running, and it is read as ever. Runs are copied meanwhile, each is read back and
compared. Then workers hand back what they hold, and launches and commands are refused with 503 and Retry-After for less than
five seconds. From then on the runs are the target's: start servers and workers there. Killed at any moment, the same
command goes on where it was.

The password of a PostgreSQL user comes from PITON_STORE__PASSWORD.

Exit codes: 0 all runs are at the target; 4 they are not, and still are at the source.")]
pub(crate) struct Migrate {
    /// The database whose runs are moved: sqlite://PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,

    /// An empty database, or one that this move was begun to
    #[arg(long, value_name = "URL", required_unless_present = "undo")]
    pub(crate) to: Option<String>,

    /// Take the mark away from a database whose runs were moved, or are half: they go on there as they are
    #[arg(long, conflicts_with = "to")]
    pub(crate) undo: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Servers and workers may be running: it takes no more than a fifth of the time, in batches that are a transaction each. Killed
at any moment, the same command goes on where it was. Runs that wait for somebody or that a worker holds never go. To have
workers do it: retention.finished_days.

Exit codes: 0 done; 4 the database cannot be used, or its runs are being moved.")]
pub(crate) struct Prune {
    /// How long ago they were over: days or hours, such as 90d or 36h, at least 1d
    #[arg(long, value_name = "AGE", value_parser = crate::prune::older_than)]
    pub(crate) older_than: std::time::Duration,

    /// Only runs with this status; may be given more than once [default: every one of a run that is over]
    #[arg(long = "status", value_name = "STATUS", value_parser = crate::prune::over)]
    pub(crate) statuses: Vec<piton_core::Status>,

    /// Only runs of this tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,

    /// Say how many would be deleted, and delete none
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The server to ask [default: the configured address]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Model {
    /// Address and port; loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8321")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ShowConfig {
    /// JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("expected KEY=VALUE, found {text:?}"))
}

impl Cli {
    /// The settings among the flags.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut flags = Overrides::default();
        if let Some(store) = &self.store {
            flags.set("--store", "store.url", store);
        }
        if let Some(level) = &self.log_level {
            flags.set("--log-level", "log.level", level);
        }
        if let Some(format) = self.log_format {
            let format = match format {
                LogFormatFlag::Auto => "auto",
                LogFormatFlag::Text => "text",
                LogFormatFlag::Json => "json",
            };
            flags.set("--log-format", "log.format", format);
        }
        match &self.command {
            Command::Serve(serve) => {
                if let Some(listen) = serve.listen {
                    flags.set("--listen", "server.listen", listen.to_string());
                }
                if let Some(workers) = serve.workers {
                    flags.set("--workers", "server.workers", workers.to_string());
                }
                if serve.allow_anonymous {
                    flags.set("--allow-anonymous", "server.allow_anonymous", "true");
                }
            }
            Command::Worker(work) => {
                if let Some(concurrency) = work.concurrency {
                    flags.set("--concurrency", "worker.concurrency", concurrency.to_string());
                }
                if !work.only.is_empty() {
                    flags.set("--only", "worker.only", work.only.join(","));
                }
            }
            _ => {}
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
