//! Records about partitions: where they lie, who leads them, who may (KIP-497, KIP-455, KIP-704, KIP-858, KIP-966).

use std::sync::Arc;

pub use ottla_types::PartitionEpoch;
use ottla_types::{BrokerId, DirectoryId, LeaderEpoch, TopicId};

/// A partition is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic: TopicId,
    /// Its index.
    pub index: i32,
    /// Its state.
    pub state: PartitionState,
}

/// Where a partition lies and who leads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The log directory of each replica (KIP-858); as many as replicas. Some ids have a meaning of their own:
    /// [`super::UNASSIGNED_DIRECTORY`], [`super::LOST_DIRECTORY`] and all zeros, which is the same as the first.
    pub directories: Arc<[DirectoryId]>,
    /// The replicas that are in sync.
    pub isr: Arc<[BrokerId]>,
    /// Replicas that left the ISR and still hold everything committed (KIP-966).
    pub elr: Arc<[BrokerId]>,
    /// Who led last, of a partition without ISR and leader: it is elected when nobody is left who is known to hold
    /// everything (KIP-966). Since version 1.
    pub last_known_leader: Option<BrokerId>,
    /// The move of replicas that is going on (KIP-455). Since version 1.
    pub reassignment: Option<Reassignment>,
    /// Whether the leader may lack records that were committed (KIP-704). Since version 1.
    pub recovery: LeaderRecovery,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Raised by one at each election.
    pub leader_epoch: LeaderEpoch,
    /// Raised by one at each change of this partition (KIP-497).
    pub partition_epoch: PartitionEpoch,
}

/// A partition's state changes. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub index: i32,
    /// New replicas.
    pub assignment: Option<Assignment>,
    /// A new ISR.
    pub isr: Option<Arc<[BrokerId]>>,
    /// A new ELR.
    pub elr: Option<Arc<[BrokerId]>>,
    /// A new leader or, as `Some(None)`, none. Either way the leader epoch rises by one.
    pub leader: Option<Option<BrokerId>>,
    /// Who led last, or that it does not matter any more. Since version 1.
    pub last_known_leader: Option<Option<BrokerId>>,
    /// A reassignment begins or, as `Some(None)`, ends. Since version 1.
    pub reassignment: Option<Option<Reassignment>>,
    /// Whether the leader may lack records. Since version 1.
    pub recovery: Option<LeaderRecovery>,
}

/// Where the replicas of a partition lie: as many directories as replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The brokers, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The log directory of each (KIP-858).
    pub directories: Arc<[DirectoryId]>,
}

/// A partition's replicas are being moved: the assignment lists both those that come and those that go, the targets
/// first. Never without one of either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reassignment {
    /// Replicas that were none before.
    pub adding: Arc<[BrokerId]>,
    /// Replicas that will be none when all others are in sync.
    pub removing: Arc<[BrokerId]>,
}

/// Whether a partition's leader may lack records that were committed (KIP-704).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaderRecovery {
    /// It was elected as one that holds everything, or has come to terms with what it lacks.
    #[default]
    Recovered = 0,
    /// It was elected uncleanly, and nobody joins its ISR before it has said that it recovered.
    Recovering = 1,
}

/// The ELR of partitions is void, since the `min.insync.replicas` by which it was kept is another now (KIP-966).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearElr {
    /// Of this topic; `None`: of all.
    pub topic: Option<TopicId>,
}
