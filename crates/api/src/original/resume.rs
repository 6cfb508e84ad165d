//! `POST /agent/resume`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use piton_core::{Command, Refusal};
use piton_store::CommandError;
use utoipa::ToSchema;

use super::body::Members;
use super::{OriginalError, OriginalInvalid, not_found, refused, run_id, state};
use crate::api::Shared;
use crate::problem::{Kind, Problem};

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct ResumeRequest {
    id: String,
}

/// Resume a state
#[utoipa::path(
    post,
    path = "/agent/resume",
    tag = "original",
    operation_id = "original_resume",
    request_body = ResumeRequest,
    responses(
        (status = 200, description = "The state, running again", body = state::State),
        (status = 400, description = "`Agent is waiting for human input`, or `Cannot resume agent. Current status: X.`",
            body = OriginalError),
        (status = 404, description = "`State not found`", body = OriginalError),
        (status = 409, description = "`Agent is already running for this state`", body = OriginalError),
        (status = 422, description = "Not valid", body = OriginalInvalid),
        (status = "default", description = "Anything else that went wrong", body = OriginalError),
    )
)]
pub(crate) async fn resume(State(api): Shared, mut members: Members) -> Result<Json<state::State>, Problem> {
    let id = members.text("id");
    members.done()?;
    let row = api.store.command(run_id(&id)?, Command::Resume).await.map_err(in_this_wire)?;
    Ok(Json(state::State::load(&api, row).await?))
}

fn in_this_wire(error: CommandError) -> Problem {
    match error {
        CommandError::NotFound => not_found(),
        CommandError::Refused(Refusal::AlreadyRunning) => {
            Problem::new(Kind::AlreadyRunning, "Agent is already running for this state")
        }
        CommandError::Refused(Refusal::WaitsForAnswer) => {
            Problem::new(Kind::WaitsForAnswer, "Agent is waiting for human input")
                .status(StatusCode::BAD_REQUEST)
        }
        CommandError::Refused(Refusal::NotInStatus { status, .. }) => {
            refused(Kind::WrongStatus, StatusCode::BAD_REQUEST, status, |word| {
                format!("Cannot resume agent. Current status: {word}.")
            })
        }
        CommandError::Refused(refusal @ Refusal::EventsUsedUp { .. }) => {
            Problem::from(&refusal).status(StatusCode::BAD_REQUEST)
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;

    use crate::world::{UNKNOWN, World};

    const PATH: &str = "/agent/resume";

    #[tokio::test]
    async fn who_rests_goes_on() {
        let world = World::new().await;
        for (run, max_steps) in
            [(world.paused().await, 10), (world.failed().await, 10), (world.at_its_limit().await, 11)]
        {
            let state = world.post(PATH, &json!({ "id": run.to_string() })).await.expect(200);
            assert_eq!((&state["status"], &state["error"]), (&json!("running"), &json!(null)));
            assert_eq!(world.shown(run).await["max_steps"], max_steps);
            let again = world.post(PATH, &json!({ "id": run.to_string() })).await;
            assert_eq!(again.problem(), "409 already-running: Agent is already running for this state");
        }
    }

    #[tokio::test]
    async fn who_does_not_rest_is_refused() {
        let world = World::new().await;
        let (cancelling, _) = world.with_open_call().await;
        world.poke(cancelling, "cancel").await.expect(200);
        let cannot = |word| format!("400 wrong-status: Cannot resume agent. Current status: {word}.");
        let cases = [
            (
                world.launch("go").await,
                "409 already-running: Agent is already running for this state".to_owned(),
            ),
            (cancelling, "409 already-running: Agent is already running for this state".to_owned()),
            (world.waiting().await, "400 waits-for-answer: Agent is waiting for human input".to_owned()),
            (world.complete().await, cannot("complete")),
            (world.cancelled().await, cannot("failed")),
            (world.quarantined().await, cannot("failed")),
            (world.undecided().await, cannot("paused")),
        ];
        for (run, expected) in cases {
            let before = world.shown(run).await;
            assert_eq!(world.post(PATH, &json!({ "id": run.to_string() })).await.problem(), expected);
            assert_eq!(world.shown(run).await, before);
        }
    }

    #[tokio::test]
    async fn a_refusal_names_the_status_that_this_wire_has_no_word_for() {
        let world = World::new().await;
        let run = world.cancelled().await;
        let refused = world.post(PATH, &json!({ "id": run.to_string() })).await.expect(400);
        assert_eq!(refused["run_status"], "cancelled");
    }

    #[tokio::test]
    async fn nobody_there_is_404_and_a_bad_body_422() {
        let world = World::new().await;
        for id in [UNKNOWN, "no-uuid"] {
            let answer = world.post(PATH, &json!({ "id": id })).await;
            assert_eq!(answer.problem(), "404 run-not-found: State not found");
        }
        for body in [json!({}), json!({ "id": 5 }), json!([]), json!(null)] {
            world.post(PATH, &body).await.expect(422);
        }
    }

    #[tokio::test]
    async fn of_fifty_resumes_at_once_one_wins() {
        let world = World::new().await;
        let run = world.paused().await;
        let body = json!({ "id": run.to_string() });
        let answers = join_all((0..50).map(|_| world.post(PATH, &body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(lost.problem(), "409 already-running: Agent is already running for this state");
        }
        let events = world.get(&format!("/v1/runs/{run}/events")).await.expect(200);
        assert_eq!(events["events"].as_array().map(Vec::len), Some(3), "launched, paused, resumed");
    }
}
