//! What the machine is told of the world: the partition in the metadata, and the ends of its own log.

use std::sync::Arc;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, LeaderEpoch, Offset, PartitionEpoch};

/// What the metadata say of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Who leads, if anybody does.
    pub leader: Option<BrokerId>,
    /// The number of that leadership.
    pub leader_epoch: LeaderEpoch,
    /// The number of this state.
    pub partition_epoch: PartitionEpoch,
    /// The brokers that hold it. A broker that is not among them stops.
    pub replicas: Arc<[BrokerId]>,
    /// The ISR in force.
    pub isr: Arc<[BrokerId]>,
    /// `min.insync.replicas`, or the number of replicas if that is smaller: what `acks=all` asks for.
    pub min_insync: usize,
    /// Whether the leader was elected although it may lack records (KIP-704), and has not said that it came to terms.
    pub recovering: bool,
}

/// The ends of the replica's own log. To be read while nobody else is in the machine, so that a later call never brings
/// an earlier state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that is there.
    pub start: Offset,
    /// The offset of the next record.
    pub end: Offset,
    /// Everything below is as durable as the configuration asks: fsynced with `flush.messages`, and else [`Self::end`].
    pub durable: Offset,
}

impl Ends {
    /// A log of which nothing waits for an fsync.
    #[must_use]
    pub fn new(start: Offset, end: Offset) -> Self {
        Self { start, end, durable: end }
    }

    /// The nearest offset that lies in the log.
    pub(crate) fn clamp(self, offset: Offset) -> Offset {
        offset.min(self.end).max(self.start)
    }

    /// What a high watermark is with this log. Never below its start, where records are that nobody may have told of yet
    /// (KAFKA-9491).
    pub(crate) fn watermark(self, offset: Offset) -> Offset {
        if is(Sabotage::WatermarkBelowLogStart) { offset.min(self.end) } else { self.clamp(offset) }
    }
}
