//! Counts effects. The ledger is a process of its own, so that no kill of a worker or server takes the count with
//! it; what it has booked it keeps in memory and, append-only, in a file.
//!
//! `POST /entries` books one: the body's `account`, `line` and `amount` under the `Idempotency-Key`. Its query says
//! how: `mode=plain` (every request is an entry) or `mode=idempotent` (a key is booked once), `latency_ms`,
//! `drop=first|always` (the effect happens and the connection is cut), `status=500` (refused without effect).
//! `GET /entries` tells all of it, `GET /entries?account=A&line=N` what was booked for one line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One entry of the ledger: one effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub entry: u64,
    /// The `Idempotency-Key`; empty when there was none.
    pub key: String,
    pub account: String,
    pub line: u64,
    pub amount: f64,
    /// Requests with this key that were answered with this entry: 1 unless the mode is `idempotent`.
    pub posts: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct How {
    mode: Option<String>,
    latency_ms: u64,
    drop: Option<String>,
    status: Option<u16>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<LedgerEntry>,
    by_key: HashMap<String, usize>,
    file: Option<File>,
}

type Shared = Arc<Mutex<Book>>;

/// Serves on an ephemeral port of 127.0.0.1, prints the port, and returns when standard input closes.
///
/// # Errors
/// When the file or the port cannot be opened.
pub fn serve(file: Option<&Path>) -> std::io::Result<()> {
    let file = file.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
    let book = Arc::new(Mutex::new(Book { file, ..Book::default() }));
    let router = Router::new().route("/entries", get(entries).post(post)).with_state(book);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            served = axum::serve(listener, router).into_future() => served,
            _ = closed => Ok(()),
        }
    })
}

/// Which entries are asked for; all unless told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    account: Option<String>,
    line: Option<u64>,
}

async fn entries(State(book): State<Shared>, Query(which): Query<Which>) -> Json<Vec<LedgerEntry>> {
    let book = book.lock().expect("no request panics while it holds the book");
    let wanted = book.entries.iter().filter(|entry| {
        which.account.as_ref().is_none_or(|account| *account == entry.account)
            && which.line.is_none_or(|line| line == entry.line)
    });
    Json(wanted.cloned().collect())
}

async fn post(
    State(book): State<Shared>,
    Query(how): Query<How>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(status) = how.status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, Json(json!({ "error": "the ledger is closed today" }))).into_response();
    }
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (entry, first) = {
        let mut book = book.lock().expect("no request panics while it holds the book");
        match book.book(key, &body, how.mode.as_deref() == Some("idempotent")) {
            Ok(booked) => booked,
            Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    // After the effect: whoever is killed while waiting leaves an effect that it does not know of.
    tokio::time::sleep(Duration::from_millis(how.latency_ms)).await;
    match how.drop.as_deref() {
        Some("always") => cut(),
        Some("first") if first => cut(),
        _ => Json(json!({ "entry": entry })).into_response(),
    }
}

impl Book {
    /// The entry's number, and whether the key is booked for the first time.
    fn book(&mut self, key: &str, body: &Value, idempotent: bool) -> std::io::Result<(u64, bool)> {
        let known = self.by_key.get(key).copied();
        if let Some(place) = known.filter(|_| idempotent) {
            self.entries[place].posts += 1;
            return Ok((self.entries[place].entry, false));
        }
        let entry = LedgerEntry {
            entry: self.entries.len() as u64 + 1,
            key: key.to_owned(),
            account: body["account"].as_str().unwrap_or_default().to_owned(),
            line: body["line"].as_f64().map_or(0, |line| line as u64),
            amount: body["amount"].as_f64().unwrap_or(0.0),
            posts: 1,
        };
        if let Some(file) = &mut self.file {
            serde_json::to_writer(&mut *file, &entry)?;
            file.write_all(b"\n")?;
        }
        if !key.is_empty() {
            self.by_key.entry(key.to_owned()).or_insert(self.entries.len());
        }
        let number = entry.entry;
        self.entries.push(entry);
        Ok((number, known.is_none()))
    }
}

/// The head of a reply, then the connection is cut.
fn cut() -> Response {
    let cut =
        futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("dropped after the effect")) });
    ([(header::CONTENT_LENGTH, "100")], Body::from_stream(cut)).into_response()
}

/// A ledger in a process of its own, which ends with this value.
#[derive(Debug)]
pub struct Ledger {
    process: Child,
    port: u16,
    http: reqwest::Client,
}

impl Ledger {
    /// Starts the process, building its binary first where that is missing or older than its source.
    ///
    /// # Panics
    /// When it cannot be built or started.
    pub fn spawn() -> Self {
        Self::start(None)
    }

    /// The same, with everything booked appended to `file`.
    ///
    /// # Panics
    /// When it cannot be built or started.
    pub fn spawn_with_file(file: &Path) -> Self {
        Self::start(Some(file))
    }

    fn start(file: Option<&Path>) -> Self {
        let binary = binary();
        let mut process = Command::new(&binary)
            .args(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let mut line = String::new();
        let stdout = process.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the ledger prints its port");
        let port = line.trim().parse().expect("the ledger prints its port");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { process, port, http }
    }

    /// The address of a tool that books: `query` as in `mode=idempotent&latency_ms=5`.
    pub fn url(&self, query: &str) -> String {
        format!("http://127.0.0.1:{}/entries?{query}", self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Everything booked so far, in order.
    ///
    /// # Panics
    /// When the ledger does not answer.
    pub async fn entries(&self) -> Vec<LedgerEntry> {
        self.ask("").await
    }

    /// What was booked for one account and line: what a human would look up when an outcome is unknown.
    ///
    /// # Panics
    /// When the ledger does not answer.
    pub async fn booked(&self, account: &str, line: u64) -> Vec<LedgerEntry> {
        let mut entries = self.ask(&format!("account={account}&line={line}")).await;
        // A ledger of an older build tells all of it.
        entries.retain(|entry| entry.account == account && entry.line == line);
        entries
    }

    async fn ask(&self, which: &str) -> Vec<LedgerEntry> {
        let response = self.http.get(self.url(which)).send().await.expect("the ledger answers");
        response.json().await.expect("the ledger tells its entries")
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Whether it was gone already makes no difference.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// `target/<profile>/piton-ledger`, beside the test binaries' folder.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PITON_LEDGER_BIN") {
        return crate::world::from_the_root(&path);
    }
    let test = std::env::current_exe().expect("the test binary has a path");
    let deps = test.parent().expect("the test binary lies in a folder");
    let profile =
        if deps.ends_with("deps") { deps.parent().expect("deps lies in a profile's folder") } else { deps };
    let binary = profile.join("piton-ledger");
    if is_stale(&binary) {
        build(profile);
    }
    binary
}

fn is_stale(binary: &Path) -> bool {
    let changed =
        |path: &Path| path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src/ledger.rs", "src/bin/piton-ledger.rs"];
    sources.iter().any(|source| changed(&package.join(source)) > changed(binary))
}

/// Cargo builds the binaries of a package for that package's own tests only, so that is left to do here.
fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = profile.parent().expect("a profile's folder lies in the target folder");
    let mut command = Command::new(cargo);
    // With the package under test beside it, so that the features and with them the built dependencies are the same.
    command.args([
        "build",
        "--quiet",
        "-p",
        "piton",
        "-p",
        "piton-testkit",
        "--bin",
        "piton-ledger",
        "--target-dir",
    ]);
    command.arg(target);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "piton-ledger cannot be built");
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn book(ledger: &Ledger, query: &str, key: &str, line: u64) -> Result<Value, reqwest::Error> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let body = json!({ "account": "a", "line": line, "amount": 2.5 });
        let request = client.post(ledger.url(query)).header("idempotency-key", key).json(&body);
        request.send().await?.error_for_status()?.json().await
    }

    #[tokio::test]
    async fn plain_counts_every_request_and_idempotent_every_key() {
        let ledger = Ledger::spawn();
        for _ in 0..2 {
            book(&ledger, "mode=plain", "p", 1).await.expect("booked");
            book(&ledger, "mode=idempotent", "i", 2).await.expect("booked");
        }
        assert_eq!(ledger.booked("a", 1).await.len(), 2);
        let idempotent = ledger.booked("a", 2).await;
        assert_eq!(idempotent.len(), 1);
        assert_eq!(idempotent[0].posts, 2);
    }

    #[tokio::test]
    async fn a_dropped_connection_leaves_the_effect_and_a_refusal_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.jsonl");
        let ledger = Ledger::spawn_with_file(&file);
        assert!(book(&ledger, "drop=first", "d", 1).await.is_err());
        assert!(book(&ledger, "status=500", "s", 2).await.is_err());
        assert_eq!(ledger.booked("a", 1).await.len(), 1);
        assert_eq!(ledger.booked("a", 2).await.len(), 0);
        assert_eq!(std::fs::read_to_string(&file).expect("the file").lines().count(), 1);
    }
}
