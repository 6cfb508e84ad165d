//! A run as the new wire shows it.

use std::collections::BTreeMap;

use piton_core::{Interrupt, Pending, RunId, ToolCall, WorkerId};
use piton_store::{RunRow, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::limits::Limits;
use super::shown::{StatusName, Time};

/// One execution of an agent, from launch to outcome.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Run {
    #[schema(format = "uuid")]
    id: String,
    status: StatusName,
    agent: AgentRef,
    /// The task's first 200 characters on one line; the whole is in the first event.
    task: String,
    /// Steps taken: model calls, questions put, and the final answer.
    steps: u32,
    max_steps: u32,
    limits: Limits,
    /// Model replies recorded.
    turns: u32,
    /// The id of the last event.
    version: u64,
    tenant: String,
    labels: BTreeMap<String, String>,
    /// Higher goes first; 0 is normal.
    priority: i32,
    usage: Usage,
    /// Why the run did not come to an answer.
    #[schema(required = true)]
    error: Option<String>,
    #[schema(required = true)]
    final_answer: Option<String>,
    /// What the run waits for a human to say.
    #[schema(required = true)]
    question: Option<Question>,
    /// Whether it was paused when an outcome became unknown, or when it was quarantined: it is paused again after that.
    was_paused: bool,
    /// What the model, or Piton in its place, asked for and is not carried out yet, in order.
    pending: Vec<PendingCall>,
    /// The worker that holds the run now.
    #[schema(required = true)]
    owner: Option<String>,
    /// Tries at the step under way; 0 between steps.
    attempt: u32,
    epoch: u64,
    created_at: Time,
    updated_at: Time,
    /// When it came to rest for good, or until somebody resumes or releases it.
    #[schema(required = true)]
    finished_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AgentRef {
    name: String,
    /// SHA-256 of the definition that the run is pinned to, in hex.
    digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Usage {
    input_tokens: u64,
    output_tokens: u64,
}

/// A question of the model's or of Piton's own, or a call whose outcome is unknown. Either is answered at `/v1/runs/{id}/answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Question {
    /// What an answer has to name.
    #[schema(format = "uuid")]
    id: String,
    kind: QuestionKind,
    /// The question, or why the outcome is unknown.
    text: String,
    /// Set where Piton itself asks and not the model, because the run goes round in circles.
    #[schema(required = true)]
    stuck: Option<StuckReason>,
    /// The call it is about.
    #[schema(required = true)]
    call: Option<QuestionCall>,
    /// Who began the call whose outcome is unknown, and when.
    #[schema(required = true)]
    started: Option<Started>,
    /// The worker that began it, while its process is still there: the call may yet happen, so the decision
    /// `did_not_happen` is refused with `still-acting` until that process has ended.
    #[schema(required = true)]
    still_acting: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuestionKind {
    /// Wants `answer`.
    Question,
    /// Wants `decision`.
    UnknownOutcome,
}

/// Why a run is held to be stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StuckReason {
    /// Tool calls failed one after the other.
    ToolErrors,
    /// One call came to the same end again and again.
    RepeatedCall,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct QuestionCall {
    /// Also the call's idempotency key.
    #[schema(format = "uuid")]
    id: String,
    /// What the model knows the call by.
    call_id: String,
    name: String,
    /// As the model wrote them; not necessarily JSON.
    arguments: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Started {
    worker: String,
    epoch: u64,
    attempt: u32,
    at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PendingCall {
    #[schema(format = "uuid")]
    id: String,
    call_id: String,
    name: String,
    /// As the model wrote them; not necessarily JSON.
    arguments: String,
    /// Set from the moment an `at_most_once` call is begun.
    #[schema(required = true)]
    started_at: Option<Time>,
}

impl Run {
    /// A run as it stands, with what only its workers' processes can tell.
    pub(crate) async fn of(store: &dyn Store, row: RunRow) -> Self {
        let still_acting = still_acting(store, row.id, row.run.interrupt.as_ref()).await;
        let run = row.run;
        let asked = run.interrupt.as_ref().map(Interrupt::call);
        let about = run.pending.iter().find(|pending| asked == Some(pending.call.id));
        Self {
            id: row.id.to_string(),
            status: StatusName(run.status),
            agent: AgentRef { name: row.agent_name, digest: run.agent.to_string() },
            task: row.task,
            steps: run.steps,
            max_steps: run.max_steps,
            limits: run.limits.into(),
            turns: run.turns,
            version: run.version,
            tenant: row.tenant,
            labels: row.labels,
            priority: row.priority,
            usage: Usage { input_tokens: run.usage.input_tokens, output_tokens: run.usage.output_tokens },
            error: run.error,
            final_answer: run.final_answer,
            question: run.interrupt.as_ref().map(|interrupt| Question::new(interrupt, about, still_acting)),
            was_paused: run.was_paused,
            pending: run.pending.iter().map(PendingCall::new).collect(),
            owner: row.owner.map(|owner| owner.to_string()),
            attempt: row.attempt,
            epoch: row.epoch.0,
            created_at: Time(row.created_at_ms),
            updated_at: Time(row.updated_at_ms),
            finished_at: row.finished_at_ms.map(Time),
        }
    }
}

impl Question {
    pub(crate) fn new(
        interrupt: &Interrupt,
        about: Option<&Pending>,
        still_acting: Option<WorkerId>,
    ) -> Self {
        let (kind, text) = match interrupt {
            Interrupt::Question { question, .. } => (QuestionKind::Question, question),
            Interrupt::UnknownOutcome { reason, .. } => (QuestionKind::UnknownOutcome, reason),
        };
        Self {
            id: interrupt.id().to_string(),
            kind,
            text: text.clone(),
            stuck: about.and_then(|pending| pending.stuck).map(StuckReason::from),
            call: about.map(|pending| QuestionCall::new(&pending.call)),
            started: about.and_then(|pending| pending.started.as_ref()).map(Started::new),
            still_acting: still_acting.map(|worker| worker.to_string()),
        }
    }
}

/// The worker that may yet make the call whose outcome is unknown. What cannot be read now is not said: this only spares
/// a reader what would be refused.
pub(crate) async fn still_acting(
    store: &dyn Store,
    run: RunId,
    interrupt: Option<&Interrupt>,
) -> Option<WorkerId> {
    match interrupt {
        Some(Interrupt::UnknownOutcome { .. }) => store.still_acting(run).await.ok().flatten(),
        Some(Interrupt::Question { .. }) | None => None,
    }
}

impl From<piton_core::StuckReason> for StuckReason {
    fn from(reason: piton_core::StuckReason) -> Self {
        match reason {
            piton_core::StuckReason::ToolErrors => Self::ToolErrors,
            piton_core::StuckReason::RepeatedCall => Self::RepeatedCall,
        }
    }
}

impl QuestionCall {
    fn new(call: &ToolCall) -> Self {
        Self {
            id: call.id.to_string(),
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        }
    }
}

impl Started {
    fn new(started: &piton_core::Started) -> Self {
        Self {
            worker: started.worker.to_string(),
            epoch: started.epoch.0,
            attempt: started.attempt,
            at: Time(started.at_ms),
        }
    }
}

impl PendingCall {
    fn new(pending: &Pending) -> Self {
        Self {
            id: pending.call.id.to_string(),
            call_id: pending.call.call_id.clone(),
            name: pending.call.name.clone(),
            arguments: pending.call.arguments.clone(),
            started_at: pending.started.as_ref().map(|started| Time(started.at_ms)),
        }
    }
}
