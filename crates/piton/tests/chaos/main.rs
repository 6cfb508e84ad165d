//! Everything that may happen to an installation, at random and all at once: processes killed, stopped and frozen
//! beyond their lease, the database locked by somebody else, a model that refuses, hangs and breaks off, people who
//! pause, resume and cancel at any moment, tools that lose their replies, runs that take their worker down. Every run
//! has to end as it should, every acknowledged command has to be found in its history, every effect in the ledger as
//! often as its class allows; a person who looks into the ledger decides what no machine can know.
//!
//! 20 s here. `cargo xtask chaos [--minutes N] [--seed S]` runs it for as long as one likes, on the release build:
//! it sets `PITON_MINUTES` and `PITON_SEED`. A seed repeats what is done, not the microsecond in which it is done.
#![expect(clippy::print_stderr, reason = "the course and the figures of the storm are its result")]

mod crowd;
mod meddling;
mod memory;
mod mischief;
mod roster;
mod verdict;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use piton_testkit::{Caller, Ledger, Process, Said, ScriptedModel, World, deadline, until};

use memory::Memory;
use mischief::Mischief;
use roster::Roster;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// Short, so that many a freeze outlasts it.
const LEASE: Duration = Duration::from_secs(2);
/// How long runs may take to end once everything is calm: leases, backoffs and a poison run's three deaths.
const CALM_MAX: Duration = Duration::from_secs(120);

/// What all who take part in the storm share. They are tasks of one thread.
struct Storm {
    seed: u64,
    /// The server that is killed, stopped and frozen like everything else.
    caller: Caller,
    /// A second server on the same database, spared: it is asked how things stand, and its memory is watched.
    spared: Caller,
    ledger: Ledger,
    roster: RefCell<Roster>,
    said: Cell<Said>,
    /// Set when the time is up, or at the first trouble: nobody begins anything new.
    calm: Cell<bool>,
    /// Set when all is over.
    over: Cell<bool>,
    trouble: RefCell<Vec<String>>,
}

impl Storm {
    fn trouble(&self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("TROUBLE: {what}");
        self.trouble.borrow_mut().push(what);
        self.calm.set(true);
    }

    /// Returns after `pause`, or as soon as all is over.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::time::sleep(pause).await;
        !self.over.get()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_every_run_ends_as_it_should() {
    let span = Duration::from_secs_f64(60.0 * number("PITON_MINUTES").unwrap_or(1.0 / 3.0));
    let seed = number("PITON_SEED").map_or(1, |seed| seed as u64);
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    crowd::script(&model, seed);
    let (mut world, spared) = installation(&model, &ledger).await;
    let storm = Storm {
        seed,
        caller: world.caller(),
        spared: world.caller().at(&spared.base),
        ledger,
        roster: RefCell::new(Roster::default()),
        said: Cell::default(),
        calm: Cell::new(false),
        over: Cell::new(false),
        trouble: RefCell::default(),
    };
    let mischief = RefCell::new(Mischief::default());
    let memory = RefCell::new(Memory::default());
    let began = Instant::now();
    let course = async {
        tokio::join!(
            crowd::keep_busy(&storm),
            meddling::meddle(&storm),
            attend(&storm),
            mischief::make(&storm, &mut world, &mischief, &memory, spared.process.pid()),
            tell(&storm, span, &mischief, &memory),
        )
    };
    course.await;
    if storm.trouble.borrow().is_empty() {
        verdict::on_everything(&storm, &world, &model).await;
        storm.trouble.borrow_mut().extend(memory.borrow().trouble());
    }
    let (trouble, roster) = (storm.trouble.borrow(), storm.roster.borrow());
    eprintln!(
        "seed {seed}, {:.0?}: {roster}; {}; {:?}",
        began.elapsed(),
        mischief.borrow(),
        storm.said.get()
    );
    eprintln!("{}", memory.borrow());
    let again = format!("cargo xtask chaos --minutes {:.1} --seed {seed}", span.as_secs_f64() / 60.0);
    assert!(trouble.is_empty(), "{} troubles, see above; again with: {again}", trouble.len());
}

/// The spared server.
struct Spared {
    process: Process,
    base: String,
}

async fn installation(model: &ScriptedModel, ledger: &Ledger) -> (World, Spared) {
    let mut world = World::new(PITON).model(model).kept_on_failure().workers(2);
    for (name, agent) in crowd::agents(ledger) {
        world = world.agent(name, &agent);
    }
    let mut world = world
        .env("PITON_WORKER__LEASE_MS", &LEASE.as_millis().to_string())
        .env("PITON_WORKER__SHUTDOWN_MS", "2000")
        .env("PITON_MODEL__TIMEOUT_MS", "1500")
        .env("PITON_TEST__TOOLS", "true")
        .env("PITON_LOG__LEVEL", "info,piton_worker::step=warn")
        .serve()
        .await;
    world.start_worker();
    world.start_worker();
    world.workers_ready(4).await;

    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let listen = port.expect("a free port").to_string();
    let mut command = world.command();
    command.args(["serve", "--workers", "0", "--listen", &listen]);
    let process = Process::start("spared", command, &world.path("spared.log"));
    let spared = Spared { process, base: format!("http://{listen}") };
    let caller = world.caller().at(&spared.base);
    let ready = until(deadline(), "a second server is ready", async || caller.try_get("/readyz").await);
    ready.await.unwrap_or_else(|error| panic!("{error}:\n{}", spared.process.log()));
    (world, spared)
}

/// The person at the inbox, until all is over.
async fn attend(storm: &Storm) {
    while storm.pause(Duration::from_millis(50)).await {
        let mut said = storm.said.get();
        said.attend(&storm.spared, &storm.ledger, crowd::answer_to).await;
        storm.said.set(said);
    }
}

/// Says once a minute how it goes, and when the time is up.
async fn tell(storm: &Storm, span: Duration, mischief: &RefCell<Mischief>, memory: &RefCell<Memory>) {
    let began = Instant::now();
    let mut minutes = 0;
    while storm.pause(Duration::from_millis(100)).await {
        if began.elapsed() >= span {
            storm.calm.set(true);
        }
        if began.elapsed().as_secs() / 60 > minutes {
            minutes += 1;
            let (roster, mischief, memory) = (storm.roster.borrow(), mischief.borrow(), memory.borrow());
            eprintln!("minute {minutes}: {roster}; {mischief}; {memory}");
        }
    }
}

fn number(name: &str) -> Option<f64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}
