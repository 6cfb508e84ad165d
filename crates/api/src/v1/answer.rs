//! `POST /v1/runs/{id}/answer`: answers the open question, or decides an unknown outcome. The question is named, so
//! that a late retry never answers the next one.

use axum::Json;
use axum::extract::State;
use piton_core::{CallId, Command, Decision, OUTPUT_BYTES_MAX, TASK_CHARS_MAX};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::{JsonBody, RunPath};

/// What was sent, whichever of [`Answer`]'s shapes it means to have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    question: String,
    answer: Option<String>,
    decision: Option<Word>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
}

/// A `null` that was sent is a result too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Happened,
    DidNotHappen,
    Abort,
}

/// An answer to a question, or a decision about a call whose outcome is unknown.
#[derive(ToSchema)]
#[schema(as = Answer)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only the OpenAPI document reads it; Given is what is parsed, for clearer errors"
)]
enum Answer {
    /// Answers a question.
    Text {
        /// The open question's id.
        #[schema(format = "uuid")]
        question: String,
        answer: String,
    },
    /// The call took effect, with this result.
    Happened {
        #[schema(format = "uuid")]
        question: String,
        #[schema(inline)]
        decision: Happened,
        result: Value,
    },
    /// The call took no effect and is made again, or the run is given up.
    Not {
        #[schema(format = "uuid")]
        question: String,
        #[schema(inline)]
        decision: DidNot,
    },
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
enum Happened {
    Happened,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
enum DidNot {
    DidNotHappen,
    Abort,
}

/// Answer the open question, or decide an unknown outcome
#[utoipa::path(
    post,
    path = "/v1/runs/{id}/answer",
    tag = "runs",
    operation_id = "answer_run",
    params(("id" = String, Path, format = "uuid", description = "The run's id")),
    request_body = Answer,
    responses(
        (status = 200, description = "The run after it", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not the open question, or it wants another kind of answer", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "Not valid", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn answer(
    State(api): Shared,
    RunPath(id): RunPath,
    JsonBody(given): JsonBody<Given>,
) -> Result<Json<Run>, Problem> {
    let command = given.into_command()?;
    Ok(Json(api.store.command(id, command).await?.into()))
}

impl Given {
    fn into_command(self) -> Result<Command, Problem> {
        let question: CallId =
            self.question.parse().map_err(|error| Problem::invalid_field("question", format!("{error}")))?;
        let decision = match (self.answer, self.decision, self.result) {
            (Some(answer), None, None) => {
                check_answer(&answer).map_err(|problem| Problem::invalid_field("answer", problem))?;
                return Ok(Command::Answer { question: Some(question), answer });
            }
            (None, Some(Word::Happened), Some(result)) => {
                if result.to_string().len() > OUTPUT_BYTES_MAX {
                    let problem = format!("must not be longer than {OUTPUT_BYTES_MAX} bytes");
                    return Err(Problem::invalid_field("result", problem));
                }
                Decision::Happened { result }
            }
            (None, Some(Word::DidNotHappen), None) => Decision::DidNotHappen,
            (None, Some(Word::Abort), None) => Decision::Abort,
            (None, Some(Word::Happened), None) => {
                return Err(Problem::invalid_field("result", "is needed where the call happened"));
            }
            (None, Some(_), Some(_)) => {
                return Err(Problem::invalid_field("result", "belongs to the decision \"happened\" only"));
            }
            (Some(_), None, Some(_)) => {
                return Err(Problem::invalid_field("result", "belongs to a decision, not to an answer"));
            }
            (None, None, _) | (Some(_), Some(_), _) => {
                return Err(Problem::invalid_field("answer", "give either answer or decision"));
            }
        };
        Ok(Command::Decide { question, decision })
    }
}

/// Why a text will not do as an answer.
pub(crate) fn check_answer(answer: &str) -> Result<(), String> {
    if answer.chars().nth(TASK_CHARS_MAX).is_some() {
        return Err(format!("must not be longer than {TASK_CHARS_MAX} characters"));
    }
    Ok(())
}
