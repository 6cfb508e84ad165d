//! All that the one binary does: server, worker, and the commands of operators and users.

mod agents;
mod bench;
mod children;
mod cli;
mod client;
mod config;
mod doctor;
mod drain;
mod logs;
mod migrate;
mod open;
mod out;
mod practice;
mod prune;
mod question;
mod run;
mod runs;
mod serve;
mod show_config;
mod signals;
mod work;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use cli::{Cli, Command, Work, WorkCommand, exit};
use config::{Config, ConfigError, Loaded};

/// A step's events are made by its thread and dropped by the writer's: the system's allocator has them queue for it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Does what the arguments of this process say. Returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let loaded = match Config::load(cli.config.as_deref(), &cli.overrides()) {
        Ok(loaded) => loaded,
        Err(error) => {
            out::note(format!("error: {error}"));
            return ExitCode::from(exit::USAGE);
        }
    };
    let is_worker = matches!(&cli.command, Command::Worker(args) if args.command.is_none());
    let is_role = is_worker || matches!(cli.command, Command::Serve(_) | Command::Model(_));
    logs::start(&loaded, is_role);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    if is_worker {
        // Steps have threads of their own; these keep the lease and write to the database.
        threads.worker_threads(2);
    }
    let runtime = match threads.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::note(format!("error: no threads can be started: {error}"));
            return ExitCode::from(exit::UNAVAILABLE);
        }
    };
    let result = runtime.block_on(perform(cli, &loaded));
    // A prompt that still waits for a line must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out::note(format!("error: {error:#}"));
            ExitCode::from(code_of(&error))
        }
    }
}

async fn perform(cli: Cli, loaded: &Loaded) -> anyhow::Result<u8> {
    let flags = cli.overrides();
    let config_dir = cli.config.clone();
    match cli.command {
        Command::Serve(_) => serve::serve(loaded, &flags, config_dir.as_deref()).await.map(|()| 0),
        Command::Worker(Work { command: Some(WorkCommand::Drain(args)), .. }) => {
            drain::drain(loaded, args).await
        }
        Command::Worker(args) => work::work(loaded, &flags, config_dir.as_deref(), args).await.map(|()| 0),
        Command::Run(args) => run::run(loaded, &flags, config_dir.as_deref(), args).await,
        Command::Runs(args) => runs::runs(loaded, args.command).await,
        Command::Doctor(args) => doctor::doctor(loaded, &args).await,
        Command::Migrate(args) => migrate::migrate(loaded, &args).await.map(|()| 0),
        Command::Prune(args) => prune::prune(loaded, &args).await.map(|()| 0),
        Command::Ping(args) => doctor::ping(loaded, args.server.as_deref()).await,
        Command::Model(args) => practice::model(args.listen).await,
        Command::Bench(args) => bench::bench(&args, cli.store.as_deref()).await.map(|()| 0),
        Command::Config(args) => show_config::show(loaded, args.json),
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return exit::USAGE;
    }
    match error.downcast_ref::<client::Refused>() {
        Some(refused) if refused.status < 500 => exit::NOT_WELL,
        _ => exit::UNAVAILABLE,
    }
}
