//! Mistakes that a cluster could make, to be made on purpose: the simulation must find each of them.
//!
//! They are there with the feature `sabotage` alone, which nothing but the simulation asks for. Without it [`is`] is the
//! constant `false`, and nothing of this is left in the code. They are all here, since most are made in pure crates.
//!
//! What is not here: the mistakes of a single log, which are in `log`.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A vote is answered before it is durable.
    VoteBeforeFsync,
    /// A voter whose directory was wiped takes itself for the one that it was, and votes.
    EmptyDirectoryVotes,
    /// A leader is announced as soon as it is elected, and not when all is delivered that was committed before.
    LeadsBeforeAppliedAll,
    /// A change is answered when it is decided, and not when it is committed.
    AnswersBeforeCommit,
    /// A snapshot leaves out the configuration.
    SnapshotSkipsRecords,
    /// A broker is fenced, and what it leads stays its own.
    FencedBrokerLeads,
    /// A broker that may have lost the ends of its logs counts as one that has everything.
    UncleanStaysEligible,
    /// The ISR of a broker that registers anew is left as it was.
    RestartStaysInSync,
    /// The watermark counts the ISR in force alone, and not the one that was asked for (KIP-497).
    WatermarkIgnoresProposed,
    /// A leader's watermark counts fetches of earlier leader epochs (KIP-101).
    AcksOfOldEpochCount,
    /// A broker enters an ISR while it is fenced (KIP-841).
    FencedBrokerEnters,
    /// A broker enters an ISR by what it fetched before it registered anew (KIP-903).
    StaleBrokerEpochEnters,
    /// A follower cuts its log at its high watermark, instead of where the logs part (KIP-101).
    TruncatesToWatermark,
    /// Where the logs part is told by an offset, without the epoch that ends there (KIP-279).
    TruncatesByEndAlone,
    /// An ex-leader takes the new leader's watermark for a log of which it has yet to cut the end (KAFKA-14704).
    ExLeaderRaisesWatermark,
    /// A high watermark lies below the start of its log (KAFKA-9491).
    WatermarkBelowLogStart,
    /// The watermark moves on while fewer are in sync than `min.insync.replicas` (KAFKA-15583).
    WatermarkBelowMinIsr,
    /// Whoever does not answer a leader has refused the ISR that it asked for (KIP-497).
    SilenceIsARefusal,
    /// A follower enters an ISR at the watermark, without what the leader had when its epoch began (KIP-101).
    EntersWithoutEpochStart,
    /// A follower enters an ISR at the watermark, though it would leave it again for its lag (KAFKA-19996).
    EntersAtWatermarkAlone,
    /// A leader takes a follower's log for its own as far as it reaches, whatever epochs wrote it (KIP-101).
    LeaderComparesNoEpochs,
    /// A fetch acknowledges records that the leader has not (KIP-595).
    DivergentFetchCounts,
    /// What a follower acknowledged before its broker registered anew still counts (KIP-903).
    RestartedFollowerKeepsItsEnd,
    /// A leader counts its own records before they are flushed, though `flush.messages` asks for that.
    LeaderAcksUnflushed,
    /// A follower acknowledges what it has not flushed, though `flush.messages` asks for that.
    UnflushedFollowerAcks,
    /// Whoever waits for all replicas is answered in a later leader epoch than it appended in.
    WaiterOutlivesEpoch,
}

impl Sabotage {
    /// Those of the metadata, which clusters without replicas show.
    pub const METADATA: [Self; 8] = [
        Self::VoteBeforeFsync,
        Self::EmptyDirectoryVotes,
        Self::LeadsBeforeAppliedAll,
        Self::AnswersBeforeCommit,
        Self::SnapshotSkipsRecords,
        Self::FencedBrokerLeads,
        Self::UncleanStaysEligible,
        Self::RestartStaysInSync,
    ];

    /// Those of replicas that a few hundred seeds show. The others are shown by scripts and a model of `replica` alone: a cluster
    /// comes into their ways too rarely.
    pub const REPLICATION: [Self; 8] = [
        Self::WatermarkIgnoresProposed,
        Self::FencedBrokerEnters,
        Self::StaleBrokerEpochEnters,
        Self::TruncatesToWatermark,
        Self::ExLeaderRaisesWatermark,
        Self::WatermarkBelowMinIsr,
        Self::LeaderComparesNoEpochs,
        Self::DivergentFetchCounts,
    ];
}

#[cfg(feature = "sabotage")]
mod switch {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static MADE: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    impl Sabotage {
        /// Has the clusters that run on this thread make a mistake, or none, from now on.
        pub fn set(mistake: Option<Self>) {
            MADE.set(mistake);
        }
    }

    /// Whether this mistake is to be made.
    #[must_use]
    pub fn is(mistake: Sabotage) -> bool {
        MADE.get() == Some(mistake)
    }
}

#[cfg(feature = "sabotage")]
pub use switch::is;

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "sabotage"))]
#[must_use]
pub const fn is(_: Sabotage) -> bool {
    false
}
