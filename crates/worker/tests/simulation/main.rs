//! The protocol under a deterministic scheduler: real workers over the store in memory, in simulated time, in weather
//! that is drawn from a seed. The same seed tells the same story, always.
//!
//! `PITON_SEED=n cargo nextest run -p piton-worker -E 'binary(simulation) & test(one_seed)' --no-capture` tells it
//! line by line.

mod client;
mod ledger;
mod oracle;
mod place;
mod process;
mod seams;
mod store;
mod story;
mod universe;
mod weather;
mod world;

mod mutants;
mod scenes;
mod seeds;
mod sweep;
