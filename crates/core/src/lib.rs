//! The agent as pure functions: what a run is, what may happen to it, and what it is owed next.
//!
//! Nothing in this crate waits, reads a clock, draws a random number or does IO. A run is the fold of its
//! events ([`Run::apply`]); what it is owed is a function of that fold ([`next()`]); what somebody may ask of it
//! is checked against it ([`Command::decide`]); what the model is shown is built from its events ([`Context`]).

mod ids;
mod limits;

mod agent;
mod command;
mod context;
mod event;
mod next;
mod reply;
mod run;
mod status;
mod stuck;

pub use agent::{Agent, EffectClass, HttpMethod, HttpTool, ToolKind, ToolSpec};
pub use command::{Command, Decision, Refusal};
pub use context::{Context, Item};
pub use event::{CallKind, Event, EventError, FORMAT, Recorded, ReplyNote, ToolCall, TurnRequest, Usage};
pub use ids::{AgentDigest, CallId, Epoch, InvalidId, RunId, WorkerId};
pub use limits::{
    ARGUMENTS_BYTES_MAX, CALLS_PER_REPLY_MAX, EMPTY_REPLIES_MAX, EVENTS_MAX, Limits, OUTPUT_BYTES_MAX,
    RESUME_STEPS, TASK_CHARS_MAX, TEXT_BYTES_MAX, clip,
};
pub use next::{Next, is_fact, merge, next, settle};
pub use reply::{Reply, RequestedCall};
pub use run::{IllegalEvent, Interrupt, Pending, REDUCER, Run, Started};
pub use status::{InvalidStatus, Status};
pub use stuck::{Streak, Stuck, StuckReason};
