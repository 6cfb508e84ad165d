//! Many people watch many runs live: they see each event once and soon, are sent something ten times a second at most,
//! and hardly slow down what they watch.
//!
//! 200 watchers of 20 runs; with `PITON_LONG=1` it is 1,000 of 100, three times over, and a release build (`PITON_TEST_BIN`) is
//! held to its figures.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use piton_testkit::{Spread, World};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

// As cheap a model as the one that `piton bench` measures with.
#[path = "../src/bench/model.rs"]
mod model;

use model::{Manner, PROMPT, TOOLS, answer, task};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const WATCHERS_OF_EACH: usize = 10;
const LATENCY: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;
/// Pieces that a client may be sent in a second.
const PIECES_A_SECOND: f64 = 10.0;

/// How much is done, and what is required of it.
struct Plan {
    runs: usize,
    steps: usize,
    rounds: usize,
    /// Of the steps a second that there are without watchers.
    part_of_unwatched: f64,
    /// From an event's time until its watchers have it, 99th percentile.
    late: Duration,
}

/// One client: a plain connection, so that a thousand of them cost little.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    pieces: usize,
    /// The last event that came.
    last: u64,
    lags: Vec<Duration>,
    has_seen_run: bool,
    is_over: bool,
}

impl Client {
    /// Follows a run, and returns once its history has come.
    async fn open(port: u16, run: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let request = format!(
            "GET /v1/runs/{run}/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let buffer = Vec::with_capacity(16 * 1024);
        let mut client = Self {
            stream,
            buffer,
            pieces: 0,
            last: 0,
            lags: Vec::new(),
            has_seen_run: false,
            is_over: false,
        };
        let head = loop {
            client.more().await;
            if let Some(end) = client.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break client.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
        };
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        client.read(|client| client.has_seen_run).await;
        (client.pieces, client.lags) = (0, Vec::new());
        client
    }

    /// Reads until the run is over.
    async fn follow(mut self) -> (usize, Vec<Duration>) {
        self.read(|client| client.is_over).await;
        (self.pieces, self.lags)
    }

    async fn read(&mut self, is_enough: impl Fn(&Self) -> bool) {
        loop {
            while let Some(piece) = self.next_piece() {
                self.pieces += 1;
                let now = ms_of_day();
                let piece = String::from_utf8(piece).expect("UTF-8");
                piece.split_terminator("\n\n").for_each(|frame| self.take(frame, now));
            }
            if is_enough(self) {
                return;
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        let read = tokio::time::timeout(piton_testkit::deadline(), self.stream.read_buf(&mut self.buffer));
        let read = read.await.expect("something within the deadline").expect("the connection holds");
        assert!(read > 0, "the view ended after event {}", self.last);
    }

    /// A chunk of the body, once it is there as a whole.
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        let line = self.buffer.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&self.buffer[..line]).expect("a size");
        let (begin, size) = (line + 2, usize::from_str_radix(size, 16).expect("a size in hex"));
        if self.buffer.len() < begin + size + 2 {
            return None;
        }
        let piece = self.buffer[begin..begin + size].to_vec();
        self.buffer.drain(..begin + size + 2);
        Some(piece)
    }

    fn take(&mut self, frame: &str, now: i64) {
        let Some((id, rest)) = frame.strip_prefix("id: ").and_then(|rest| rest.split_once('\n')) else {
            self.has_seen_run |= frame.starts_with("event: run\n");
            return;
        };
        assert_eq!(id.parse(), Ok(self.last + 1), "each event once, in order");
        self.last += 1;
        self.is_over |= rest.starts_with("event: completed\n");
        let (_, at) = rest.split_once(r#""at":""#).expect("an event has a time");
        let lag = (now - time_of_day(at)).rem_euclid(DAY_MS);
        self.lags.push(Duration::from_millis(u64::try_from(lag).expect("no less than nothing")));
    }
}

/// `2026-01-01T12:34:56.789Z` as milliseconds since midnight: quicker than reading the whole, which thousands a second
/// would make felt.
fn time_of_day(at: &str) -> i64 {
    let part = |from: usize, to: usize| at[from..to].parse::<i64>().expect("digits");
    ((part(11, 13) * 60 + part(14, 16)) * 60 + part(17, 19)) * 1000 + part(20, 23)
}

#[expect(clippy::disallowed_methods, reason = "compared with the times of events, which others wrote")]
fn ms_of_day() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("it is later than 1970").as_millis()).expect("the time fits") % DAY_MS
}

/// What came of one load.
struct Round {
    steps_per_s: f64,
    /// Of the client that was sent most.
    pieces_per_s: f64,
    lags: Vec<Duration>,
}

/// All runs at once, with so many watchers each.
async fn round(plan: &Plan, watchers: usize) -> Round {
    let manner = Manner { turns: plan.steps, latency: LATENCY };
    let model = model::serve(manner).await.expect("a model");
    let agent = format!(
        "name = \"count\"\ndescription = \"Counts\"\ninstructions = \"{PROMPT}\"\ntools = {TOOLS:?}\nmax_steps = 1000\n"
    );
    let world = World::new(PITON).agent("count", &agent).workers(0);
    let world = world.env("PITON_MODEL__BASE_URL", &format!("http://{model}/v1"));
    let world = world.env("PITON_MODEL__API_KEY", "none");
    let mut world = world.env("PITON_WORKER__CONCURRENCY", &plan.runs.to_string()).serve().await;
    let launches = stream::iter(0..plan.runs as u64)
        .map(async |n| (n, world.launch_with(&json!({ "agent": "count", "task": task(n) })).await));
    let ids: Vec<(u64, String)> = launches.buffer_unordered(16).collect().await;
    let port = world.port();
    let clients = stream::iter(ids.iter().flat_map(|(_, id)| std::iter::repeat_n(id, watchers)))
        .map(async |id| Client::open(port, id).await);
    let clients: Vec<Client> = clients.buffer_unordered(64).collect().await;

    // Everybody watches before anything happens.
    let begun = Instant::now();
    world.start_worker();
    let clients: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.follow())).collect();
    let caller = world.caller();
    let done = stream::iter(&ids).map(Ok::<_, ()>).try_for_each_concurrent(None, async |(n, id)| {
        let run = caller.at_rest(id).await;
        let right = (&json!("complete"), &json!(answer(*n, plan.steps)));
        assert_eq!((&run["status"], &run["final_answer"]), right);
        Ok(())
    });
    done.await.expect("all are over");
    let took = begun.elapsed().as_secs_f64();
    let mut round =
        Round { steps_per_s: (plan.runs * plan.steps) as f64 / took, pieces_per_s: 0.0, lags: Vec::new() };
    for client in clients {
        let (pieces, lags) = client.await.expect("a client that sees it all");
        // The first and the last may come at any moment.
        round.pieces_per_s = round.pieces_per_s.max((pieces as f64 - 2.0) / took);
        round.lags.extend(lags);
    }
    round
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_all_of_it_soon_and_slow_nothing_down() {
    let ms = Duration::from_millis;
    let plan = if std::env::var_os("PITON_LONG").is_some() {
        Plan { runs: 100, steps: 100, rounds: 3, part_of_unwatched: 0.8, late: ms(200) }
    } else {
        Plan { runs: 20, steps: 20, rounds: 1, part_of_unwatched: 0.5, late: ms(1000) }
    };
    let (mut speeds, mut parts, mut pieces, mut lags) = (Vec::new(), Vec::new(), 0.0_f64, Vec::new());
    for _ in 0..plan.rounds {
        let (alone, watched) = (round(&plan, 0).await, round(&plan, WATCHERS_OF_EACH).await);
        eprintln!("steps a second: {:.0} unwatched, {:.0} watched", alone.steps_per_s, watched.steps_per_s);
        speeds.push(watched.steps_per_s);
        parts.push(watched.steps_per_s / alone.steps_per_s);
        pieces = pieces.max(watched.pieces_per_s);
        lags.extend(watched.lags);
    }
    let (speed, part) = (median(speeds), median(parts));
    let lags: Spread = lags.into_iter().collect();
    eprintln!(
        "{} watchers of {} runs: {speed:.0} steps a second, {:.0} % of the same unwatched; at most {pieces:.1} pieces a second \
         and client; from an event to its watchers {lags}",
        plan.runs * WATCHERS_OF_EACH,
        plan.runs,
        100.0 * part
    );
    assert_eq!(
        lags.len(),
        plan.rounds * plan.runs * WATCHERS_OF_EACH * (2 * plan.steps),
        "nobody missed an event"
    );
    assert!(pieces <= PIECES_A_SECOND, "{pieces:.1} pieces a second");
    assert!(part >= plan.part_of_unwatched, "{:.0} % of unwatched", 100.0 * part);
    assert!(lags.percentile(99.0) < plan.late, "{lags}");
}
