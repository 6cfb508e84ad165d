//! Ways to get the protocol wrong. Whatever is meant to find such faults has to find each of these.

/// A promise of the store that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A commit is taken whoever owns the run by now.
    NoEpochCheck,
    /// A commit is taken whatever was commanded since the version it was made on.
    NoVersionCheck,
    /// A commit that is made again is not recognised.
    NoCommitKey,
    /// A command wakes a run only where no worker holds it.
    NoJobWhileOwned,
    /// A step lets go of its run, and writes or deletes its job, whatever was commanded meanwhile.
    ReleaseByEpochAlone,
    /// The sweep looks for jobs without a worker, and not for runs without a job.
    SweepFromQueue,
    /// A worker is recovered although it renewed its lease since it looked dead.
    RecoverIgnoresRenewal,
    /// A write is acknowledged before it is on disk.
    AcknowledgedUnsynced,
    /// A claim leaves the epoch as it was.
    ClaimKeepsEpoch,
    /// A call may be made again although the worker that began it is still there.
    StillActingAllowed,
    /// A recovered run gets no job.
    RecoverWithoutJob,
    /// A worker that was taken for dead may claim.
    ClaimWithoutLease,
}

impl Mutant {
    pub const ALL: [Self; 12] = [
        Self::NoEpochCheck,
        Self::NoVersionCheck,
        Self::NoCommitKey,
        Self::NoJobWhileOwned,
        Self::ReleaseByEpochAlone,
        Self::SweepFromQueue,
        Self::RecoverIgnoresRenewal,
        Self::AcknowledgedUnsynced,
        Self::ClaimKeepsEpoch,
        Self::StillActingAllowed,
        Self::RecoverWithoutJob,
        Self::ClaimWithoutLease,
    ];
}
