//! What black-box tests of the real binary need, and nothing that ships: a model that says what it is told to, a
//! ledger that counts effects in a process of its own, and a world of real processes that can be killed at will.
//!
//! It speaks HTTP and signals, as a user, a peer or an outage would. Only [`memory`] knows Piton's crates: the store's
//! trait, which it carries out in memory for simulations.

mod caller;
pub mod clerk;
mod copies;
mod crowd;
mod dialogue;
mod freeze;
pub mod ledger;
mod loop_disk;
pub mod memory;
mod memory_limit;
mod network;
mod person;
mod postgres;
mod process;
mod relay;
mod reply;
mod rng;
mod script;
mod scripted_model;
mod spread;
mod stage;
mod story;
mod strace;
mod tale;
mod tmpfs;
mod turnstile;
mod until;
mod wall_clock;
mod world;
mod write_lock;

pub use caller::Caller;
pub use copies::{copies_sql, copy};
pub use crowd::Crowd;
pub use dialogue::{Api, Dialogue, Entry};
pub use freeze::freeze_between_writes;
pub use ledger::{Ledger, LedgerEntry};
pub use loop_disk::LoopDisk;
pub use memory_limit::MemoryLimit;
pub use network::{Cut, Network};
pub use person::Said;
pub use postgres::{OpenTransaction, Pooler, PostgresServer};
pub use process::{
    Process, cpu_seconds, descendants, freeze, is_alive, kill, pss_bytes, terminate, thaw, worker_pids_under,
};
pub use relay::Relay;
pub use reply::{Reply, at_ms};
pub use rng::Rng;
pub use script::{Call, Fault, Gate, Say, Script, Turn};
pub use scripted_model::{ScriptedModel, Seen};
pub use spread::Spread;
pub use stage::{Scene, Telling, Victim, database, tell};
pub use story::Story;
pub use strace::{Attached, Strace, SystemCall};
pub use tale::{Gist, Tale};
pub use tmpfs::Tmpfs;
pub use turnstile::Turnstile;
pub use until::{deadline, until};
pub use wall_clock::WallClock;
pub use world::{World, is_on_postgres};
pub use write_lock::WriteLock;
