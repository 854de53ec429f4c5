//! What a node knows of the cluster after replaying the metadata log up to an offset.
//!
//! An image is a value: cloning it costs a few reference counts, and a clone never changes. So a request is answered
//! from one state throughout, and the controller can think ahead on a copy.
//!
//! All maps are ordered: nothing here depends on a hasher's seed.

use std::sync::Arc;

use ottla_types::config::{Layers, Overrides, Settings};
use ottla_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, ProducerId, TopicId, TopicName};
use rpds::RedBlackTreeMapSync;

use crate::record::{
    BrokerFencing, Config, ConfigResource, FeatureLevel, Partition, PartitionChange, PartitionEpoch,
    PartitionState, ProducerIdsBlock, Record, RegisterBroker, RemoveTopic, Topic,
};

/// The state of the cluster's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    offset: Option<Offset>,
    brokers: RedBlackTreeMapSync<BrokerId, Arc<Broker>>,
    topics: RedBlackTreeMapSync<TopicId, Arc<TopicImage>>,
    topic_ids: RedBlackTreeMapSync<TopicName, TopicId>,
    metric_keys: RedBlackTreeMapSync<String, TopicName>,
    partition_count: usize,
    configs: RedBlackTreeMapSync<ConfigResource, ConfigMap>,
    features: RedBlackTreeMapSync<Arc<str>, i16>,
    next_broker_epoch: BrokerEpoch,
    next_producer_id: ProducerId,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// What it registered with.
    pub registration: RegisterBroker,
    /// Whether it may not lead and is not given new replicas to lead.
    pub fenced: bool,
}

/// A topic with its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    partitions: RedBlackTreeMapSync<i32, Arc<PartitionState>>,
}

/// The keys that are set on one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigMap(RedBlackTreeMapSync<Arc<str>, Arc<str>>);

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
    /// The offset of the last record replayed.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// All brokers that ever registered, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// A broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// The topic `name` and those whose names come after it, by name: for answers in pages.
    pub fn topics_from<'a>(
        &'a self,
        name: &TopicName,
    ) -> impl Iterator<Item = &'a Arc<TopicImage>> + use<'a> {
        self.topic_ids.range(name.clone()..).filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.size()
    }

    /// How many partitions there are, of all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// A topic whose name looks the same in metric names, where `.` becomes `_`.
    #[must_use]
    pub fn topic_by_metric_key(&self, key: &str) -> Option<&TopicName> {
        self.metric_keys.get(key)
    }

    /// A partition, by the id of its topic.
    #[must_use]
    pub fn partition(&self, topic: TopicId, index: i32) -> Option<&Arc<PartitionState>> {
        self.topics.get(&topic)?.partition(index)
    }

    /// What is set on a resource.
    #[must_use]
    pub fn configs(&self, resource: &ConfigResource) -> Option<&ConfigMap> {
        self.configs.get(resource)
    }

    /// All resources on which something is set.
    pub fn config_resources(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigMap)> {
        self.configs.iter()
    }

    /// What is set on a topic: nothing, if it is not there.
    #[must_use]
    pub fn topic_overrides(&self, name: &TopicName) -> &dyn Overrides {
        self.overrides(&ConfigResource::Topic(name.clone()))
    }

    /// All that sets the values of a broker with these static settings.
    #[must_use]
    pub fn layers<'a>(&'a self, broker: BrokerId, settings: &'a Settings) -> Layers<'a> {
        Layers {
            broker: self.overrides(&ConfigResource::Broker(broker)),
            cluster: self.overrides(&ConfigResource::ClusterDefault),
            settings,
        }
    }

    /// All that sets the values of any broker with these static settings.
    #[must_use]
    pub fn cluster_layers<'a>(&'a self, settings: &'a Settings) -> Layers<'a> {
        Layers { broker: &(), cluster: self.overrides(&ConfigResource::ClusterDefault), settings }
    }

    fn overrides(&self, resource: &ConfigResource) -> &dyn Overrides {
        match self.configs.get(resource) {
            Some(configs) => configs,
            None => &(),
        }
    }

    /// The levels of the cluster's features.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    /// The epoch of the next broker to register.
    #[must_use]
    pub fn next_broker_epoch(&self) -> BrokerEpoch {
        self.next_broker_epoch
    }

    /// The first producer id that nobody has.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

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
        }
    }

    fn register_broker(&mut self, r: &RegisterBroker) -> Result<(), ReplayError> {
        if r.epoch < self.next_broker_epoch {
            return Err(not_rising("broker epoch", self.next_broker_epoch.0.saturating_sub(1), r.epoch.0));
        }
        let Some(next) = r.epoch.0.checked_add(1) else {
            return Err(not_rising("broker epoch", i64::MAX, r.epoch.0));
        };
        self.next_broker_epoch = BrokerEpoch(next);
        self.brokers.insert_mut(r.id, Arc::new(Broker { registration: r.clone(), fenced: true }));
        Ok(())
    }

    fn fence_broker(&mut self, r: &BrokerFencing) -> Result<(), ReplayError> {
        let Some(broker) = self.brokers.get(&r.id).filter(|b| b.registration.epoch == r.epoch) else {
            return Err(ReplayError::UnknownBroker { record: "BrokerFencing", id: r.id, epoch: r.epoch });
        };
        let broker = Broker { registration: broker.registration.clone(), fenced: r.fenced };
        self.brokers.insert_mut(r.id, Arc::new(broker));
        Ok(())
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

impl TopicImage {
    /// A partition.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Arc<PartitionState>> {
        self.partitions.get(&index)
    }

    /// The partitions, by index.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &Arc<PartitionState>)> {
        self.partitions.iter().map(|(index, state)| (*index, state))
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.size()
    }
}

impl ConfigMap {
    /// A key's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| &**value)
    }

    /// All keys that are set, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size()
    }

    /// Whether none is set. An image holds no such map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Overrides for ConfigMap {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}
