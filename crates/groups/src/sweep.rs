//! What goes over all offsets of a shard, and deletes those that nobody has use for any more: what expired, with the empty
//! groups that held it (KIP-211), and what was committed for topics that are gone.
//!
//! There may be hundreds of thousands of them. So a sweep goes in parts, each a turn of its own: its records fit into a batch,
//! and requests need not wait for the end of it. What changes between two parts is seen, if it lies ahead.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use ottla_types::{TopicId, TopicName};

use crate::classic::{ClassicGroup, RetentionBase};
use crate::group::Group;
use crate::groups::{Entry, Groups};
use crate::offsets::Place;
use crate::record::OffsetValue;
use crate::turn::Turn;

/// The most groups and offsets that one part looks at.
const MOST_STEPS: usize = 10_000;

/// The most bytes of keys that one part writes, but for its last key: a quarter of `max.message.bytes` as Kafka sets it.
const MOST_KEYS_BYTES: usize = 256 * 1024;

/// A sweep, and how far it has come. See [`Shard::sweep`](crate::Shard::sweep).
#[derive(Debug)]
pub struct Sweep {
    what: What,
    position: Position,
}

#[derive(Debug)]
enum What {
    /// Offsets whose retention is over, and empty groups without offsets.
    Expired,
    /// Offsets of these topics, which are gone.
    Topics(BTreeMap<TopicName, Vec<TopicId>>),
}

#[derive(Debug)]
enum Position {
    Start,
    /// All up to this group are done.
    After(Arc<str>),
    /// Of this group the offsets up to this place are done.
    Within(Arc<str>, Place),
    End,
}

/// What a part may still do.
struct Budget {
    steps: usize,
    keys_bytes: usize,
}

impl Sweep {
    /// Deletes offsets whose retention is over, and empty groups without offsets. To be begun every
    /// `offsets.retention.check.interval.ms`.
    #[must_use]
    pub fn expired() -> Self {
        Self { what: What::Expired, position: Position::Start }
    }

    /// Deletes the offsets of deleted topics in every group. An offset that was committed for another topic of the same name
    /// stays; one of which that is not known goes.
    #[must_use]
    pub fn topics(deleted: impl IntoIterator<Item = (TopicName, TopicId)>) -> Self {
        let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (topic, id) in deleted {
            topics.entry(topic).or_default().push(id);
        }
        Self { what: What::Topics(topics), position: Position::Start }
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.position, Position::End)
    }
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.steps == 0 || self.keys_bytes == 0
    }
}

impl Groups {
    /// Does the next part.
    pub(crate) fn sweep(&mut self, sweep: &mut Sweep, turn: &mut Turn<'_>) {
        let mut budget = Budget { steps: MOST_STEPS, keys_bytes: MOST_KEYS_BYTES };
        while !budget.is_spent() {
            let (group_id, after) = match std::mem::replace(&mut sweep.position, Position::End) {
                Position::Start => (self.entries.keys().next().cloned(), None),
                Position::After(group_id) => (self.group_after(&group_id), None),
                Position::Within(group_id, place) => (Some(group_id), Some(place)),
                Position::End => return,
            };
            let Some(group_id) = group_id else {
                if let What::Topics(topics) = &sweep.what {
                    self.forget_topics(topics.keys());
                }
                return;
            };
            sweep.position = match self.sweep_group(&group_id, after, &sweep.what, &mut budget, turn) {
                Some(place) => Position::Within(group_id, place),
                None => Position::After(group_id),
            };
        }
    }

    fn group_after(&self, group_id: &Arc<str>) -> Option<Arc<str>> {
        let behind = self.entries.range::<Arc<str>, _>((Excluded(group_id), Unbounded)).next();
        behind.map(|(group_id, _)| Arc::clone(group_id))
    }

    /// Goes on in a group, behind the offset given. Returns how far it came if it is not through.
    fn sweep_group(
        &mut self,
        group_id: &Arc<str>,
        after: Option<Place>,
        what: &What,
        budget: &mut Budget,
        turn: &mut Turn<'_>,
    ) -> Option<Place> {
        budget.steps = budget.steps.saturating_sub(1);
        let entry = self.entries.get(group_id)?;
        let (doomed, stopped_at) = match what {
            What::Expired => entry.expired(group_id, after, budget, turn),
            What::Topics(topics) => entry.of_topics(group_id, after, topics, budget),
        };
        for Place { topic, partition } in doomed {
            self.erase_offset(group_id, topic, partition, turn);
        }
        if stopped_at.is_none() && matches!(what, What::Expired) && self.is_deserted(group_id) {
            budget.take(group_id, "");
            self.remove_group(group_id, turn);
        }
        stopped_at
    }

    /// Whether the group has neither members nor offsets, and nobody is about to join.
    fn is_deserted(&self, group_id: &str) -> bool {
        match self.entries.get(group_id) {
            Some(Entry { group: Some(Group::Classic(group)), offsets, .. }) => {
                group.is_empty() && !group.is_expected() && offsets.will_be_gone()
            }
            _ => false,
        }
    }
}

impl Budget {
    fn take(&mut self, group_id: &str, topic: &str) {
        // What surrounds the names in a key, and the key in a batch.
        const AROUND: usize = 24;
        self.keys_bytes = self.keys_bytes.saturating_sub(group_id.len() + topic.len() + AROUND);
    }

    /// Goes over offsets until the budget is spent: those that are doomed, and the last one if others may follow.
    fn spend<'a>(
        &mut self,
        group_id: &str,
        offsets: impl Iterator<Item = (&'a TopicName, i32, &'a OffsetValue)>,
        is_doomed: impl Fn(&TopicName, &OffsetValue) -> bool,
    ) -> (Vec<Place>, Option<Place>) {
        let mut doomed = Vec::new();
        for (topic, partition, value) in offsets {
            let place = || Place { topic: topic.clone(), partition };
            self.steps = self.steps.saturating_sub(1);
            if is_doomed(topic, value) {
                self.take(group_id, topic.as_str());
                doomed.push(place());
            }
            if self.is_spent() {
                return (doomed, Some(place()));
            }
        }
        (doomed, None)
    }
}

impl Entry {
    fn expired(
        &self,
        group_id: &str,
        after: Option<Place>,
        budget: &mut Budget,
        turn: &Turn<'_>,
    ) -> (Vec<Place>, Option<Place>) {
        let Some(Group::Classic(group)) = &self.group else { return (Vec::new(), None) };
        let Some(base) = group.retention_base() else { return (Vec::new(), None) };
        let is_doomed = |topic: &TopicName, value: &OffsetValue| is_expired(group, base, topic, value, turn);
        budget.spend(group_id, self.offsets.latest_after(after.as_ref()), is_doomed)
    }

    fn of_topics(
        &self,
        group_id: &str,
        after: Option<Place>,
        topics: &BTreeMap<TopicName, Vec<TopicId>>,
        budget: &mut Budget,
    ) -> (Vec<Place>, Option<Place>) {
        let mut doomed = Vec::new();
        for (topic, ids) in topics {
            budget.steps = budget.steps.saturating_sub(1);
            let after = match &after {
                Some(place) if place.topic > *topic => continue,
                Some(place) if place.topic == *topic => Some(place.partition),
                _ => None,
            };
            let offsets = self.offsets.latest_of(topic, after);
            let (more, stopped_at) =
                budget.spend(group_id, offsets, |_, value| ids.iter().any(|id| value.is_for(*id)));
            doomed.extend(more);
            if stopped_at.is_some() {
                return (doomed, stopped_at);
            }
        }
        (doomed, None)
    }
}

fn is_expired(
    group: &ClassicGroup,
    base: RetentionBase,
    topic: &TopicName,
    value: &OffsetValue,
    turn: &Turn<'_>,
) -> bool {
    !group.is_subscribed_to(topic.as_str())
        && base.is_over(value, turn.config.offsets_retention_ms, turn.now_ms)
}
