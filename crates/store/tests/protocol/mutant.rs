//! One rule of the protocol switched off at a time. A model that misses one of these would miss it in the product.

use crate::history::Script;
use crate::model::Scenario;
use crate::properties;

/// The rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A commit does not ask who owns the run.
    NoEpochCheck,
    /// A commit does not know its own earlier try.
    NoCommitKey,
    /// What a step concluded is carried over a command, not only what it found out.
    DecisionsMerged,
    /// A command is answered before it is on disk.
    AckBeforeCommit,
    /// Attempts are counted when a step ends, not when it is claimed.
    AttemptCountedAfter,
    /// A command gives no job to a run that has an owner.
    JobSkippedWhileOwned,
    /// A step's end that has nothing to record is fenced by epoch, not by version.
    ReleaseByEpochAlone,
    /// The sweep looks at jobs, not at runs.
    SweepFromQueue,

    /// A commit does not ask what was commanded since the version that it was made on.
    NoVersionCheck,
    /// A claim takes a run although its owner lives.
    ClaimIgnoresOwner,
    /// A claim leaves the epoch as it was.
    ClaimKeepsEpoch,
    /// A worker claims that is not registered.
    ClaimUnregistered,
    /// An idempotent call is begun without a look at the version.
    NoLook,
    /// `ToolStarted` is not committed before an `at_most_once` call.
    IntentNotCommitted,
    /// Whether the announcement was dropped by a merge is not looked at.
    IntentNotChecked,
    /// An `at_most_once` call of unknown outcome is made again unasked.
    UnknownCalledAgain,
    /// "It did not happen" is accepted while whoever began the call is still there.
    CallAgainWhileAlive,
    /// Recovery does not compare the lease with the one that looked lapsed.
    RecoverBlindly,
    /// A recovered run gets no job.
    RecoverWithoutJob,
    /// Commands are not synced.
    CommandUnsynced,
    /// A step's commits are not synced.
    CommitUnsynced,

    // Rules that the product was built without, until this search found them missing.
    /// A hand-back that fails is not tried again: the run keeps an owner that does nothing for it.
    HandBackOnce,
    /// A claim that stood unheard is not given back by its worker.
    ClaimForgotten,
    /// A decision names the call and not the asking: when it is sent again, it is taken for one about a later try.
    DecisionNamesCall,
    /// A pause does not outlast an unknown outcome.
    PauseForgotten,
    /// A step that is cut off at its limit does not find out what became of the commit it was at.
    CommitForgotten,
}

impl Mutant {
    pub(crate) const ALL: [Self; 26] = [
        Self::NoEpochCheck,
        Self::NoCommitKey,
        Self::DecisionsMerged,
        Self::AckBeforeCommit,
        Self::AttemptCountedAfter,
        Self::JobSkippedWhileOwned,
        Self::ReleaseByEpochAlone,
        Self::SweepFromQueue,
        Self::NoVersionCheck,
        Self::ClaimIgnoresOwner,
        Self::ClaimKeepsEpoch,
        Self::ClaimUnregistered,
        Self::NoLook,
        Self::IntentNotCommitted,
        Self::IntentNotChecked,
        Self::UnknownCalledAgain,
        Self::CallAgainWhileAlive,
        Self::RecoverBlindly,
        Self::RecoverWithoutJob,
        Self::CommandUnsynced,
        Self::CommitUnsynced,
        Self::HandBackOnce,
        Self::ClaimForgotten,
        Self::DecisionNamesCall,
        Self::PauseForgotten,
        Self::CommitForgotten,
    ];
}

impl Mutant {
    /// What is no longer true without the rule, and where that shows.
    pub(crate) fn is_noticed(self) -> (&'static str, Scenario) {
        use Mutant as M;
        let (property, faults, commands) = match self {
            M::NoEpochCheck => (properties::NO_STALE_WRITE, 1, 0),
            M::NoCommitKey => (properties::FOLDED_ONCE, 1, 0),
            M::DecisionsMerged => (properties::FOLDED_ONCE, 0, 1),
            M::AckBeforeCommit => (properties::ACKED_STAYS, 1, 1),
            M::AttemptCountedAfter => (properties::ATTEMPTS_FIRST, 1, 0),
            M::JobSkippedWhileOwned => (properties::COMMAND_WAKES, 0, 2),
            M::ReleaseByEpochAlone => (properties::ACCOUNTED_FOR, 0, 2),
            M::SweepFromQueue => (properties::GOES_ON, 1, 0),
            M::NoVersionCheck => (properties::ACKED_STAYS, 0, 1),
            M::ClaimKeepsEpoch => (properties::PAID_ONCE, 1, 0),
            M::ClaimUnregistered => (properties::ACCOUNTED_FOR, 0, 0),
            M::RecoverWithoutJob => (properties::ACCOUNTED_FOR, 1, 0),
            M::ClaimIgnoresOwner => (properties::LEASE_STANDS, 0, 2),
            M::NoLook | M::IntentNotChecked => (properties::REST_IS_REST, 0, 1),
            M::IntentNotCommitted | M::UnknownCalledAgain => (properties::PAID_ONCE, 1, 0),
            M::CallAgainWhileAlive => (properties::PAID_ONCE, 1, 0),
            M::RecoverBlindly => (properties::LEASE_STANDS, 1, 0),
            M::CommandUnsynced => (properties::ACKED_STAYS, 1, 1),
            M::CommitUnsynced => (properties::PAID_ONCE, 1, 0),
            M::HandBackOnce => (properties::GOES_ON, 2, 0),
            M::ClaimForgotten => (properties::GOES_ON, 1, 0),
            M::DecisionNamesCall => (properties::PAID_ONCE, 3, 0),
            M::PauseForgotten => (properties::REST_IS_REST, 1, 1),
            M::CommitForgotten => (properties::GOES_ON, 2, 2),
        };
        (property, Scenario { script: Script::PayThenNote, workers: 2, faults, commands })
    }
}

/// What the model goes by: the protocol, or the protocol but for one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) Option<Mutant>);

impl Rules {
    pub(crate) fn broken(self, rule: Mutant) -> bool {
        self.0 == Some(rule)
    }
}
