//! What differs between two images.
//!
//! A broker acts on metadata by differences: it creates the logs of new partitions, deletes those of topics that are
//! gone, and reads the settings again of what was reconfigured.

use std::collections::BTreeSet;
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
    /// Brokers that registered, or were fenced or unfenced.
    pub brokers: BTreeSet<BrokerId>,
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
    topics: BTreeSet<TopicId>,
    configs: BTreeSet<ConfigResource>,
    brokers: BTreeSet<BrokerId>,
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
            touched.topics.extend(image.topics().map(|topic| topic.id));
            touched.configs.extend(image.config_resources().map(|(resource, _)| resource.clone()));
            touched.brokers.extend(image.brokers().map(|broker| broker.registration.id));
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
        for id in touched.topics {
            match (old.topic(id), new.topic(id)) {
                (None, Some(topic)) => delta.created.push(topic.clone()),
                (Some(topic), None) => delta.deleted.push(topic.clone()),
                (Some(before), Some(after)) if !Arc::ptr_eq(before, after) => {
                    delta.changed.extend(topic_change(before, after));
                }
                _ => {}
            }
        }
        delta.configs = touched.configs.into_iter().filter(|r| old.configs(r) != new.configs(r)).collect();
        delta.brokers = touched.brokers.into_iter().filter(|id| old.broker(*id) != new.broker(*id)).collect();
        delta
    }
}

fn topic_change(before: &TopicImage, after: &Arc<TopicImage>) -> Option<TopicChange> {
    let partitions: Vec<_> = after
        .partitions()
        .filter_map(|(index, new)| {
            let old = before.partition(index);
            let same = old.is_some_and(|old| Arc::ptr_eq(old, new) || old == new);
            (!same).then(|| PartitionDiff { index, old: old.cloned(), new: new.clone() })
        })
        .collect();
    (!partitions.is_empty()).then(|| TopicChange { topic: after.clone(), partitions })
}

impl Touched {
    fn add(&mut self, old: &Image, record: &Record) {
        match record {
            Record::RegisterBroker(r) => drop(self.brokers.insert(r.id)),
            Record::BrokerFencing(r) => drop(self.brokers.insert(r.id)),
            Record::Topic(r) => drop(self.topics.insert(r.id)),
            Record::Partition(r) => drop(self.topics.insert(r.topic)),
            Record::PartitionChange(r) => drop(self.topics.insert(r.topic)),
            Record::RemoveTopic(r) => {
                // The topic takes its configuration with it.
                if let Some(topic) = old.topic(r.id) {
                    self.configs.insert(ConfigResource::Topic(topic.name.clone()));
                }
                self.topics.insert(r.id);
            }
            Record::Config(r) => drop(self.configs.insert(r.resource.clone())),
            Record::ProducerIdsBlock(_) | Record::FeatureLevel(_) => {}
        }
    }
}
