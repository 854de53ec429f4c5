//! Small metadata for the invariants' own tests.

use std::sync::Arc;

use ottla_metadata::record::{
    BrokerFencing, Partition, PartitionChange, PartitionState, RegisterBroker, Topic, UNASSIGNED_DIRECTORY,
};
use ottla_metadata::{Image, Record};
use ottla_types::{BrokerEpoch, BrokerId, TopicId, TopicName};

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
