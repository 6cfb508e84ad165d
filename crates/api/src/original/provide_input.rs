//! `POST /agent/provide_input`: answers the open `ask_human`, and nothing else.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use piton_core::{CallId, Command, Refusal, Status, TASK_CHARS_MAX};
use piton_store::{CommandError, RunRow};
use utoipa::ToSchema;

use super::body::Members;
use super::{OriginalError, OriginalInvalid, not_found, refused, run_id, state};
use crate::api::Shared;
use crate::problem::{Kind, Problem};

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct ProvideInputRequest {
    id: String,
    answer: String,
    /// The call id of the question that is meant: refused if another is open.
    call_id: Option<String>,
}

/// Answer the agent's question
#[utoipa::path(
    post,
    path = "/agent/provide_input",
    tag = "original",
    operation_id = "original_provide_input",
    request_body = ProvideInputRequest,
    responses(
        (status = 200, description = "The state with the answer", body = state::State),
        (status = 400, description = "`State is not waiting for human input. Current status: X`",
            body = OriginalError),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = 409, description = "Another question is open", body = OriginalError),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn provide_input(
    State(api): Shared,
    mut members: Members,
) -> Result<Json<state::State>, Problem> {
    let id = members.text("id");
    let answer = members.bounded_text("answer", TASK_CHARS_MAX);
    let call_id = members.optional_text("call_id");
    members.done()?;
    let run = run_id(&id)?;
    let question = match call_id {
        None => None,
        Some(call_id) => Some(named(&api.store.run(run).await?.ok_or_else(not_found)?, &call_id)?),
    };
    let command = Command::Answer { question, answer };
    let row = api.store.command(run, command).await.map_err(in_this_wire)?;
    Ok(Json(state::State::load(&api, row).await?))
}

/// The open question, if it goes by this call id.
fn named(row: &RunRow, call_id: &str) -> Result<CallId, Problem> {
    if row.run.status != Status::WaitingHumanInput {
        return Err(not_waiting(row.run.status));
    }
    let open = row.open_question();
    let open = row.run.pending.iter().find(|pending| Some(pending.call.id) == open);
    open.filter(|pending| pending.call.call_id == call_id)
        .map(|pending| pending.call.id)
        .ok_or_else(other_question)
}

fn in_this_wire(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => not_found(),
        CommandError::Refused(Refusal::NotWaiting { status }) => not_waiting(status),
        CommandError::Refused(Refusal::OtherKind { .. }) => not_waiting(Status::Undecided),
        CommandError::Refused(Refusal::OtherQuestion { .. }) => other_question(),
        other => other.into(),
    }
}

fn not_waiting(status: Status) -> Problem {
    refused(Kind::NotWaiting, StatusCode::BAD_REQUEST, status, |word| {
        format!("State is not waiting for human input. Current status: {word}")
    })
}

fn other_question() -> Problem {
    Problem::new(Kind::OtherQuestion, "Another question is open than the one that call_id names")
}
