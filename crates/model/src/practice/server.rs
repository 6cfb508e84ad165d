//! The practice model's HTTP side.

use std::future::Future;
use std::io;

use axum::Router;
use tokio::net::TcpListener;

/// Serves until `stop` resolves.
///
/// # Errors
/// Those of accepting connections.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    axum::serve(listener, Router::new()).with_graceful_shutdown(stop).await
}
