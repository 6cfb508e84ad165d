//! The practice model: rules behind OpenAI's wire, for trying Piton without a key.
//!
//! It keeps nothing between two requests: what to do next follows from the conversation and the tools in the
//! request, as with a real model. It computes nothing itself; every operation is a call of a math tool. What it does
//! not understand to the last word it refuses, and each of its answers says what it is.

mod server;

mod conversation;
mod reply;

mod story;

mod equation;
mod geometry;
mod invoke;
mod program;

mod arithmetic;
mod expr;
mod lexer;
mod number;
mod operand;
mod plan;
mod reader;
mod words;

#[cfg(test)]
mod play;
#[cfg(test)]
mod tests;

pub use server::serve;

/// What it calls itself, whatever model was asked for.
pub const NAME: &str = "piton-practice-model";
