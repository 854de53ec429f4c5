//! What differs between two images.
//!
//! A broker acts on metadata by differences: it creates the logs of new partitions, deletes those of topics that are
//! gone, and reads the settings again of what was reconfigured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_types::{BrokerId, TopicId};

use crate::image::{Image, TopicImage};
use crate::record::{ConfigResource, PartitionState, Record};

/// The difference between an old and a new image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Topics that are new, as they are now. A topic that was deleted and created again is in both lists: its id is
    /// another one.
    pub created: Vec<Arc<TopicImage>>,
    /// Topics that are gone, as they were.
    pub deleted: Vec<Arc<TopicImage>>,
    /// Topics that are in both and have new or changed partitions.
    pub changed: Vec<TopicChange>,
    /// What was set or unset somewhere. The topics of a changed broker or cluster default are not listed.
    pub configs: BTreeSet<ConfigResource>,
    /// Brokers that registered or were unregistered, fenced or unfenced, or changed in another way.
    pub brokers: BTreeSet<BrokerId>,
    /// Features that have another level.
    pub features: BTreeSet<Arc<str>>,
}

/// A topic of which partitions are new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicChange {
    /// The topic as it is now.
    pub topic: Arc<TopicImage>,
    /// Its partitions that are new or changed.
    pub partitions: Vec<PartitionDiff>,
}

/// A partition that is new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDiff {
    /// Its index.
    pub index: i32,
    /// As it was; `None` if it is new.
    pub old: Option<Arc<PartitionState>>,
    /// As it is now.
    pub new: Arc<PartitionState>,
}

/// What a run of records can have touched.
#[derive(Default)]
struct Touched {
    /// By topic the partitions; `None` stands for all of them.
    topics: BTreeMap<TopicId, Option<BTreeSet<i32>>>,
    configs: BTreeSet<ConfigResource>,
    brokers: BTreeSet<BrokerId>,
    features: BTreeSet<Arc<str>>,
}

impl Delta {
    /// The difference that `records` made: `new` is `old` after they were replayed. Looks only at what they touch, so
    /// that a change costs what it changes, not what there is.
    #[must_use]
    pub fn of<'a>(old: &Image, new: &Image, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut touched = Touched::default();
        for record in records {
            touched.add(old, record);
        }
        Self::within(old, new, touched)
    }

    /// The difference between any two images, for a start from a snapshot. Looks at everything.
    #[must_use]
    pub fn between(old: &Image, new: &Image) -> Self {
        let mut touched = Touched::default();
        for image in [old, new] {
            touched.topics.extend(image.topics().map(|topic| (topic.id, None)));
            touched.configs.extend(image.config_resources().map(|(resource, _)| resource.clone()));
            touched.brokers.extend(image.brokers().map(|broker| broker.registration.id));
            touched.features.extend(image.features().map(|(name, _)| name.into()));
        }
        Self::within(old, new, touched)
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn within(old: &Image, new: &Image, touched: Touched) -> Self {
        let mut delta = Self::default();
        for (id, indexes) in touched.topics {
            match (old.topic(id), new.topic(id)) {
                (None, Some(topic)) => delta.created.push(topic.clone()),
                (Some(topic), None) => delta.deleted.push(topic.clone()),
                (Some(before), Some(after)) if !Arc::ptr_eq(before, after) => {
                    delta.changed.extend(topic_change(before, after, indexes.as_ref()));
                }
                _ => {}
            }
        }
        delta.configs = touched.configs.into_iter().filter(|r| old.configs(r) != new.configs(r)).collect();
        delta.brokers = touched.brokers.into_iter().filter(|id| old.broker(*id) != new.broker(*id)).collect();
        delta.features = touched.features.into_iter().filter(|f| old.feature(f) != new.feature(f)).collect();
        delta
    }
}

fn topic_change(
    before: &TopicImage,
    after: &Arc<TopicImage>,
    indexes: Option<&BTreeSet<i32>>,
) -> Option<TopicChange> {
    let diff = |index: i32, new: &Arc<PartitionState>| {
        let old = before.partition(index);
        let same = old.is_some_and(|old| Arc::ptr_eq(old, new) || old == new);
        (!same).then(|| PartitionDiff { index, old: old.cloned(), new: new.clone() })
    };
    let partitions: Vec<_> = match indexes {
        Some(indexes) => indexes.iter().filter_map(|index| diff(*index, after.partition(*index)?)).collect(),
        None => after.partitions().filter_map(|(index, new)| diff(index, new)).collect(),
    };
    (!partitions.is_empty()).then(|| TopicChange { topic: after.clone(), partitions })
}

impl Touched {
    fn add(&mut self, old: &Image, record: &Record) {
        match record {
            Record::RegisterBroker(r) => drop(self.brokers.insert(r.id)),
            Record::BrokerFencing(r) => drop(self.brokers.insert(r.id)),
            Record::BrokerChange(r) => drop(self.brokers.insert(r.id)),
            Record::UnregisterBroker(r) => drop(self.brokers.insert(r.id)),
            Record::Topic(r) => drop(self.topics.insert(r.id, None)),
            Record::Partition(r) => self.partition(r.topic, r.index),
            Record::PartitionChange(r) => self.partition(r.topic, r.index),
            Record::RemoveTopic(r) => {
                // The topic takes its configuration with it.
                if let Some(topic) = old.topic(r.id) {
                    self.configs.insert(ConfigResource::Topic(topic.name.clone()));
                }
                self.topics.insert(r.id, None);
            }
            // A partition that got its ELR by a record of this run is noted by that record.
            Record::ClearElr(r) => {
                for (topic, index) in old.with_elr().iter() {
                    if r.topic.is_none_or(|only| only == topic) {
                        self.partition(topic, index);
                    }
                }
            }
            Record::Config(r) => drop(self.configs.insert(r.resource.clone())),
            Record::FeatureLevel(r) => drop(self.features.insert(r.name.clone())),
            Record::ProducerIdsBlock(_) | Record::BrokerEpochs(_) => {}
        }
    }

    fn partition(&mut self, topic: TopicId, index: i32) {
        if let Some(indexes) = self.topics.entry(topic).or_insert_with(|| Some(BTreeSet::new())) {
            indexes.insert(index);
        }
    }
}
