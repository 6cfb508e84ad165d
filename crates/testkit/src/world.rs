//! A folder, a database, the real binary and its processes: what a test launches runs in, and what it kills.

mod calls;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rand::seq::IndexedRandom;
use reqwest::{Client, Method};
use serde_json::json;
use tempfile::TempDir;

use crate::network::Network;
use crate::postgres::PostgresServer;
use crate::process::{Process, descendants, freeze, is_alive, kill, stands, worker_pids_under};
use crate::scripted_model::ScriptedModel;
use crate::strace::Strace;
use crate::until::{deadline, until};
use crate::write_lock::WriteLock;

/// What the doctor may need for all that hours of chaos have left.
const DOCTOR: Duration = Duration::from_secs(600);

/// Lines of its logs that a failed test shows.
const LOG_LINES: usize = 60;

/// One installation of Piton in a folder of its own. Everything it started is killed when it is dropped; when the
/// test failed, the logs are shown.
#[derive(Debug)]
pub struct World {
    // Processes first: they are dropped, and so killed, before their folder is.
    server: Option<Process>,
    extras: Vec<Process>,
    postgres: Option<PostgresServer>,
    binary: PathBuf,
    folder: TempDir,
    port: Port,
    env: BTreeMap<String, String>,
    workers: u32,
    arguments: Vec<String>,
    api_key: Option<String>,
    http: Client,
    started: u32,
    keeps_folder: bool,
}

/// A path as somebody gave it who stood at the repository's root; tests run in their crate's folder.
pub(crate) fn from_the_root(path: &OsStr) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

impl World {
    /// `binary` is `env!("CARGO_BIN_EXE_piton")`; `PITON_TEST_BIN` names another in its place, such as a release build. Its database
    /// is a file, and with `PITON_TEST_STORE=postgres` one on a PostgreSQL server of its own.
    ///
    /// # Panics
    /// When there is no room for a folder or no free port.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let binary = binary.into();
        let other = std::env::var_os("PITON_TEST_BIN").filter(|_| binary.ends_with("piton"));
        let binary = other.map_or(binary, |other| from_the_root(&other));
        let folder = tempfile::Builder::new().prefix("piton-").tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("data")).expect("a folder for the database");
        let port = Port::lease();
        let path = std::env::var("PATH").unwrap_or_default();
        let postgres = is_on_postgres().then(PostgresServer::start);
        let file = || format!("sqlite://{}", folder.path().join("data/piton.db").display());
        let store = postgres.as_ref().map_or_else(file, PostgresServer::url);
        let env = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), folder.path().display().to_string()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
            ("PITON_SERVER__LISTEN".to_owned(), format!("127.0.0.1:{}", port.number)),
            ("PITON_STORE__URL".to_owned(), store),
        ]);
        let http = Client::builder().no_proxy().timeout(deadline() * 2).build().expect("a client");
        Self {
            server: None,
            extras: Vec::new(),
            postgres,
            binary,
            folder,
            port,
            env,
            workers: 1,
            arguments: Vec::new(),
            api_key: None,
            http,
            started: 0,
            keeps_folder: false,
        }
    }

    // --- before it starts ----------------------------------------------------------------------------------

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// All model calls go to `model`, with quick retries.
    #[must_use]
    pub fn model(self, model: &ScriptedModel) -> Self {
        self.env("PITON_MODEL__BASE_URL", &model.base_url()).env("OPENAI_API_KEY", "sk-scripted")
    }

    /// Writes `config/agents/NAME.toml`.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn agent(self, name: &str, toml: &str) -> Self {
        self.file(&format!("config/agents/{name}.toml"), toml)
    }

    /// Writes any file, by its path in the world's folder.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn file(self, path: &str, content: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        fs::write(&path, content).expect("the file can be written");
        self
    }

    /// How many workers the server starts; 1 unless told.
    #[must_use]
    pub const fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// One more argument of `piton serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The server wants this key, and every request of this world bears it.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(key.to_owned());
        self.env("PITON_SERVER__API_KEY", key)
    }

    /// The folder stays where it is when the test fails.
    #[must_use]
    pub const fn kept_on_failure(mut self) -> Self {
        self.keeps_folder = true;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; its log is in the message.
    pub async fn serve(mut self) -> Self {
        self.restart().await;
        self
    }

    // --- its processes -------------------------------------------------------------------------------------

    /// Starts the server without waiting for it.
    pub fn start_server(&mut self) {
        self.start_server_under(None);
    }

    /// The same, with strace in its way, if any.
    pub fn start_server_under(&mut self, strace: Option<&Strace>) {
        let workers = self.workers.to_string();
        let mut command = self.command();
        command.args(["serve", "--workers", &workers]).args(&self.arguments);
        if let Some(strace) = strace {
            command = strace.wrap(&command);
        }
        let name = format!("serve-{}", self.next_number());
        self.server = Some(Process::start(&name, command, &self.log_path(&name)));
    }

    /// Starts the server, a running one being killed first, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&mut self) {
        self.kill_server();
        self.start_server();
        self.ready().await;
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it does not in time, or when the server has ended.
    pub async fn ready(&mut self) {
        let request = self.http.get(self.url("/readyz"));
        let server = self.server.as_mut().expect("the server was started");
        let ready = until(deadline(), "/readyz says 200", async || {
            if let Some(status) = server.ended() {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            let request = request.try_clone().expect("a GET can be repeated");
            request.send().await.ok().filter(|response| response.status().is_success())
        });
        ready.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts one more `piton worker` on the same database, as an operator would; returns its pid.
    pub fn start_worker(&mut self) -> u32 {
        self.start_worker_with(&[])
    }

    /// The same, with some of its environment its own.
    pub fn start_worker_with(&mut self, env: &[(&str, &str)]) -> u32 {
        let mut command = self.command();
        command.arg("worker").envs(env.iter().copied());
        self.start_worker_by(command)
    }

    /// The same, with strace in its way, if any.
    pub fn start_worker_under(&mut self, strace: Option<&Strace>) -> u32 {
        let mut command = self.command();
        command.arg("worker");
        if let Some(strace) = strace {
            command = strace.wrap(&command);
        }
        self.start_worker_by(command)
    }

    /// The same, beyond a network.
    pub fn start_worker_beyond(&mut self, network: &Network, env: &[(&str, &str)]) -> u32 {
        let mut command = self.command();
        command.arg("worker").envs(env.iter().copied());
        self.start_worker_by(network.wrap(&command))
    }

    fn start_worker_by(&mut self, command: Command) -> u32 {
        let name = format!("worker-{}", self.next_number());
        let worker = Process::start(&name, command, &self.log_path(&name));
        let pid = worker.pid();
        self.extras.push(worker);
        pid
    }

    /// The workers that were started by hand and still run.
    pub fn started_by_hand(&self) -> Vec<u32> {
        self.extras.iter().map(Process::pid).filter(|pid| is_alive(*pid)).collect()
    }

    /// Starts workers that were started by hand and have ended again, as their supervisor would. Returns how many.
    pub fn revive_workers(&mut self) -> usize {
        let before = self.extras.len();
        self.extras.retain_mut(|extra| extra.ended().is_none());
        let ended = before - self.extras.len();
        for _ in 0..ended {
            self.start_worker();
        }
        ended
    }

    /// What a worker that was started by hand has written; nothing of one that is not known.
    pub fn log_of(&self, worker: u32) -> String {
        self.extras.iter().find(|extra| extra.pid() == worker).map(Process::log).unwrap_or_default()
    }

    /// SIGKILL for the server alone; its children are left to notice.
    pub fn kill_server(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill();
        }
    }

    /// SIGKILL for a random worker, a child of the server or one started by hand; returns its pid. One that was
    /// started by hand is started again, as its supervisor would.
    pub fn kill_random_worker(&mut self, rng: &mut impl rand::Rng) -> Option<u32> {
        let victim = *self.worker_pids().choose(rng)?;
        self.kill_worker(victim);
        Some(victim)
    }

    /// SIGKILL for one worker. One that was started by hand is started again, as its supervisor would.
    pub fn kill_worker(&mut self, pid: u32) {
        match self.extras.iter_mut().find(|extra| extra.pid() == pid) {
            Some(extra) => {
                extra.kill();
                self.extras.retain(|extra| extra.pid() != pid);
                self.start_worker();
            }
            None => kill(pid),
        }
    }

    /// SIGKILL for the server, its children and every worker at once, as when a machine's supervisor dies; then all
    /// are started again, without waiting for them.
    pub fn kill_and_start_everything(&mut self) {
        let started_by_hand = self.kill_everything();
        self.start_server();
        for _ in 0..started_by_hand {
            self.start_worker();
        }
    }

    /// Nobody writes to the database until what this returns is dropped.
    ///
    /// # Errors
    /// When the right to write is not to be had within `limit`.
    pub async fn lock_writes(&self, limit: Duration) -> Result<WriteLock, String> {
        match &self.postgres {
            Some(server) => WriteLock::take_on(server),
            None => WriteLock::take(&self.path("data/piton.db"), limit).await,
        }
    }

    /// A shell on the database that carries out the SQL it gets as its last argument.
    pub fn shell(&self) -> Command {
        match &self.postgres {
            Some(server) => {
                let mut shell = server.shell();
                shell.args(["-A", "-t", "-c"]);
                shell
            }
            None => {
                let mut shell = Command::new("sqlite3");
                shell.arg("-readonly").arg(self.path("data/piton.db"));
                shell
            }
        }
    }

    /// Where the database is, as `store.url` has it.
    pub fn store_url(&self) -> &str {
        &self.env["PITON_STORE__URL"]
    }

    /// Freezes the server, its children and every worker, and waits until none of them does anything any more.
    ///
    /// # Panics
    /// When one does not stand still.
    pub async fn freeze_everything(&self) {
        let mut pids: Vec<u32> = self.extras.iter().map(Process::pid).collect();
        if let Some(server) = &self.server {
            // It first: it starts no child any more then.
            freeze(server.pid());
            pids.push(server.pid());
            pids.extend(descendants(server.pid()));
        }
        pids.iter().copied().for_each(freeze);
        let still = until(deadline(), "all processes stand still", async || {
            pids.iter().copied().all(stands).then_some(())
        });
        still.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// SIGKILL for the server, its children and every worker at once. Returns how many workers had been started by
    /// hand.
    pub fn kill_everything(&mut self) -> usize {
        let started_by_hand = self.extras.len();
        if let Some(server) = &self.server {
            // Frozen, it starts no child anew; killed last, it gives none the time to hand back.
            freeze(server.pid());
            for pid in descendants(server.pid()) {
                kill(pid);
            }
        }
        self.kill_server();
        self.extras.clear();
        started_by_hand
    }

    /// Graceful stop of the server: SIGTERM. Returns its exit code and what it took.
    ///
    /// # Panics
    /// When it was not started or does not end within the deadline.
    pub async fn stop(&mut self) -> (Option<i32>, Duration) {
        let server = self.server.as_mut().expect("the server was started");
        let (status, took) = server.stop(deadline()).await.unwrap_or_else(|error| panic!("{error}"));
        (status.code(), took)
    }

    /// # Panics
    /// When it was not started.
    pub fn server(&mut self) -> &mut Process {
        self.server.as_mut().expect("the server was started")
    }

    /// The workers that run now: the server's children, then those started by hand.
    pub fn worker_pids(&self) -> Vec<u32> {
        let mut pids = self.server.as_ref().map(|server| worker_pids_under(server.pid())).unwrap_or_default();
        pids.extend(self.extras.iter().map(Process::pid).filter(|pid| is_alive(*pid)));
        pids
    }

    /// Waits until that many workers run and are known to the store.
    ///
    /// # Panics
    /// When they are not in time.
    pub async fn workers_ready(&self, workers: usize) {
        let ready = until(deadline(), format!("{workers} workers are alive"), async || {
            let reply = self.try_send(self.request(Method::GET, "/v1/workers")).await.ok()?;
            let rows = reply.json();
            let alive =
                rows["workers"].as_array()?.iter().filter(|worker| worker["alive"] == json!(true)).count();
            (alive == workers).then_some(())
        });
        ready.await.unwrap_or_else(|error| panic!("{error}; running: {:?}", self.worker_pids()));
    }

    /// Waits until `piton doctor` finds nothing: the last of the killed may lie unburied for a moment.
    ///
    /// # Errors
    /// What it still finds at the deadline.
    pub async fn doctor_finds_nothing(&self) -> Result<(), String> {
        let mut said = Ok(());
        let well = until(deadline(), "doctor finds nothing", async || {
            said = self.doctor().await;
            said.is_ok().then_some(())
        });
        // The deadline says less than the doctor.
        if well.await.is_ok() { Ok(()) } else { said }
    }

    /// # Errors
    /// What `piton doctor` finds now.
    pub async fn doctor(&self) -> Result<(), String> {
        let doctor = self.cli_within(DOCTOR, &["doctor"], "").await;
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        if doctor.status.success() { Ok(()) } else { Err(said) }
    }

    /// Runs a command of the binary to its end, `input` on its standard input.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub async fn cli_with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.cli_within(deadline(), arguments, input).await
    }

    /// The same, for what may take longer, or must not.
    ///
    /// # Panics
    /// When it does not end within the limit.
    pub async fn cli_within(&self, limit: Duration, arguments: &[&str], input: &str) -> Output {
        let mut command = tokio::process::Command::from(self.command());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let write = async {
            // A command that does not read its input is no failure of the test's.
            let _unread = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
            drop(stdin);
        };
        let run = async { tokio::join!(write, child.wait_with_output()).1 };
        match tokio::time::timeout(limit, run).await {
            Ok(output) => output.expect("the output can be read"),
            Err(_) => panic!("piton {arguments:?} did not end within {limit:?}"),
        }
    }

    /// # Panics
    /// When it does not end within the deadline.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with_input(arguments, "").await
    }

    /// The binary with this world's environment, in its folder.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(&self.env).current_dir(self.folder.path());
        command
    }

    /// The log of every process so far, oldest first.
    pub fn logs(&self) -> String {
        let mut names: Vec<PathBuf> = fs::read_dir(self.folder.path())
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        names.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        names.sort();
        names
            .iter()
            .map(|path| {
                let text = fs::read(path).unwrap_or_default();
                format!("--- {}\n{}\n", path.display(), String::from_utf8_lossy(&text))
            })
            .collect()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub const fn port(&self) -> u16 {
        self.port.number
    }

    fn next_number(&mut self) -> u32 {
        self.started += 1;
        self.started
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && self.keeps_folder {
            self.folder.disable_cleanup(true);
            #[expect(clippy::print_stderr, reason = "a failed test says where its world is left")]
            {
                eprintln!("the database and all logs are kept in {}", self.folder.path().display());
            }
        } else if std::thread::panicking() {
            // Each request that went well has its line, and so many of them hide why the test failed.
            let logs = self.logs();
            let lines: Vec<&str> =
                logs.lines().filter(|line| !line.contains(r#""message":"answered""#)).collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
            #[expect(clippy::print_stderr, reason = "a failed test shows what its processes wrote")]
            {
                eprintln!("the last of the logs in {}:\n{}", self.folder.path().display(), last.join("\n"));
            }
        }
    }
}

/// Whether this run of the tests is one on PostgreSQL.
///
/// # Panics
/// When `PITON_TEST_STORE` names no engine.
pub fn is_on_postgres() -> bool {
    match std::env::var("PITON_TEST_STORE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("PITON_TEST_STORE is {other:?}, and should be sqlite or postgres"),
    }
}

/// A port that no other world of this machine takes while this value lives. It lies below the range from which
/// outgoing connections get theirs, so that it is still free when a killed server starts again.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn lease() -> Self {
        let folder = std::env::temp_dir().join("piton-testkit-ports");
        fs::create_dir_all(&folder).expect("a folder for port locks");
        (0..2000)
            .find_map(|_| Self::try_lease(&folder, rand::random_range(12_000..30_000)))
            .expect("one of 2000 ports is free")
    }

    fn try_lease(folder: &Path, number: u16) -> Option<Self> {
        let lock = File::create(folder.join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Self { number, _lock: lock })
    }
}
