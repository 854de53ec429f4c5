//! How a member of a group behaves.

use std::time::Duration;

use super::assignor::Assignor;
use crate::consumer::ConsumerOptions;
use crate::offsets::OffsetSpec;

/// How a group consumer behaves. Defaults are those of Kafka's consumer, but for the assignors: there is `range` only.
#[derive(Debug, Clone)]
pub struct GroupConsumerOptions {
    /// How records are read.
    pub consumer: ConsumerOptions,
    /// Makes it a static member, which keeps its partitions over a restart (KIP-345): `group.instance.id`.
    pub instance_id: Option<String>,
    /// After how long without a heartbeat the coordinator takes it for gone: `session.timeout.ms`.
    pub session_timeout: Duration,
    /// How often it says that it is alive: `heartbeat.interval.ms`. Well below the session's timeout.
    pub heartbeat_interval: Duration,
    /// After how long between two calls of `poll` it leaves the group by itself, and how long it may take to join again when
    /// the group rebalances: `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// How often what was read is committed, by `poll` before it reads on: `auto.commit.interval.ms`. `None` for never
    /// (`enable.auto.commit=false`): then neither a rebalance nor closing commits.
    pub auto_commit_interval: Option<Duration>,
    /// Where to start a partition of which the group has no offset, or one that is not there any more: `auto.offset.reset`.
    /// `None` makes that an error.
    pub reset: Option<OffsetSpec>,
    /// The ways to assign partitions that it supports, the one it likes best first: `partition.assignment.strategy`.
    pub assignors: Vec<Assignor>,
    /// How often the leader of the group looks whether the topics have other partitions: `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
}

impl Default for GroupConsumerOptions {
    fn default() -> Self {
        Self {
            consumer: ConsumerOptions::default(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit_interval: Some(Duration::from_secs(5)),
            reset: Some(OffsetSpec::Latest),
            assignors: vec![Assignor::Range],
            metadata_max_age: Duration::from_secs(300),
        }
    }
}
