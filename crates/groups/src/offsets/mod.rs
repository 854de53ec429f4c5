//! The offsets of one group: those that are committed, and those on their way to the log.
//!
//! - this file: where they are kept;
//! - [`commit`], [`fetch`], [`delete`]: one request each;
//!
//! Which offsets nobody has use for any more is in [`sweep`](crate::sweep).
//!
//! Answers tell what is committed. Decisions look at the latest, which is what will be committed if nothing fails.

mod commit;
mod delete;
mod fetch;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use ottla_types::TopicName;

use crate::effect::ChangeId;
use crate::record::OffsetValue;

/// The offsets of one group. Ordered maps, so that answers and tombstones come in the same order in every run.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<TopicName, BTreeMap<i32, Slot>>,
}

/// Where an offset is, among those of its group.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) topic: TopicName,
    pub(crate) partition: i32,
}

/// One partition's offset.
#[derive(Debug, Default)]
struct Slot {
    committed: Option<OffsetValue>,
    /// What is on its way. Nearly always nothing, so it takes one word.
    ahead: Option<Box<Ahead>>,
}

/// An offset as changes that are not committed yet make it, in their order; a deletion is `None`.
type Ahead = Vec<(ChangeId, Option<OffsetValue>)>;

impl Slot {
    fn latest(&self) -> Option<&OffsetValue> {
        match self.ahead.as_ref().and_then(|ahead| ahead.last()) {
            Some((_, value)) => value.as_ref(),
            None => self.committed.as_ref(),
        }
    }

    fn view(&self, which: View) -> Option<&OffsetValue> {
        match which {
            View::Committed => self.committed.as_ref(),
            View::Latest => self.latest(),
        }
    }

    fn is_vacant(&self) -> bool {
        self.committed.is_none() && self.ahead.is_none()
    }
}

/// Which offsets to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Committed,
    Latest,
}

impl Offsets {
    /// Whether there are none, not even on their way.
    pub(crate) fn is_vacant(&self) -> bool {
        self.topics.is_empty()
    }

    fn slot(&self, topic: &str, partition: i32) -> Option<&Slot> {
        self.topics.get(topic)?.get(&partition)
    }

    /// All that there is to see.
    fn all(&self, which: View) -> impl Iterator<Item = (&TopicName, i32, &OffsetValue)> {
        self.topics.iter().flat_map(move |(topic, partitions)| {
            partitions
                .iter()
                .filter_map(move |(&partition, slot)| Some((topic, partition, slot.view(which)?)))
        })
    }

    /// Those that will be there, behind one of them.
    pub(crate) fn latest_after<'a>(
        &'a self,
        after: Option<&'a Place>,
    ) -> impl Iterator<Item = (&'a TopicName, i32, &'a OffsetValue)> {
        let topics = (after.map_or(Unbounded, |place| Included(&place.topic)), Unbounded);
        self.topics.range::<TopicName, _>(topics).flat_map(move |(topic, partitions)| {
            let after = after.filter(|place| place.topic == *topic);
            let from = after.map_or(Unbounded, |place| Excluded(place.partition));
            let slots = partitions.range((from, Unbounded));
            slots.filter_map(move |(&partition, slot)| Some((topic, partition, slot.latest()?)))
        })
    }

    /// Those of one topic that will be there, behind one of its partitions.
    pub(crate) fn latest_of<'a>(
        &'a self,
        topic: &TopicName,
        after: Option<i32>,
    ) -> impl Iterator<Item = (&'a TopicName, i32, &'a OffsetValue)> {
        let from = after.map_or(Unbounded, Excluded);
        self.topics.get_key_value(topic).into_iter().flat_map(move |(topic, partitions)| {
            let slots = partitions.range((from, Unbounded));
            slots.filter_map(move |(&partition, slot)| Some((topic, partition, slot.latest()?)))
        })
    }

    /// Whether there will be none.
    pub(crate) fn will_be_gone(&self) -> bool {
        self.all(View::Latest).next().is_none()
    }

    /// All that are committed.
    pub(crate) fn committed(&self) -> impl Iterator<Item = (&TopicName, i32, &OffsetValue)> {
        self.all(View::Committed)
    }

    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Sets or deletes a committed offset while loading. Tells how much the number of offsets changed.
    pub(crate) fn load(&mut self, topic: TopicName, partition: i32, value: Option<OffsetValue>) -> isize {
        let slot = self.topics.entry(topic).or_default().entry(partition).or_default();
        let change = isize::from(value.is_some()) - isize::from(slot.committed.is_some());
        slot.committed = value;
        change
    }

    /// As [`load`](Self::load), for a topic that is there already.
    pub(crate) fn load_known(&mut self, topic: &str, partition: i32, value: Option<OffsetValue>) -> isize {
        let Some(partitions) = self.topics.get_mut(topic) else { return 0 };
        if value.is_none() {
            let change =
                -isize::from(partitions.remove(&partition).is_some_and(|slot| slot.committed.is_some()));
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
            return change;
        }
        let slot = partitions.entry(partition).or_default();
        let was_there = slot.committed.is_some();
        slot.committed = value;
        isize::from(!was_there)
    }

    /// Sets or deletes an offset as a change will, once it is committed. Of what one change does to it, the last counts;
    /// tells whether this is the first.
    pub(crate) fn stage(
        &mut self,
        topic: TopicName,
        partition: i32,
        change: ChangeId,
        value: Option<OffsetValue>,
    ) -> bool {
        let slot = self.topics.entry(topic).or_default().entry(partition).or_default();
        let ahead = slot.ahead.get_or_insert_default();
        match ahead.last_mut() {
            Some((last, staged)) if *last == change => {
                *staged = value;
                false
            }
            _ => {
                ahead.push((change, value));
                true
            }
        }
    }

    /// A change is committed. Tells how much the number of offsets changed.
    pub(crate) fn settle(&mut self, topic: &str, partition: i32, change: ChangeId) -> isize {
        let mut difference = 0;
        self.update(topic, partition, |slot| {
            let Some(ahead) = &mut slot.ahead else { return };
            if ahead.first().is_some_and(|(first, _)| *first == change) {
                let (_, value) = ahead.remove(0);
                difference = isize::from(value.is_some()) - isize::from(slot.committed.is_some());
                slot.committed = value;
            }
        });
        difference
    }

    /// A change failed, as did all after it.
    pub(crate) fn drop_change(&mut self, topic: &str, partition: i32, change: ChangeId) {
        self.update(topic, partition, |slot| {
            if let Some(ahead) = &mut slot.ahead {
                ahead.retain(|(staged, _)| *staged < change);
            }
        });
    }

    /// Changes a slot, and removes it when nothing is left in it.
    fn update(&mut self, topic: &str, partition: i32, change: impl FnOnce(&mut Slot)) {
        let Some(partitions) = self.topics.get_mut(topic) else { return };
        let Some(slot) = partitions.get_mut(&partition) else { return };
        change(slot);
        if slot.ahead.as_ref().is_some_and(|ahead| ahead.is_empty()) {
            slot.ahead = None;
        }
        if slot.is_vacant() {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }
}
