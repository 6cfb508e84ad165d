//! Trouble with the database while everything runs: the disk is full, the file read-only, somebody else's lock does not
//! go away, reads and writes fail. Requests are refused with a time to come back, `/readyz` says why, reading goes on
//! where it can, and when it is over all goes on by itself within 5 s: nothing that was accepted is lost.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use piton_testkit::{
    Ledger, LoopDisk, Reply, Said, Say, ScriptedModel, Strace, World, clerk, cpu_seconds, database, deadline,
    until,
};
use reqwest::Method;
use serde_json::json;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// How soon all goes on when the trouble is over.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Runs under way when it begins.
const UNDER_WAY: u64 = 20;
/// A request that cannot be carried out says so within this: SQLite waits 5 s for a lock.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);

/// A world with work under way.
struct Scene {
    model: ScriptedModel,
    ledger: Ledger,
    world: World,
    workers: Vec<u32>,
    /// Clerks that were accepted so far: they have the numbers below this.
    accepted: u64,
}

/// What was seen while the trouble lasted.
#[derive(Debug, Default)]
struct Seen {
    accepted: u64,
    refused: u32,
    /// Reads that were refused.
    unread: u32,
    reasons: Vec<String>,
    slowest: Duration,
    /// Of all workers together, as a share of one processor.
    busy: f64,
}

impl Scene {
    async fn set(world: impl FnOnce(World) -> World, lease_ms: u64) -> Self {
        let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
        model.script("clerk", clerk::script());
        model.script("quick", [Say::answer("here")]);
        model.set_latency(Duration::from_millis(20));
        model.forget_bodies();
        let bare = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 5)).workers(2);
        let world = world(bare).env("PITON_WORKER__LEASE_MS", &lease_ms.to_string()).serve().await;
        world.workers_ready(2).await;
        let mut scene = Self { workers: world.worker_pids(), model, ledger, world, accepted: 0 };
        for _ in 0..UNDER_WAY {
            let reply = scene.launch("").await;
            assert_eq!(reply.status, 201, "{}", reply.text);
        }
        scene
    }

    /// Launches the next clerk, its task made long by `padding`. Refused, it may be tried again.
    async fn launch(&mut self, padding: &str) -> Reply {
        let n = self.accepted;
        let body = json!({ "task": format!("{}{padding}", clerk::task(n)), "agent": "clerk" });
        let request =
            self.world.request(Method::POST, "/v1/runs").header("Idempotency-Key", format!("run-{n}"));
        let reply = self.world.send(request.json(&body)).await;
        self.accepted += u64::from(reply.status == 201);
        reply
    }

    /// Goes on launching and reading for `span`.
    async fn endure(&mut self, span: Duration, padding: &str) -> Seen {
        let (began, spent) = (Instant::now(), self.processor_seconds());
        let mut seen = Seen::default();
        while began.elapsed() < span {
            let asked = Instant::now();
            let launched = self.launch(padding).await;
            seen.slowest = seen.slowest.max(asked.elapsed());
            match launched.status {
                201 => seen.accepted += 1,
                _ => seen.refused += u32::from(is_put_off(&launched)),
            }
            let read = self.world.get("/v1/runs?limit=1").await;
            seen.unread += u32::from(read.status != 200 && is_put_off(&read));
            let ready = self.world.get("/readyz").await;
            if ready.status != 200 && is_put_off(&ready) {
                seen.reasons.push(ready.json()["reason"].as_str().expect("it says why").to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        seen.reasons.sort();
        seen.reasons.dedup();
        seen.busy = (self.processor_seconds() - spent) / began.elapsed().as_secs_f64();
        seen
    }

    fn processor_seconds(&self) -> f64 {
        self.workers.iter().filter_map(|pid| cpu_seconds(*pid)).sum()
    }

    /// The trouble is over since `over`: all goes on, and everything that was accepted comes to its right end.
    async fn goes_on(&mut self, what: &str, over: Instant, seen: &Seen, words: &[&str]) {
        let back = until(deadline(), format!("{what}: a run is launched and ends"), async || {
            let caller = self.world.caller();
            let id = caller.try_launch("quick", "[quick]", "default").await?;
            let run = caller.try_get(&format!("/v1/runs/{id}")).await?;
            (run["status"] == "complete").then_some(())
        });
        back.await.unwrap_or_else(|error| panic!("{error}: {seen:?}"));
        let took = over.elapsed();
        self.world.get("/readyz").await.expect(200);
        eprintln!("{what}: {seen:?}; a run launched and ended {took:?} after it was over");
        assert!(took < BACK_WITHIN, "{what}: {took:?}");
        assert!(seen.refused > 0, "{what}: nobody was refused");
        assert!(seen.busy < 0.25, "{what}: the workers do not wait: {seen:?}");
        assert!(seen.slowest < REFUSED_WITHIN, "{what}: a request waited {:?}", seen.slowest);
        let named = seen.reasons.iter().any(|reason| words.iter().any(|word| reason.contains(word)));
        assert!(named, "{what}: none of {words:?} in {:?}", seen.reasons);

        let (caller, mut said) = (self.world.caller(), Said::default());
        let ended = until(deadline() * 2, "every run ends", async || {
            said.attend(&caller, &self.ledger, |_| unreachable!("nobody asks")).await;
            caller.try_runs("running,undecided").await?.is_empty().then_some(())
        });
        if let Err(error) = ended.await {
            panic!("{what}: {error}: {:#?}", caller.try_runs("running,undecided").await);
        }
        let runs = caller.try_runs("complete,failed,quarantined").await.expect("the server answers");
        let clerks: Vec<_> = runs.iter().filter(|run| run["agent"]["name"] == "clerk").collect();
        assert_eq!(clerks.len() as u64, self.accepted, "{what}: as many runs as were accepted");
        for run in clerks {
            let n =
                clerk::number_of(run["task"].as_str().expect("a task")).expect("a clerk's task has a number");
            assert_eq!(clerk::trouble_with_run(n, run), None, "{what}");
        }
        let entries = self.ledger.entries().await;
        assert_eq!(clerk::trouble_with_ledger(self.accepted, &entries), Vec::<String>::new(), "{what}");
        assert_eq!(self.world.worker_pids(), self.workers, "{what}: no worker died of it");
        self.model.assert_every_request_was_valid();
        self.world.doctor_finds_nothing().await.expect("a sound database");
    }
}

/// A refusal that says when to come back. Anything else is a failure.
fn is_put_off(reply: &Reply) -> bool {
    assert_eq!(reply.status, 503, "{}", reply.text);
    let after: Option<u32> = reply.header("retry-after").and_then(|seconds| seconds.parse().ok());
    assert!(after.is_some_and(|seconds| seconds > 0), "when to come back? {:?}", reply.headers);
    true
}

/// A disk for the database, or the reason why there is none.
fn disk(world: &World) -> Result<LoopDisk, String> {
    LoopDisk::mount(&world.path("disk.img"), &world.path("data"), 64 << 20)
}

#[tokio::test]
async fn a_disk_that_is_full_for_longer_than_a_lease_is_waited_out() {
    let mut mounted = Err("nobody tried".to_owned());
    let scene = Scene::set(
        |world| {
            mounted = disk(&world);
            world
        },
        3000,
    );
    let mut scene = scene.await;
    let disk = match mounted {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: a full disk needs a disk of its own: {why}"),
    };
    disk.fill();
    let seen = scene.endure(Duration::from_secs(6), &"x".repeat(50_000)).await;
    disk.free();
    scene.goes_on("disk full", Instant::now(), &seen, &["full"]).await;
}

#[tokio::test]
async fn a_database_made_read_only_is_waited_out() {
    let mut scene = Scene::set(|world| world, 10_000).await;
    // Not the third, `-shm`, which is mapped: whoever writes to such a page is killed by the kernel, not refused.
    let files = ["data/piton.db", "data/piton.db-wal"].map(|file| scene.world.path(file)).to_vec();
    let read_only = match Immutable::make(files) {
        Ok(read_only) => read_only,
        Err(why) => return eprintln!("SKIPPED: files are made read-only to root by chattr: {why}"),
    };
    let seen = scene.endure(Duration::from_secs(3), "").await;
    drop(read_only);
    scene.goes_on("read-only", Instant::now(), &seen, &["read"]).await;
}

/// Files that not even root may write, until this is dropped.
struct Immutable(Vec<PathBuf>);

impl Immutable {
    fn make(files: Vec<PathBuf>) -> Result<Self, String> {
        let immutable = Self(files);
        immutable.chattr("+i").map(|()| immutable)
    }

    fn chattr(&self, how: &str) -> Result<(), String> {
        let output =
            Command::new("chattr").arg(how).args(&self.0).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _as_they_were = self.chattr("-i");
    }
}

#[tokio::test]
async fn another_process_that_writes_for_8_s_is_waited_out() {
    let mut scene = Scene::set(|world| world, 3000).await;
    let lock = scene.world.lock_writes(deadline()).await;
    let lock = lock.unwrap_or_else(|error| panic!("{error}"));
    let seen = scene.endure(Duration::from_secs(8), "").await;
    drop(lock);
    assert_eq!(seen.unread, 0, "reading goes on");
    scene.goes_on("locked", Instant::now(), &seen, &["locked"]).await;
}

#[tokio::test]
async fn reads_and_writes_that_fail_are_waited_out() {
    if let Some(why) = Strace::missing() {
        return eprintln!("SKIPPED: failing reads and writes need strace: {why}");
    }
    let mut scene = Scene::set(|world| world, 10_000).await;
    let mut attached = Vec::new();
    let pids = [scene.world.server().pid()].into_iter().chain(scene.workers.clone());
    for (place, pid) in pids.enumerate() {
        let calls = ["pread64", "pwrite64", "fsync"];
        let strace = Strace::of(&calls, scene.world.path(&format!("trace-{place}")));
        let strace = calls
            .iter()
            .fold(strace.on(&database(&scene.world)), |strace, call| strace.fail(call, "EIO", "1+"));
        attached.push(strace.attach(pid).await);
    }
    let seen = scene.endure(Duration::from_secs(3), "").await;
    drop(attached);
    scene.goes_on("I/O errors", Instant::now(), &seen, &["I/O"]).await;
}

#[tokio::test]
async fn two_servers_on_one_file_are_one() {
    let model = ScriptedModel::start().await;
    model.script("ask", [Say::ask("Which?"), Say::answer("done")]);
    let mut one = World::new(PITON).model(&model).serve().await;
    let store = format!("sqlite://{}", one.path("data/piton.db").display());
    let other = World::new(PITON).model(&model).env("PITON_STORE__URL", &store).serve().await;
    other.workers_ready(2).await;

    let id = one.launch("[ask]").await;
    let run = other.until(&id, &["waiting_human_input"]).await;
    other.answer(&run, "this").await.expect(200);
    assert_eq!(one.until(&id, &["complete"]).await["final_answer"], "done");
    assert_eq!(one.events(&id).await, other.events(&id).await);

    // Under one key it is one run, whoever is asked.
    let caller = [one.caller(), other.caller()];
    let ids =
        futures::future::join_all(caller.iter().map(|caller| caller.try_launch("key", "[ask]", "default")))
            .await;
    assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");

    one.kill_everything();
    let run = other.until(ids[0].as_ref().expect("a run"), &["waiting_human_input"]).await;
    other.answer(&run, "that").await.expect(200);
    other.until(ids[0].as_ref().expect("a run"), &["complete"]).await;
    model.assert_every_request_was_valid();
    other.doctor_finds_nothing().await.expect("a sound database");
}
