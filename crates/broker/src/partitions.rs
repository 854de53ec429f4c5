//! The partitions that have a replica on this broker, found by the topic's name or id.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use ottla_types::{TopicId, TopicName};

use crate::fetch_session::TopicKey;
use crate::partition::Partition;

/// A topic as a request names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TopicRef<'a> {
    Id(TopicId),
    Name(&'a str),
}

impl<'a> From<&'a TopicKey> for TopicRef<'a> {
    fn from(key: &'a TopicKey) -> Self {
        match key {
            TopicKey::Id(id) => Self::Id(*id),
            TopicKey::Name(name) => Self::Name(name),
        }
    }
}

/// The table of partitions. Lookups take a read lock and no allocation: they are on the path of every request.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    table: RwLock<Table>,
}

/// The partitions of a topic, by index.
type Topic = BTreeMap<i32, Arc<Partition>>;

#[derive(Debug, Default)]
struct Table {
    ids: HashMap<TopicName, TopicId>,
    by_id: HashMap<TopicId, Topic>,
}

impl Table {
    fn topic(&self, topic: TopicRef<'_>) -> Option<&Topic> {
        let id = match topic {
            TopicRef::Id(id) => id,
            TopicRef::Name(name) => *self.ids.get(name)?,
        };
        self.by_id.get(&id)
    }
}

impl Partitions {
    /// The partition, if it has a replica here.
    pub(crate) fn get(&self, topic: TopicRef<'_>, index: i32) -> Option<Arc<Partition>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.topic(topic)?.get(&index).cloned()
    }

    /// As [`Self::get`] for many partitions, of which those of a topic come together as a rule: a fetch asks for all of its
    /// partitions again and again.
    pub(crate) fn get_all<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a TopicKey, i32)>,
    ) -> Vec<Option<Arc<Partition>>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut current: Option<(&TopicKey, Option<&Topic>)> = None;
        let find = |(key, index): (&'a TopicKey, i32)| {
            let topic = match current {
                Some((of, topic)) if of == key => topic,
                _ => table.topic(key.into()),
            };
            current = Some((key, topic));
            topic?.get(&index).cloned()
        };
        wanted.map(find).collect()
    }

    pub(crate) fn insert(&self, partition: Arc<Partition>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.ids.insert(partition.id.topic.clone(), partition.topic_id);
        table.by_id.entry(partition.topic_id).or_default().insert(partition.id.partition, partition);
    }

    /// Takes a topic's partitions out of the table; by index.
    pub(crate) fn remove_topic(&self, name: &TopicName, id: TopicId) -> Vec<Arc<Partition>> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.ids.get(name) == Some(&id) {
            table.ids.remove(name);
        }
        table.by_id.remove(&id).unwrap_or_default().into_values().collect()
    }

    /// Takes one partition of a topic out of the table.
    pub(crate) fn remove(&self, id: TopicId, index: i32) -> Option<Arc<Partition>> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = table.by_id.get_mut(&id)?;
        let removed = partitions.remove(&index)?;
        if partitions.is_empty() {
            table.by_id.remove(&id);
            if table.ids.get(&removed.id.topic) == Some(&id) {
                table.ids.remove(&removed.id.topic);
            }
        }
        Some(removed)
    }

    /// All partitions, by the names of their topics.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut partitions: Vec<_> = table.by_id.values().flat_map(BTreeMap::values).cloned().collect();
        drop(table);
        partitions.sort_by(|one, other| one.id.cmp(&other.id));
        partitions
    }

    /// A topic's partitions, by index.
    pub(crate) fn of_topic(&self, id: TopicId) -> Vec<Arc<Partition>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_id.get(&id).map(|topic| topic.values().cloned().collect()).unwrap_or_default()
    }
}
