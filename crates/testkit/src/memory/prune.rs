//! Deleting runs that were over long ago.

use piton_core::RunId;
use piton_store::{Prunable, Prune, PruneBatch, Pruned, Ring};

use super::OUTPUT_PART_BYTES;
use super::tables::{Tables, Written};

impl Tables {
    pub(super) fn prunable(&self, prune: &Prune, after: RunId) -> PruneBatch {
        let ids_before = prune.ids_before();
        let old = self.runs.iter().filter(|(run, _)| **run > after && run.to_string() < ids_before);
        prune.choose(old.map(|(run, stored)| Prunable {
            run: *run,
            status: Some(stored.row.run.status),
            tenant: stored.row.tenant.clone(),
            finished_at_ms: stored.row.finished_at_ms,
            is_held: stored.row.owner.is_some(),
            events: stored.row.run.version,
            parts: stored.outputs.values().map(|text| text.len().div_ceil(OUTPUT_PART_BYTES) as u64).sum(),
        }))
    }

    /// What is looked at is not changed by anybody meanwhile, and no run is too large.
    pub(super) fn prune(&mut self, prune: &Prune, after: RunId) -> Written<Pruned> {
        let batch = self.prunable(prune, after);
        for (run, ..) in &batch.runs {
            self.runs.remove(run);
            self.jobs.remove(run);
            self.keys.retain(|_, key| key.run != *run);
        }
        (batch.would_be(), (!batch.runs.is_empty()).then_some(Ring::Events))
    }
}
