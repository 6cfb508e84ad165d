//! Whether memory stays flat: the spared server's, which lives through it all, and the largest of the workers'.

use std::fmt;
use std::time::Instant;

use piton_testkit::pss_bytes;

const MIB: f64 = 1024.0 * 1024.0;
/// Growth that is no leak: caches that fill, an allocator that keeps what it had at the busiest moment.
const SLACK: f64 = 16.0 * MIB;

/// Looked at now and then.
#[derive(Debug)]
struct Look {
    at: Instant,
    spared: f64,
    largest_worker: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Look>);

impl Memory {
    pub(crate) fn look(&mut self, spared: u32, workers: &[u32]) {
        let Some(spared) = pss_bytes(spared) else { return };
        let largest = workers.iter().filter_map(|pid| pss_bytes(*pid)).max().unwrap_or_default();
        self.0.push(Look { at: Instant::now(), spared: spared as f64, largest_worker: largest as f64 });
    }

    /// The highest of a part of the time: (server, worker).
    fn highest(&self, part: std::ops::Range<f64>) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return (0.0, 0.0) };
        let all = (last.at - first.at).as_secs_f64().max(f64::EPSILON);
        let within = |look: &&Look| part.contains(&((look.at - first.at).as_secs_f64() / all));
        self.0.iter().filter(within).fold((0.0, 0.0), |(server, worker): (f64, f64), look| {
            (server.max(look.spared), worker.max(look.largest_worker))
        })
    }

    /// What has grown from the first third to the last, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        let (early, late) = (self.highest(0.0..0.34), self.highest(0.66..1.01));
        let grew = late.0 > early.0 * 1.25 + SLACK || late.1 > early.1 * 1.25 + SLACK;
        grew.then(|| format!("memory grew: {self}"))
    }
}

/// `memory of the spared server 12.1 -> 12.3 MiB, of the largest worker 14.0 -> 14.1 MiB`
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (early, late) = (self.highest(0.0..0.34), self.highest(0.66..1.01));
        write!(
            f,
            "memory of the spared server {:.1} -> {:.1} MiB, of the largest worker {:.1} -> {:.1} MiB",
            early.0 / MIB,
            late.0 / MIB,
            early.1 / MIB,
            late.1 / MIB
        )
    }
}
