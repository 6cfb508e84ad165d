//! What can happen to a run. Events are facts in the past tense: appended, never edited.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AgentDigest, CallId, Decision, EffectClass, Epoch, Limits, StuckReason, WorkerId};

/// The format that events are written in. Older ones are read by [`Event::decode`].
///
/// Format 2 added [`Event::Stuck`], the limits of [`Event::Launched`], and the `full_bytes` of [`Event::ToolReturned`]
/// and [`Event::ToolFailed`]; what format 1 wrote reads as it did.
pub const FORMAT: u32 = 2;

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    Launched {
        agent: AgentDigest,
        agent_name: String,
        task: String,
        max_steps: u32,
        #[serde(default, skip_serializing_if = "Limits::is_default")]
        limits: Limits,
    },
    /// The model's reply, with every call it asks for under an id of ours.
    ModelReplied {
        turn: u32,
        text: Option<String>,
        calls: Vec<ToolCall>,
        notes: Vec<ReplyNote>,
        usage: Usage,
        model: String,
        request: TurnRequest,
        attempt: u32,
    },
    /// The model could not be asked: every try failed. `error` is fit to be shown.
    ModelFailed {
        error: String,
        tries: u32,
    },
    /// An `at_most_once` call is about to be made. Committed before the call, as a compare-and-set.
    ToolStarted {
        call: CallId,
        arguments_hash: String,
        worker: WorkerId,
        epoch: Epoch,
        attempt: u32,
        at_ms: i64,
    },
    ToolReturned {
        call: CallId,
        /// As the model is shown it.
        result: Value,
        took_ms: u64,
        attempt: u32,
        /// Where `result` is cut: how long the text is that is kept apart for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        full_bytes: Option<u64>,
    },
    /// The tool failed, or could not be called at all; the model sees `error`.
    ToolFailed {
        call: CallId,
        error: String,
        took_ms: u64,
        attempt: u32,
        /// Where `error` is cut: how long the text is that is kept apart for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        full_bytes: Option<u64>,
    },
    /// The run goes round in circles: a human is asked by `call`, a call of Piton's own, before the model is asked again.
    Stuck {
        call: ToolCall,
        reason: StuckReason,
        /// In how many replies in a row.
        times: u32,
    },
    HumanAsked {
        call: CallId,
        question: String,
    },
    HumanAnswered {
        call: CallId,
        answer: String,
    },
    /// An `at_most_once` call was begun and its result is not known: a human has to decide.
    OutcomeUnknown {
        call: CallId,
        reason: String,
    },
    OutcomeDecided {
        call: CallId,
        decision: Decision,
    },
    Paused,
    Resumed {
        max_steps: u32,
    },
    CancelRequested,
    Cancelled,
    LimitReached,
    Failed {
        error: String,
    },
    Completed {
        answer: String,
    },
    Quarantined {
        reason: String,
    },
    Released,
}

/// An event with its place and time in a run's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Counts from 1 in each run.
    pub seq: u64,
    /// UTC milliseconds.
    pub at_ms: i64,
    pub event: Event,
}

/// A call the model asked for, or Piton in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: CallId,
    /// What the wire and the provider know it by: the provider's own id, or a variation where that one was taken.
    pub call_id: String,
    pub name: String,
    /// As the model wrote them; not necessarily JSON.
    pub arguments: String,
    pub kind: CallKind,
}

/// What a call's name means to the agent it was asked of, fixed when the reply is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    AskHuman,
    FinalAnswer,
    Tool(EffectClass),
    /// The agent has no tool of this name.
    Missing,
}

/// What was out of the ordinary about a reply, and what was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyNote {
    /// Text and no call: the model is asked to use a tool.
    TextOnly,
    /// Neither text nor call.
    Empty,
    /// The text was a call written as JSON, and is taken as that call.
    CallInText,
    /// The reply ended at the token limit.
    CutOff,
    /// A call's id was taken already, or empty: it got another.
    RepeatedCallId,
    /// A call's arguments are not a JSON object.
    BadArguments,
    /// More calls than the limit: those beyond it were dropped.
    TooManyCalls,
    /// Text or arguments longer than the limit were cut.
    Clipped,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// What was sent to get a reply: enough to render it again and to check that it is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRequest {
    /// `responses` or `chat`.
    pub api: String,
    /// The request was built from the events up to this one.
    pub through_seq: u64,
    /// SHA-256 of the request's bytes, in hex.
    pub sha256: String,
    pub bytes: u64,
    /// Tries it took, 1 when the first succeeded.
    pub tries: u32,
    /// From the first byte of the first try to the last of the reply.
    pub took_ms: u64,
}

/// A stored event that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error(
        "event format {found} is newer than {FORMAT}, the newest this version of Piton reads: use a newer Piton"
    )]
    Newer { found: u32 },
    #[error("event of type {kind:?} cannot be read: {source}")]
    Unreadable { kind: String, source: serde_json::Error },
}

impl Event {
    /// The type's name, as stored and as shown: `model_replied`, `human_asked` …
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Launched { .. } => "launched",
            Self::ModelReplied { .. } => "model_replied",
            Self::ModelFailed { .. } => "model_failed",
            Self::ToolStarted { .. } => "tool_started",
            Self::ToolReturned { .. } => "tool_returned",
            Self::ToolFailed { .. } => "tool_failed",
            Self::Stuck { .. } => "stuck",
            Self::HumanAsked { .. } => "human_asked",
            Self::HumanAnswered { .. } => "human_answered",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::OutcomeDecided { .. } => "outcome_decided",
            Self::Paused => "paused",
            Self::Resumed { .. } => "resumed",
            Self::CancelRequested => "cancel_requested",
            Self::Cancelled => "cancelled",
            Self::LimitReached => "limit_reached",
            Self::Failed { .. } => "failed",
            Self::Completed { .. } => "completed",
            Self::Quarantined { .. } => "quarantined",
            Self::Released => "released",
        }
    }

    /// The event as JSON text with its `type`, to be stored beside [`FORMAT`].
    ///
    /// # Errors
    /// None in practice: every field of an event has a JSON form.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`Event::encode`] wrote in format `v`.
    ///
    /// # Errors
    /// [`EventError::Newer`] for a format this version does not know, [`EventError::Unreadable`] for a body that
    /// does not have the format's shape.
    pub fn decode(kind: &str, v: u32, body: &str) -> Result<Self, EventError> {
        if v > FORMAT {
            return Err(EventError::Newer { found: v });
        }
        serde_json::from_str(body).map_err(|source| EventError::Unreadable { kind: kind.to_owned(), source })
    }
}
