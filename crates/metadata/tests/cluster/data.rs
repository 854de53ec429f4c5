//! What the replicas hold: logs as lists of numbers, and which of them were acknowledged.
//!
//! A record is acknowledged when all that count as in sync hold it, and they are at least `min.insync.replicas`. Nobody
//! who leads cleanly ever lacks one: that is what ISR and ELR are for.

use std::collections::{BTreeMap, BTreeSet};

use ottla_metadata::Image;
use ottla_metadata::controller::UncleanElection;
use ottla_metadata::controller::replication::alter_partition::AlterPartition;
use ottla_metadata::record::PartitionState;
use ottla_types::config::Settings;
use ottla_types::config::topic::MIN_INSYNC_REPLICAS;
use ottla_types::{BrokerId, TopicId};

type Log = Vec<u32>;

/// All replicas of all partitions.
#[derive(Debug, Default)]
pub struct Data {
    partitions: BTreeMap<(TopicId, i32), Replicas>,
    /// Replicas that lost the end of their log, of which the controller was not told yet.
    untold: BTreeSet<(BrokerId, TopicId, i32)>,
    next: u32,
    /// How many records were acknowledged, and how many of those an unclean election gave up.
    pub acknowledged: usize,
    pub given_up: usize,
}

#[derive(Debug, Default)]
struct Replicas {
    logs: BTreeMap<BrokerId, Log>,
    acknowledged: Log,
}

impl Data {
    /// Takes over what became of the partitions: makes and deletes replicas, and shows that leaders hold everything.
    /// Elections that were told of as unclean may give records up.
    pub fn follow(&mut self, image: &Image, unclean: &[UncleanElection]) {
        let mut partitions = BTreeMap::new();
        for topic in image.topics() {
            for (index, state) in topic.partitions() {
                let mut replicas = self.partitions.remove(&(topic.id, index)).unwrap_or_default();
                replicas.logs.retain(|id, _| state.replicas.contains(id));
                for id in state.replicas.iter() {
                    replicas.logs.entry(*id).or_default();
                }
                let told = unclean.iter().find(|told| (told.topic, told.index) == (topic.id, index));
                if let Some(told) = told {
                    let log = &replicas.logs[&told.leader];
                    let kept = replicas.acknowledged.iter().zip(log).take_while(|(a, b)| a == b).count();
                    self.given_up += replicas.acknowledged.len() - kept;
                    replicas.acknowledged.truncate(kept);
                }
                partitions.insert((topic.id, index), replicas);
            }
        }
        self.partitions = partitions;
        self.check(image);
    }

    fn check(&self, image: &Image) {
        for ((topic, index), replicas) in &self.partitions {
            let state = image.partition(*topic, *index).unwrap();
            for id in state.isr.iter().chain(state.elr.iter()) {
                let log = &replicas.logs[id];
                if self.untold.contains(&(*id, *topic, *index)) {
                    continue;
                }
                assert!(
                    log.starts_with(&replicas.acknowledged),
                    "{id} lacks acknowledged records {:?} of {index} {state:?}: {log:?}",
                    replicas.acknowledged
                );
            }
        }
    }

    /// The leader appends a record. It is acknowledged if everybody who may be in sync takes it: the ISR, and those that
    /// the leader has asked for, and has no answer yet (KIP-497).
    pub fn append(
        &mut self,
        image: &Image,
        topic: TopicId,
        index: i32,
        alive: impl Fn(BrokerId) -> bool,
        asked: &[AlterPartition],
    ) {
        let Some(state) = image.partition(topic, index).cloned() else { return };
        let Some(leader) = state.leader.filter(|leader| alive(*leader)) else { return };
        let Some(replicas) = self.partitions.get_mut(&(topic, index)) else { return };
        self.next += 1;
        replicas.logs.get_mut(&leader).unwrap().push(self.next);
        let name = &image.topic(topic).unwrap().name;
        let settings = Settings::default();
        let layers = image.cluster_layers(&settings);
        let min_isr = layers.topic_value(image.topic_overrides(name), &MIN_INSYNC_REPLICAS) as usize;
        let counted = may_be_in_sync(&state, topic, index, asked);
        if !counted.iter().all(|id| alive(*id)) || state.isr.len() < min_isr.min(state.replicas.len()) {
            return;
        }
        let log = replicas.logs[&leader].clone();
        for id in counted {
            replicas.logs.insert(id, log.clone());
        }
        replicas.acknowledged = log;
        self.acknowledged += 1;
    }

    /// A follower fetches everything, and truncates what the leader does not have.
    pub fn catch_up(
        &mut self,
        state: &PartitionState,
        topic: TopicId,
        index: i32,
        follower: BrokerId,
    ) -> bool {
        let Some(replicas) = self.partitions.get_mut(&(topic, index)) else { return false };
        let Some(log) = state.leader.and_then(|leader| replicas.logs.get(&leader)).cloned() else {
            return false;
        };
        match replicas.logs.get_mut(&follower) {
            Some(own) => *own = log,
            None => return false,
        }
        self.untold.remove(&(follower, topic, index));
        true
    }

    /// The controller was told that these replicas of a broker are lost.
    pub fn told_of(&mut self, broker: BrokerId, replicas: &BTreeSet<(TopicId, i32)>) {
        self.untold.retain(|(id, topic, index)| *id != broker || !replicas.contains(&(*topic, *index)));
    }

    /// The controller was told how a broker's last run ended.
    pub fn told(&mut self, broker: BrokerId) {
        self.untold.retain(|(id, ..)| *id != broker);
    }

    /// A broker loses the end of some of its logs.
    pub fn lose(&mut self, broker: BrokerId, kept: usize, only: Option<&BTreeSet<(TopicId, i32)>>) {
        for (partition, replicas) in &mut self.partitions {
            if only.is_some_and(|only| !only.contains(partition)) {
                continue;
            }
            if let Some(log) = replicas.logs.get_mut(&broker) {
                log.truncate(kept);
                self.untold.insert((broker, partition.0, partition.1));
            }
        }
    }
}

/// The ISR in force, and everybody in an ISR that the leader has asked for under its epoch.
fn may_be_in_sync(
    state: &PartitionState,
    topic: TopicId,
    index: i32,
    asked: &[AlterPartition],
) -> BTreeSet<BrokerId> {
    let updates = asked.iter().flat_map(|request| &request.partitions);
    let undecided = updates.filter(|update| {
        (update.topic, update.index, update.leader_epoch) == (topic, index, state.leader_epoch)
    });
    let members = undecided.flat_map(|update| update.isr.iter().map(|(id, _)| *id));
    state.isr.iter().copied().chain(members).filter(|id| state.replicas.contains(id)).collect()
}
