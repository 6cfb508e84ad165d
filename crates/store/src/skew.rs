//! Versions side by side: what a worker must have for a run, what workers lack, and which runs wait for one that has it.

use std::collections::BTreeMap;

use piton_core::{Agent, AgentDigest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{QueueStats, WorkerRow};

/// Definitions that a process leaves alone; past it, the one that was found out first is tried again.
pub const LACKS_MAX: usize = 256;
/// What is said of runs that nobody can advance, at most.
const LACKING_MAX: usize = 100;
/// What is lacking for a run of a newer reducer.
const NEWER: &str = "a newer version of Piton";

/// A definition whose runs a worker cannot advance, and what it would have to have for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    pub digest: AgentDigest,
    /// For people: `the tool weigh`.
    pub what: String,
}

/// Due runs that no live worker can advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub agent: String,
    /// What a worker would have to have, for people.
    pub what: String,
    pub runs: u64,
}

/// What a worker must have for a run, as a job says it: `REDUCER:DIGEST`, or nothing where an older Piton wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs<'a> {
    pub reducer: u32,
    pub digest: &'a str,
}

impl<'a> Needs<'a> {
    pub fn parse(text: &'a str) -> Self {
        let (reducer, digest) = text.split_once(':').unwrap_or_default();
        Self { reducer: reducer.parse().unwrap_or_default(), digest }
    }

    /// What this worker lacks for it.
    fn lacks(self, worker: &WorkerRow) -> Option<&str> {
        if self.reducer > worker.reducer {
            return Some(NEWER);
        }
        let lack = worker.lacks.iter().find(|lack| lack.digest.as_str() == self.digest)?;
        Some(&lack.what)
    }
}

impl Lacking {
    /// Which of the due runs, counted by agent and needs, wait for a worker that there is none of: most first. Where no
    /// worker is alive, what they lack is a worker.
    fn among(jobs: &[JobsOf<'_>], workers: &[WorkerRow], now_ms: i64) -> Vec<Self> {
        let takes = |worker: &&WorkerRow| worker.expires_at_ms > now_ms && !worker.draining;
        let workers: Vec<&WorkerRow> = workers.iter().filter(takes).collect();
        let mut counted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for JobsOf { agent, needs, due, .. } in jobs {
            let lacks: Option<Vec<&str>> = workers.iter().map(|worker| needs.lacks(worker)).collect();
            if let Some(what) = lacks.as_deref().and_then(<[&str]>::first) {
                *counted.entry((*agent, *what)).or_default() += due;
            }
        }
        let lacking = |((agent, what), runs): (&(&str, &str), &u64)| Self {
            agent: (*agent).to_owned(),
            what: (*what).to_owned(),
            runs: *runs,
        };
        let mut all: Vec<Self> = counted.iter().filter(|(_, runs)| **runs > 0).map(lacking).collect();
        all.sort_by_key(|lacking| std::cmp::Reverse(lacking.runs));
        all.truncate(LACKING_MAX);
        all
    }
}

/// Jobs that need the same.
#[derive(Debug)]
pub struct JobsOf<'a> {
    pub agent: &'a str,
    pub needs: Needs<'a>,
    pub due: u64,
    pub later: u64,
    pub oldest_at_ms: i64,
}

impl QueueStats {
    /// Of these jobs, while this many runs are held and these are the workers.
    pub fn of<'a>(
        jobs: impl Iterator<Item = JobsOf<'a>>,
        owned: u64,
        workers: &[WorkerRow],
        now_ms: i64,
    ) -> Self {
        let jobs: Vec<JobsOf<'_>> = jobs.collect();
        let oldest = jobs.iter().filter(|jobs| jobs.due > 0).map(|jobs| jobs.oldest_at_ms).min();
        Self {
            due: jobs.iter().map(|jobs| jobs.due).sum(),
            later: jobs.iter().map(|jobs| jobs.later).sum(),
            oldest_ms: oldest.map_or(0, |oldest| u64::try_from(now_ms - oldest).unwrap_or_default()),
            owned,
            lacking: Lacking::among(&jobs, workers, now_ms),
        }
    }
}

/// An agent's definition as it is stored, where this version knows all of it: one of a newer version read in part would be
/// another agent.
///
/// # Errors
/// What it is that cannot be read, for people.
pub(crate) fn definition(digest: &AgentDigest, text: &str) -> Result<Agent, String> {
    let agent: Agent = serde_json::from_str(text).map_err(|error| format!("agent {digest}: {error}"))?;
    let (stored, read) = (serde_json::from_str(text), serde_json::to_value(&agent));
    match (stored, read) {
        (Ok(stored), Ok(read)) if is_within(&stored, &read) => Ok(agent),
        _ => Err(format!(
            "agent {digest}: a newer version of Piton wrote it, and this one does not know all of it"
        )),
    }
}

/// Whether `all` has everything that `part` has.
fn is_within(part: &Value, all: &Value) -> bool {
    match (part, all) {
        (Value::Object(part), Value::Object(all)) => {
            part.iter().all(|(name, value)| all.get(name).is_some_and(|all| is_within(value, all)))
        }
        (Value::Array(part), Value::Array(all)) => {
            part.len() == all.len() && part.iter().zip(all).all(|(part, all)| is_within(part, all))
        }
        _ => part == all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(reducer: u32, lacks: &[&str]) -> WorkerRow {
        let lack =
            |digest: &&str| Lack { digest: AgentDigest::new(*digest), what: format!("the tool of {digest}") };
        WorkerRow {
            id: piton_core::WorkerId::new("w"),
            host: String::new(),
            pid: 1,
            concurrency: 1,
            version: String::new(),
            started_at_ms: 0,
            lease_ms: 10,
            expires_at_ms: 10,
            runs: 0,
            draining: false,
            reducer,
            lacks: lacks.iter().map(lack).collect(),
        }
    }

    #[test]
    fn what_some_worker_can_do_waits_for_nobody_else() {
        let due = [("a", "3:one", 2), ("a", "3:two", 5), ("b", "4:one", 1), ("c", "", 7), ("d", "3:two", 0)];
        let jobs = due.map(|(agent, needs, due)| {
            let needs = Needs::parse(needs);
            JobsOf { agent, needs, due, later: 1, oldest_at_ms: 0 }
        });
        let among = |workers: &[WorkerRow], now_ms| {
            let all = Lacking::among(&jobs, workers, now_ms);
            all.iter()
                .map(|lacking| format!("{} {} {}", lacking.runs, lacking.agent, lacking.what))
                .collect::<Vec<_>>()
        };
        let old = worker(3, &["two"]);
        let lacking = ["5 a the tool of two", "1 b a newer version of Piton"];
        assert_eq!(among(std::slice::from_ref(&old), 0), lacking);
        assert_eq!(among(&[old.clone(), worker(4, &[])], 0), [""; 0]);
        assert_eq!(among(&[old.clone(), worker(4, &["two"])], 0), ["5 a the tool of two"]);
        // Who drains takes none of them.
        assert_eq!(among(&[old.clone(), WorkerRow { draining: true, ..worker(4, &[]) }], 0), lacking);
        assert_eq!(among(&[old], 10), [""; 0], "what they lack is a worker");
    }

    #[test]
    fn a_definition_is_read_whole_or_not_at_all() {
        let digest = AgentDigest::new("d");
        let text = r#"{"name":"n","description":"","instructions":"","model":"m","max_steps":10,"tools":[]}"#;
        assert_eq!(definition(&digest, text).expect("read").name, "n");
        for newer in [
            text.replace(r#""model""#, r#""api":"voice","model""#),
            text.replace(
                "[]",
                r#"[{"name":"t","description":"","parameters":{},"effect":"pure","kind":{"kind":"mcp"}}]"#,
            ),
        ] {
            assert!(definition(&digest, &newer).is_err(), "{newer}");
        }
    }
}
