//! The store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use piton_core::{RunId, WorkerId};
use piton_store::{Clock, Scheduling, Store};
use piton_testkit::{copy, memory};

use crate::world::Engine;

pub(crate) struct Memory(memory::Memory);

#[async_trait]
impl Engine for Memory {
    async fn fresh() -> Self {
        Self(memory::Memory::default())
    }

    async fn open_for(&self, clock: &Clock, scheduling: Scheduling) -> Arc<dyn Store> {
        Arc::new(self.0.open(clock.clone()).scheduled(scheduling))
    }

    fn lock(&self, worker: &WorkerId) {
        self.0.lock(worker);
    }

    fn die(&self, worker: &WorkerId, busy_with: &[RunId]) {
        self.0.die(worker, busy_with.to_vec());
    }

    async fn multiply(&self, waiting: RunId, copies: u32) {
        self.0.tamper(|tables| {
            let (stored, job) = (tables.runs[&waiting].clone(), tables.jobs[&waiting]);
            for number in 1..=copies {
                let mut copied = memory::Stored::clone(&stored);
                copied.row.id = copy(&waiting.to_string(), number).parse().expect("an id");
                tables.jobs.insert(copied.row.id, job);
                tables.runs.insert(copied.row.id, Arc::new(copied));
            }
        });
    }

    async fn lose_jobs(&self) {
        self.0.tamper(|tables| tables.jobs.clear());
    }

    async fn lose_workers(&self) {
        self.0.tamper(|tables| tables.workers.clear());
    }
}
