//! Each database call of a story fails in turn, once or six times in a row on one connection: the disk is full, it
//! cannot be read or written, or it cannot be synced. Or all of them fail for a while, from each event of the story on,
//! or somebody else writes for so long. The process lives, what it was told is tried again or refused, and the story comes out
//! the same.
//!
//! A sample of the points here; `PITON_LONG=1` takes all of them, `PITON_FAULT=worker:pwrite64:ENOSPC:17..22` takes one.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use piton_testkit::{Caller, Scene, Strace, SystemCall, Telling, Victim, World, database, deadline, tell};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// What fails, and how. Locks do not: of those calls no disk can fail one that lets go of a lock.
const FAULTS: [(&str, &str); 5] =
    [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fsync", "EIO"), ("pread64", "EIO"), ("ftruncate", "EIO")];
/// Calls in a row that fail in a burst.
const BURST: usize = 6;
/// Kinds of lasting trouble.
const TROUBLES: [Trouble; 7] = [
    Trouble::Calls(Victim::Worker, &[("pwrite64", "ENOSPC")]),
    Trouble::Calls(Victim::Server, &[("pwrite64", "ENOSPC")]),
    Trouble::Calls(Victim::Worker, &[("fsync", "EIO")]),
    Trouble::Calls(Victim::Server, &[("fsync", "EIO")]),
    Trouble::Calls(Victim::Worker, &[("pwrite64", "EIO"), ("pread64", "EIO"), ("fsync", "EIO")]),
    Trouble::Calls(Victim::Server, &[("pwrite64", "EIO"), ("pread64", "EIO"), ("fsync", "EIO")]),
    Trouble::Locked,
];
/// How long it lasts.
const SPAN: Duration = Duration::from_millis(500);
/// How soon all is well again.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Rounds at once.
const AT_ONCE: usize = 2;
/// Faults of a short sweep, for each of the two processes.
const SAMPLE: usize = 6;

/// These calls of this sort fail, in each thread of the victim that makes as many.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    victim: Victim,
    call: String,
    error: String,
    first: usize,
    last: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victim = match self.victim {
            Victim::Worker => "worker",
            Victim::Server => "server",
        };
        write!(f, "{victim}:{}:{}:{}..{}", self.call, self.error, self.first, self.last)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not worker:CALL:ERROR:FIRST..LAST, or server:…");
        let [victim, call, error, span] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let victim = match victim {
            "worker" => Victim::Worker,
            "server" => Victim::Server,
            _ => return Err(wrong()),
        };
        let (first, last) = span.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        let (call, error) = (call.to_owned(), error.to_owned());
        Ok(Self { victim, call, error, first: number(first)?, last: number(last)? })
    }
}

/// What `/readyz` of the first server said while the story was told.
#[derive(Debug, Default)]
struct Readiness {
    reasons: Vec<String>,
    /// What it says now.
    is_ready: bool,
}

impl Readiness {
    async fn ask(&mut self, caller: &Caller) {
        let Ok(reply) = caller.try_send(caller.request(Method::GET, "/readyz")).await else { return };
        self.is_ready = reply.status == 200;
        match reply.status {
            200 => {}
            503 => {
                assert!(reply.header("retry-after").is_some(), "{}", reply.text);
                let body = reply.json();
                self.reasons.push(body["reason"].as_str().expect("it says why").to_owned());
            }
            status => panic!("/readyz says {status}: {}", reply.text),
        }
    }
}

/// Tells the story with the fault in it. strace counts each connection's calls anew, and a connection that failed is
/// replaced: an early call goes on failing, until strace lets go.
async fn faulty(fault: &Fault) -> (Telling, Readiness) {
    let mut readiness = Readiness::default();
    let calls: Vec<&str> = FAULTS.iter().map(|(call, _)| *call).collect();
    let strace = |world: &World| Strace::of(&calls, world.path("trace")).on(&database(world));
    let trace = |world: &World| {
        strace(world).fail(&fault.call, &fault.error, &format!("{}..{}", fault.first, fault.last))
    };
    let what = format!("PITON_FAULT={fault}");
    let mut struck: Option<Instant> = None;
    let telling = tell(PITON, &what, Some(fault.victim), trace, async |scene| {
        readiness.ask(scene.hands).await;
        match struck {
            None if strace(scene.world).seen().iter().any(|call| call.is_injected) => {
                struck = Some(Instant::now())
            }
            Some(since) if since.elapsed() > SPAN => Strace::let_go(match fault.victim {
                Victim::Worker => scene.worker,
                Victim::Server => scene.server,
            }),
            _ => {}
        }
        true
    });
    (telling.await, readiness)
}

/// At its start a process may say that the database cannot be used, and end. Once it was up it has to wait.
fn ended_at_work(log: &str) -> bool {
    log.contains("\"the worker is ready\"") || log.contains("\"serving\"")
}

#[derive(Debug, Default)]
struct Figures {
    faults: usize,
    injected: usize,
    refused: usize,
    not_ready: usize,
    ended_at_start: usize,
    missed: Vec<String>,
}

impl Figures {
    fn count(&mut self, fault: &Fault, telling: &Telling, readiness: &Readiness) {
        let what = format!("PITON_FAULT={fault}");
        for log in &telling.deaths {
            assert!(!ended_at_work(log), "{what}: it ended in the middle of its work: {log}");
            self.ended_at_start += 1;
        }
        assert!(!telling.logs.contains("panicked"), "{what}: {}", telling.logs);
        assert_eq!(
            telling.tale.surprises(),
            0,
            "{what}: the worker lived, and forgot what a call had come to"
        );
        let statuses = statuses_of_commands(&telling.logs);
        assert!(statuses.iter().all(|status| *status < 500 || *status == 503), "{what}: {statuses:?}");
        let refused = statuses.iter().filter(|status| **status == 503).count();
        let injected = telling.seen.iter().filter(|call| call.is_injected).count();
        if fault.victim == Victim::Server && failed_syncs_of_commits(&telling.seen) > 0 {
            assert!(refused > 0, "{what}: a commit was not synced, and nobody was told: {}", telling.logs);
        }
        self.faults += 1;
        self.injected += injected;
        self.refused += refused;
        self.not_ready += readiness.reasons.len();
        if injected == 0 {
            self.missed.push(fault.to_string());
        }
    }
}

/// What the first server answered to a person's commands.
fn statuses_of_commands(logs: &str) -> Vec<u64> {
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let commands = lines.filter(|line| line["message"] == "answered" && line["span"]["method"] == "POST");
    commands.map(|line| line["span"]["status"].as_u64().expect("an answer has a status")).collect()
}

/// Syncs of the log that failed right after it was written. A commit's is such a one.
fn failed_syncs_of_commits(seen: &[SystemCall]) -> usize {
    let mut last: BTreeMap<u32, &SystemCall> = BTreeMap::new();
    let mut failed = 0;
    for call in seen.iter().filter(|call| call.arguments.contains("piton.db-wal>")) {
        let before = last.insert(call.thread, call);
        // The first write of a log is its head, which is synced by itself.
        let wrote = before.is_some_and(|before| before.name == "pwrite64");
        failed += usize::from(call.is_injected && call.name == "fsync" && wrote);
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_the_same_whichever_database_call_fails() {
    if let Some(why) = Strace::missing() {
        eprintln!("SKIPPED: failing database calls need strace: {why}");
        return;
    }
    let never = |_: &World| unreachable!("nobody is traced");
    let undisturbed = tell(PITON, "undisturbed", None, never, async |_| true).await.tale;
    let faults = match std::env::var("PITON_FAULT") {
        Ok(fault) => vec![fault.parse().unwrap_or_else(|error| panic!("PITON_FAULT: {error}"))],
        Err(_) => faults_of_the_story().await,
    };
    let mut rounds = futures::stream::iter(faults)
        .map(|fault| async move {
            let (telling, readiness) = faulty(&fault).await;
            (fault, telling, readiness)
        })
        .buffer_unordered(AT_ONCE);
    let mut figures = Figures::default();
    while let Some((fault, telling, readiness)) = rounds.next().await {
        let difference = telling.tale.gist.difference(&undisturbed.gist);
        assert_eq!(difference, None, "PITON_FAULT={fault}: {:?}", telling.tale.types);
        figures.count(&fault, &telling, &readiness);
    }
    eprintln!("{figures:?}");
    // Nobody makes exactly the same calls twice.
    assert!(figures.missed.len() <= 1 + figures.faults / 20, "too many faults did not come up");
}

/// Every single failure and every burst, or a sample of them spread evenly.
async fn faults_of_the_story() -> Vec<Fault> {
    let mut chosen = Vec::new();
    let calls: Vec<&str> = FAULTS.iter().map(|(call, _)| *call).collect();
    for victim in [Victim::Worker, Victim::Server] {
        let mut readiness = Readiness::default();
        let record = |world: &World| Strace::of(&calls, world.path("trace")).on(&database(world));
        let telling = tell(PITON, "recorded", Some(victim), record, async |scene| {
            readiness.ask(scene.hands).await;
            true
        });
        let telling = telling.await;
        let all = faults(victim, &telling.seen);
        if std::env::var_os("PITON_LONG").is_some() {
            chosen.extend(all);
        } else {
            let every = all.len().div_ceil(SAMPLE);
            chosen.extend(all.into_iter().skip(every / 2).step_by(every));
        }
    }
    chosen
}

fn faults(victim: Victim, seen: &[SystemCall]) -> Vec<Fault> {
    let mut made: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for call in seen {
        *made.entry((&call.name, call.thread)).or_default() += 1;
    }
    let mut faults = Vec::new();
    for (call, error) in FAULTS {
        let of_this = made.iter().filter(|((name, _), _)| *name == call);
        let most = of_this.map(|(_, count)| *count).max().unwrap_or_default();
        eprintln!("{victim:?}: {call} is made {most} times");
        let fault = |first: usize, last: usize| Fault {
            victim,
            call: call.to_owned(),
            error: error.to_owned(),
            first,
            last,
        };
        faults.extend((1..=most).map(|nth| fault(nth, nth)));
        faults.extend((1..=most).step_by(BURST).map(|first| fault(first, first + BURST - 1)));
    }
    faults
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// All of these calls fail in one of the processes.
    Calls(Victim, &'static [(&'static str, &'static str)]),
    /// Somebody else is writing, and does not come to an end.
    Locked,
}

impl Trouble {
    /// What ends it when dropped.
    async fn begin(self, scene: Scene<'_>) -> Box<dyn Send> {
        let (victim, faults) = match self {
            Self::Calls(victim, faults) => (victim, faults),
            Self::Locked => {
                let lock = scene.world.lock_writes(deadline()).await;
                return Box::new(lock.unwrap_or_else(|error| panic!("{error}")));
            }
        };
        let calls: Vec<&str> = faults.iter().map(|(call, _)| *call).collect();
        let strace = Strace::of(&calls, scene.world.path("trace")).on(&database(scene.world));
        let strace = faults.iter().fold(strace, |strace, (call, error)| strace.fail(call, error, "1+"));
        let pid = match victim {
            Victim::Worker => scene.worker,
            Victim::Server => scene.server,
        };
        Box::new(strace.attach(pid).await)
    }
}

/// Trouble that lasts for a while, from when the story has come to so many events.
#[derive(Debug)]
struct Span {
    trouble: Trouble,
    after: usize,
    phase: Phase,
    readiness: Readiness,
}

#[derive(Debug)]
enum Phase {
    Before,
    During(JoinHandle<()>),
    After(Instant),
    /// The first server was ready again after so long.
    Back(Duration),
}

impl Span {
    const fn new(trouble: Trouble, after: usize) -> Self {
        let readiness = Readiness { reasons: Vec::new(), is_ready: true };
        Self { trouble, after, phase: Phase::Before, readiness }
    }

    /// Whether it is over.
    async fn pass(&mut self, scene: Scene<'_>) -> bool {
        match &self.phase {
            Phase::Before => {
                if events(scene.eyes).await >= self.after {
                    let trouble = self.trouble.begin(scene).await;
                    // Its end waits for nobody: a request may be held up for as long as it lasts.
                    self.phase = Phase::During(tokio::spawn(async {
                        tokio::time::sleep(SPAN).await;
                        drop(trouble);
                    }));
                }
            }
            Phase::During(trouble) => {
                let is_over = trouble.is_finished();
                self.readiness.ask(scene.hands).await;
                if is_over {
                    self.phase = Phase::After(Instant::now());
                }
            }
            Phase::After(since) => {
                self.readiness.ask(scene.hands).await;
                let took = since.elapsed();
                assert!(took < BACK_WITHIN, "{self}: not ready again: {:?}", self.readiness.reasons);
                if self.readiness.is_ready {
                    self.phase = Phase::Back(took);
                }
            }
            Phase::Back(_) => {}
        }
        matches!(self.phase, Phase::Back(_))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {} events", self.trouble, self.after)
    }
}

/// How far the story has come.
async fn events(eyes: &Caller) -> usize {
    let Some(page) = eyes.try_get("/v1/runs").await else { return 0 };
    let runs = page["runs"].as_array().into_iter().flatten();
    let told = runs.filter(|run| run["agent"]["name"] == "teller");
    told.filter_map(|run| run["version"].as_u64()).sum::<u64>() as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_for_a_while_is_waited_out() {
    if let Some(why) = Strace::missing() {
        eprintln!("SKIPPED: failing database calls need strace: {why}");
        return;
    }
    let never = |_: &World| unreachable!("nobody is traced");
    let undisturbed = tell(PITON, "undisturbed", None, never, async |_| true).await.tale;
    let mut spans: Vec<Span> = (0..undisturbed.types.len())
        .flat_map(|after| TROUBLES.map(|trouble| Span::new(trouble, after)))
        .collect();
    if std::env::var_os("PITON_LONG").is_none() {
        // One of each kind, each at another moment.
        let moment = |kind: usize| undisturbed.types.len() / TROUBLES.len() * kind + 1;
        spans = TROUBLES.iter().zip(0..).map(|(trouble, kind)| Span::new(*trouble, moment(kind))).collect();
    }
    let count = spans.len();
    let mut rounds = futures::stream::iter(spans)
        .map(|mut span| async move {
            let what = span.to_string();
            let telling = tell(PITON, &what, None, never, async |scene| span.pass(scene).await).await;
            (span, telling)
        })
        .buffer_unordered(AT_ONCE);
    let (mut refused, mut named, mut back) = (0, 0, Duration::ZERO);
    while let Some((span, telling)) = rounds.next().await {
        let difference = telling.tale.gist.difference(&undisturbed.gist);
        assert_eq!(difference, None, "{span}: {:?}", telling.tale.types);
        let ended = telling.deaths.iter().find(|log| ended_at_work(log));
        assert_eq!(ended, None, "{span}: it ended in the middle of its work");
        assert!(!telling.logs.contains("panicked"), "{span}: {}", telling.logs);
        assert_eq!(
            telling.tale.surprises(),
            0,
            "{span}: the worker lived, and forgot what a call had come to"
        );
        let statuses = statuses_of_commands(&telling.logs);
        assert!(statuses.iter().all(|status| *status < 500 || *status == 503), "{span}: {statuses:?}");
        let refused_here = statuses.iter().filter(|status| **status == 503).count();
        let is_named = !span.readiness.reasons.is_empty();
        assert!(
            refused_here == 0 || is_named,
            "{span}: {refused_here} commands were refused, and it was ready"
        );
        refused += refused_here;
        named += usize::from(is_named);
        if let Phase::Back(took) = span.phase {
            back = back.max(took);
        }
    }
    eprintln!(
        "{count} spans of {SPAN:?}, {refused} commands refused, {named} named by /readyz, ready within {back:?}"
    );
}
