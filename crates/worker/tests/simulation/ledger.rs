//! What tools did to the outside, as it would be found there by whoever looks.

use std::collections::{BTreeMap, BTreeSet};

use piton_core::CallId;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How many times each call took effect.
    pub(crate) effects: BTreeMap<CallId, u32>,
    /// How many times each call was begun.
    begun: BTreeMap<CallId, u32>,
    /// Calls that were sent and take effect at a time to come, whatever becomes of their sender.
    landing: Vec<(u64, CallId)>,
    /// Every output that a call may be shown with: what a tool gave back, what a human said.
    known: BTreeMap<CallId, BTreeSet<String>>,
}

impl Ledger {
    /// Whether this is the first time.
    pub(crate) fn begins(&mut self, call: CallId) -> bool {
        let begun = self.begun.entry(call).or_default();
        *begun += 1;
        *begun == 1
    }

    pub(crate) fn takes_effect(&mut self, call: CallId) {
        *self.effects.entry(call).or_default() += 1;
    }

    pub(crate) fn lands(&mut self, call: CallId, at_ms: u64) {
        self.landing.push((at_ms, call));
    }

    pub(crate) fn land(&mut self, now_ms: u64) {
        let landing = std::mem::take(&mut self.landing);
        for (at_ms, call) in landing {
            if at_ms <= now_ms {
                self.takes_effect(call);
            } else {
                self.landing.push((at_ms, call));
            }
        }
    }

    pub(crate) fn is_on_its_way(&self, call: CallId) -> bool {
        self.landing.iter().any(|(_, other)| *other == call)
    }

    pub(crate) fn has(&self, call: CallId) -> bool {
        self.effects.contains_key(&call)
    }

    pub(crate) fn may_be_shown(&mut self, call: CallId, output: String) {
        self.known.entry(call).or_default().insert(output);
    }

    pub(crate) fn is_known(&self, call: CallId, output: &str) -> bool {
        self.known.get(&call).is_some_and(|known| known.contains(output))
    }
}
