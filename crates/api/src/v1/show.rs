//! `GET /v1/runs/{id}`: shows one run.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use piton_core::RunId;
use piton_store::RunRow;
use tokio::time::sleep;

use super::events::too_many;
use super::run::Run;
use crate::api::{Api, Shared};
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::{Params, RunPath};

/// The longest that a request waits, in milliseconds: less than any request may take.
const WAIT_MS_MAX: u64 = 20_000;

/// Show a run
///
/// With `wait_ms` the answer comes as soon as the run advances no further by itself: it is over, it asks somebody, or it
/// is paused. When that takes longer the run is shown as it stands by then.
#[utoipa::path(
    get,
    path = "/v1/runs/{id}",
    tag = "runs",
    operation_id = "show_run",
    params(
        ("id" = String, Path, format = "uuid", description = "The run's id"),
        ("wait_ms" = Option<u64>, Query, minimum = 0, maximum = 20_000,
            description = "How long to wait until it rests, at most; 0 if not given"),
    ),
    responses(
        (status = 200, description = "The run as it stands", body = Run),
        (status = 404, description = "No such run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not valid", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn show(
    State(api): Shared,
    RunPath(id): RunPath,
    mut params: Params,
) -> Result<Json<Run>, Problem> {
    let wait = params.number("wait_ms", 0..=WAIT_MS_MAX).map(Duration::from_millis);
    params.done()?;
    let wait = wait.filter(|wait| !wait.is_zero());
    let row = match wait {
        None => api.store.run(id).await?,
        Some(wait) => at_rest(&api, id, wait).await?,
    };
    let row = row.ok_or_else(|| Problem::run_not_found(&id.to_string()))?;
    Ok(Json(Run::of(api.store.as_ref(), row).await))
}

/// The run once it rests, or as it is when the time is over or the server stops.
async fn at_rest(api: &Api, id: RunId, wait: Duration) -> Result<Option<RunRow>, Problem> {
    // Before the run is read: what happens from here on is not missed.
    let mut watch = api.feed.watch(id).ok_or_else(too_many)?;
    let patience = sleep(wait);
    tokio::pin!(patience);
    loop {
        let row = api.store.run(id).await?;
        let Some(version) =
            row.as_ref().filter(|row| row.run.status.is_runnable()).map(|row| row.run.version)
        else {
            return Ok(row);
        };
        tokio::select! {
            biased;
            () = watch.at_rest(version) => {}
            () = &mut patience => return Ok(row),
            () = api.stop.cancelled() => return Ok(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::{UNKNOWN, World};

    #[tokio::test]
    async fn a_question_is_shown_with_the_call_it_is_about() {
        let world = World::new().await;
        let run = world.waiting().await;
        let shown = world.shown(run).await;
        let id = shown["question"]["id"].clone();
        let call = json!({
            "id": id, "call_id": "call_1_0", "name": "ask_human", "arguments": "{\"question\":\"How many?\"}",
        });
        let question = json!({
            "id": id, "kind": "question", "text": "How many?", "stuck": null, "call": call, "started": null, "still_acting": null,
        });
        assert_eq!(shown["question"], question);
        let mut pending = call;
        pending["started_at"] = json!(null);
        assert_eq!(shown["pending"], json!([pending]));
        assert_eq!(shown["status"], "waiting_human_input");
    }

    #[tokio::test]
    async fn a_question_of_pitons_own_says_so_wherever_it_is_shown() {
        let world = World::new().await;
        let run = world.stuck().await;
        let shown = world.shown(run).await;
        let question = &shown["question"];
        assert_eq!((&question["kind"], &question["stuck"]), (&json!("question"), &json!("tool_errors")));
        let text = question["text"].as_str().expect("a text");
        assert!(
            text.starts_with("This run seems to be stuck: tool calls failed 4 times in a row."),
            "{text}"
        );
        assert_eq!(shown["limits"], json!({ "tool_errors": 4, "repeated_calls": 4, "events": 50_000 }));
        assert_eq!(world.get("/v1/inbox").await.expect(200)["items"][0]["question"], *question);
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_shown_with_who_began_it() {
        let world = World::new().await;
        let run = world.undecided().await;
        let shown = world.shown(run).await;
        let question = &shown["question"];
        assert_eq!((&shown["status"], &question["kind"]), (&json!("undecided"), &json!("unknown_outcome")));
        assert_eq!(question["call"]["name"], "book");
        let started =
            json!({ "worker": "by-hand", "epoch": 2, "attempt": 1, "at": "2026-01-01T00:00:00.000Z" });
        assert_eq!(question["started"], started);
        assert_eq!(shown["pending"][0]["started_at"], "2026-01-01T00:00:00.000Z");
    }

    #[tokio::test]
    async fn who_waits_is_answered_once_the_run_rests() {
        let world = World::new().await;
        let run = world.launch("2+3?").await;
        let path = format!("/v1/runs/{run}?wait_ms=20000");
        let (shown, ()) = tokio::join!(world.get(&path), async {
            world.reply(run, &[("sum_numbers", json!({ "a": 2, "b": 3 }))]).await;
            world.reply(run, &[("final_answer", json!({ "answer": "5" }))]).await;
        });
        assert_eq!(shown.expect(200)["final_answer"], "5");
        // At once, when it rests already.
        assert_eq!(world.get(&path).await.expect(200)["status"], "complete");
        let other = world.launch("go").await;
        let shown = world.get(&format!("/v1/runs/{other}?wait_ms=20")).await.expect(200);
        assert_eq!(shown["status"], "running");
        let path = format!("/v1/runs/{other}?wait_ms=20001");
        assert!(world.get(&path).await.problem().starts_with("422"));
    }

    #[tokio::test]
    async fn an_outcome_is_shown_with_its_time() {
        let world = World::new().await;
        let run = world.complete().await;
        let shown = world.shown(run).await;
        assert_eq!((&shown["final_answer"], &shown["steps"]), (&json!("42"), &json!(2)));
        assert_eq!(shown["finished_at"], "2026-01-01T00:00:00.000Z");
    }

    #[tokio::test]
    async fn what_is_not_there_is_404_wherever_it_is_named() {
        let world = World::new().await;
        let long = "x".repeat(5000);
        for id in [UNKNOWN, "no-uuid", "0", "%00", "%ff", "..%2f..%2fetc%2fpasswd", &long] {
            for path in ["", "/events", "/context", "/lost-attempts"] {
                let answer = world.get(&format!("/v1/runs/{id}{path}")).await;
                assert!(
                    answer.problem().starts_with("404 run-not-found: "),
                    "{id}{path}: {}",
                    answer.problem()
                );
                assert!(answer.body.len() < 500);
            }
            for verb in ["pause", "resume", "cancel", "release"] {
                let answer = world.post(&format!("/v1/runs/{id}/{verb}"), &json!({})).await;
                assert!(
                    answer.problem().starts_with("404 run-not-found: "),
                    "{id}/{verb}: {}",
                    answer.problem()
                );
            }
            let body = json!({ "question": UNKNOWN, "answer": "x" });
            let answer = world.post(&format!("/v1/runs/{id}/answer"), &body).await;
            assert!(answer.problem().starts_with("404 run-not-found: "), "{}", answer.problem());
        }
    }
}
