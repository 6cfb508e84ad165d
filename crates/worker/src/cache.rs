//! What a worker keeps warm: definitions by digest, contexts by run and version. Correctness never depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use piton_core::{Agent, AgentDigest, Context, RunId};
use piton_store::{Error, Store};

/// Contexts kept between steps.
const CONTEXTS_MAX: usize = 512;
/// Definitions kept; they are few and never change.
const AGENTS_MAX: usize = 256;
/// Events read at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Default)]
pub(crate) struct Caches {
    agents: Mutex<BTreeMap<AgentDigest, Arc<Agent>>>,
    contexts: Mutex<BTreeMap<RunId, Context>>,
}

impl Caches {
    /// The definition a run is pinned to. `None` when the database has lost it.
    pub(crate) async fn agent(
        &self,
        store: &dyn Store,
        digest: &AgentDigest,
    ) -> Result<Option<Arc<Agent>>, Error> {
        if let Ok(agents) = self.agents.lock()
            && let Some(agent) = agents.get(digest)
        {
            return Ok(Some(Arc::clone(agent)));
        }
        let Some(agent) = store.agent(digest).await? else { return Ok(None) };
        let agent = Arc::new(agent);
        if let Ok(mut agents) = self.agents.lock() {
            if agents.len() >= AGENTS_MAX {
                agents.clear();
            }
            agents.insert(digest.clone(), Arc::clone(&agent));
        }
        Ok(Some(agent))
    }

    /// The context of `run` at `version`: the warm one if it is of this very version, or brought up to it.
    pub(crate) async fn context(
        &self,
        store: &dyn Store,
        run: RunId,
        version: u64,
    ) -> Result<Context, Error> {
        let warm = self.contexts.lock().ok().and_then(|mut contexts| contexts.remove(&run));
        let mut context = warm.filter(|context| context.through_seq() <= version).unwrap_or_default();
        while context.through_seq() < version {
            let left = u32::try_from(version - context.through_seq()).unwrap_or(PAGE);
            let events = store.events(run, context.through_seq(), left.min(PAGE)).await?;
            if events.is_empty() {
                return Err(Error::Corrupt(format!("run {run} has fewer events than its version {version}")));
            }
            for recorded in events.iter().take_while(|recorded| recorded.seq <= version) {
                context.push(&recorded.event);
            }
        }
        Ok(context)
    }

    /// Keeps a context for the run's next step.
    pub(crate) fn keep(&self, run: RunId, context: Context) {
        if let Ok(mut contexts) = self.contexts.lock() {
            if contexts.len() >= CONTEXTS_MAX
                && let Some(any) = contexts.keys().next().copied()
            {
                contexts.remove(&any);
            }
            contexts.insert(run, context);
        }
    }
}
