//! Deleting runs that were over long ago: which of them, and how many at once.
//!
//! No index is kept for it. A run's id goes by the time of its launch, so that what was over by some time lies before that
//! time among the ids: runs are looked at oldest first, and one that is not over yet is passed by.

use std::time::Duration;

use piton_core::{RunId, Status};
use uuid::Uuid;

use crate::Tally;

/// Runs that one batch looks at.
pub(crate) const LOOKED_AT: u32 = 1_000;
/// Runs that one batch deletes, at most.
const RUNS: usize = 100;
/// What these weigh, at most, unless it is but one run: an event counts as one.
const WEIGHT: u64 = 1_000;
/// What a part of an output weighs.
const PART_WEIGHT: u64 = 16;
/// Parts of outputs that one transaction deletes. A run that has more loses them first.
pub(crate) const PARTS: u64 = WEIGHT / PART_WEIGHT;
/// Between two batches, at least.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Which runs are deleted: those that are over, and that no worker holds.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Only runs that were over before then, in UTC milliseconds.
    pub over_before_ms: i64,
    /// Empty: any that is over.
    pub statuses: Vec<Status>,
    pub tenant: Option<String>,
    /// Says what would be deleted, and deletes nothing.
    pub is_rehearsal: bool,
}

/// What one batch came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs that are gone, with all that was kept of them.
    pub runs: u64,
    /// The events and the parts of outputs that went.
    pub rows: u64,
    /// After which run the next batch begins; `None`: there was nothing more to look at.
    pub next: Option<RunId>,
}

/// A run as a batch looks at it.
#[derive(Debug, Clone)]
pub struct Prunable {
    pub run: RunId,
    /// `None` where a newer Piton has written one that this version does not know.
    pub status: Option<Status>,
    pub tenant: String,
    pub finished_at_ms: Option<i64>,
    pub is_held: bool,
    pub events: u64,
    pub parts: u64,
}

/// What a batch is to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneBatch {
    /// With its events and parts of outputs. Where the parts are too many for one transaction, there is but one run.
    pub runs: Vec<(RunId, u64, u64)>,
    pub next: Option<RunId>,
}

impl Prune {
    /// The id that comes before every run's.
    pub const BEGINNING: RunId = RunId::from_uuid(Uuid::nil());

    /// What the ids of runs launched by then come before.
    pub fn ids_before(&self) -> String {
        Tally::ids_after(self.over_before_ms)
    }

    /// The same as an id.
    pub(crate) fn id_before(&self) -> Result<Uuid, uuid::Error> {
        Uuid::parse_str(&format!("{}-0000-0000-000000000000", self.ids_before()))
    }

    /// How long to wait after a batch that took so long, so that no more than a fifth of the time goes into deleting.
    pub fn pause_after(took: Duration) -> Duration {
        (took * 4).max(PAUSE_MIN)
    }

    /// Which of these, the oldest that were launched by then, go in one batch.
    pub fn choose(&self, looked_at: impl IntoIterator<Item = Prunable>) -> PruneBatch {
        let (mut batch, mut weight, mut count) = (PruneBatch::default(), 0, 0);
        let mut last = None;
        for found in looked_at.into_iter().take(LOOKED_AT as usize) {
            if self.is_meant(&found) {
                weight += found.events + found.parts * PART_WEIGHT;
                let is_full = batch.runs.len() == RUNS || (weight > WEIGHT && !batch.runs.is_empty());
                if is_full {
                    batch.next = last;
                    return batch;
                }
                batch.runs.push((found.run, found.events, found.parts));
            }
            last = Some(found.run);
            count += 1;
        }
        batch.next = last.filter(|_| count == LOOKED_AT);
        batch
    }

    fn is_of(&self, status: Status) -> bool {
        status.is_over() && (self.statuses.is_empty() || self.statuses.contains(&status))
    }

    fn is_meant(&self, found: &Prunable) -> bool {
        found.finished_at_ms.is_some_and(|at_ms| at_ms < self.over_before_ms)
            && !found.is_held
            && found.status.is_some_and(|status| self.is_of(status))
            && self.tenant.as_ref().is_none_or(|tenant| *tenant == found.tenant)
    }
}

impl PruneBatch {
    /// What a rehearsal says of it.
    pub fn would_be(&self) -> Pruned {
        self.done(|_| true)
    }

    /// What it came to, of those that went.
    pub fn done(&self, is_gone: impl Fn(RunId) -> bool) -> Pruned {
        let gone = self.runs.iter().filter(|(run, ..)| is_gone(*run));
        let count = |(runs, rows), (_, events, parts): &(RunId, u64, u64)| (runs + 1, rows + events + parts);
        let (runs, rows) = gone.fold((0, 0), count);
        Pruned { runs, rows, next: self.next }
    }

    /// The run whose outputs are too many for one transaction.
    pub(crate) fn too_large(&self) -> Option<RunId> {
        self.runs.first().filter(|(_, _, parts)| *parts > PARTS).map(|(run, ..)| *run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: u128, events: u64, parts: u64) -> Prunable {
        Prunable {
            run: RunId::from_uuid(Uuid::from_u128(number)),
            status: Some(Status::Complete),
            tenant: "a".to_owned(),
            finished_at_ms: Some(99),
            is_held: false,
            events,
            parts,
        }
    }

    fn prune() -> Prune {
        Prune { over_before_ms: 100, ..Prune::default() }
    }

    fn numbers(batch: &PruneBatch) -> (Vec<u128>, Option<u128>) {
        let runs = batch.runs.iter().map(|(run, ..)| run.as_uuid().as_u128()).collect();
        (runs, batch.next.map(|run| run.as_uuid().as_u128()))
    }

    #[test]
    fn a_batch_ends_by_runs_by_weight_and_by_what_was_looked_at() {
        let many = (1..=300).map(|number| found(number, 1, 0));
        assert_eq!(numbers(&prune().choose(many)), ((1..=100).collect(), Some(100)));
        let heavy = [found(1, 700, 0), found(2, 284, 1), found(3, 1, 0)];
        assert_eq!(numbers(&prune().choose(heavy)), (vec![1, 2], Some(2)));
        let passed_by = (1..=2_000).map(|number| Prunable { finished_at_ms: None, ..found(number, 1, 0) });
        assert_eq!(numbers(&prune().choose(passed_by)), (vec![], Some(1_000)));
        assert_eq!(numbers(&prune().choose([found(1, 1, 0)])), (vec![1], None));
    }

    #[test]
    fn a_run_that_is_too_large_for_any_batch_goes_alone() {
        let batch = prune().choose([found(1, 9_000, 0), found(2, 1, 0)]);
        assert_eq!((numbers(&batch), batch.too_large()), ((vec![1], Some(1)), None));
        let batch = prune().choose([found(1, 1, PARTS + 1), found(2, 1, 0)]);
        assert_eq!(numbers(&batch), (vec![1], Some(1)));
        assert_eq!(batch.too_large(), Some(batch.runs[0].0));
    }

    #[test]
    fn only_what_is_over_by_then_and_asked_for_goes() {
        let is_meant = |prune: &Prune, found: Prunable| !prune.choose([found]).runs.is_empty();
        assert!(is_meant(&prune(), found(1, 1, 0)));
        assert!(!is_meant(&prune(), Prunable { finished_at_ms: Some(100), ..found(1, 1, 0) }));
        assert!(!is_meant(&prune(), Prunable { finished_at_ms: None, ..found(1, 1, 0) }));
        assert!(!is_meant(&prune(), Prunable { is_held: true, ..found(1, 1, 0) }));
        assert!(!is_meant(&prune(), Prunable { status: None, ..found(1, 1, 0) }));
        assert!(!is_meant(&prune(), Prunable { status: Some(Status::Paused), ..found(1, 1, 0) }));
        let failed = Prune { statuses: vec![Status::Failed], ..prune() };
        assert!(!is_meant(&failed, found(1, 1, 0)));
        assert!(is_meant(&failed, Prunable { status: Some(Status::Failed), ..found(1, 1, 0) }));
        let of = |tenant: &str| Prune { tenant: Some(tenant.to_owned()), ..prune() };
        assert!(is_meant(&of("a"), found(1, 1, 0)) && !is_meant(&of("b"), found(1, 1, 0)));
    }
}
