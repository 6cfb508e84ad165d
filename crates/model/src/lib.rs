//! Asks a language model for the next reply, whichever of OpenAI's two APIs its server speaks, and brings one of
//! its own for practice.
//!
//! The only crate that names async-openai: its client carries the requests, over a transport of ours that bounds
//! what comes back. What a provider may get wrong (status codes, shapes, calls written as text) ends here; what
//! leaves is a [`piton_core::Reply`] or one sentence that says why there is none. Nothing here knows of runs, and
//! nothing is kept between two asks but what the endpoint was found not to support.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod config;

mod client;
mod learned;
mod render;
mod retry;
mod transport;

mod chat;
mod responses;
mod text_call;
mod wire;

pub mod practice;

pub use client::{Ask, ModelClient, ModelFailure, Replied};
pub use config::{Api, ModelConfig, ModelConfigError};
pub use render::{Again, Renderer};
pub use retry::Backoff;
