//! An agent's definition as it is pinned to a run: prompt text, model, limits and tools, all in one value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Limits;

/// What an agent is. Runs are pinned to the digest of this value's JSON, so an edited file strands nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    pub name: String,
    pub description: String,
    /// The prompt's text, not a path to it.
    pub instructions: String,
    pub model: String,
    pub max_steps: u32,
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    pub tools: Vec<ToolSpec>,
}

impl Agent {
    pub fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// One tool as the model is told of it, and as the worker carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments: an object with `additionalProperties: false`.
    pub parameters: Value,
    pub effect: EffectClass,
    pub kind: ToolKind,
}

/// What may be done with a call whose result is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Changes nothing outside: may be called again at will.
    Pure,
    /// The same key has its effect once: may be called again with the same key.
    Idempotent,
    /// Never called again by itself: an unknown result is put to a human.
    AtMostOnce,
}

impl EffectClass {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Idempotent => "idempotent",
            Self::AtMostOnce => "at_most_once",
        }
    }
}

/// How a tool is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToolKind {
    /// Asks a human; carried out by the reducer, not by a worker.
    AskHuman,
    /// Ends the run; carried out by the reducer, not by a worker.
    FinalAnswer,
    /// A tool of the registry in the binary, found by its name.
    Builtin,
    /// A request to a server, declared in the agent's file.
    Http(HttpTool),
}

/// An HTTP request as a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpTool {
    pub method: HttpMethod,
    pub url: String,
    pub timeout_ms: u64,
    /// Whether private, loopback and link-local addresses may be called.
    pub allow_private: bool,
    /// Values such as `env:LEDGER_TOKEN` are references, resolved by the worker at the call: no secret is stored.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}
