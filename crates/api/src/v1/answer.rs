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

// The OpenAPI document's view of the body; `Given` is what is parsed, for clearer errors.
/// An answer to a question, or a decision about a call whose outcome is unknown.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
enum Answer {
    Text(AnswerText),
    Happened(OutcomeHappened),
    Not(OutcomeDecision),
}

/// Answers a question.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct AnswerText {
    /// The open question's id.
    #[schema(format = "uuid")]
    question: String,
    #[schema(max_length = 200_000)]
    answer: String,
}

/// The call took effect, with this result.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct OutcomeHappened {
    #[schema(format = "uuid")]
    question: String,
    #[schema(inline)]
    decision: Happened,
    /// At most 64 KiB.
    result: Value,
}

/// The call took no effect and is made again, or the run is given up.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct OutcomeDecision {
    #[schema(format = "uuid")]
    question: String,
    #[schema(inline)]
    decision: DidNot,
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
        (status = 409, description = "Not the open question, or it wants another kind of answer, or the call may yet \
            happen (`still-acting`)", body = ProblemBody,
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
    let row = api.store.command(id, command).await?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
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

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use piton_core::RunId;
    use piton_store::Store as _;
    use serde_json::{Value, json};

    use crate::world::{Answer, UNKNOWN, World};

    async fn answer(world: &World, run: RunId, body: &Value) -> Answer {
        world.post(&format!("/v1/runs/{run}/answer"), body).await
    }

    async fn open(world: &World, run: RunId) -> Value {
        world.shown(run).await["question"]["id"].clone()
    }

    #[tokio::test]
    async fn the_open_question_is_answered_and_no_other() {
        let world = World::new().await;
        let run = world.waiting().await;
        let first = open(&world, run).await;
        let body = json!({ "question": first, "answer": "seven" });
        let shown = answer(&world, run, &body).await.expect(200);
        assert_eq!((&shown["status"], &shown["question"]), (&json!("running"), &json!(null)));
        let late = answer(&world, run, &body).await;
        assert_eq!(late.problem(), "409 not-waiting: the run is running and waits for no answer");

        world.reply(run, &[("ask_human", json!({ "question": "And now?" }))]).await;
        let second = open(&world, run).await;
        let late = answer(&world, run, &body).await;
        assert_eq!(
            late.problem(),
            format!("409 other-question: another question is open: {}", second.as_str().expect("an id"))
        );
        assert_eq!(late.json()["open_question"], second);
        answer(&world, run, &json!({ "question": second, "answer": "" })).await.expect(200);
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_decided() {
        let world = World::new().await;
        for (decision, status, pending) in [
            (json!({ "decision": "happened", "result": { "entry": 1 } }), "running", 0),
            (json!({ "decision": "happened", "result": null }), "running", 0),
            (json!({ "decision": "did_not_happen" }), "running", 1),
            (json!({ "decision": "abort" }), "cancelled", 1),
        ] {
            let run = world.undecided().await;
            let mut body = decision;
            body["question"] = open(&world, run).await;
            let shown = answer(&world, run, &body).await.expect(200);
            assert_eq!(shown["status"], status, "{body}");
            assert_eq!(shown["pending"].as_array().map(Vec::len), Some(pending), "{body}");
            let late = answer(&world, run, &body).await;
            assert!(late.problem().starts_with("409 not-waiting: "), "{}", late.problem());
            // Out of the way of the next.
            if status == "running" {
                world.poke(run, "cancel").await.expect(200);
            }
        }
    }

    #[tokio::test]
    async fn a_call_is_not_made_again_while_its_worker_is_there_and_that_is_shown_before() {
        let world = World::new().await;
        let run = world.undecided().await;
        let question = open(&world, run).await;
        let lock = world.worker_lock();
        assert_eq!(world.shown(run).await["question"]["still_acting"], "by-hand");
        let inbox = world.get("/v1/inbox").await.expect(200);
        assert_eq!(inbox["items"][0]["question"], world.shown(run).await["question"]);
        let listed = world.get("/v1/runs").await.expect(200);
        assert_eq!(listed["runs"][0], world.shown(run).await);
        let again = json!({ "question": question, "decision": "did_not_happen" });
        let refused = answer(&world, run, &again).await;
        assert!(
            refused.problem().starts_with("409 still-acting: worker by-hand is still there"),
            "{}",
            refused.problem()
        );
        assert_eq!(refused.json()["worker"], "by-hand");
        drop(lock);
        assert_eq!(world.shown(run).await["question"]["still_acting"], json!(null));
        answer(&world, run, &again).await.expect(200);
    }

    #[tokio::test]
    async fn a_run_that_was_paused_is_paused_after_the_decision() {
        let world = World::new().await;
        let (run, claim) = world.with_open_call().await;
        world.poke(run, "pause").await.expect(200);
        let newer = world.store.run(run).await.expect("read").expect("a run").run;
        let call = newer.front().expect("a call").call.id;
        let fact = piton_core::Event::OutcomeUnknown { call, reason: "no answer in time".to_owned() };
        let claim = piton_store::Claim { fold: newer, ordinal: claim.ordinal + 1, ..claim };
        world.commit(&claim, &[fact], piton_store::StepEnd::GiveBack).await;
        let shown = world.shown(run).await;
        assert_eq!((&shown["status"], &shown["was_paused"]), (&json!("undecided"), &json!(true)));
        let body = json!({ "question": shown["question"]["id"], "decision": "did_not_happen" });
        let shown = answer(&world, run, &body).await.expect(200);
        assert_eq!((&shown["status"], &shown["was_paused"]), (&json!("paused"), &json!(false)));
        assert_eq!(world.poke(run, "resume").await.expect(200)["status"], "running");
    }

    #[tokio::test]
    async fn the_wrong_kind_of_answer_is_refused() {
        let world = World::new().await;
        let undecided = world.undecided().await;
        let waiting = world.waiting().await;
        let body = json!({ "question": open(&world, undecided).await, "answer": "it happened" });
        let refused = answer(&world, undecided, &body).await;
        assert_eq!(refused.problem(), "409 other-kind-of-answer: the open question wants a decision");
        let body = json!({ "question": open(&world, waiting).await, "decision": "abort" });
        let refused = answer(&world, waiting, &body).await;
        assert_eq!(refused.problem(), "409 other-kind-of-answer: the open question wants an answer");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_422_and_changes_nothing() {
        let world = World::new().await;
        let run = world.waiting().await;
        let before = world.shown(run).await;
        let id = before["question"]["id"].clone();
        let long = "x".repeat(200_001);
        let fat = "x".repeat(65_536);
        let cases = [
            (json!({ "answer": "x" }), "body: missing field `question`"),
            (json!({ "question": id }), "answer: give either answer or decision"),
            (
                json!({ "question": id, "answer": "x", "decision": "abort" }),
                "answer: give either answer or decision",
            ),
            (json!({ "question": id, "answer": 5 }), "answer: invalid type: integer `5`, expected a string"),
            (json!({ "question": id, "answer": long }), "answer: must not be longer than 200000 characters"),
            (
                json!({ "question": id, "answer": "x", "result": 1 }),
                "result: belongs to a decision, not to an answer",
            ),
            (json!({ "question": id, "decision": "happened" }), "result: is needed where the call happened"),
            (
                json!({ "question": id, "decision": "abort", "result": 1 }),
                "result: belongs to the decision \"happened\" only",
            ),
            (
                json!({ "question": id, "decision": "happened", "result": fat }),
                "result: must not be longer than 65536 bytes",
            ),
            (
                json!({ "question": id, "decision": "perhaps" }),
                "decision: unknown variant `perhaps`, expected one of `happened`, `did_not_happen`, `abort`",
            ),
            (
                json!({ "question": id, "anwser": "x" }),
                "anwser: unknown field `anwser`, expected one of `question`, `answer`, `decision`, `result`",
            ),
            (
                json!({ "question": "q1", "answer": "x" }),
                "question: \"q1\" is not a question id: expected a UUID, such as 0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e",
            ),
        ];
        for (body, detail) in cases {
            let refused = answer(&world, run, &body).await;
            assert_eq!(refused.problem(), format!("422 invalid-request: {detail}"));
        }
        let body = json!({ "question": UNKNOWN, "answer": "x" });
        assert!(answer(&world, run, &body).await.problem().starts_with("409 other-question: "));
        assert_eq!(world.shown(run).await, before);
    }

    #[tokio::test]
    async fn of_fifty_answers_at_once_one_wins() {
        let world = World::new().await;
        let run = world.waiting().await;
        let id = open(&world, run).await;
        let bodies: Vec<Value> =
            (0..50).map(|n| json!({ "question": id, "answer": n.to_string() })).collect();
        let answers = join_all(bodies.iter().map(|body| answer(&world, run, body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(lost.problem(), "409 not-waiting: the run is running and waits for no answer");
        }
        let events = world.get(&format!("/v1/runs/{run}/events")).await.expect(200);
        let answered = events["events"].as_array().expect("events").iter();
        assert_eq!(answered.filter(|event| event["type"] == "human_answered").count(), 1);
    }
}
