//! A worker, a store and a scripted model in one process: what a run's events are, whatever comes in between.

mod commands;
mod given_back;
mod shared;
mod turns;
mod unknown;
mod world;
