//! People who command runs at any moment, and keep count of what was acknowledged.

use std::time::Duration;

use piton_testkit::Caller;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;

use crate::Storm;
use crate::roster::{Entrusted, Kind, Tally};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Pause,
    Resume,
    Cancel,
}

impl Order {
    const fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    const fn tally(self, run: &mut Entrusted) -> &mut Tally {
        match self {
            Self::Pause => &mut run.pauses,
            Self::Resume => &mut run.resumes,
            Self::Cancel => &mut run.cancels,
        }
    }
}

/// Until all is over. Once it is calm, only what is paused is resumed.
pub(crate) async fn meddle(storm: &Storm) {
    let mut rng = StdRng::seed_from_u64(storm.seed ^ 0x6d65_6464);
    while storm.pause(Duration::from_millis(rng.random_range(20..120))).await {
        let mut orders = Vec::new();
        for run in storm.roster.borrow().open.values() {
            if run.status == "paused" && (storm.calm.get() || rng.random_range(0..8) == 0) {
                orders.push((run.n, Order::Resume));
            }
        }
        if !storm.calm.get() {
            let roster = storm.roster.borrow();
            let free: Vec<u64> = roster
                .open
                .values()
                .filter(|run| run.id.is_some() && !matches!(run.kind, Kind::Doomed | Kind::Poison))
                .map(|run| run.n)
                .collect();
            let order = if rng.random_range(0..8) == 0 { Order::Cancel } else { Order::Pause };
            orders.extend(free.choose(&mut rng).map(|n| (*n, order)));
        }
        for (n, order) in orders {
            let caller = if rng.random() { &storm.caller } else { &storm.spared };
            give(storm, caller, n, order).await;
        }
    }
}

/// Gives an order and books how it was answered.
pub(crate) async fn give(storm: &Storm, caller: &Caller, n: u64, order: Order) {
    let id = storm.roster.borrow().open.get(&n).and_then(|run| run.id.clone());
    let Some(id) = id else { return };
    // Booked before it is sent: the run may be judged before the reply is here.
    let book = |change: fn(&mut Tally)| {
        if let Some(run) = storm.roster.borrow_mut().open.get_mut(&n) {
            change(order.tally(run));
        }
    };
    book(|tally| tally.unanswered += 1);
    let request = caller.request(Method::POST, &format!("/v1/runs/{id}/{}", order.verb()));
    match caller.try_send(request).await {
        Ok(reply) if reply.status == 200 => book(|tally| {
            tally.unanswered -= 1;
            tally.acknowledged += 1;
        }),
        // Refused: the run stands elsewhere.
        Ok(reply) if reply.status == 409 => book(|tally| tally.unanswered -= 1),
        Ok(reply) if reply.status == 503 => {}
        Ok(reply) => storm.trouble(format!("{} of {id} gave {} {}", order.verb(), reply.status, reply.text)),
        Err(_) => {}
    }
}
