//! The practice model: rules behind OpenAI's wire, for trying Piton without a key.

mod server;

pub use server::serve;

/// What it calls itself, whatever model was asked for.
pub const NAME: &str = "piton-practice-model";
