//! The wire of Piton's own: JSON, snake_case, RFC 3339 times, problem+json. One file per endpoint.

mod shown;

mod event;
mod limits;
mod run;
mod unreadable;

mod launch;
mod list;
mod show;

mod events;
mod live;
mod lost_attempts;
mod output;
mod piece;

mod context;
mod prompt;

mod answer;
mod cancel;
mod pause;
mod release;
mod resume;

mod activity;
mod agents;
mod changes;
mod drain;
mod inbox;
mod queue;
mod session;
mod system;
mod workers;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

pub(crate) use launch::DEFAULT_TENANT;
pub(crate) use piece::Piece;
pub(crate) use system::StoreInfo;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, launch::launch))
        .routes(routes!(show::show))
        .routes(routes!(events::events))
        .routes(routes!(output::output))
        .routes(routes!(lost_attempts::lost_attempts))
        .routes(routes!(context::context))
        .routes(routes!(prompt::prompt))
        .routes(routes!(answer::answer))
        .routes(routes!(pause::pause))
        .routes(routes!(resume::resume))
        .routes(routes!(cancel::cancel))
        .routes(routes!(release::release))
        .routes(routes!(inbox::inbox))
        .routes(routes!(agents::list))
        .routes(routes!(agents::show))
        .routes(routes!(workers::workers))
        .routes(routes!(drain::drain))
        .routes(routes!(queue::queue))
        .routes(routes!(activity::activity))
        .routes(routes!(changes::changes))
        .routes(routes!(system::system))
        .routes(routes!(session::log_in, session::log_out))
}
