//! What a scrape reads off the group coordinator: how many groups there are, and what they have committed.

use std::sync::Arc;

use ottla_groups::Census;
use ottla_types::{Offset, TopicName};

use crate::coordinator::{GroupCoordinator, ShardState};

/// The groups that this broker coordinates.
#[derive(Debug, Default)]
pub(super) struct GroupsObserved {
    pub(super) loading: usize,
    pub(super) active: usize,
    pub(super) failed: usize,
    /// Of all shards together.
    pub(super) census: Census,
    /// Committed offsets; none where there are more than are to be shown one by one.
    pub(super) offsets: Vec<CommittedOffset>,
}

/// An offset that a group has committed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommittedOffset {
    pub(super) group: Arc<str>,
    pub(super) topic: TopicName,
    pub(super) partition: i32,
    pub(super) offset: Offset,
}

/// Asks each shard, one after the other, and copies no more than `limit` offsets.
pub(super) async fn observe(coordinator: &GroupCoordinator, limit: usize) -> GroupsObserved {
    let mut observed = GroupsObserved::default();
    for shard in coordinator.shards() {
        let offsets = &mut observed.offsets;
        let look = |shard: &ottla_groups::Shard| {
            let census = shard.census();
            if census.offsets <= limit.saturating_sub(offsets.len()) {
                offsets.extend(shard.committed_offsets().map(|committed| CommittedOffset {
                    group: Arc::clone(committed.group),
                    topic: committed.topic.clone(),
                    partition: committed.partition,
                    offset: committed.offset,
                }));
            }
            census
        };
        let (state, census) = shard.survey(look).await;
        match state {
            ShardState::Loading => observed.loading += 1,
            ShardState::Active => observed.active += 1,
            ShardState::Failed => observed.failed += 1,
            // It is about to be taken out of the list.
            ShardState::Stopped => {}
        }
        observed.add(&census.unwrap_or_default());
    }
    if observed.census.offsets > limit {
        // Some would be misleading.
        observed.offsets.clear();
    }
    observed.offsets.sort();
    observed
}

impl GroupsObserved {
    fn add(&mut self, census: &Census) {
        let Census { empty, preparing_rebalance, completing_rebalance, stable, members, offsets } = census;
        self.census.empty += empty;
        self.census.preparing_rebalance += preparing_rebalance;
        self.census.completing_rebalance += completing_rebalance;
        self.census.stable += stable;
        self.census.members += members;
        self.census.offsets += offsets;
    }
}
