//! How a record changes an image: the one path by which metadata ever change.
//!
//! A record that does not fit leaves the image as it was. What fits is decided by the controller; here is only what must
//! hold for the image to stay one.

use std::sync::Arc;

use ottla_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId, TopicName};
use rpds::RedBlackTreeMapSync;

use super::{Broker, Image, TopicImage};
use crate::record::{
    BrokerChange, BrokerEpochs, BrokerFencing, ClearElr, Config, ConfigResource, FeatureLevel, Partition,
    PartitionChange, PartitionEpoch, PartitionState, ProducerIdsBlock, Record, RegisterBroker, RemoveTopic,
    Topic, UnregisterBroker,
};

/// Why a record does not fit the state that it is replayed on. Either the log is damaged, or the program that wrote it
/// decided on another state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The offset is not the one after the last.
    #[error("metadata record at offset {offset}, where the one at {expected} was expected")]
    OutOfOrder {
        /// The record's.
        offset: Offset,
        /// The one after the last record, or the last snapshot.
        expected: Offset,
    },
    /// A record about a topic that is not there.
    #[error("{record} names topic id {id}, which does not exist")]
    UnknownTopic {
        /// The record's type.
        record: &'static str,
        /// The id.
        id: TopicId,
    },
    /// A topic is created that is there already.
    #[error("topic {name} (id {id}) is created twice")]
    TopicExists {
        /// Its name.
        name: TopicName,
        /// Its id.
        id: TopicId,
    },
    /// A partition is created that is there already.
    #[error("partition {topic}-{index} is created twice")]
    PartitionExists {
        /// Its topic.
        topic: TopicName,
        /// Its index.
        index: i32,
    },
    /// A partition is changed that is not there.
    #[error("partition {topic}-{index} is changed, and does not exist")]
    UnknownPartition {
        /// Its topic.
        topic: TopicName,
        /// Its index.
        index: i32,
    },
    /// A record about a broker, or a registration of it, that is not there.
    #[error("{record} names broker {id} at epoch {epoch}, which is not registered")]
    UnknownBroker {
        /// The record's type.
        record: &'static str,
        /// The broker.
        id: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A number that is counted up from zero, and cannot have come that far.
    #[error("{what} is {value}, and no log counts that far")]
    TooHigh {
        /// Which number.
        what: &'static str,
        /// Its value in the record.
        value: i64,
    },
    /// A number that must rise does not.
    #[error("{what} goes from {from} to {to}")]
    NotRising {
        /// Which number.
        what: &'static str,
        /// Its value so far.
        from: i64,
        /// Its value in the record.
        to: i64,
    },
}

impl Image {
    /// Applies the record at `offset` of the log.
    ///
    /// # Errors
    /// The record does not fit; the image is as it was.
    pub fn replay(&mut self, offset: Offset, record: &Record) -> Result<(), ReplayError> {
        let expected = Offset(self.offset.map_or(0, |last| last.0.saturating_add(1)));
        if offset != expected {
            return Err(ReplayError::OutOfOrder { offset, expected });
        }
        check_counters(record)?;
        self.apply(record)?;
        self.offset = Some(offset);
        Ok(())
    }

    pub(crate) fn set_offset(&mut self, offset: Offset) {
        self.offset = Some(offset);
    }

    /// Applies a record that has no offset yet.
    ///
    /// # Errors
    /// The record does not fit; the image is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), ReplayError> {
        match record {
            Record::RegisterBroker(r) => self.register_broker(r),
            Record::BrokerFencing(r) => self.fence_broker(r),
            Record::Topic(r) => self.create_topic(r),
            Record::Partition(r) => self.create_partition(r),
            Record::PartitionChange(r) => self.change_partition(r),
            Record::RemoveTopic(r) => self.remove_topic(r),
            Record::Config(r) => {
                self.set_config(r);
                Ok(())
            }
            Record::ProducerIdsBlock(r) => self.give_producer_ids(r),
            Record::FeatureLevel(r) => {
                self.set_feature(r);
                Ok(())
            }
            Record::BrokerChange(r) => self.change_broker(r),
            Record::UnregisterBroker(r) => self.unregister_broker(r),
            Record::ClearElr(r) => self.clear_elr(r),
            Record::BrokerEpochs(r) => self.skip_broker_epochs(r),
        }
    }

    fn register_broker(&mut self, r: &RegisterBroker) -> Result<(), ReplayError> {
        // The same run of the broker says something else of itself: that leaves it fenced or unfenced as it is.
        let amended = self.brokers.get(&r.id).filter(|known| {
            let known = &known.registration;
            known.epoch == r.epoch && known.incarnation == r.incarnation && known != r
        });
        if let Some(known) = amended {
            let broker = Broker { registration: r.clone(), ..(**known).clone() };
            self.brokers.insert_mut(r.id, Arc::new(broker));
            return Ok(());
        }
        if r.epoch < self.next_broker_epoch {
            return Err(not_rising("broker epoch", self.next_broker_epoch.0.saturating_sub(1), r.epoch.0));
        }
        let Some(next) = r.epoch.0.checked_add(1) else {
            return Err(not_rising("broker epoch", i64::MAX, r.epoch.0));
        };
        self.next_broker_epoch = BrokerEpoch(next);
        let broker = Broker {
            registration: r.clone(),
            fenced: true,
            in_controlled_shutdown: false,
            was_unfenced: false,
        };
        self.brokers.insert_mut(r.id, Arc::new(broker));
        Ok(())
    }

    fn fence_broker(&mut self, r: &BrokerFencing) -> Result<(), ReplayError> {
        let mut broker = self.registered("BrokerFencing", r.id, r.epoch)?.clone();
        broker.fenced = r.fenced;
        broker.was_unfenced |= !r.fenced;
        self.brokers.insert_mut(r.id, Arc::new(broker));
        Ok(())
    }

    fn change_broker(&mut self, r: &BrokerChange) -> Result<(), ReplayError> {
        let mut broker = self.registered("BrokerChange", r.id, r.epoch)?.clone();
        broker.in_controlled_shutdown |= r.in_controlled_shutdown;
        if let Some(directories) = &r.directories {
            broker.registration.directories.clone_from(directories);
        }
        self.brokers.insert_mut(r.id, Arc::new(broker));
        Ok(())
    }

    fn unregister_broker(&mut self, r: &UnregisterBroker) -> Result<(), ReplayError> {
        self.registered("UnregisterBroker", r.id, r.epoch)?;
        self.brokers.remove_mut(&r.id);
        Ok(())
    }

    fn skip_broker_epochs(&mut self, r: &BrokerEpochs) -> Result<(), ReplayError> {
        if r.next <= self.next_broker_epoch {
            return Err(not_rising("next broker epoch", self.next_broker_epoch.0, r.next.0));
        }
        self.next_broker_epoch = r.next;
        Ok(())
    }

    /// The broker that a record speaks of, if it has not registered again since.
    fn registered(
        &self,
        record: &'static str,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<&Broker, ReplayError> {
        let known = self.brokers.get(&id).filter(|broker| broker.registration.epoch == epoch);
        known.map(|broker| &**broker).ok_or(ReplayError::UnknownBroker { record, id, epoch })
    }

    fn create_topic(&mut self, r: &Topic) -> Result<(), ReplayError> {
        if self.topic_ids.contains_key(&r.name) || self.topics.contains_key(&r.id) {
            return Err(ReplayError::TopicExists { name: r.name.clone(), id: r.id });
        }
        let topic =
            TopicImage { id: r.id, name: r.name.clone(), partitions: RedBlackTreeMapSync::new_sync() };
        self.topics.insert_mut(r.id, Arc::new(topic));
        self.topic_ids.insert_mut(r.name.clone(), r.id);
        self.metric_keys.insert_mut(r.name.metric_key(), r.name.clone());
        Ok(())
    }

    fn create_partition(&mut self, r: &Partition) -> Result<(), ReplayError> {
        let topic = self.known_topic("Partition", r.topic)?;
        if topic.partitions.contains_key(&r.index) {
            return Err(ReplayError::PartitionExists { topic: topic.name.clone(), index: r.index });
        }
        self.put_partition(r.topic, r.index, r.state.clone());
        self.partition_count += 1;
        Ok(())
    }

    fn change_partition(&mut self, r: &PartitionChange) -> Result<(), ReplayError> {
        let topic = self.known_topic("PartitionChange", r.topic)?;
        let Some(state) = topic.partitions.get(&r.index) else {
            return Err(ReplayError::UnknownPartition { topic: topic.name.clone(), index: r.index });
        };
        let changed = changed(state, r)?;
        self.put_partition(r.topic, r.index, changed);
        Ok(())
    }

    fn remove_topic(&mut self, r: &RemoveTopic) -> Result<(), ReplayError> {
        let topic = self.known_topic("RemoveTopic", r.id)?.clone();
        self.topics.remove_mut(&r.id);
        self.topic_ids.remove_mut(&topic.name);
        self.metric_keys.remove_mut(&topic.name.metric_key());
        self.configs.remove_mut(&ConfigResource::Topic(topic.name.clone()));
        self.partition_count = self.partition_count.saturating_sub(topic.partition_count());
        for (index, state) in topic.partitions() {
            self.index.update(r.id, index, Some(state), None);
        }
        Ok(())
    }

    fn clear_elr(&mut self, r: &ClearElr) -> Result<(), ReplayError> {
        if let Some(id) = r.topic {
            self.known_topic("ClearElr", id)?;
        }
        let concerned = |id| r.topic.is_none_or(|topic| topic == id);
        let partitions: Vec<_> = self.index.with_elr.iter().filter(|(topic, _)| concerned(*topic)).collect();
        let mut cleared = Vec::with_capacity(partitions.len());
        for (topic, index) in partitions {
            let Some(state) = self.partition(topic, index) else { continue };
            let change =
                PartitionChange { topic, index, elr: Some(Arc::default()), ..PartitionChange::default() };
            cleared.push((topic, index, changed(state, &change)?));
        }
        for (topic, index, state) in cleared {
            self.put_partition(topic, index, state);
        }
        Ok(())
    }

    fn set_config(&mut self, r: &Config) {
        let mut map = self.configs.get(&r.resource).cloned().unwrap_or_default();
        match &r.value {
            Some(value) => map.0.insert_mut(r.key.clone(), value.clone()),
            None => {
                map.0.remove_mut(&r.key);
            }
        }
        if map.0.is_empty() {
            self.configs.remove_mut(&r.resource);
        } else {
            self.configs.insert_mut(r.resource.clone(), map);
        }
    }

    fn give_producer_ids(&mut self, r: &ProducerIdsBlock) -> Result<(), ReplayError> {
        if r.next <= self.next_producer_id {
            return Err(not_rising("next producer id", self.next_producer_id.0, r.next.0));
        }
        self.next_producer_id = r.next;
        Ok(())
    }

    fn set_feature(&mut self, r: &FeatureLevel) {
        if r.level == 0 {
            self.features.remove_mut(&r.name);
        } else {
            self.features.insert_mut(r.name.clone(), r.level);
        }
    }

    fn known_topic(&self, record: &'static str, id: TopicId) -> Result<&Arc<TopicImage>, ReplayError> {
        self.topics.get(&id).ok_or(ReplayError::UnknownTopic { record, id })
    }

    fn put_partition(&mut self, topic: TopicId, index: i32, state: PartitionState) {
        if let Some(known) = self.topics.get_mut(&topic) {
            let old = known.partitions.get(&index).cloned();
            self.index.update(topic, index, old.as_deref(), Some(&state));
            Arc::make_mut(known).partitions.insert_mut(index, Arc::new(state));
        }
    }
}

/// Refuses counters from which nothing could be counted on: deciding on them would fail later, and there is nobody then
/// to tell that the log is damaged.
pub(crate) fn check_counters(record: &Record) -> Result<(), ReplayError> {
    let check = |what, value: i64, max: i64| {
        if value > max { Err(ReplayError::TooHigh { what, value }) } else { Ok(()) }
    };
    match record {
        Record::RegisterBroker(r) => check("broker epoch", r.epoch.0, i64::MAX / 2),
        Record::BrokerEpochs(r) => check("broker epoch", r.next.0, i64::MAX / 2),
        Record::Partition(r) => {
            let max = i64::from(i32::MAX / 2);
            check("leader epoch", r.state.leader_epoch.0.into(), max)?;
            check("partition epoch", r.state.partition_epoch.0.into(), max)
        }
        _ => Ok(()),
    }
}

fn not_rising(what: &'static str, from: i64, to: i64) -> ReplayError {
    ReplayError::NotRising { what, from, to }
}

/// A partition after a change. Both epochs are counted here, so that a record cannot turn them back.
fn changed(state: &PartitionState, r: &PartitionChange) -> Result<PartitionState, ReplayError> {
    let mut state = state.clone();
    if let Some(assignment) = &r.assignment {
        state.replicas = assignment.replicas.clone();
        state.directories = assignment.directories.clone();
    }
    if let Some(isr) = &r.isr {
        state.isr = isr.clone();
    }
    if let Some(elr) = &r.elr {
        state.elr = elr.clone();
    }
    if let Some(last) = r.last_known_leader {
        state.last_known_leader = last;
    }
    if let Some(reassignment) = &r.reassignment {
        state.reassignment = reassignment.clone();
    }
    if let Some(recovery) = r.recovery {
        state.recovery = recovery;
    }
    if let Some(leader) = r.leader {
        state.leader = leader;
        let next = state.leader_epoch.0.checked_add(1);
        state.leader_epoch =
            LeaderEpoch(next.ok_or_else(|| not_rising("leader epoch", i64::from(i32::MAX), 0))?);
    }
    let next = state.partition_epoch.0.checked_add(1);
    state.partition_epoch =
        PartitionEpoch(next.ok_or_else(|| not_rising("partition epoch", i64::from(i32::MAX), 0))?);
    Ok(state)
}
