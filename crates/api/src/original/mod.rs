//! The wire of the server that Piton replaces, kept so that its clients run unchanged: paths, bodies, words, codes.
//! Nothing new is added here.

mod body;
mod state;

mod launch;
mod pause;
mod provide_input;
mod resume;
mod show;

use std::str::FromStr;
use std::sync::Arc;

use axum::http::StatusCode;
use piton_core::{RunId, Status};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::problem::{Kind, Problem};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(launch::launch))
        .routes(routes!(show::show))
        .routes(routes!(provide_input::provide_input))
        .routes(routes!(resume::resume))
        .routes(routes!(pause::pause))
}

/// An error, with whatever members a problem has beside its `detail`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct OriginalError {
    detail: String,
}

/// A body that is not valid: what is wrong, and where.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
pub(crate) struct OriginalInvalid {
    detail: Vec<body::Invalid>,
}

/// The status by a word of this wire: it has fewer.
const fn word(status: Status) -> &'static str {
    match status {
        Status::Running | Status::Cancelling => "running",
        Status::WaitingHumanInput => "waiting_human_input",
        Status::Paused | Status::Undecided => "paused",
        Status::Complete => "complete",
        Status::Failed | Status::Cancelled | Status::Quarantined => "failed",
        Status::MaxStepsReached => "max_steps_reached",
    }
}

/// The run that a client names. It looks up a text, so any text that is not one of ours is simply not there.
fn run_id(text: &str) -> Result<RunId, Problem> {
    RunId::from_str(text).map_err(|_| not_found())
}

fn not_found() -> Problem {
    Problem::new(Kind::RunNotFound, "State not found")
}

/// A refusal in this wire's words. `run_status` beside it says what this wire has no word for.
fn refused(kind: Kind, code: StatusCode, status: Status, detail: impl FnOnce(&str) -> String) -> Problem {
    Problem::new(kind, detail(word(status))).status(code).with("run_status", status.as_str())
}
