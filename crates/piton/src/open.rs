//! What every role needs from the configuration: the store, the tools, the agents.

use std::sync::Arc;

use anyhow::Context as _;
use piton_store::{Clock, SqliteOptions, SqliteStore};
use piton_tools::{Registry, RegistryOptions};

use crate::agents::Catalog;
use crate::config::Loaded;

/// Opens the database.
pub(crate) async fn store(loaded: &Loaded) -> anyhow::Result<Arc<SqliteStore>> {
    let config = &loaded.config.store;
    let waiting_max = loaded.config.queue.waiting_max;
    let options = SqliteOptions { synchronous: config.synchronous, waiting_max };
    let store = SqliteStore::open(&config.url, options, Clock::system())
        .await
        .with_context(|| format!("store.url = {:?} ({})", config.url, loaded.origin("store.url")))?;
    Ok(Arc::new(store))
}

pub(crate) fn tools(loaded: &Loaded) -> Registry {
    if loaded.config.test.tools {
        tracing::warn!("PITON_TEST__TOOLS is on: agents can crash their worker on purpose");
    }
    Registry::new(RegistryOptions { test_tools: loaded.config.test.tools })
}

/// The agents as they are in effect, checked.
pub(crate) fn agents(loaded: &Loaded, tools: &Registry) -> anyhow::Result<Catalog> {
    Ok(Catalog::load(loaded, tools)?)
}
