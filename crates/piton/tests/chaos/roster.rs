//! What was entrusted to Piton, and what it has acknowledged: the memory that the verdict is given from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Books four lines and adds them up.
    Clerk,
    /// The same, and each first reply of the `at_most_once` tool is lost.
    Flaky,
    /// Asks a person.
    Asker,
    /// A clerk with too few steps, resumed until it is done.
    Limited,
    /// Its model refuses it.
    Doomed,
    /// Takes its worker down.
    Poison,
}

/// How often something was commanded of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    /// Without a reply: carried out or not.
    pub(crate) unanswered: usize,
}

#[derive(Debug)]
pub(crate) struct Entrusted {
    pub(crate) n: u64,
    pub(crate) kind: Kind,
    /// Once its launch is acknowledged.
    pub(crate) id: Option<String>,
    /// As last seen in a list of what is open.
    pub(crate) status: String,
    version: u64,
    moved_at: Instant,
    pub(crate) pauses: Tally,
    pub(crate) resumes: Tally,
    pub(crate) cancels: Tally,
}

impl Entrusted {
    fn new(n: u64, kind: Kind) -> Self {
        Self {
            n,
            kind,
            id: None,
            status: String::new(),
            version: 0,
            moved_at: Instant::now(),
            pauses: Tally::default(),
            resumes: Tally::default(),
            cancels: Tally::default(),
        }
    }

    /// Its launch is acknowledged.
    pub(crate) fn is_launched(&mut self, id: String) {
        (self.id, self.moved_at) = (Some(id), Instant::now());
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) n: u64,
    pub(crate) kind: Kind,
    pub(crate) status: String,
    pub(crate) version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) open: BTreeMap<u64, Entrusted>,
    /// By id.
    pub(crate) ended: HashMap<String, Ended>,
    next: u64,
}

impl Roster {
    pub(crate) fn entrust(&mut self, kind: Kind) {
        self.open.insert(self.next, Entrusted::new(self.next, kind));
        self.next += 1;
    }

    /// Runs entrusted so far; their numbers are all below.
    pub(crate) const fn entrusted(&self) -> u64 {
        self.next
    }

    /// Takes notice of how the open ones stand. Returns the numbers of those that are open no more.
    pub(crate) fn see(&mut self, open: &HashMap<&str, &Value>) -> Vec<u64> {
        let mut ended = Vec::new();
        for run in self.open.values_mut() {
            let Some(id) = &run.id else { continue };
            let Some(seen) = open.get(id.as_str()) else {
                ended.push(run.n);
                continue;
            };
            seen["status"].as_str().unwrap_or_default().clone_into(&mut run.status);
            let version = seen["version"].as_u64().unwrap_or_default();
            if version != run.version {
                (run.version, run.moved_at) = (version, Instant::now());
            }
        }
        ended
    }

    /// The id of a run that has not moved for too long.
    pub(crate) fn stuck(&self, limit: Duration) -> Option<String> {
        let stuck = self.open.values().find(|run| run.id.is_some() && run.moved_at.elapsed() > limit)?;
        stuck.id.clone()
    }
}

/// `1234 runs: 1100 complete, 80 cancelled, 14 failed, 40 open`
impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
        for run in self.ended.values() {
            *statuses.entry(&run.status).or_default() += 1;
        }
        write!(f, "{} runs:", self.next)?;
        for (status, runs) in statuses {
            write!(f, " {runs} {status},")?;
        }
        write!(f, " {} open", self.open.len())
    }
}
