//! Where a [`Story`] is told: a server that a person commands, a second server on the same database that they look
//! through, and a worker. strace may have its hand in one of the first or the last.

use std::path::PathBuf;

use crate::caller::Caller;
use crate::ledger::Ledger;
use crate::process::is_alive;
use crate::scripted_model::ScriptedModel;
use crate::story::Story;
use crate::strace::{Strace, SystemCall};
use crate::tale::Tale;
use crate::until::{deadline, until};
use crate::world::{World, is_on_postgres};

/// Whose calls are interfered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Worker,
    Server,
}

/// A story that was told to its end, with the ledger right and `piton doctor` content.
#[derive(Debug)]
pub struct Telling {
    pub tale: Tale,
    /// What a server or worker that died had written by then; each was started again.
    pub deaths: Vec<String>,
    /// The victim's calls.
    pub seen: Vec<SystemCall>,
    /// The logs of all processes but the second server.
    pub logs: String,
}

/// The processes as they are at the moment.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub world: &'a World,
    /// To the first server.
    pub hands: &'a Caller,
    /// To the second.
    pub eyes: &'a Caller,
    pub server: u32,
    pub worker: u32,
}

/// Tells the story once. `trace` makes strace's orders for the victim's first process, `meanwhile` is called each time
/// the person has looked, and says whether it may end there; `what` names it all for whoever reads a failure.
///
/// # Panics
/// When the story does not come to its end, or not to a right one.
pub async fn tell(
    binary: &str,
    what: &str,
    victim: Option<Victim>,
    trace: impl Fn(&World) -> Strace,
    mut meanwhile: impl AsyncFnMut(Scene<'_>) -> bool,
) -> Telling {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    let mut story = Story::new(&model);
    let agent = Story::agent(&ledger);
    // One thread for everything asynchronous: strace counts by thread.
    let world = World::new(binary).model(&model).agent("teller", &agent).env("TOKIO_WORKER_THREADS", "1");
    let mut world = world.workers(0);
    let store = world.store_url().to_owned();
    let eyes = World::new(binary).agent("teller", &agent).workers(0).env("PITON_STORE__URL", &store);
    let eyes = eyes.serve().await;
    if !is_on_postgres() {
        fill_log(&world, &eyes).await;
    }

    let strace = victim.map(|victim| (victim, trace(&world)));
    let of =
        |wanted: Victim| strace.as_ref().filter(|(victim, _)| *victim == wanted).map(|(_, strace)| strace);
    world.start_server_under(of(Victim::Server));
    let mut worker = world.start_worker_under(of(Victim::Worker));
    let (hands, look) = (world.caller(), eyes.caller());
    let mut deaths = Vec::new();
    let told = until(deadline() * 2, "the story is over", async || {
        start_again(&mut world, &mut worker, &mut deaths);
        story.go_on(&hands, &look, &ledger).await;
        let server = world.server().pid();
        let may_end = meanwhile(Scene { world: &world, hands: &hands, eyes: &look, server, worker }).await;
        (may_end && story.is_over()).then_some(())
    });
    if let Err(error) = told.await {
        let (runs, workers) = (look.try_get("/v1/runs").await, look.try_get("/v1/workers").await);
        panic!("{what}: {error}: {runs:#?} {workers:#?}");
    }
    let tale = story.told(&look).await;
    let trouble = story.trouble_with_ledger(&ledger).await;
    assert!(trouble.is_empty(), "{what}: {trouble:?}");
    model.assert_every_request_was_valid();
    // The last of all calls may be the one that kills, too.
    let mut said = Ok(());
    let well = until(deadline(), "doctor finds nothing", async || {
        start_again(&mut world, &mut worker, &mut deaths);
        said = world.doctor().await;
        said.is_ok().then_some(())
    });
    assert!(well.await.is_ok(), "{what}: {said:?}");
    let seen = strace.as_ref().map(|(_, strace)| strace.seen()).unwrap_or_default();
    Telling { tale, deaths, seen, logs: world.logs() }
}

/// What died is started again, as its supervisor would.
fn start_again(world: &mut World, worker: &mut u32, deaths: &mut Vec<String>) {
    if world.server().ended().is_some() {
        deaths.push(world.server().log());
        world.start_server();
    }
    if !is_alive(*worker) {
        deaths.push(world.log_of(*worker));
        *worker = world.start_worker();
    }
}

/// The database's files, as they are or will be, and their folder.
pub fn database(world: &World) -> Vec<PathBuf> {
    ["", "/piton.db", "/piton.db-wal", "/piton.db-shm"]
        .iter()
        .map(|name| world.path(&format!("data{name}")))
        .collect()
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
