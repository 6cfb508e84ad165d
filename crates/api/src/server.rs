//! The router with everything around its endpoints, and the loop that serves it.

mod connections;
mod layers;
mod patience;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use piton_store::{Clock, Store};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};

use crate::api::{Api, ApiOptions};
use crate::{access, docs, ui};

pub use connections::{listen, serve};

/// Smaller responses are sent as they are.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// All of HTTP that Piton has. Must be called inside a tokio runtime; `stop` ends its live views.
pub fn router(store: Arc<dyn Store>, clock: Clock, options: ApiOptions, stop: CancellationToken) -> Router {
    let api = Arc::new(Api::new(store, clock, options, stop));
    let (endpoints, document) = docs::documented();
    let compression = CompressionLayer::new()
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_BYTES_MIN)));
    // From the outside in: what is further out sees what is further in.
    let around = ServiceBuilder::new()
        .layer(from_fn(layers::trace))
        .layer(from_fn(layers::headers))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(Arc::clone(&api), access::guard))
        .layer(from_fn(layers::time_limit))
        .layer(compression);
    endpoints
        .merge(docs::pages(document))
        .fallback(ui::fallback)
        .method_not_allowed_fallback(ui::method_not_allowed)
        .layer(around)
        .with_state(api)
}
