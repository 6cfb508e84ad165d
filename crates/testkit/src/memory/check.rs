//! The invariants of a database, checked on what it holds.

use std::sync::Arc;

use piton_core::{Run, RunId};
use piton_store::Check;

use super::tables::{Stored, Tables};

impl Tables {
    pub(super) fn check(&self, now_ms: i64) -> Vec<Check> {
        let of_runs = |holds: &dyn Fn(RunId, &Arc<Stored>) -> bool| -> Vec<String> {
            let broken = self.runs.iter().filter(|(run, stored)| !holds(**run, stored));
            broken.map(|(run, _)| run.to_string()).collect()
        };
        let runnable = |stored: &Stored| stored.row.run.status.is_runnable();
        vec![
            check("every run is the fold of its events", of_runs(&|_, stored| is_fold(stored))),
            check(
                "every runnable run has a job or a worker",
                of_runs(&|run, stored| {
                    !runnable(stored) || stored.row.owner.is_some() || self.jobs.contains_key(&run)
                }),
            ),
            check(
                "every owner is a registered worker",
                of_runs(&|_, stored| {
                    stored.row.owner.as_ref().is_none_or(|owner| self.workers.contains_key(owner))
                }),
            ),
            check(
                "every lease stands",
                self.workers
                    .values()
                    .filter(|worker| worker.expires_at_ms <= now_ms)
                    .map(|worker| worker.id.to_string())
                    .collect(),
            ),
            check(
                "every job belongs to a run that can advance",
                self.jobs
                    .keys()
                    .filter(|run| !self.runs.get(run).is_some_and(|stored| runnable(stored)))
                    .map(RunId::to_string)
                    .collect(),
            ),
            check(
                "every run's agent definition is kept",
                of_runs(&|_, stored| self.agents.contains_key(&stored.row.run.agent)),
            ),
        ]
    }
}

fn check(name: &'static str, found: Vec<String>) -> Check {
    let looked_at = format!("{} found", found.len());
    Check { name, trouble: (!found.is_empty()).then(|| found.join(", ")), looked_at }
}

fn is_fold(stored: &Stored) -> bool {
    let numbered = stored.events.iter().zip(1..).all(|(recorded, seq)| recorded.seq == seq);
    let replayed = Run::replay(stored.events.iter().map(|recorded| &recorded.event));
    numbered && replayed.is_ok_and(|run| run == stored.row.run)
}
