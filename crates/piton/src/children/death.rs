//! Reading an exit status: how a process ended, and whether that was its own doing.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

/// Signals that a process brings upon itself, with their names.
const FAULTS: [(Signal, &str); 7] = [
    (Signal::ABORT, "SIGABRT"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::BUS, "SIGBUS"),
    (Signal::ILL, "SIGILL"),
    (Signal::FPE, "SIGFPE"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::SYS, "SIGSYS"),
];
/// How old the count may be that a killed child is compared with, at least; at most twice that.
const FRESH: Duration = Duration::from_secs(1);

/// How many processes the kernel has killed for want of memory, now and a moment ago. It does so by a SIGKILL, which
/// looks like any other: only this count tells.
#[derive(Debug, Clone)]
pub(super) struct MemoryKills {
    count: fn() -> u64,
    a_moment_ago: Arc<AtomicU64>,
}

impl MemoryKills {
    pub(super) fn watch(stop: CancellationToken) -> Self {
        let kills = Self { count, a_moment_ago: Arc::new(AtomicU64::new(count())) };
        let watched = Arc::clone(&kills.a_moment_ago);
        tokio::spawn(async move {
            let mut latest = count();
            while stop.run_until_cancelled(tokio::time::sleep(FRESH)).await.is_some() {
                watched.store(std::mem::replace(&mut latest, count()), Ordering::Relaxed);
            }
        });
        kills
    }

    fn killed(&self, status: ExitStatus) -> bool {
        status.signal() == Some(Signal::KILL.as_raw())
            && (self.count)() > self.a_moment_ago.load(Ordering::Relaxed)
    }

    /// An abort, a fault, an exit that is not in good order, or more memory than there is. A kill from outside is
    /// nobody's doing.
    pub(super) fn own_doing(&self, status: ExitStatus) -> bool {
        match status.signal() {
            Some(signal) => FAULTS.iter().any(|(fault, _)| fault.as_raw() == signal) || self.killed(status),
            None => !status.success(),
        }
    }

    /// For people.
    pub(super) fn how(&self, status: ExitStatus) -> String {
        if self.killed(status) { "out of memory".to_owned() } else { how(status) }
    }
}

/// Such as `signal 6 (SIGABRT)`.
pub(super) fn how(status: ExitStatus) -> String {
    let named = |signal: i32| match signal {
        9 => Some("SIGKILL"),
        15 => Some("SIGTERM"),
        other => FAULTS.iter().find(|(fault, _)| fault.as_raw() == other).map(|(_, name)| *name),
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match named(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        (None, None) => "unknown".to_owned(),
    }
}

/// The kernel's own count since it started; 0 where it does not say.
fn count() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_moment_ago(kills: u64) -> MemoryKills {
        MemoryKills { count: || 7, a_moment_ago: Arc::new(AtomicU64::new(kills)) }
    }

    #[test]
    fn only_what_a_process_did_to_itself_is_evidence() {
        let own = |raw| a_moment_ago(7).own_doing(ExitStatus::from_raw(raw));
        assert!(own(6) && own(11) && own(101 << 8), "abort, fault, panic of the whole process");
        assert!(!own(9) && !own(15) && !own(2) && !own(0), "killed, stopped, interrupted, done");
        assert_eq!(how(ExitStatus::from_raw(6)), "signal 6 (SIGABRT)");
        assert_eq!(how(ExitStatus::from_raw(1 << 8)), "exit code 1");
    }

    #[test]
    fn a_kill_while_the_kernel_was_short_of_memory_is_evidence() {
        let (killed, terminated) = (ExitStatus::from_raw(9), ExitStatus::from_raw(15));
        assert!(a_moment_ago(6).own_doing(killed));
        assert_eq!(a_moment_ago(6).how(killed), "out of memory");
        assert!(!a_moment_ago(6).own_doing(terminated));
        assert_eq!(a_moment_ago(7).how(killed), "signal 9 (SIGKILL)");
    }
}
