//! What every role needs from the configuration: the store, the tools, the agents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use piton_store::{
    Check, Clock, Error, Examination, PostgresOptions, PostgresStore, Repair, SqliteOptions, SqliteStore,
    Store, Synchronous,
};
use piton_tools::{Registry, RegistryOptions};

use crate::agents::Catalog;
use crate::config::Loaded;

/// The database that is configured.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Embedded(Arc<SqliteStore>),
    Distributed(Arc<PostgresStore>),
}

impl Database {
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::Distributed(store) => Arc::clone(store) as _,
        }
    }

    /// Where the workers of this machine keep their locks.
    pub(crate) fn lock_dir(&self) -> PathBuf {
        match self {
            Self::Embedded(store) => store.lock_dir().to_owned(),
            Self::Distributed(store) => store.lock_dir().to_owned(),
        }
    }

    /// The file, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Embedded(store) => Some(store.path()),
            Self::Distributed(_) => None,
        }
    }

    pub(crate) async fn examine(&self, how: &Examination) -> Result<Vec<Check>, Error> {
        match self {
            Self::Embedded(store) => store.examine(how).await,
            Self::Distributed(store) => store.examine(how).await,
        }
    }

    pub(crate) async fn repair(&self) -> Result<Vec<Repair>, Error> {
        match self {
            Self::Embedded(store) => store.repair().await,
            Self::Distributed(store) => store.repair().await,
        }
    }
}

/// Opens the database.
pub(crate) async fn database(loaded: &Loaded) -> anyhow::Result<Database> {
    let config = &loaded.config.store;
    let (synchronous, waiting_max) = (config.synchronous, loaded.config.queue.waiting_max);
    let scheduling = loaded.config.scheduling();
    if config.is_postgres() && synchronous == Synchronous::Normal {
        anyhow::bail!(
            "store.synchronous = \"normal\" ({}) is for an embedded store: a PostgreSQL server may crash alone, and its workers \
             would go on from what it has forgotten",
            loaded.origin("store.synchronous")
        );
    }
    let opened = if config.is_postgres() {
        let password = config.password.clone();
        let lock_dir = PathBuf::from(&config.lock_dir);
        let options = PostgresOptions { waiting_max, lock_dir, password, scheduling };
        let store = PostgresStore::open(&config.url, options, Clock::system()).await;
        store.map(|store| Database::Distributed(Arc::new(store)))
    } else {
        let options = SqliteOptions { synchronous, waiting_max, scheduling };
        let store = SqliteStore::open(&config.url, options, Clock::system()).await;
        store.map(|store| Database::Embedded(Arc::new(store)))
    };
    opened.with_context(|| format!("store.url = {:?} ({})", config.url, loaded.origin("store.url")))
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
