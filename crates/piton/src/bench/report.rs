//! Rounds made into figures: each the median, each with its ratio to a floor of the same round.

use std::time::Duration;

use serde::Serialize;

use super::Plan;
use super::load::Load;

const KIB: f64 = 1024.0;

/// What the machine can do with nothing else to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floors {
    /// Steps a second of the loop without durability.
    pub(super) bare: f64,
    /// Steps a second of grouped commits.
    pub(super) grouped: f64,
    /// Bytes that reach the disk for each of them.
    pub(super) grouped_bytes: Option<f64>,
    /// One commit alone, `FULL`.
    pub(super) single: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) floors: Floors,
    pub(super) load: Load,
    /// Runs alone.
    pub(super) alone: Vec<Duration>,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    runs: usize,
    concurrency: usize,
    steps: usize,
    workers: u32,
    latency_ms: u128,
    synchronous: &'static str,
    rounds: usize,
    steps_per_s: f64,
    /// Of the slowest and the fastest round.
    steps_per_s_range: [f64; 2],
    /// To the lower of the two floors of the same round.
    ratio_to_floor: f64,
    server_cpu_ms_per_step: f64,
    workers_cpu_ms_per_step: f64,
    bytes_per_step: Option<f64>,
    bytes_ratio_to_floor: Option<f64>,
    /// Of the largest worker: before there was any load, at the most, and the difference for each step it may have in flight.
    worker_idle_mib: f64,
    worker_most_mib: f64,
    worker_kib_per_step_in_flight: f64,
    alone_p50_ms: f64,
    alone_p99_ms: f64,
    floor_bare_loop_steps_per_s: f64,
    floor_grouped_commits_steps_per_s: f64,
    floor_grouped_commits_bytes_per_step: Option<f64>,
    floor_single_commit_ms: f64,
}

impl Report {
    pub(super) fn of(plan: &Plan, rounds: &[Round]) -> Self {
        let steps = (plan.runs * plan.steps) as f64;
        let each = |figure: &dyn Fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
        let each_known = |figure: &dyn Fn(&Round) -> Option<f64>| {
            rounds.iter().map(figure).collect::<Option<Vec<f64>>>().map(middle)
        };
        let speed = |round: &Round| steps / round.load.took.as_secs_f64();
        let bytes = |round: &Round| round.load.bytes.map(|bytes| bytes as f64 / steps);
        let alone = |part: f64| each(&|round: &Round| ms(part_of(&mut round.alone.clone(), part)));
        let speeds = rounds.iter().map(speed);
        Self {
            runs: plan.runs,
            concurrency: plan.concurrency,
            steps: plan.steps,
            workers: plan.workers,
            latency_ms: plan.latency.as_millis(),
            synchronous: plan.synchronous.as_str(),
            rounds: rounds.len(),
            steps_per_s: each(&speed),
            steps_per_s_range: [speeds.clone().fold(f64::MAX, f64::min), speeds.fold(0.0, f64::max)],
            ratio_to_floor: each(&|round| speed(round) / round.floors.bare.min(round.floors.grouped)),
            server_cpu_ms_per_step: each(&|round| ms(round.load.server) / steps),
            workers_cpu_ms_per_step: each(&|round| ms(round.load.workers) / steps),
            bytes_per_step: each_known(&bytes),
            bytes_ratio_to_floor: each_known(&|round| Some(bytes(round)? / round.floors.grouped_bytes?)),
            worker_idle_mib: each(&|round| round.load.worker_idle_bytes as f64 / KIB / KIB),
            worker_most_mib: each(&|round| round.load.worker_most_bytes as f64 / KIB / KIB),
            worker_kib_per_step_in_flight: each(&|round| {
                let load = &round.load;
                let more = load.worker_most_bytes.saturating_sub(load.worker_idle_bytes);
                more as f64 / KIB / plan.slots() as f64
            }),
            alone_p50_ms: alone(0.5),
            alone_p99_ms: alone(0.99),
            floor_bare_loop_steps_per_s: each(&|round| round.floors.bare),
            floor_grouped_commits_steps_per_s: each(&|round| round.floors.grouped),
            floor_grouped_commits_bytes_per_step: each_known(&|round| round.floors.grouped_bytes),
            floor_single_commit_ms: each(&|round| ms(round.floors.single)),
        }
    }

    pub(super) fn shown(&self) -> String {
        let bytes = |bytes: Option<f64>| {
            bytes.map_or_else(|| "not known".to_owned(), |bytes| format!("{:.1} KB", bytes / 1000.0))
        };
        let [slowest, fastest] = self.steps_per_s_range;
        [
            format!(
                "{} runs of {} model calls, {} in flight, workers: {}, model latency {} ms, synchronous = {}; median of {}",
                self.runs, self.steps, self.concurrency, self.workers, self.latency_ms, self.synchronous, self.rounds
            ),
            format!(
                "  steps a second         {:>9.0}   from {slowest:.0} to {fastest:.0}; {:.0} % of the lower floor",
                self.steps_per_s,
                100.0 * self.ratio_to_floor
            ),
            format!(
                "  processor time a step  {:>6.3} ms   server {:.3}, workers {:.3}",
                self.server_cpu_ms_per_step + self.workers_cpu_ms_per_step,
                self.server_cpu_ms_per_step,
                self.workers_cpu_ms_per_step
            ),
            format!(
                "  to the disk a step     {:>9}   {}",
                bytes(self.bytes_per_step),
                self.bytes_ratio_to_floor.map_or_else(String::new, |ratio| format!("{ratio:.2} times the floor"))
            ),
            format!(
                "  memory of a worker     {:>6.1} MiB  {:.1} before there was any load; {:.0} KiB more for each step in flight",
                self.worker_most_mib, self.worker_idle_mib, self.worker_kib_per_step_in_flight
            ),
            format!(
                "  one run alone          {:>6.1} ms   99th percentile {:.1} ms; {} single commits take {:.1} ms",
                self.alone_p50_ms,
                self.alone_p99_ms,
                self.steps + 1,
                self.floor_single_commit_ms * (self.steps + 1) as f64
            ),
            "floors, in the same rounds on the same disk".to_owned(),
            format!("  loop, nothing kept     {:>9.0}   steps a second", self.floor_bare_loop_steps_per_s),
            format!(
                "  grouped commits        {:>9.0}   steps a second, {} each",
                self.floor_grouped_commits_steps_per_s,
                bytes(self.floor_grouped_commits_bytes_per_step)
            ),
            format!("  one commit             {:>6.2} ms", self.floor_single_commit_ms),
        ]
        .join("\n")
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// The one in the middle; of an even number the upper one.
pub(super) fn median(all: &mut [Duration]) -> Duration {
    part_of(all, 0.5)
}

fn part_of(all: &mut [Duration], part: f64) -> Duration {
    all.sort_unstable();
    let at = (all.len() as f64 * part) as usize;
    all.get(at.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
