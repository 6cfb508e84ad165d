//! A process is killed before each of its database and network calls in turn, while a story is told in which
//! everything happens that can happen to a run. The history comes out the same wherever it was killed, save outcomes
//! that were declared unknown and that a person decided.
//!
//! The moment before a call is the moment after the one before it, so this is before and after each. The points are
//! the calls that leave a trace: writes, syncs, cuts and locks of the database's files, and everything on sockets.
//!
//! A sample of the points here; `PITON_LONG=1` takes all of them, `PITON_POINT=worker:pwrite64:17` takes one.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use futures::StreamExt;
use piton_testkit::{Strace, SystemCall, Tale, Telling, Victim, World, database, tell};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// On the database's files.
const DATABASE: [&str; 6] = ["pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "fcntl"];
/// On any socket.
const NETWORK: [&str; 7] = ["connect", "accept4", "sendto", "sendmsg", "writev", "recvfrom", "shutdown"];
/// Rounds at once.
const AT_ONCE: usize = 2;
/// Points of a short sweep, for each of the two processes: all of the kinds of which there are few, such as a
/// connection for each effect, and so many of the others.
const FEW: usize = 8;
const SAMPLE: usize = 6;

/// Right before the `nth` call of this sort that one thread of the victim makes.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let wrong = || format!("{text:?} is not worker:CALL:NTH or server:CALL:NTH");
        let [victim, call, nth] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let victim = match victim {
            "worker" => Victim::Worker,
            "server" => Victim::Server,
            _ => return Err(wrong()),
        };
        Ok(Self { victim, call: call.to_owned(), nth: nth.parse().map_err(|_| wrong())? })
    }
}

impl Point {
    /// The calls that it is counted among.
    fn sort(&self) -> &'static [&'static str] {
        if DATABASE.contains(&self.call.as_str()) { &DATABASE } else { &NETWORK }
    }
}

fn strace(world: &World, calls: &[&str]) -> Strace {
    let strace = Strace::of(calls, world.path("trace"));
    if calls == DATABASE { strace.on(&database(world)) } else { strace }
}

async fn undisturbed() -> Telling {
    let telling =
        tell(PITON, "undisturbed", None, |_| unreachable!("nobody is traced"), async |_| true).await;
    everything_is_in(&telling.tale);
    telling
}

async fn recorded(victim: Victim, calls: &[&str]) -> Telling {
    tell(PITON, "recorded", Some(victim), |world| strace(world, calls), async |_| true).await
}

async fn killed(point: &Point) -> Telling {
    let trace = |world: &World| strace(world, point.sort()).kill_before(&point.call, point.nth);
    tell(PITON, &format!("PITON_POINT={point}"), Some(point.victim), trace, async |_| true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_the_same_wherever_a_process_is_killed() {
    if let Some(why) = Strace::missing() {
        eprintln!("SKIPPED: the crash points of a run need strace: {why}");
        return;
    }
    let undisturbed = undisturbed().await.tale;
    let points = match std::env::var("PITON_POINT") {
        Ok(point) => vec![point.parse().unwrap_or_else(|error| panic!("PITON_POINT: {error}"))],
        Err(_) => points_of_the_story(&undisturbed).await,
    };
    let count = points.len();
    let mut rounds = futures::stream::iter(points)
        .map(|point| async move {
            let telling = killed(&point).await;
            (point, telling)
        })
        .buffer_unordered(AT_ONCE);
    let (mut deaths, mut unknown, mut missed) = (0, 0, Vec::new());
    while let Some((point, telling)) = rounds.next().await {
        let Telling { tale, deaths: died, .. } = telling;
        let difference = tale.gist.difference(&undisturbed.gist);
        assert_eq!(difference, None, "PITON_POINT={point}: {:?}", tale.types);
        let surprises = tale.surprises();
        assert!(surprises <= 1, "PITON_POINT={point}: one death, and more than one unknown outcome");
        unknown += surprises;
        deaths += died.len();
        if died.is_empty() {
            missed.push(point.to_string());
        }
    }
    eprintln!(
        "{count} points, {deaths} deaths, {unknown} outcomes declared unknown and decided; not reached: {missed:?}"
    );
    // Nobody makes exactly the same calls twice.
    assert!(missed.len() <= 1 + count / 20, "too many points were not reached");
}

/// All points, or a sample of them spread evenly.
async fn points_of_the_story(undisturbed: &Tale) -> Vec<Point> {
    let mut chosen = Vec::new();
    for victim in [Victim::Worker, Victim::Server] {
        let mut all = Vec::new();
        for calls in [DATABASE.as_slice(), &NETWORK] {
            let telling = recorded(victim, calls).await;
            assert_eq!(
                telling.tale.gist.difference(&undisturbed.gist),
                None,
                "being watched changes nothing"
            );
            all.extend(points(victim, &telling.seen));
        }
        if std::env::var_os("PITON_LONG").is_some() {
            chosen.extend(all);
        } else {
            let count = |call: &str| all.iter().filter(|point| point.call == call).count();
            let (few, many): (Vec<_>, Vec<_>) =
                all.iter().cloned().partition(|point| count(&point.call) <= FEW);
            let every = many.len().div_ceil(SAMPLE);
            chosen.extend(few);
            chosen.extend(many.into_iter().skip(every / 2).step_by(every));
        }
    }
    chosen
}

/// One point for each call of a kind that the busiest thread makes. A call of another thread is none when the busiest
/// comes to that number sooner, as with the locks that reading takes.
fn points(victim: Victim, seen: &[SystemCall]) -> Vec<Point> {
    let mut made: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for call in seen {
        let nth = made.entry((&call.name, call.thread)).or_default();
        *nth += 1;
        let most = most.entry(&call.name).or_default();
        *most = (*most).max(*nth);
    }
    let points: usize = most.values().sum();
    eprintln!("{victim:?}: {points} of {} calls are points: {most:?}", seen.len());
    most.into_iter()
        .flat_map(|(call, count)| (1..=count).map(move |nth| Point { victim, call: call.to_owned(), nth }))
        .collect()
}

/// The story would show nothing if the thing itself did not happen in it.
fn everything_is_in(tale: &Tale) {
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
        let count = tale.types.iter().filter(|seen| *seen == kind).count();
        assert_eq!(count, times, "{kind} in {:?}", tale.types);
    }
}
