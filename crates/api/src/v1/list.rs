//! `GET /v1/runs`: lists runs.

use axum::Json;
use axum::extract::State;
use piton_core::{RunId, Status};
use piton_store::RunFilter;
use serde::Serialize;
use utoipa::ToSchema;

use super::run::Run;
use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::Params;

const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;
const SEARCH_CHARS_MAX: usize = 200;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunPage {
    runs: Vec<Run>,
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
        ("label" = Option<String>, Query, description = "`key:value`; may be given several times, and each must hold"),
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
    Ok(Json(RunPage {
        runs: page.runs.into_iter().map(Run::from).collect(),
        next_cursor: page.next.map(|run| run.to_string()),
    }))
}

fn filter(mut params: Params) -> Result<RunFilter, Problem> {
    let mut filter = RunFilter {
        search: params.one("q"),
        agent: params.one("agent"),
        tenant: params.one("tenant"),
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
    for label in params.all("label") {
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
