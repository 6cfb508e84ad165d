//! What is done to the processes and to the database under them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use piton_testkit::{World, WriteLock, freeze_between_writes, is_alive, terminate, thaw};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::memory::Memory;
use crate::{LEASE, Storm};

/// Between two deeds, at least and at most.
const WAIT_MS: std::ops::Range<u64> = 100..900;
const LOOK_AT_MEMORY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    KillWorker,
    KillServer,
    KillEverything,
    StopWorker,
    StopServer,
    FreezeWorker,
    FreezeServer,
    LockDatabase,
}

impl Deed {
    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..44 => Self::KillWorker,
            44..58 => Self::KillServer,
            58..63 => Self::KillEverything,
            63..73 => Self::StopWorker,
            73..78 => Self::StopServer,
            78..92 => Self::FreezeWorker,
            92..96 => Self::FreezeServer,
            _ => Self::LockDatabase,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "workers killed",
            Self::KillServer => "servers killed",
            Self::KillEverything => "times everything killed",
            Self::StopWorker => "workers stopped",
            Self::StopServer => "servers stopped",
            Self::FreezeWorker => "workers frozen",
            Self::FreezeServer => "servers frozen",
            Self::LockDatabase => "times the database locked",
        }
    }
}

/// What was done so far, and what is to be undone.
#[derive(Debug, Default)]
pub(crate) struct Mischief {
    deeds: BTreeMap<Deed, u32>,
    /// Workers that were started by hand and ended: told to, or taken down by a poison run.
    revived: usize,
    /// Processes, until when.
    frozen: Vec<(u32, Instant)>,
    /// The database, until when.
    locked: Option<(WriteLock, Instant)>,
    /// The server, told to stop.
    stopping: bool,
}

/// Until all is over. Once it is calm, only undoes and revives.
pub(crate) async fn make(
    storm: &Storm,
    world: &mut World,
    mischief: &RefCell<Mischief>,
    memory: &RefCell<Memory>,
    spared: u32,
) {
    let mut rng = StdRng::seed_from_u64(storm.seed ^ 0x6d69_7363);
    let mut done = Mischief::default();
    let mut next_deed = Instant::now();
    let mut next_look = Instant::now();
    while storm.pause(Duration::from_millis(20)).await {
        done.undo(storm.calm.get());
        done.revive(storm, world);
        if next_look <= Instant::now() {
            next_look += LOOK_AT_MEMORY;
            memory.borrow_mut().look(spared, &world.worker_pids());
        }
        if !storm.calm.get() && next_deed <= Instant::now() {
            done.one(storm, world, &mut rng).await;
            next_deed = Instant::now() + Duration::from_millis(rng.random_range(WAIT_MS));
        }
        mischief.borrow_mut().deeds.clone_from(&done.deeds);
        mischief.borrow_mut().revived = done.revived;
    }
    done.undo(true);
}

impl Mischief {
    fn undo(&mut self, all: bool) {
        let now = Instant::now();
        self.frozen.retain(|(pid, until)| {
            let stays = !all && now < *until && is_alive(*pid);
            if !stays {
                thaw(*pid);
            }
            stays
        });
        self.locked.take_if(|(_, until)| all || now >= *until);
    }

    /// Starts again what has ended, as a supervisor would.
    fn revive(&mut self, storm: &Storm, world: &mut World) {
        self.revived += world.revive_workers();
        if let Some(status) = world.server().ended() {
            if !std::mem::take(&mut self.stopping) {
                storm.trouble(format!("the server ended by itself: {status}"));
            }
            world.start_server();
        }
    }

    async fn one(&mut self, storm: &Storm, world: &mut World, rng: &mut StdRng) {
        let deed = Deed::draw(rng);
        let workers = world.worker_pids();
        let awake: Vec<u32> = workers
            .iter()
            .copied()
            .filter(|pid| self.frozen.iter().all(|(frozen, _)| frozen != pid))
            .collect();
        let worker = awake.choose(rng).copied();
        match (deed, worker) {
            (Deed::KillWorker, _) if !workers.is_empty() => {
                world.kill_random_worker(rng);
            }
            (Deed::KillServer, _) => {
                world.kill_server();
                world.start_server();
                self.stopping = false;
            }
            (Deed::KillEverything, _) => {
                world.kill_and_start_everything();
                self.stopping = false;
            }
            (Deed::StopWorker, Some(worker)) => terminate(worker),
            (Deed::StopServer, _) => {
                terminate(world.server().pid());
                self.stopping = true;
            }
            // One that works is left.
            (Deed::FreezeWorker, Some(worker)) if awake.len() > 1 => {
                let span = LEASE.mul_f64(rng.random_range(0.3..2.5));
                if !freeze_between_writes(worker, &storm.spared).await {
                    return;
                }
                self.frozen.push((worker, Instant::now() + span));
            }
            (Deed::FreezeServer, _) => {
                let server = world.server().pid();
                if !freeze_between_writes(server, &storm.spared).await {
                    return;
                }
                self.frozen
                    .push((server, Instant::now() + Duration::from_millis(rng.random_range(100..2000))));
            }
            (Deed::LockDatabase, _) if self.locked.is_none() => {
                let span = Duration::from_millis(rng.random_range(300..6000));
                match world.lock_writes(Duration::from_secs(10)).await {
                    Ok(lock) => self.locked = Some((lock, Instant::now() + span)),
                    Err(error) => return storm.trouble(format!("nobody lets us write: {error}")),
                }
            }
            _ => return,
        }
        *self.deeds.entry(deed).or_default() += 1;
    }
}

impl fmt::Display for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (deed, times) in &self.deeds {
            write!(f, "{times} {}, ", deed.name())?;
        }
        write!(f, "{} revived", self.revived)
    }
}
