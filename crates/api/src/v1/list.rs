//! `GET /v1/runs`: lists runs.

use axum::Json;
use axum::extract::State;
use piton_core::{RunId, Status, WorkerId};
use piton_store::RunFilter;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::Run;
use super::unreadable::UnreadableRun;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::Params;

const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;
const SEARCH_CHARS_MAX: usize = 200;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunPage {
    runs: Vec<Run>,
    /// Those that belong on this page and cannot be read; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreadable: Vec<UnreadableRun>,
    /// Goes into `cursor` to get the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List runs, newest first
#[utoipa::path(
    get,
    path = "/v1/runs",
    tag = "runs",
    operation_id = "list_runs",
    params(
        ("status" = Option<String>, Query, description = "One or more statuses, separated by commas"),
        ("q" = Option<String>, Query, max_length = 200, description = "Part of the task, or the beginning of an id"),
        ("agent" = Option<String>, Query, description = "An agent's name"),
        ("tenant" = Option<String>, Query, description = "A tenant"),
        ("owner" = Option<String>, Query, description = "The worker that holds them now"),
        ("label" = Option<String>, Query, pattern = "^$|^[^:]*:", description = "`key:value`; may be given several times, and each must hold"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Runs on a page; 50 if not given"),
    ),
    responses(
        (status = 200, description = "A page of runs", body = RunPage),
        (status = 422, description = "Not valid", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn list(State(api): Shared, params: Params) -> Result<Json<RunPage>, Problem> {
    let page = api.store.runs(&filter(params)?).await?;
    let mut runs = Vec::with_capacity(page.runs.len());
    for row in page.runs {
        runs.push(Run::of(api.store.as_ref(), row).await);
    }
    let unreadable = page.unreadable.into_iter().map(UnreadableRun::from).collect();
    Ok(Json(RunPage { runs, unreadable, next_cursor: page.next.map(|run| run.to_string()) }))
}

fn filter(mut params: Params) -> Result<RunFilter, Problem> {
    let mut filter = RunFilter {
        search: params.one("q"),
        agent: params.one("agent"),
        tenant: params.one("tenant"),
        owner: params.one("owner").map(WorkerId::new),
        before: params.parsed::<RunId>("cursor"),
        limit: LIMIT,
        ..RunFilter::default()
    };
    for text in params.one("status").iter().flat_map(|list| list.split(',')) {
        match text.trim().parse::<Status>() {
            Ok(status) => filter.statuses.push(status),
            Err(error) => params.wrong("status", error.to_string()),
        }
    }
    for label in params.all("label").into_iter().filter(|label| !label.is_empty()) {
        match label.split_once(':') {
            Some((key, value)) => {
                filter.labels.insert(key.to_owned(), value.to_owned());
            }
            None => params.wrong("label", "is written key:value"),
        }
    }
    if filter.search.as_ref().is_some_and(|search| search.chars().nth(SEARCH_CHARS_MAX).is_some()) {
        params.wrong("q", format!("must not be longer than {SEARCH_CHARS_MAX} characters"));
    }
    if let Some(limit) = params.number("limit", 1..=LIMIT_MAX.into()) {
        filter.limit = u32::try_from(limit).unwrap_or(LIMIT_MAX);
    }
    params.done()?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::world::World;

    async fn tasks(world: &World, query: &str) -> Vec<String> {
        let page = world.get(&format!("/v1/runs?{query}")).await.expect(200);
        let runs = page["runs"].as_array().expect("runs").iter();
        runs.map(|run| run["task"].as_str().expect("a task").to_owned()).collect()
    }

    #[tokio::test]
    async fn pages_follow_one_another_newest_first() {
        let world = World::new().await;
        for n in 0..5 {
            world.launch(&format!("task {n}")).await;
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("/v1/runs?limit=2&cursor={cursor}")).await.expect(200);
            seen.extend(page["runs"].as_array().expect("runs").iter().map(|run| run["task"].clone()));
            match &page["next_cursor"] {
                Value::String(next) => cursor.clone_from(next),
                _ => break,
            }
        }
        assert_eq!(seen, ["task 4", "task 3", "task 2", "task 1", "task 0"]);
    }

    #[tokio::test]
    async fn filters_hold_together() {
        let world = World::new().await;
        let bodies = [
            json!({ "task": "apples", "labels": { "team": "a", "kind": "fruit" } }),
            json!({ "task": "pears", "labels": { "team": "b", "kind": "fruit" }, "tenant": "acme" }),
            json!({ "task": "Apple cake", "agent": "brief" }),
        ];
        for body in &bodies {
            world.post("/v1/runs", body).await.expect(201);
        }
        let paused = world.paused().await;
        assert_eq!(tasks(&world, "q=APPLE").await, ["Apple cake", "apples"]);
        assert_eq!(tasks(&world, "label=kind:fruit").await, ["pears", "apples"]);
        assert_eq!(tasks(&world, "label=kind:fruit&label=team:b").await, ["pears"]);
        assert_eq!(tasks(&world, "tenant=acme").await, ["pears"]);
        assert_eq!(tasks(&world, "owner=by-hand").await, [""; 0], "nobody holds one");
        assert_eq!(tasks(&world, "agent=brief").await, ["Apple cake"]);
        assert_eq!(tasks(&world, "status=paused").await, ["hold"]);
        assert_eq!(tasks(&world, "status=paused,running").await.len(), 4);
        assert_eq!(tasks(&world, "status=complete").await, [""; 0]);
        assert_eq!(tasks(&world, &format!("q={paused}")).await, ["hold"]);
        assert_eq!(tasks(&world, "q=%00&label=a:%00").await, [""; 0]);
        assert_eq!(tasks(&world, "status=&q=&agent=").await.len(), 4, "an empty parameter is none");
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let world = World::new().await;
        for (query, detail) in [
            ("limit=0", "limit: \"0\" is not a whole number from 1 to 200"),
            ("limit=201", "limit: \"201\" is not a whole number from 1 to 200"),
            ("limit=-1", "limit: \"-1\" is not a whole number from 1 to 200"),
            ("limit=ten", "limit: \"ten\" is not a whole number from 1 to 200"),
            ("limit=1&limit=2", "limit: is given more than once"),
            ("label=nocolon", "label: is written key:value"),
            (
                "cursor=bogus",
                "cursor: \"bogus\" is not a run id: expected a UUID, such as 0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e",
            ),
            (
                "stauts=paused",
                "stauts: is not a parameter here: known are q, agent, tenant, owner, cursor, status, label, limit",
            ),
        ] {
            let answer = world.get(&format!("/v1/runs?{query}")).await;
            assert_eq!(answer.problem(), format!("422 invalid-request: {detail}"));
        }
        let answer = world.get("/v1/runs?status=paused,bogus").await;
        assert!(answer.problem().starts_with("422 invalid-request: status: \"bogus\" is not a status"));
        world.get(&format!("/v1/runs?q={}", "x".repeat(201))).await.expect(422);
    }
}
