//! `piton model`: the practice model alone.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use piton_model::practice;
use tokio::net::TcpListener;

use crate::{out, signals};

pub(crate) async fn model(listen: SocketAddr) -> anyhow::Result<u8> {
    if !listen.ip().is_loopback() {
        bail!("--listen {listen}: the practice model asks nobody for a key, so it listens on loopback only");
    }
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}: choose another address with --listen"))?;
    let address = listener.local_addr()?;
    out::line(format!("{} (rules, no language model) serves on http://{address}/v1", practice::NAME));
    out::note(format!("To use it: OPENAI_BASE_URL=http://{address}/v1 piton serve"));
    let stop = signals::stop_token();
    practice::serve(listener, async move { stop.cancelled().await }).await?;
    Ok(0)
}
