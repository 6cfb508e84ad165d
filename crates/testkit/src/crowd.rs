//! A crowd of clerks: as many runs as wanted are kept in flight, whatever happens to the server meanwhile, with a
//! person at the inbox.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::caller::Caller;
use crate::clerk;
use crate::ledger::{Ledger, LedgerEntry};
use crate::person::Said;

/// All statuses from which a clerk's run is still to come to its end.
const OPEN: &str = "running,undecided,cancelling,paused,waiting_human_input";

#[derive(Debug)]
pub struct Crowd {
    caller: Caller,
    in_flight: usize,
    pub said: Said,
    /// The ids of the runs whose launch was acknowledged, by their numbers.
    pub ids: BTreeMap<u64, String>,
    /// Launched, and not known to be: tried again under the same key until it is.
    unacknowledged: BTreeSet<u64>,
    /// Since when runs are open.
    open: BTreeMap<String, Instant>,
    /// The longest that a run was open, as far as was seen.
    pub longest: Duration,
}

impl Crowd {
    pub const fn new(caller: Caller, in_flight: usize) -> Self {
        Self {
            caller,
            in_flight,
            said: Said { happened: 0, did_not_happen: 0, waited: 0, answered: 0 },
            ids: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            open: BTreeMap::new(),
            longest: Duration::ZERO,
        }
    }

    /// Runs launched so far, acknowledged or not: their numbers are all below.
    pub fn launched(&self) -> u64 {
        (self.ids.len() + self.unacknowledged.len()) as u64
    }

    /// Decides what is unknown, and launches what is missing if `more` are wanted. Returns how many are still open;
    /// `None` while the server is not there.
    pub async fn look_after(&mut self, ledger: &Ledger, more: bool) -> Option<usize> {
        self.said.attend(&self.caller, ledger, str::to_owned).await;
        let runs = self.caller.try_runs(OPEN).await?;
        let ids: BTreeSet<&str> = runs.iter().filter_map(|run| run["id"].as_str()).collect();
        self.open.retain(|id, _| ids.contains(id.as_str()));
        for id in &ids {
            let since = self.open.entry((*id).to_owned()).or_insert_with(Instant::now);
            self.longest = self.longest.max(since.elapsed());
        }
        if more {
            let missing = self.in_flight.saturating_sub(runs.len() + self.unacknowledged.len());
            let next = self.launched();
            self.unacknowledged.extend(next..next + missing as u64);
        }
        let launches = self.unacknowledged.iter().map(async |&n| {
            let id = self.caller.try_launch(&format!("run-{n}"), &clerk::task(n), "clerk").await;
            id.map(|id| (n, id))
        });
        for (n, id) in join_all(launches).await.into_iter().flatten() {
            self.unacknowledged.remove(&n);
            self.ids.insert(n, id);
        }
        Some(runs.len() + self.unacknowledged.len())
    }

    /// Lets all that is open come to its end.
    ///
    /// # Errors
    /// The runs that did not within `limit`.
    pub async fn disperse(&mut self, ledger: &Ledger, limit: Duration) -> Result<(), String> {
        let began = Instant::now();
        while self.look_after(ledger, false).await != Some(0) {
            if began.elapsed() > limit {
                let open = self.caller.try_runs(OPEN).await.unwrap_or_default();
                return Err(format!("open after {limit:?}: {:#}", Value::from(open)));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What is wrong with the runs, once all are over: with their ends, their histories (`events`, by number) and the
    /// ledger.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn trouble(&self, entries: &[LedgerEntry], events: &BTreeMap<u64, Vec<Value>>) -> Vec<String> {
        let there = |runs: Option<Vec<Value>>| runs.expect("the server answers");
        let complete: BTreeMap<u64, Value> = there(self.caller.try_runs("complete").await)
            .into_iter()
            .filter_map(|run| Some((clerk::number_of(run["task"].as_str()?)?, run)))
            .collect();
        let mut trouble = Vec::new();
        for (n, id) in &self.ids {
            match complete.get(n) {
                Some(run) if run["id"] == **id => trouble.extend(clerk::trouble_with_run(*n, run)),
                other => trouble.push(format!("run {n} is not complete under the id {id}: {other:?}")),
            }
            trouble.extend(clerk::trouble_with_events(*n, &events[n]));
        }
        if complete.len() != self.ids.len() {
            trouble.push(format!("{} runs are complete of {} launched", complete.len(), self.ids.len()));
        }
        let others = there(self.caller.try_runs("quarantined,failed,cancelled,max_steps_reached").await);
        trouble.extend(others.into_iter().map(|run| format!("nobody was to end so: {run:#}")));
        trouble.extend(clerk::trouble_with_ledger(self.ids.len() as u64, entries));
        trouble
    }

    /// All events of all runs, by their numbers.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn events(&self) -> BTreeMap<u64, Vec<Value>> {
        let events = stream::iter(&self.ids)
            .map(async |(n, id)| (*n, self.caller.try_events(id).await.expect("the server answers")));
        events.buffer_unordered(8).collect().await
    }
}
