//! What a node knows of the cluster after replaying the metadata log up to an offset.
//!
//! An image is a value: cloning it costs a few reference counts, and a clone never changes. So a request is answered
//! from one state throughout, and the controller can think ahead on a copy.
//!
//! All maps are ordered: nothing here depends on a hasher's seed.
//!
//! How records change an image is in [`replay`], and what is kept to find partitions by broker in `index`.

use std::sync::Arc;

use ottla_types::config::{Layers, Overrides, Settings};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, Offset, ProducerId, TopicId, TopicName};
use rpds::RedBlackTreeMapSync;

use crate::record::{ConfigResource, PartitionState, RegisterBroker, UNASSIGNED_DIRECTORY};

mod index;
mod replay;

use index::Index;
pub use index::{Hosted, PartitionSet};
pub use replay::ReplayError;
pub(crate) use replay::check_counters;

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
    index: Index,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// What it registered with; `directories` are those that work now.
    pub registration: RegisterBroker,
    /// Whether it may not lead, is in no ISR, and is not given new replicas to lead.
    pub fenced: bool,
    /// Whether it is about to stop: it leads nothing and joins no ISR until it registers again (KIP-841).
    pub in_controlled_shutdown: bool,
    /// Whether it was unfenced at least once since it registered, and so may have taken records.
    pub was_unfenced: bool,
}

impl Broker {
    /// Whether it may lead, and be in sync: neither fenced nor shutting down.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this directory can be used. A directory that was not said yet passes for usable (KIP-858).
    #[must_use]
    pub fn has_online(&self, directory: DirectoryId) -> bool {
        if directory.is_zero() || directory == UNASSIGNED_DIRECTORY {
            return true;
        }
        self.registration.directories.contains(&directory)
    }
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

impl Image {
    /// The offset of the last record replayed.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// All registered brokers, by id.
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

    /// What a broker holds and leads; `None` if it is neither replica nor leader of anything.
    #[must_use]
    pub fn hosted(&self, broker: BrokerId) -> Option<&Hosted> {
        self.index.hosted(broker)
    }

    /// The partitions that nobody leads.
    #[must_use]
    pub fn leaderless(&self) -> &PartitionSet {
        &self.index.leaderless
    }

    /// The partitions that another replica than the preferred one leads.
    #[must_use]
    pub fn not_led_by_preferred(&self) -> &PartitionSet {
        &self.index.not_preferred
    }

    /// The partitions that have eligible leader replicas (KIP-966).
    #[must_use]
    pub fn with_elr(&self) -> &PartitionSet {
        &self.index.with_elr
    }

    /// The partitions whose replicas are being moved (KIP-455).
    #[must_use]
    pub fn reassigning(&self) -> &PartitionSet {
        &self.index.reassigning
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

    /// The level of a feature; 0 if it is off or unknown.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
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
}

impl PartitionState {
    /// How many replicas the partition is to have: those that are about to go do not count.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        let going = self.reassignment.as_ref().map_or(0, |reassignment| reassignment.removing.len());
        self.replicas.len().saturating_sub(going)
    }

    /// The directory of a replica; `None` if the broker holds none.
    #[must_use]
    pub fn directory(&self, broker: BrokerId) -> Option<DirectoryId> {
        let nth = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories.get(nth).copied()
    }
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
