//! A worker that is frozen (SIGSTOP) beyond its lease, again and again: at a random moment, in the middle of a model
//! call, and exactly between the announcement of an `at_most_once` call and its first byte. Somebody else goes on
//! meanwhile. When the frozen one wakes it writes nothing: each time it wakes its run is at rest, so that a single
//! write of its would show. "It did not happen" is not taken from anybody as long as the frozen one might still make its
//! call, and the call does not happen twice.
//!
//! 8 rounds; 200 with `PITON_LONG=1`, or as many as `PITON_ROUNDS` says; `PITON_SEED` picks other moments.
#![expect(clippy::print_stderr, reason = "what was tried is said")]

use std::time::{Duration, Instant};

use piton_testkit::{
    Caller, Gate, Ledger, Reply, Said, Say, ScriptedModel, Turnstile, World, clerk, deadline,
    freeze_between_writes, thaw, until,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const LEASE: Duration = Duration::from_secs(1);

/// Two workers that were started by hand, and what their tools and their model are.
struct Stage {
    model: ScriptedModel,
    ledger: Ledger,
    /// In front of the ledger, for the tool of the agent `careful`.
    turnstile: Turnstile,
    world: World,
    caller: Caller,
    rng: StdRng,
    said: Said,
}

/// A run whose owner stands still.
struct Frozen {
    id: String,
    pid: u32,
    /// The owner's name. Awake again, it goes on under another.
    worker: String,
    at: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_after_its_lease_writes_nothing_and_repeats_no_effect() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let long = std::env::var_os("PITON_LONG").is_some();
    let rounds = number("PITON_ROUNDS").unwrap_or(if long { 200 } else { 8 });
    let seed = number("PITON_SEED").unwrap_or(1);
    let mut stage = Stage::set(seed).await;
    for round in 0..rounds {
        match round % 4 {
            0 => stage.at_a_random_moment(round).await,
            1 => stage.in_the_middle_of_a_model_call(round).await,
            2 => stage.between_intent_and_sending_and_woken(round).await,
            _ => stage.between_intent_and_sending_and_killed(round).await,
        }
    }
    eprintln!("seed {seed}: frozen {rounds} times; {:?}", stage.said);
    assert_no_epoch_falls(&stage.world);
    stage.model.assert_every_request_was_valid();
}

impl Stage {
    async fn set(seed: u64) -> Self {
        let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
        let turnstile = Turnstile::before(&ledger).await;
        let agent = clerk::agent(&ledger, 15);
        let careful = agent
            .replace("name = \"clerk\"", "name = \"careful\"")
            .replace(&ledger.url("mode=plain&latency_ms=15"), &turnstile.url("mode=plain"));
        model.script("clerk", clerk::script());
        model.set_latency(Duration::from_millis(20));
        let world = World::new(PITON).model(&model).agent("clerk", &agent).agent("careful", &careful);
        let lease_ms = LEASE.as_millis().to_string();
        let mut world = world.workers(0).env("PITON_WORKER__LEASE_MS", &lease_ms).serve().await;
        world.start_worker();
        world.start_worker();
        world.workers_ready(2).await;
        let caller = world.caller();
        let rng = StdRng::seed_from_u64(seed);
        Self { model, ledger, turnstile, world, caller, rng, said: Said::default() }
    }

    async fn at_a_random_moment(&mut self, round: u64) {
        let body = json!({ "task": clerk::task(round), "agent": "clerk" });
        let id = self.world.launch_with(&body).await;
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..500))).await;
        let Some(frozen) = self.freeze_owner(&id).await else { return };
        let rested = self.at_rest(&frozen).await;
        self.wake(&frozen, &rested).await;
        let run = self.see_it_end(&id).await;
        assert_eq!(clerk::trouble_with_run(round, &run), None);
        assert_eq!(clerk::trouble_with_events(round, &self.world.events(&id).await), Vec::<String>::new());
        for line in 1..=clerk::LINES {
            let booked = self.ledger.booked(&clerk::account(round), line).await;
            assert_eq!(booked.len(), 1, "round {round}, line {line}: {booked:?}");
        }
    }

    async fn in_the_middle_of_a_model_call(&mut self, round: u64) {
        let gate = Gate::new();
        let tag = format!("slow-{round}");
        self.model.script(&tag, [Say::answer("done").held_by(&gate)]);
        let id = self.world.launch(&format!("[{tag}]")).await;
        gate.reached(1).await;
        let frozen = self.freeze_owner(&id).await.expect("it waits for the model");
        gate.reached(2).await;
        gate.open();
        let rested = self.at_rest(&frozen).await;
        assert_eq!(rested["status"], "complete", "round {round}: {rested:#}");
        // The reply to its own request has come in meanwhile, and is dropped.
        self.wake(&frozen, &rested).await;
    }

    async fn between_intent_and_sending_and_woken(&mut self, round: u64) {
        let (frozen, _) = self.frozen_before_the_first_byte(round).await;
        if self.rng.random() {
            self.turnstile.open();
        }
        let rested = self.world.run(&frozen.id).await;
        thaw(frozen.pid);
        self.turnstile.open();
        // It makes the call that it had announced; what it gets for it, it cannot write any more.
        let called = until(deadline(), "the call is there", async || {
            let booked = self.ledger.booked(&clerk::account(round), 1).await;
            (!booked.is_empty()).then_some(())
        });
        called.await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        self.wake(&frozen, &rested).await;
        let run = self.see_it_end(&frozen.id).await;
        assert_eq!(run["final_answer"], "booked", "round {round}");
        let booked = self.ledger.booked(&clerk::account(round), 1).await;
        assert_eq!(booked.len(), 1, "round {round}: {booked:?}");
        self.turnstile.close().await;
    }

    async fn between_intent_and_sending_and_killed(&mut self, round: u64) {
        let (frozen, question) = self.frozen_before_the_first_byte(round).await;
        self.world.kill_worker(frozen.pid);
        let said = self.say(&frozen.id, &question, "did_not_happen").await;
        assert_eq!(said.status, 200, "round {round}: it is gone and can call no more: {}", said.text);
        self.said.did_not_happen += 1;
        self.turnstile.open();
        let run = self.see_it_end(&frozen.id).await;
        assert_eq!(run["final_answer"], "booked", "round {round}");
        let booked = self.ledger.booked(&clerk::account(round), 1).await;
        assert_eq!(booked.len(), 1, "round {round}: {booked:?}");
        self.turnstile.close().await;
        self.world.workers_ready(2).await;
    }

    /// A run whose owner has announced an `at_most_once` call, waits in `connect` and is frozen there; and the id of
    /// the question that somebody else has put meanwhile. "Did not happen" has been refused.
    async fn frozen_before_the_first_byte(&mut self, round: u64) -> (Frozen, Value) {
        let tag = format!("book-{round}");
        let call = json!({ "account": clerk::account(round), "line": 1, "amount": 5 });
        self.model.script(&tag, [Say::call("book", call), Say::answer("booked")]);
        let body = json!({ "task": format!("[{tag}]"), "agent": "careful" });
        let id = self.world.launch_with(&body).await;
        let announced = until(deadline(), "the call is announced", async || {
            let run = self.world.run(&id).await;
            run["pending"][0]["started_at"].is_string().then_some(())
        });
        announced.await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let frozen = self.freeze_owner(&id).await.expect("its owner waits in front of the turnstile");
        let run = self.at_rest(&frozen).await;
        assert_eq!(run["question"]["kind"], "unknown_outcome", "round {round}: {run:#}");
        assert_eq!(run["question"]["started"]["worker"], frozen.worker, "it says who: {run:#}");
        let question = run["question"]["id"].clone();
        for _ in 0..3 {
            let said = self.say(&id, &question, "did_not_happen").await;
            assert_eq!(said.status, 409, "round {round}: it is still there: {}", said.text);
            assert!(said.text.contains("still-acting"), "{}", said.text);
        }
        assert_eq!(
            written(&self.world.run(&id).await),
            written(&run),
            "round {round}: a refusal changes nothing"
        );
        assert!(self.ledger.booked(&clerk::account(round), 1).await.is_empty(), "not a byte was sent");
        (frozen, question)
    }

    /// Freezes the worker that owns the run, not in the middle of a write. `None` when the run is over before.
    async fn freeze_owner(&self, id: &str) -> Option<Frozen> {
        let frozen = until(deadline(), "its owner stands still", async || {
            let run = self.world.run(id).await;
            if run["status"] == "complete" {
                return Some(None);
            }
            let worker = run["owner"].as_str()?.to_owned();
            let pid = worker.split('-').nth(1)?.parse().expect("a worker's name holds its process id");
            if !freeze_between_writes(pid, &self.caller).await {
                return None;
            }
            let at = Instant::now();
            if self.world.run(id).await["owner"] != *worker {
                thaw(pid);
                return None;
            }
            Some(Some(Frozen { id: id.to_owned(), pid, worker, at }))
        });
        frozen.await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The run, once others have brought it to where nothing happens by itself any more: its end, or a question that
    /// cannot be answered while the frozen worker is there.
    async fn at_rest(&mut self, frozen: &Frozen) -> Value {
        let rested = until(deadline(), "the others go on with the run", async || {
            let run = self.world.run(&frozen.id).await;
            match run["status"].as_str() {
                Some("complete") => return Some(run),
                Some("undecided") => {}
                _ => return None,
            }
            let waited = self.said.waited;
            self.said.attend(&self.caller, &self.ledger, str::to_owned).await;
            if self.said.waited > waited { Some(self.world.run(&frozen.id).await) } else { None }
        });
        let rested = rested.await.unwrap_or_else(|error| panic!("{error}"));
        tokio::time::sleep_until((frozen.at + LEASE.mul_f64(1.2)).into()).await;
        rested
    }

    /// Wakes the frozen worker and waits until it has found out that it owns nothing. It has written nothing.
    async fn wake(&self, frozen: &Frozen, rested: &Value) {
        thaw(frozen.pid);
        let anew = until(deadline(), "it goes on under another name", async || {
            let workers = self.world.get("/v1/workers").await.expect(200);
            let mut names = workers["workers"].as_array()?.iter().filter(|row| row["pid"] == frozen.pid);
            names.any(|row| row["id"] != *frozen.worker && row["alive"] == true).then_some(())
        });
        anew.await.unwrap_or_else(|error| panic!("{error}: {}", self.world.log_of(frozen.pid)));
        let log = self.world.log_of(frozen.pid);
        let its_own: Vec<&str> = log.lines().filter(|line| line.contains(&frozen.worker)).collect();
        assert!(
            its_own.iter().any(|line| line.contains("step dropped")),
            "it says that its step was fenced off: {its_own:#?}"
        );
        let run = self.world.run(&frozen.id).await;
        assert_eq!(written(&run), written(rested), "a write of a worker whose lease was over");
    }

    async fn see_it_end(&mut self, id: &str) -> Value {
        let over = until(deadline(), "the run ends", async || {
            self.said.attend(&self.caller, &self.ledger, str::to_owned).await;
            let run = self.world.run(id).await;
            (run["status"] == "complete").then_some(run)
        });
        over.await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn say(&self, id: &str, question: &Value, decision: &str) -> Reply {
        let body = json!({ "question": question, "decision": decision });
        self.world.post(&format!("/v1/runs/{id}/answer"), &body).await
    }
}

/// What every write to a run changes: what it is, how much of it there is, whose it is, and when that was written.
fn written(run: &Value) -> Vec<&Value> {
    ["status", "version", "steps", "epoch", "attempt", "owner", "pending", "updated_at"]
        .map(|name| &run[name])
        .to_vec()
}

/// What is in the database itself: along a run's history, the epoch of whoever wrote never falls.
fn assert_no_epoch_falls(world: &World) {
    let sql = "SELECT count(*), count(epoch), count(*) FILTER (WHERE epoch < highest) FROM (SELECT epoch, \
               max(epoch) OVER (PARTITION BY run ORDER BY seq) AS highest FROM events) AS written";
    let Ok(said) = world.shell().arg(sql).output() else {
        eprintln!("SKIPPED: the epochs in the database were not read: there is no `sqlite3` on this machine");
        return;
    };
    let line = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let fallen = line.split('|').nth(2).unwrap_or_else(|| panic!("{said:?}"));
    eprintln!("events | written by a worker | by an epoch that was over: {line}");
    assert_eq!(fallen, "0", "events | written by a worker | by an epoch that was over: {line}");
}
