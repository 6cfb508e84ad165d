//! A run as the original wire shows it.

use std::collections::HashSet;

use piton_core::{Context, Item, Pending, Recorded, Status, ToolCall};
use piton_store::RunRow;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::word;
use crate::api::Api;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct State {
    #[schema(format = "uuid")]
    id: String,
    steps: u32,
    /// `running`, `waiting_human_input`, `paused`, `complete`, `failed` or `max_steps_reached`.
    status: &'static str,
    #[schema(value_type = Vec<Object>)]
    context: Vec<Item>,
    /// What the model asked for and is not carried out yet.
    pending_tool_calls: Vec<PendingToolCall>,
    #[schema(required = true)]
    error: Option<String>,
    #[schema(required = true)]
    final_answer: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingToolCall {
    name: String,
    /// Empty where the model wrote no JSON object.
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
    call_id: String,
    r#type: &'static str,
}

impl State {
    /// The state as `row` has it, with the history up to there.
    pub(crate) async fn load(api: &Api, row: RunRow) -> Result<Self, Problem> {
        let history = api.history(row.id, row.run.version).await?;
        Ok(Self::new(row, &history))
    }

    pub(crate) fn new(row: RunRow, history: &[Recorded]) -> Self {
        let context: Context = history.iter().map(|recorded| &recorded.event).collect();
        let carried_out: HashSet<&str> = context.items().iter().filter_map(call_id).collect();
        let pending = row.run.pending.iter().filter(|pending| !carried_out.contains(&*pending.call.call_id));
        Self {
            id: row.id.to_string(),
            steps: row.run.steps,
            status: word(row.run.status),
            pending_tool_calls: pending.map(PendingToolCall::new).collect(),
            context: context.items().to_vec(),
            error: error(&row),
            final_answer: row.run.final_answer,
        }
    }
}

fn call_id(item: &Item) -> Option<&str> {
    match item {
        Item::Call { call_id, .. } => Some(call_id),
        Item::Message { .. } | Item::Output { .. } => None,
    }
}

/// The run's error; where this wire has no word for the status, what the status is and what to do.
fn error(row: &RunRow) -> Option<String> {
    let run = &row.run;
    match run.status {
        Status::Cancelled => Some("cancelled".to_owned()),
        Status::Quarantined => {
            let why = run.error.as_deref().unwrap_or("it took several workers down");
            Some(format!("quarantined: {why}. Let it go on with POST /v1/runs/{}/release", row.id))
        }
        Status::Undecided => {
            let name = run.front().map_or("a call", |pending| pending.call.name.as_str());
            Some(format!(
                "undecided: whether {name} took effect is unknown. Decide it in the web UI or with \
                 POST /v1/runs/{}/answer",
                row.id
            ))
        }
        _ => run.error.clone(),
    }
}

impl PendingToolCall {
    fn new(pending: &Pending) -> Self {
        let ToolCall { name, arguments, call_id, .. } = &pending.call;
        Self {
            name: name.clone(),
            arguments: serde_json::from_str(arguments).unwrap_or_default(),
            call_id: call_id.clone(),
            r#type: "function_call",
        }
    }
}
