//! What a simulation is told of replicas: see [`ottla_env::process::observe`].

use ottla_types::{LeaderEpoch, Offset, TopicId};

/// The high watermark of a replica moved.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaMoved {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The epoch that the replica is in.
    pub leader_epoch: LeaderEpoch,
    /// Whether it leads in it.
    pub is_leader: bool,
    /// Where the watermark is now.
    pub high_watermark: Offset,
}

/// A follower is about to cut off what its leader does not have.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaCuts {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The new end.
    pub to: Offset,
}
