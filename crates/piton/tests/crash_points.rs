//! A process is killed before each of its database and network calls in turn, while a story is told in which
//! everything happens that can happen to a run. The history comes out the same wherever it was killed, save outcomes
//! that were declared unknown and that a person decided.
//!
//! A call that a killed process did not make is the moment *after* the call before it, too, so this is before and after
//! each. Every call of a kind that leaves a trace is a point: writes, syncs, cuts and locks of the database's files,
//! and everything on sockets.
//!
//! A sample of the points here; `PITON_LONG=1` takes all of them, `PITON_POINT=worker:pwrite64:17` takes one.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use futures::StreamExt;
use piton_testkit::{
    Caller, Ledger, ScriptedModel, Story, Strace, SystemCall, Tale, World, deadline, is_alive, until,
};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// On the database's files.
const DATABASE: [&str; 6] = ["pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "fcntl"];
/// On any socket.
const NETWORK: [&str; 7] = ["connect", "accept4", "sendto", "sendmsg", "writev", "recvfrom", "shutdown"];
/// Rounds at once.
const AT_ONCE: usize = 2;
/// Points of a short sweep, for each of the two processes.
const SAMPLE: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Worker,
    Server,
}

/// Right before the `nth` call of this sort that one thread of the victim makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    victim: Victim,
    call: String,
    nth: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victim = match self.victim {
            Victim::Worker => "worker",
            Victim::Server => "server",
        };
        write!(f, "{victim}:{}:{}", self.call, self.nth)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let victim = match parts.first() {
            Some(&"worker") => Victim::Worker,
            Some(&"server") => Victim::Server,
            _ => return Err(format!("{text:?} names neither worker nor server")),
        };
        let [_, call, nth] = parts[..] else { return Err(format!("{text:?} is not VICTIM:CALL:NTH")) };
        Ok(Self { victim, call: call.to_owned(), nth: nth.parse().map_err(|_| format!("{nth:?} is no number"))? })
    }
}

/// How a round ended.
#[derive(Debug)]
struct Round {
    tale: Tale,
    /// Whether the point was reached, and the victim died of it.
    died: bool,
    /// The victim's calls, where they were recorded.
    seen: Vec<SystemCall>,
}

/// What strace does in a round.
#[derive(Debug, Clone)]
enum Plan {
    Nothing,
    Record(Victim, Sort),
    Kill(Point),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Database,
    Network,
}

impl Sort {
    const fn calls(self) -> &'static [&'static str] {
        match self {
            Self::Database => &DATABASE,
            Self::Network => &NETWORK,
        }
    }

    fn of(call: &str) -> Self {
        if DATABASE.contains(&call) { Self::Database } else { Self::Network }
    }
}

impl Plan {
    fn strace(&self, world: &World) -> Option<(Victim, Strace)> {
        let (victim, sort) = match self {
            Self::Nothing => return None,
            Self::Record(victim, sort) => (*victim, *sort),
            Self::Kill(point) => (point.victim, Sort::of(&point.call)),
        };
        let strace = Strace::of(sort.calls(), world.path("trace"));
        let strace = match sort {
            Sort::Database => strace.on(&database(world)),
            Sort::Network => strace,
        };
        let strace = match self {
            Self::Kill(point) => strace.kill_before(&point.call, point.nth),
            Self::Nothing | Self::Record(..) => strace,
        };
        Some((victim, strace))
    }
}

/// The database's files, as they are or will be.
fn database(world: &World) -> Vec<PathBuf> {
    ["", "/piton.db", "/piton.db-wal", "/piton.db-shm"]
        .iter()
        .map(|name| world.path(&format!("data{name}")))
        .collect()
}

/// Tells the story once, with whatever is planned for it.
async fn round(plan: &Plan) -> Round {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    let mut story = Story::new(&model);
    let world = World::new(PITON).model(&model).agent("teller", &Story::agent(&ledger)).workers(0);
    // One thread for everything asynchronous: strace counts by thread.
    let mut world = world.env("TOKIO_WORKER_THREADS", "1");
    let strace = plan.strace(&world);
    let of = |victim: Victim| strace.as_ref().filter(|(of, _)| *of == victim).map(|(_, strace)| strace);
    // A second server on the same database, to look through: the first one gets a person's commands only, so that
    // its calls do not depend on how often somebody looks.
    let store = format!("sqlite://{}", world.path("data/piton.db").display());
    let eyes = World::new(PITON).agent("teller", &Story::agent(&ledger)).workers(0).env("PITON_STORE__URL", &store);
    let eyes = eyes.serve().await;
    fill_log(&world, &eyes).await;

    world.start_server_under(of(Victim::Server));
    let mut worker = world.start_worker_under(of(Victim::Worker));
    let (hands, look) = (world.caller(), eyes.caller());
    let mut died = false;
    let told = until(deadline() * 2, "the story is over", async || {
        // What died is started again, as its supervisor would.
        if world.server().ended().is_some() {
            died = true;
            world.start_server();
        }
        if !is_alive(worker) {
            died = true;
            worker = world.start_worker();
        }
        story.go_on(&hands, &look, &ledger).await;
        story.is_over().then_some(())
    });
    if let Err(error) = told.await {
        panic!("{plan:?}: {error}\n{}", unfinished(&look).await);
    }
    let tale = story.told(&look).await;
    assert_eq!(story.trouble_with_ledger(&ledger).await, Vec::<String>::new(), "{plan:?}");
    model.assert_every_request_was_valid();
    let mut said = String::new();
    let well = until(deadline(), "doctor finds nothing", async || {
        let doctor = world.cli(&["doctor"]).await;
        said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        doctor.status.success().then_some(())
    });
    let well = well.await;
    assert!(well.is_ok(), "{plan:?}: {said}");
    let seen = strace.as_ref().map(|(_, strace)| strace.seen()).unwrap_or_default();
    Round { tale, died, seen }
}

/// Brings the write-ahead log so near to its limit that it is carried over into the database in the middle of the
/// story, by whoever writes just then.
async fn fill_log(world: &World, eyes: &World) {
    const FRAME_BYTES: u64 = 4096 + 24;
    let log = world.path("data/piton.db-wal");
    let run = eyes.launch("Wait.").await;
    while log.metadata().map_or(0, |meta| meta.len()) < 880 * FRAME_BYTES {
        for verb in ["pause", "resume"] {
            eyes.poke(&format!("/v1/runs/{run}/{verb}")).await.expect(200);
        }
    }
    eyes.poke(&format!("/v1/runs/{run}/cancel")).await.expect(200);
}

async fn unfinished(caller: &Caller) -> String {
    let runs = caller.try_get("/v1/runs").await.unwrap_or_default();
    let workers = caller.try_get("/v1/workers").await.unwrap_or_default();
    format!("{runs:#}\n{workers:#}")
}

/// The points that the recorded calls make: for each sort as many as the busiest thread made.
fn points(victim: Victim, sort: Sort, seen: &[SystemCall]) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for call in seen {
        *counts.entry((call.name.as_str(), call.thread)).or_default() += 1;
    }
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for ((call, _), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    eprintln!("{victim:?}: {} {sort:?} calls, {most:?} in the busiest thread", seen.len());
    most.into_iter()
        .flat_map(|(call, count)| (1..=count).map(move |nth| Point { victim, call: call.to_owned(), nth }))
        .collect()
}

/// How many of the calls are points: a thread's nth call is none when another thread makes its nth one sooner.
fn covered(seen: &[SystemCall]) -> usize {
    let mut by_thread: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut covered = 0;
    for call in seen {
        let nth = by_thread.entry((&call.name, call.thread)).or_default();
        *nth += 1;
        let most = reached.entry(&call.name).or_default();
        if *nth > *most {
            *most = *nth;
            covered += 1;
        }
    }
    covered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_the_same_wherever_a_process_is_killed() {
    if let Some(why) = Strace::missing() {
        eprintln!("SKIPPED: the crash points of a run need strace: {why}");
        return;
    }
    let undisturbed = round(&Plan::Nothing).await.tale;
    everything_is_in(&undisturbed);

    let points = match std::env::var("PITON_POINT") {
        Ok(point) => vec![point.parse().unwrap_or_else(|error| panic!("PITON_POINT: {error}"))],
        Err(_) => points_of_the_story(&undisturbed).await,
    };
    let count = points.len();
    let mut rounds = futures::stream::iter(points)
        .map(async |point| {
            let round = round(&Plan::Kill(point.clone())).await;
            (point, round)
        })
        .buffer_unordered(AT_ONCE);
    let (mut died, mut unknown, mut missed) = (0, 0, Vec::new());
    while let Some((point, round)) = rounds.next().await {
        let difference = round.tale.gist.difference(&undisturbed.gist);
        assert_eq!(difference, None, "PITON_POINT={point}: {:?}", round.tale.types);
        let more = round.tale.unknown - undisturbed.unknown;
        assert!(more <= 1, "PITON_POINT={point}: one death, and {more} outcomes declared unknown");
        unknown += more;
        if round.died { died += 1 } else { missed.push(point.to_string()) }
    }
    eprintln!("{count} points, {died} deaths, {unknown} outcomes declared unknown and decided; not reached: {missed:?}");
    assert!(missed.len() * 20 <= count, "one in twenty points or more was not reached");
}

/// All points, or a sample of them spread evenly.
async fn points_of_the_story(undisturbed: &Tale) -> Vec<Point> {
    let mut chosen = Vec::new();
    for victim in [Victim::Worker, Victim::Server] {
        let mut all = Vec::new();
        for sort in [Sort::Database, Sort::Network] {
            let round = round(&Plan::Record(victim, sort)).await;
            assert_eq!(round.tale.gist.difference(&undisturbed.gist), None, "being watched changes nothing");
            eprintln!("{victim:?}: {} of {} {sort:?} calls are points", covered(&round.seen), round.seen.len());
            all.extend(points(victim, sort, &round.seen));
        }
        if std::env::var_os("PITON_LONG").is_some() {
            chosen.extend(all);
        } else {
            let every = all.len().div_ceil(SAMPLE);
            chosen.extend(all.into_iter().skip(every / 2).step_by(every));
        }
    }
    chosen
}

/// The story would show nothing if the thing itself did not happen in it.
fn everything_is_in(tale: &Tale) {
    let count = |kind: &str| tale.types.iter().filter(|seen| *seen == kind).count();
    for (kind, times) in [
        ("model_replied", 10),
        ("tool_started", 5),
        ("tool_returned", 9),
        ("human_asked", 1),
        ("human_answered", 1),
        ("outcome_unknown", 1),
        ("outcome_decided", 1),
        ("paused", 1),
        ("limit_reached", 1),
        ("resumed", 2),
        ("completed", 1),
        ("cancel_requested", 1),
        ("cancelled", 1),
    ] {
        assert_eq!(count(kind), times, "{kind} in {:?}", tale.types);
    }
}
