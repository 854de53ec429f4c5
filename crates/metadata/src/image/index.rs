//! Which partitions a change of a broker concerns: kept beside the partitions themselves, so that fencing a broker costs
//! what it holds, not what there is.
//!
//! Everything here follows from the partitions; it is never written down.

use ottla_types::{BrokerId, TopicId};
use rpds::RedBlackTreeMapSync;

use crate::record::PartitionState;

/// A persistent set of partitions: one bit each, 64 partitions of a topic in one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionSet {
    blocks: RedBlackTreeMapSync<(TopicId, i32), u64>,
    len: usize,
}

/// The block of a partition, and its bit in there.
fn place(topic: TopicId, index: i32) -> ((TopicId, i32), u64) {
    ((topic, index >> 6), 1 << (index & 63))
}

impl PartitionSet {
    /// How many partitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a partition is in the set.
    #[must_use]
    pub fn contains(&self, topic: TopicId, index: i32) -> bool {
        let (block, bit) = place(topic, index);
        self.blocks.get(&block).is_some_and(|bits| bits & bit != 0)
    }

    /// The partitions, by topic id and index.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.blocks.iter().flat_map(|((topic, block), bits)| {
            let (topic, first, bits) = (*topic, block << 6, *bits);
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| (topic, first | bit))
        })
    }

    fn insert(&mut self, topic: TopicId, index: i32) {
        let (block, bit) = place(topic, index);
        let bits = self.blocks.get(&block).copied().unwrap_or(0);
        if bits & bit == 0 {
            self.blocks.insert_mut(block, bits | bit);
            self.len += 1;
        }
    }

    fn remove(&mut self, topic: TopicId, index: i32) {
        let (block, bit) = place(topic, index);
        let bits = self.blocks.get(&block).copied().unwrap_or(0);
        if bits & bit == 0 {
            return;
        }
        if bits == bit {
            self.blocks.remove_mut(&block);
        } else {
            self.blocks.insert_mut(block, bits & !bit);
        }
        self.len -= 1;
    }

    fn set(&mut self, topic: TopicId, index: i32, before: bool, after: bool) {
        match (before, after) {
            (false, true) => self.insert(topic, index),
            (true, false) => self.remove(topic, index),
            _ => {}
        }
    }
}

/// What one broker has to do with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosted {
    /// The partitions of which it is to hold a replica.
    pub replicas: PartitionSet,
    /// Those that it leads.
    pub leads: PartitionSet,
    /// How many there are of which it is the preferred leader.
    pub preferred: usize,
}

/// Partitions by what may have to be done for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    by_broker: RedBlackTreeMapSync<BrokerId, Hosted>,
    /// Without a leader.
    pub(super) leaderless: PartitionSet,
    /// With a leader other than the preferred one.
    pub(super) not_preferred: PartitionSet,
    /// With an ELR.
    pub(super) with_elr: PartitionSet,
    /// Whose replicas are moved.
    pub(super) reassigning: PartitionSet,
}

impl Index {
    pub(super) fn hosted(&self, broker: BrokerId) -> Option<&Hosted> {
        self.by_broker.get(&broker)
    }

    /// Takes note of a partition that is made, changed or removed.
    pub(super) fn update(
        &mut self,
        topic: TopicId,
        index: i32,
        old: Option<&PartitionState>,
        new: Option<&PartitionState>,
    ) {
        let both = |is: fn(&PartitionState) -> bool| (old.is_some_and(is), new.is_some_and(is));
        let (before, after) = both(|state| state.leader.is_none());
        self.leaderless.set(topic, index, before, after);
        let (before, after) =
            both(|state| state.leader.is_some() && state.replicas.first() != state.leader.as_ref());
        self.not_preferred.set(topic, index, before, after);
        let (before, after) = both(|state| !state.elr.is_empty());
        self.with_elr.set(topic, index, before, after);
        let (before, after) = both(|state| state.reassignment.is_some());
        self.reassigning.set(topic, index, before, after);
        self.update_brokers(topic, index, old, new);
    }

    fn update_brokers(
        &mut self,
        topic: TopicId,
        index: i32,
        old: Option<&PartitionState>,
        new: Option<&PartitionState>,
    ) {
        let (had, has) = (old.map_or(&[][..], |s| &s.replicas), new.map_or(&[][..], |s| &s.replicas));
        if had != has {
            for broker in had.iter().filter(|broker| !has.contains(broker)) {
                self.with(*broker, |hosted| hosted.replicas.remove(topic, index));
            }
            for broker in has.iter().filter(|broker| !had.contains(broker)) {
                self.with(*broker, |hosted| hosted.replicas.insert(topic, index));
            }
        }
        if had.first() != has.first() {
            if let Some(broker) = had.first() {
                self.with(*broker, |hosted| hosted.preferred = hosted.preferred.saturating_sub(1));
            }
            if let Some(broker) = has.first() {
                self.with(*broker, |hosted| hosted.preferred += 1);
            }
        }
        let (led_by, leads) = (old.and_then(|state| state.leader), new.and_then(|state| state.leader));
        if led_by != leads {
            if let Some(broker) = led_by {
                self.with(broker, |hosted| hosted.leads.remove(topic, index));
            }
            if let Some(broker) = leads {
                self.with(broker, |hosted| hosted.leads.insert(topic, index));
            }
        }
    }

    /// Changes what a broker has to do with; a broker that has to do with nothing is not kept, so that images with the
    /// same partitions are equal.
    fn with(&mut self, broker: BrokerId, change: impl FnOnce(&mut Hosted)) {
        let Some(hosted) = self.by_broker.get_mut(&broker) else {
            let mut hosted = Hosted::default();
            change(&mut hosted);
            if !hosted.is_empty() {
                self.by_broker.insert_mut(broker, hosted);
            }
            return;
        };
        change(hosted);
        if hosted.is_empty() {
            self.by_broker.remove_mut(&broker);
        }
    }
}

impl Hosted {
    fn is_empty(&self) -> bool {
        self.replicas.is_empty() && self.leads.is_empty() && self.preferred == 0
    }
}
