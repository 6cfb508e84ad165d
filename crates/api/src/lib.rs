//! The only crate that knows HTTP.
//!
//! It serves the original wire under `/agent`, the new one under `/v1`, the web UI at `/`, and says who may call
//! ([`access`]). It writes commands and reads what came of them, all through [`piton_store::Store`]; it never calls a
//! model or a tool, and knows nothing of workers but the rows they leave.

mod access;
mod api;
mod problem;
mod request;

mod original;
mod v1;

mod docs;
mod feed;
mod health;
mod server;
mod ui;

#[cfg(test)]
mod world;

pub use api::{ApiOptions, Prompt, Prompts};
pub use docs::openapi;
pub use server::{listen, router, serve};
