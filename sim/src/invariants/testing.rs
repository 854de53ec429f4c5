//! Small metadata for the invariants' own tests.

use std::sync::Arc;

use ottla_metadata::record::{
    BrokerFencing, Partition, PartitionChange, PartitionState, RegisterBroker, Topic, UNASSIGNED_DIRECTORY,
};
use ottla_metadata::{Image, Record};
use ottla_types::{BrokerEpoch, BrokerId, TopicId, TopicName};

use crate::replication::{Committed, DiskBatch, DiskLog, TopicPlan};

const TOPIC: TopicId = TopicId([7; 16]);

/// A registration.
pub(crate) fn registered(id: i32, epoch: i64) -> Record {
    let (id, epoch) = (BrokerId(id), BrokerEpoch(epoch));
    Record::RegisterBroker(RegisterBroker { id, epoch, ..RegisterBroker::default() })
}

/// Unfenced brokers, whose epochs are their ids, which all are in sync in `t-0`.
pub(crate) fn image(brokers: &[i32], leader: Option<i32>) -> Image {
    let mut image = Image::default();
    for id in brokers {
        let (broker, epoch) = (BrokerId(*id), BrokerEpoch(i64::from(*id)));
        let fencing = BrokerFencing { id: broker, epoch, fenced: false };
        image.apply(&registered(*id, epoch.0)).unwrap();
        image.apply(&Record::BrokerFencing(fencing)).unwrap();
    }
    let ids: Arc<[BrokerId]> = brokers.iter().map(|id| BrokerId(*id)).collect();
    let state = PartitionState {
        replicas: ids.clone(),
        directories: brokers.iter().map(|_| UNASSIGNED_DIRECTORY).collect(),
        isr: ids,
        leader: leader.map(BrokerId),
        ..PartitionState::default()
    };
    image.apply(&Record::Topic(Topic { name: TopicName::new("t").unwrap(), id: TOPIC })).unwrap();
    image.apply(&Record::Partition(Partition { topic: TOPIC, index: 0, state })).unwrap();
    image
}

/// `t-0` is led by somebody else.
pub(crate) fn change_leader(to: i32) -> Record {
    let leader = Some(Some(BrokerId(to)));
    Record::PartitionChange(PartitionChange { topic: TOPIC, leader, ..PartitionChange::default() })
}

/// A partition of nothing in particular.
pub(crate) fn partition() -> ottla_types::TopicPartition {
    ottla_types::TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 }
}

fn disk_batch((base, end, epoch): &(i64, i64, i32)) -> DiskBatch {
    DiskBatch { base: *base, end: *end, epoch: *epoch, crc: *epoch as u32 }
}

/// A log with batches of these first offsets, ends and epochs.
pub(crate) fn log(batches: &[(i64, i64, i32)]) -> DiskLog {
    DiskLog {
        topic_id: TOPIC.to_string(),
        batches: batches.iter().map(disk_batch).collect(),
        ..DiskLog::default()
    }
}

/// What is known of a partition in which such batches are committed.
pub(crate) fn committed(batches: &[(i64, i64, i32)], min_insync: usize) -> Committed {
    let plan = TopicPlan {
        name: TopicName::new("t").unwrap(),
        partitions: 1,
        replicas: 3,
        min_insync,
        is_durable: false,
        may_be_unclean: false,
        is_recreated: false,
    };
    Committed {
        name: partition(),
        plan,
        high_watermark: batches.last().map_or(0, |(_, end, _)| *end),
        batches: batches.iter().map(|batch| (batch.0, disk_batch(batch))).collect(),
        lost: std::collections::BTreeMap::new(),
        forgiven_from: None,
    }
}
