//! Who leads a partition and who is in sync: the controller's part of replication.
//!
//! - [`change`]: one partition's change, and the rules that any change keeps.
//! - [`alter_partition`]: what leaders ask for.
//! - [`elections`]: ElectLeaders, leaders for those without, and balance.
//! - [`reassign`]: moving replicas.
//! - [`directories`]: where replicas lie, and what fails with a directory.
//!
//! The data, and who is behind, are the brokers' matter; here is what they agree on.

pub mod alter_partition;
mod change;
pub mod directories;
pub mod elections;
pub mod reassign;

use std::collections::BTreeSet;

use ottla_types::config::topic::{MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION_ENABLE};
use ottla_types::{BrokerId, DirectoryId, TopicId, TopicName};

pub(super) use change::{Election, Target};

use super::{Controller, Cuts, Decision, UncleanElection};
use crate::image::Image;
use crate::record::{PartitionChange, Record, UNASSIGNED_DIRECTORY};

/// What a topic's configuration says of its partitions' leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// `min.insync.replicas`.
    pub(super) min_isr: usize,
    /// `unclean.leader.election.enable`.
    pub(super) unclean: bool,
}

/// Changes of partitions, before they are decided.
#[derive(Debug, Default)]
pub(super) struct Updates {
    pub(super) records: Vec<Record>,
    pub(super) unclean: Vec<UncleanElection>,
}

impl Controller {
    /// What a topic's configuration says, by the replicated values: its own and the cluster's. A broker's own value does
    /// not count, or leader and controller could use different ones.
    pub(super) fn rules(&self, topic: &TopicName) -> Rules {
        let image = &self.speculative;
        let (overrides, layers) = (image.topic_overrides(topic), image.cluster_layers(&self.settings));
        Rules {
            min_isr: usize::try_from(layers.topic_value(overrides, &MIN_INSYNC_REPLICAS)).unwrap_or(1),
            unclean: layers.topic_value(overrides, &UNCLEAN_LEADER_ELECTION_ENABLE),
        }
    }

    /// Changes partitions as `adjust` wants it, with a new leader where that is needed: of those for whom `is_active`
    /// holds, and whose directory works.
    pub(super) fn updates(
        &self,
        partitions: impl IntoIterator<Item = (TopicId, i32)>,
        is_active: impl Fn(BrokerId) -> bool,
        adjust: impl FnMut(&mut Target<'_>),
    ) -> Updates {
        self.updates_where(partitions, |broker, _| is_active(broker), adjust)
    }

    /// As [`Self::updates`], where it depends on the directory whether a broker counts as active.
    pub(super) fn updates_where(
        &self,
        partitions: impl IntoIterator<Item = (TopicId, i32)>,
        is_active: impl Fn(BrokerId, DirectoryId) -> bool,
        mut adjust: impl FnMut(&mut Target<'_>),
    ) -> Updates {
        let image = &self.speculative;
        let can_lead = |broker: BrokerId, directory: DirectoryId| {
            is_active(broker, directory) && image.broker(broker).is_some_and(|b| b.has_online(directory))
        };
        let mut updates = Updates::default();
        let mut last: Option<(TopicId, Rules)> = None;
        for (id, index) in partitions {
            let Some(topic) = image.topic(id) else { continue };
            let Some(state) = topic.partition(index) else { continue };
            // The partitions of a topic follow each other, and share its configuration.
            let rules = match last {
                Some((same, rules)) if same == id => rules,
                _ => self.rules(&topic.name),
            };
            last = Some((id, rules));
            let election = if rules.unclean { Election::Unclean } else { Election::Online };
            let mut target = Target::of(id, index, state, election);
            adjust(&mut target);
            updates.add(target.change(rules.min_isr, &can_lead));
        }
        updates
    }

    /// The partitions of which a broker holds replicas.
    pub(super) fn hosted_by(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        self.speculative.hosted(broker).into_iter().flat_map(|hosted| hosted.replicas.iter())
    }

    /// Decides changes of partitions alone, each a step of its own.
    pub(super) fn decide_updates<A>(&mut self, updates: Updates, answer: A) -> Decision<A> {
        let Updates { records, unclean } = updates;
        let decision = self.decide_cut(records, Cuts::Anywhere, answer);
        Decision { unclean, ..decision }
    }
}

impl Updates {
    /// Gives up all but the first changes, and says whether there were more.
    pub(super) fn truncate(&mut self, most: usize) -> bool {
        if self.records.len() <= most {
            return false;
        }
        self.records.truncate(most);
        let kept: BTreeSet<_> = self.changes().map(|change| (change.topic, change.index)).collect();
        self.unclean.retain(|election| kept.contains(&(election.topic, election.index)));
        true
    }

    /// The leader that a single change elects.
    fn only_leader(&self) -> Option<BrokerId> {
        self.changes().next().and_then(|change| change.leader).flatten()
    }

    fn changes(&self) -> impl Iterator<Item = &PartitionChange> {
        self.records.iter().filter_map(|record| match record {
            Record::PartitionChange(change) => Some(change),
            _ => None,
        })
    }

    fn add(&mut self, change: Option<change::Changed>) {
        if let Some(change::Changed { change, unclean }) = change {
            self.records.push(Record::PartitionChange(change));
            self.unclean.extend(unclean);
        }
    }
}

/// Whether a broker may lead and be in sync.
pub(super) fn is_active(image: &Image, broker: BrokerId) -> bool {
    image.broker(broker).is_some_and(|broker| broker.is_active())
}

/// Where a new replica of a broker lies, as far as that is known: with one directory there is no choice (KIP-858).
pub(super) fn default_directory(image: &Image, broker: BrokerId) -> DirectoryId {
    match image.broker(broker).map(|broker| broker.registration.directories.as_slice()) {
        Some([only]) => *only,
        _ => UNASSIGNED_DIRECTORY,
    }
}
