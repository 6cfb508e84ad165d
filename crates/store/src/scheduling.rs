//! Whose turn it is: fair shares between tenants, priority that grows with age within one, and how many may run at once.
//!
//! Between tenants it is start-time fair queueing: each step taken moves its tenant's next turn back by one over the
//! tenant's weight, and the tenant whose turn comes first is next. One that had nothing to do begins at the present
//! turn: it neither waits for what the others did meanwhile nor saves up. Every process keeps its own account, in memory:
//! shares that each keeps to are kept by all of them together, and there is nothing that could drift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use piton_core::{REDUCER, RunId};

use crate::{JobKind, LACKS_MAX, Lack, Needs};

/// What one priority more is worth, in time waited: an old job overtakes any other in the end.
pub const PRIORITY_AGE_MS: i64 = 60_000;
/// Lines that one claim looks at; the next one looks at those after them.
pub(crate) const LINES_MAX: usize = 256;
/// Due jobs that one claim looks at, about.
pub(crate) const DUE_MAX: usize = 512;
/// Agents that are left alone at once.
const HELD_OFF_MAX: usize = 1_000;
/// No agent is left alone for longer without another try.
pub const HOLD_OFF_MAX_MS: i64 = 10_000;
/// How far one step moves the turn of a tenant of weight 1.
const STRIDE: u64 = 1 << 20;

/// A number for some names, and maybe one for all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerName {
    pub named: BTreeMap<String, u32>,
    pub others: Option<u32>,
}

impl PerName {
    pub fn of(&self, name: &str) -> Option<u32> {
        self.named.get(name).copied().or(self.others)
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.others.is_none()
    }
}

/// Which runs a worker takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    /// Empty: any.
    pub agents: BTreeSet<String>,
    /// Empty: any.
    pub tenants: BTreeSet<String>,
}

impl Only {
    pub fn is_any(&self) -> bool {
        self.agents.is_empty() && self.tenants.is_empty()
    }

    pub fn takes(&self, tenant: &str, agent: &str) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(tenant))
            && (self.agents.is_empty() || self.agents.contains(agent))
    }
}

/// How a process shares its workers out. Each process keeps to its own: all should be told the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// A tenant's share, beside those of the others that have something to do; 1 where nothing is said, at most 1,000.
    pub weights: PerName,
    /// Runs of a tenant that workers hold at once, over all of them.
    pub tenant_max: PerName,
    /// Runs of an agent that workers hold at once, over all of them.
    pub agent_max: PerName,
    pub only: Only,
}

/// Jobs that differ in nothing but their age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) tenant: String,
    /// Empty where an older version of Piton wrote it.
    pub(crate) agent: String,
    pub(crate) priority: i32,
    /// See [`Needs`].
    pub(crate) needs: String,
}

impl Line {
    /// Before every line.
    pub(crate) fn first() -> Self {
        Self { tenant: String::new(), agent: String::new(), priority: i32::MIN, needs: String::new() }
    }
}

/// A job that is due, of a run that nobody holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub run: RunId,
    pub kind: JobKind,
    pub tenant: String,
    pub agent: String,
    /// Of the definition that the run is pinned to.
    pub digest: String,
    pub priority: i32,
    pub due_at_ms: i64,
}

impl Due {
    /// Less goes first.
    fn rank(&self) -> (i64, RunId) {
        (self.due_at_ms - i64::from(self.priority) * PRIORITY_AGE_MS, self.run)
    }
}

/// Runs that workers hold now.
#[derive(Debug, Clone, Default)]
pub struct HeldRuns {
    tenants: BTreeMap<String, u32>,
    agents: BTreeMap<String, u32>,
}

impl HeldRuns {
    pub fn add(&mut self, tenant: &str, agent: &str, runs: u32) {
        for (counts, name) in [(&mut self.tenants, tenant), (&mut self.agents, agent)] {
            match counts.get_mut(name) {
                Some(count) => *count += runs,
                None => drop(counts.insert(name.to_owned(), runs)),
            }
        }
    }
}

/// When each tenant's next turn is.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// The turn that was taken last.
    now: u64,
    /// Of tenants whose next turn is not now.
    next: BTreeMap<String, u64>,
    /// The line that the last claim stopped at, if there are more.
    pub(crate) after: Option<Line>,
    /// Agents whose jobs are left alone, until when.
    held_off: BTreeMap<String, i64>,
    /// Definitions whose jobs are left alone, in the order in which it was found out.
    lacks: Vec<Lack>,
}

/// What is left alone now.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeftAlone {
    pub(crate) agents: Vec<String>,
    pub(crate) digests: Vec<String>,
}

impl LeftAlone {
    pub(crate) fn is_nothing(&self) -> bool {
        self.agents.is_empty() && self.digests.is_empty()
    }
}

impl Turns {
    fn of(&self, tenant: &str) -> u64 {
        self.next.get(tenant).copied().unwrap_or_default().max(self.now)
    }

    /// Leaves jobs of `agent` alone until then.
    pub fn hold_off(&mut self, agent: &str, until_ms: i64) {
        if self.held_off.len() >= HELD_OFF_MAX {
            self.held_off.clear();
        }
        self.held_off.insert(agent.to_owned(), until_ms);
    }

    /// Whether jobs of `agent` are left alone now.
    pub fn holds_off(&self, agent: &str, now_ms: i64) -> bool {
        // One that is longer than any could be comes of a clock that was ahead.
        let left_ms = self.held_off.get(agent).map_or(0, |until_ms| until_ms - now_ms);
        (1..=HOLD_OFF_MAX_MS).contains(&left_ms)
    }

    /// Leaves jobs of the definition alone for good.
    pub fn lack(&mut self, lack: &Lack) {
        if !self.lacks_for(lack.digest.as_str()) {
            if self.lacks.len() >= LACKS_MAX {
                self.lacks.remove(0);
            }
            self.lacks.push(lack.clone());
        }
    }

    /// The definitions whose jobs are left alone.
    pub fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// Whether jobs of the definition are left alone.
    pub fn lacks_for(&self, digest: &str) -> bool {
        self.lacks.iter().any(|lack| lack.digest.as_str() == digest)
    }

    fn left_alone(&self, now_ms: i64) -> LeftAlone {
        let held_off = self.held_off.keys().filter(|agent| self.holds_off(agent, now_ms));
        let digests = self.lacks.iter().map(|lack| lack.digest.as_str().to_owned());
        LeftAlone { agents: held_off.cloned().collect(), digests: digests.collect() }
    }

    /// `tenant` takes a turn.
    pub fn take(&mut self, tenant: &str, scheduling: &Scheduling) {
        let weight = scheduling.weights.of(tenant).unwrap_or(1).clamp(1, 1_000);
        self.now = self.of(tenant);
        let next = self.now + STRIDE / u64::from(weight);
        match self.next.get_mut(tenant) {
            Some(turn) => *turn = next,
            None => drop(self.next.insert(tenant.to_owned(), next)),
        }
        let now = self.now;
        self.next.retain(|_, next| *next > now);
    }
}

impl Scheduling {
    /// Whether there is anything to count before a run may be taken.
    pub fn is_limited(&self) -> bool {
        !self.tenant_max.is_empty() || !self.agent_max.is_empty()
    }

    /// Whether jobs of the line are for this process, now that these are left alone.
    pub(crate) fn looks_at(&self, line: &Line, left_alone: &LeftAlone) -> bool {
        let needs = Needs::parse(&line.needs);
        // Of a line without agent each run tells.
        let agent_may_do = self.only.agents.is_empty() || line.agent.is_empty();
        (agent_may_do || self.only.agents.contains(&line.agent))
            && (self.only.tenants.is_empty() || self.only.tenants.contains(&line.tenant))
            && !left_alone.agents.contains(&line.agent)
            && needs.reducer <= REDUCER
            && !left_alone.digests.iter().any(|digest| digest == needs.digest)
    }

    fn has_room(&self, held: &HeldRuns, due: &Due) -> bool {
        let has_room = |max: &PerName, held: &BTreeMap<String, u32>, name: &str| {
            max.of(name).is_none_or(|max| held.get(name).copied().unwrap_or_default() < max)
        };
        has_room(&self.tenant_max, &held.tenants, &due.tenant)
            && has_room(&self.agent_max, &held.agents, &due.agent)
    }

    /// Up to `limit` of the jobs that are `due`, in the order in which they are to begin.
    pub fn choose(&self, turns: &Turns, due: Vec<Due>, mut held: HeldRuns, limit: u32) -> Vec<Due> {
        let mut waiting: BTreeMap<String, Vec<Due>> = BTreeMap::new();
        let is_ours = |due: &Due| self.only.takes(&due.tenant, &due.agent) && !turns.lacks_for(&due.digest);
        for due in due.into_iter().filter(is_ours) {
            match waiting.get_mut(&due.tenant) {
                Some(line) => line.push(due),
                None => drop(waiting.insert(due.tenant.clone(), vec![due])),
            }
        }
        // The last goes first.
        waiting.values_mut().for_each(|line| line.sort_unstable_by_key(|due| std::cmp::Reverse(due.rank())));
        let mut turns = turns.clone();
        let mut chosen = Vec::new();
        while chosen.len() < limit as usize {
            let turn =
                |(tenant, line): &(&String, &mut Vec<Due>)| (turns.of(tenant), line.last().map(Due::rank));
            let Some((_, line)) = waiting.iter_mut().min_by_key(turn) else { break };
            let Some(due) = line.pop() else { break };
            if line.is_empty() {
                waiting.remove(&due.tenant);
            }
            if self.has_room(&held, &due) {
                turns.take(&due.tenant, self);
                held.add(&due.tenant, &due.agent, 1);
                chosen.push(due);
            }
        }
        chosen
    }
}

/// The scheduling of a process, with its account of turns.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) scheduling: Scheduling,
    turns: Mutex<Turns>,
}

/// What was chosen to begin, and the line that the look for it stopped at, if there are more.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) due: Vec<Due>,
    pub(crate) after: Option<Line>,
    /// Whether others were kept from what was looked at and left: they have to look again.
    pub(crate) left: bool,
}

impl Scheduler {
    pub(crate) fn new(scheduling: Scheduling) -> Self {
        Self { scheduling, turns: Mutex::default() }
    }

    pub(crate) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left alone now.
    pub(crate) fn left_alone(&self, now_ms: i64) -> LeftAlone {
        self.turns().left_alone(now_ms)
    }

    pub(crate) fn lack(&self, lack: &Lack) {
        self.turns().lack(lack);
    }

    /// The definitions whose jobs are left alone.
    pub(crate) fn lacks(&self) -> Vec<Lack> {
        self.turns().lacks().to_vec()
    }

    /// Enters in the account what was taken.
    pub(crate) fn took(&self, chosen: &Chosen) {
        let mut turns = self.turns();
        chosen.due.iter().for_each(|due| turns.take(&due.tenant, &self.scheduling));
        turns.after.clone_from(&chosen.after);
    }
}

/// Jobs of each of so many lines that are looked at for a claim of up to `limit`.
pub(crate) fn due_per_line(lines: usize, limit: u32) -> u32 {
    let fair = u32::try_from(DUE_MAX / lines.max(1)).unwrap_or(u32::MAX).max(4);
    limit.min(fair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(tenant: &str, number: u128, priority: i32, due_at_ms: i64) -> Due {
        Due {
            run: RunId::from_uuid(uuid::Uuid::from_u128(number)),
            kind: JobKind::Step,
            tenant: tenant.to_owned(),
            agent: "a".to_owned(),
            digest: String::new(),
            priority,
            due_at_ms,
        }
    }

    /// Tenants in the order of their turns, each with as many jobs as anybody asks for.
    fn order(scheduling: &Scheduling, turns: &mut Turns, tenants: &[&str], count: u32) -> String {
        let jobs = tenants.iter().flat_map(|tenant| (0..u128::from(count)).map(|n| due(tenant, n, 0, 0)));
        let chosen = scheduling.choose(turns, jobs.collect(), HeldRuns::default(), count);
        chosen.iter().for_each(|due| turns.take(&due.tenant, scheduling));
        chosen.into_iter().map(|due| due.tenant).collect()
    }

    #[test]
    fn turns_go_round_by_weight_and_nobody_saves_up() {
        let weights = PerName { named: BTreeMap::from([("b".to_owned(), 3)]), others: None };
        let scheduling = Scheduling { weights, ..Scheduling::default() };
        let mut turns = Turns::default();
        assert_eq!(order(&scheduling, &mut turns, &["a"], 100).len(), 100);
        // What a did alone is not held against it, and b has saved nothing.
        assert_eq!(order(&scheduling, &mut turns, &["a", "b"], 12), "bbbbabbbabbb");
        assert_eq!(order(&scheduling, &mut turns, &["a"], 4), "aaaa");
        assert_eq!(turns.next.len(), 1, "who is due now is not kept");
    }

    #[test]
    fn one_job_goes_at_once_however_many_another_tenant_has() {
        let scheduling = Scheduling::default();
        let mut turns = Turns::default();
        for _ in 0..10 {
            order(&scheduling, &mut turns, &["a"], 1);
        }
        let mut jobs: Vec<Due> = (0..1_000).map(|n| due("a", n, 100, 0)).collect();
        jobs.push(due("b", 5_000, -100, 1_000_000));
        let chosen = scheduling.choose(&turns, jobs, HeldRuns::default(), 1);
        assert_eq!(chosen[0].tenant, "b");
    }

    #[test]
    fn age_overtakes_priority() {
        let scheduling = Scheduling::default();
        let first = |late_ms| {
            let jobs = vec![due("a", 1, 0, 0), due("a", 2, 2, late_ms)];
            let chosen = scheduling.choose(&Turns::default(), jobs, HeldRuns::default(), 1);
            chosen[0].priority
        };
        assert_eq!(first(2 * PRIORITY_AGE_MS - 1), 2);
        assert_eq!(first(2 * PRIORITY_AGE_MS + 1), 0);
    }

    #[test]
    fn what_may_not_run_lets_the_others_pass() {
        let max = |name: &str, max| PerName { named: BTreeMap::from([(name.to_owned(), max)]), others: None };
        let scheduling =
            Scheduling { tenant_max: max("a", 2), agent_max: max("slow", 1), ..Scheduling::default() };
        let slow = |tenant, number| Due { agent: "slow".to_owned(), ..due(tenant, number, 0, 0) };
        let jobs = vec![due("a", 1, 0, 0), due("a", 2, 0, 0), slow("b", 3), slow("b", 4), due("b", 5, 0, 9)];
        let mut held = HeldRuns::default();
        held.add("a", "a", 1);
        let chosen = scheduling.choose(&Turns::default(), jobs, held, 10);
        let numbers: Vec<u128> = chosen.iter().map(|due| due.run.as_uuid().as_u128()).collect();
        assert_eq!(numbers, [1, 3, 5]);
    }
}
