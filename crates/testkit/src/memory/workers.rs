//! Workers as the database knows them, their deaths, and the sweep that derives missing wake-ups.

use piton_core::{Epoch, Event, RunId, WorkerId};
use piton_store::{Death, JobKind, Lost, LostAttempt, LostWorker, Ring, Verdict, WorkerRow};

use super::Mutant;
use super::tables::{KEY_LIFE_MS, Tables, Written};

/// Deaths at one step, after which a run is kept from all workers.
const DEATHS_MAX: u32 = 3;

impl Tables {
    pub(super) fn register(&mut self, worker: &WorkerRow) -> Written<()> {
        self.workers.entry(worker.id.clone()).or_insert_with(|| worker.clone());
        ((), None)
    }

    pub(super) fn renew(&mut self, worker: &WorkerId, expires_at_ms: i64) -> Written<bool> {
        let row = self.workers.get_mut(worker);
        (row.map(|row| row.expires_at_ms = expires_at_ms).is_some(), None)
    }

    pub(super) fn drain(&mut self, worker: &WorkerId) -> Written<bool> {
        let row = self.workers.get_mut(worker);
        (row.map(|row| row.draining = true).is_some(), None)
    }

    pub(super) fn recover(&mut self, lost: &LostWorker, now_ms: i64) -> Written<u64> {
        let as_it_looked = self.is(Mutant::RecoverIgnoresRenewal)
            || self.workers.get(&lost.id).is_some_and(|row| row.expires_at_ms == lost.expires_at_ms);
        if !as_it_looked || self.workers.remove(&lost.id).is_none() {
            return (0, None);
        }
        for run in self.owned_by(&lost.id) {
            if lost.busy_with.contains(&run)
                && let Some(stored) = self.stored(run)
            {
                stored.suspect = Some(lost.id.clone());
            }
        }
        let freed = self.free(&lost.id, now_ms, Some(lost.why.as_str()));
        (freed, (freed > 0).then_some(Ring::Job))
    }

    pub(super) fn retire(&mut self, worker: &WorkerId, now_ms: i64) -> Written<()> {
        self.workers.remove(worker);
        let freed = self.free(worker, now_ms, None);
        ((), (freed > 0).then_some(Ring::Job))
    }

    /// Gives every run of `worker` a job and no owner. Without a `death` the attempt is taken back.
    fn free(&mut self, worker: &WorkerId, now_ms: i64, death: Option<&str>) -> u64 {
        let owned = self.owned_by(worker);
        for run in &owned {
            let without_job = self.is(Mutant::RecoverWithoutJob) && death.is_some();
            let Some(stored) = self.stored(*run) else { continue };
            let row = &mut stored.row;
            row.owner = None;
            match death {
                None => row.attempt = row.attempt.saturating_sub(1),
                Some(_) if stored.lost.iter().any(|lost| lost.epoch == row.epoch) => {}
                Some(how) => stored.lost.push(LostAttempt {
                    worker: worker.clone(),
                    epoch: row.epoch,
                    attempt: row.attempt,
                    version: row.run.version,
                    at_ms: now_ms,
                    how: how.to_owned(),
                    blamed: false,
                }),
            }
            if row.run.status.is_runnable() && !without_job {
                self.enqueue(*run, JobKind::Step, now_ms);
            }
        }
        owned.len() as u64
    }

    pub(super) fn sweep(&mut self, now_ms: i64) -> Written<u64> {
        let mut owners: Vec<WorkerId> =
            self.runs.values().filter_map(|stored| stored.row.owner.clone()).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut mended = 0;
        for owner in owners.iter().filter(|owner| !self.workers.contains_key(*owner)).collect::<Vec<_>>() {
            mended += self.free(owner, now_ms, Some("it is not registered"));
        }
        let from_queue = self.is(Mutant::SweepFromQueue);
        let forgotten: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(run, stored)| {
                let unheld = stored.row.run.status.is_runnable() && stored.row.owner.is_none();
                unheld && self.jobs.contains_key(run) == from_queue
            })
            .map(|(run, _)| *run)
            .collect();
        for run in &forgotten {
            self.enqueue(*run, JobKind::Step, now_ms);
        }
        mended += forgotten.len() as u64;
        self.keys.retain(|_, key| key.created_at_ms > now_ms - KEY_LIFE_MS);
        (mended, (mended > 0).then_some(Ring::Job))
    }

    pub(super) fn clock_set_back(&mut self, now_ms: i64) -> Written<u64> {
        let mut woken = 0;
        for job in self.jobs.values_mut() {
            if job.due_at_ms > now_ms && job.due_at_ms <= job.enqueued_at_ms {
                (job.due_at_ms, job.enqueued_at_ms) = (now_ms, now_ms);
                woken += 1;
            }
        }
        (woken, (woken > 0).then_some(Ring::Job))
    }

    /// Judges a death whose worker was recovered already.
    pub(super) fn judge(&mut self, death: &Death, now_ms: i64) -> Written<Vec<Verdict>> {
        let mut held = Vec::new();
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        for run in runs {
            let Some(stored) = self.stored(run) else { continue };
            let untold = |lost: &&mut LostAttempt| {
                is_incarnation(&lost.worker, &death.worker) && lost.how == Lost::LockFree.as_str()
            };
            for lost in stored.lost.iter_mut().filter(untold) {
                lost.how.clone_from(&death.how);
                held.push((run, lost.epoch));
            }
        }
        let news = (!held.is_empty()).then_some(Ring::Events);
        // Told before, or it held nothing.
        if held.is_empty() || !death.own_doing {
            return (Vec::new(), news);
        }
        let was_polled = |(run, _): &(RunId, Epoch)| self.runs[run].suspect.is_some();
        // Where it was polling none, a thread of a tool's own may have died: each that it held may have done it.
        if held.iter().any(was_polled) {
            held.retain(was_polled);
        }
        for (run, epoch) in &held {
            if let Some(stored) = self.stored(*run) {
                stored.suspect.get_or_insert_with(|| death.worker.clone());
                stored.deaths += 1;
                stored.suspected.push(*epoch);
            }
        }
        let [(only, _)] = held[..] else {
            return (held.into_iter().map(|(run, _)| Verdict::Suspected(run)).collect(), news);
        };
        (self.blame(only, now_ms).into_iter().collect(), news)
    }

    fn blame(&mut self, run: RunId, now_ms: i64) -> Option<Verdict> {
        let stored = self.stored(run)?;
        for lost in stored.lost.iter_mut().filter(|lost| stored.suspected.contains(&lost.epoch)) {
            lost.blamed = true;
        }
        let deaths = stored.deaths;
        let blamed = Some(Verdict::Blamed { run, deaths });
        if deaths < DEATHS_MAX {
            return blamed;
        }
        let hows: Vec<&str> =
            stored.lost.iter().filter(|lost| lost.blamed).map(|lost| lost.how.as_str()).collect();
        let last = &hows[hows.len().saturating_sub(DEATHS_MAX as usize)..];
        let reason = format!("it took its worker down {deaths} times in a row: {}", last.join(", "));
        let event = Event::Quarantined { reason };
        // A run that rests, or was cancelled meanwhile, does no more harm.
        let Ok(after) = stored.row.run.clone().apply(&event) else { return blamed };
        stored.write(after, &[event], now_ms);
        stored.row.owner = None;
        stored.row.attempt = 0;
        stored.deaths = 0;
        self.jobs.remove(&run);
        Some(Verdict::Quarantined(run))
    }
}

/// Whether `worker` is an incarnation of the worker that bears `name`.
pub(super) fn is_incarnation(worker: &WorkerId, name: &WorkerId) -> bool {
    let rest = worker.as_str().strip_prefix(name.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
