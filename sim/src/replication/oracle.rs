//! What the replicas of partitions did, and what must hold of it at once. The first thing that does not is kept.
//!
//! What is *committed* is what a leader's high watermark passed: the batches as they lay on that leader's disk then. From that
//! moment on they must be on every later leader. Whether they are is read from the disks, and not asked of the code
//! under test; it tells only what no disk shows ([`ReplicaMoved`]).
//!
//! A disk that lost something of a log counts as lost until its broker is in sync again and has everything. So does one whose power
//! failed, or that failed itself, though everything be there by luck: its broker cannot know that, and nobody may count on it. Only where
//! each batch is fsynced (`flush.messages=1`) it is what was lost that counts. Once `min.insync.replicas` disks are lost records
//! may be gone: they are *forgiven*, and so is what follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ottla_broker::{ReplicaCuts, ReplicaMoved};
use ottla_client::Acks;
use ottla_metadata::record::{LeaderRecovery, PartitionState, RegisterBroker};
use ottla_metadata::{Image, Record};
use ottla_types::{BrokerId, TopicId, TopicPartition};

use super::disks::{self, DiskBatch, DiskLog};
use super::topics::TopicPlan;
use crate::brokers::writer::Writing;
use crate::brokers::{Fate, FateWatcher};
use crate::disk::{Crash, SimDisk};
use crate::engine::NodeId;
use crate::invariants::{
    Violation, batches_are_unique, committed_is_never_cut, committed_records_survive,
    isr_members_hold_the_committed, replicas_agree, watermarks_follow_the_isr,
};
use crate::world::World;

/// A partition by its topic's id.
pub type Key = (TopicId, i32);

/// All that is known of a partition.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its name.
    pub name: TopicPartition,
    /// What its topic is to be.
    pub plan: TopicPlan,
    /// What a leader's high watermark has passed, by base offset.
    pub batches: BTreeMap<i64, DiskBatch>,
    /// The highest of these watermarks.
    pub high_watermark: i64,
    /// The nodes whose disks count as lost, with the first offset that each lost.
    pub lost: BTreeMap<NodeId, i64>,
    /// From here on records may be gone that were committed.
    pub forgiven_from: Option<i64>,
}

impl Committed {
    /// The first batch that a log lacks, or has otherwise.
    #[must_use]
    pub fn first_missing(&self, log: &DiskLog) -> Option<&DiskBatch> {
        self.batches.values().find(|batch| batch.end > log.start && log.at(batch.base) != Some(*batch))
    }

    fn forgive(&mut self, from: i64) {
        self.batches.retain(|_, batch| batch.end <= from);
        self.high_watermark = self.high_watermark.min(from);
        self.forgiven_from = Some(self.forgiven_from.map_or(from, |known| known.min(from)));
    }
}

/// What is known of a node's process.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    /// When its last one ended.
    ended_us: u64,
    /// When its last registration was committed.
    registered_us: u64,
}

/// All that is known.
pub struct Replicas {
    world: World,
    plans: BTreeMap<String, TopicPlan>,
    /// By the ids of their topics.
    pub partitions: BTreeMap<Key, Committed>,
    lives: BTreeMap<NodeId, Life>,
    image: Image,
    unique: batches_are_unique::Seen,
    /// How many times a watermark was looked at.
    pub watermarks: u64,
    /// The first thing that does not hold.
    pub violation: Option<Violation>,
}

/// [`Replicas`] that many share. Clones are the same.
#[derive(Clone)]
pub struct Oracle(Arc<Mutex<Replicas>>);

impl Oracle {
    /// Of a world in which these topics are to be.
    #[must_use]
    pub fn new(world: &World, plans: &[TopicPlan]) -> Self {
        Self(Arc::new(Mutex::new(Replicas {
            world: world.clone(),
            plans: plans.iter().map(|plan| (plan.name.to_string(), plan.clone())).collect(),
            partitions: BTreeMap::new(),
            lives: BTreeMap::new(),
            image: Image::default(),
            unique: batches_are_unique::Seen::default(),
            watermarks: 0,
            violation: None,
        })))
    }

    /// Does something with what is known.
    pub fn with<R>(&self, what: impl FnOnce(&mut Replicas) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is to be told of what writers are told.
    pub(super) fn told_of(&self, writers: &[Writing]) -> FateWatcher {
        let for_all: BTreeSet<u32> = writers
            .iter()
            .filter(|writing| writing.acks == Acks::All)
            .map(|writing| writing.number)
            .collect();
        let oracle = self.clone();
        Arc::new(move |partition, id, fate| {
            if let Fate::Acknowledged(Some(offset)) = fate
                && for_all.contains(&id.writer)
            {
                oracle.with(|replicas| replicas.acknowledged(partition, offset));
            }
        })
    }

    /// The first thing that does not hold.
    ///
    /// # Errors
    /// The violation.
    pub fn check(&self) -> Result<(), Violation> {
        self.with(|replicas| replicas.violation.clone()).map_or(Ok(()), Err)
    }
}

fn node_of(broker: BrokerId) -> NodeId {
    NodeId(broker.0 as u32)
}

/// Whether a log is of this topic, and not of an earlier one of its name. One that lost its topic's id by a power loss counts.
fn is_of(log: &DiskLog, key: Key) -> bool {
    log.topic_id.is_empty() || log.topic_id == key.0.to_string()
}

impl Replicas {
    fn hold(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    fn log_of(&self, node: NodeId, committed: &Committed, key: Key, on_device: bool) -> DiskLog {
        let log = self.world.disk(node).map(|disk| disks::log_of(&disk, &committed.name, on_device));
        log.filter(|log| is_of(log, key)).unwrap_or_default()
    }

    /// The metadata log has one more record.
    pub fn recorded(&mut self, offset: i64, record: &Record, after: &Image) {
        if let Record::RegisterBroker(RegisterBroker { id, .. }) = record {
            let now_us = self.world.timeline().now_us();
            self.lives.entry(node_of(*id)).or_default().registered_us = now_us;
        }
        let before = std::mem::replace(&mut self.image, after.clone());
        for plan in self.plans.values().cloned().collect::<Vec<_>>() {
            let Some(topic) = after.topic_by_name(plan.name.as_str()) else { continue };
            for (index, state) in topic.partitions() {
                let key = (topic.id, index);
                let was = before.partition(topic.id, index);
                if was.is_some_and(|was| Arc::ptr_eq(was, state) || was == state) {
                    continue;
                }
                let name = TopicPartition { topic: plan.name.clone(), partition: index };
                self.partitions.entry(key).or_insert_with(|| Committed {
                    name,
                    plan: plan.clone(),
                    batches: BTreeMap::new(),
                    high_watermark: 0,
                    lost: BTreeMap::new(),
                    forgiven_from: None,
                });
                if was.is_none_or(|was| was.leader_epoch != state.leader_epoch)
                    && let Some(leader) = state.leader
                {
                    self.elected(offset, key, was.map(|was| &**was), leader);
                }
            }
        }
    }

    fn elected(&mut self, offset: i64, key: Key, was: Option<&PartitionState>, leader: BrokerId) {
        let Some(committed) = self.partitions.get(&key) else { return };
        // One that died without the controller knowing it yet leads nothing: once it registers it is in no ISR any more.
        if !self.is_registered(node_of(leader)) {
            return;
        }
        let log = self.log_of(node_of(leader), committed, key, false);
        let was_eligible = was.is_none_or(|was| was.isr.contains(&leader) || was.elr.contains(&leader));
        // One that was elected uncleanly and died before it led anything may be elected once more, and then cleanly.
        let is_recovering = was.is_some_and(|was| was.recovery == LeaderRecovery::Recovering);
        let is_unclean = committed.plan.may_be_unclean && (!was_eligible || is_recovering);
        match committed_records_survive::check(committed, &log, is_unclean) {
            Ok(None) => {}
            Ok(Some(from)) => self.forgive(key, from),
            Err(what) => {
                let what = format!(
                    "at offset {offset} of the metadata broker {leader} is elected: {what}; before it was {was:?}"
                );
                self.hold(Err(Violation::new(committed_records_survive::NAME, what)));
            }
        }
    }

    fn forgive(&mut self, key: Key, from: i64) {
        if let Some(committed) = self.partitions.get_mut(&key) {
            self.world.note(NodeId::WORLD, crate::engine::Kind::Fault, 5, || {
                format!(
                    "{} may have lost what is from offset {from} on: {:?}",
                    committed.name, committed.lost
                )
            });
            committed.forgive(from);
        }
    }

    /// A replica tells of itself.
    pub fn moved(&mut self, node: NodeId, moved: &ReplicaMoved) {
        let key = (moved.topic_id, moved.partition);
        let Some(committed) = self.partitions.get(&key) else { return };
        self.watermarks += 1;
        let log = self.log_of(node, committed, key, false);
        if !moved.is_leader {
            let result = replicas_agree::check(node, committed, &log, moved.high_watermark.0);
            return self.hold(result);
        }
        let result = self.lead(node, key, moved, &log);
        self.hold(result);
    }

    /// A replica is about to cut its log.
    pub fn cuts(&mut self, node: NodeId, cuts: &ReplicaCuts) {
        let key = (cuts.topic_id, cuts.partition);
        if let Some(committed) = self.partitions.get(&key) {
            let log = self.log_of(node, committed, key, false);
            let result = committed_is_never_cut::check(node, committed, &log, cuts.to.0);
            self.hold(result);
        }
    }

    fn lead(&mut self, node: NodeId, key: Key, moved: &ReplicaMoved, log: &DiskLog) -> Result<(), Violation> {
        let Some(committed) = self.partitions.get(&key) else { return Ok(()) };
        let high_watermark = moved.high_watermark.0;
        watermarks_follow_the_isr::check_own_log(node, committed, log, high_watermark)?;
        let passed = log.batches.iter().filter(|batch| batch.end <= high_watermark);
        let new: Vec<DiskBatch> =
            passed.filter(|batch| committed.batches.get(&batch.base) != Some(batch)).copied().collect();
        if let Some(other) = new.iter().find_map(|batch| committed.batches.get(&batch.base)) {
            return Err(replicas_agree::other(node, committed, other, log.at(other.base)));
        }
        let state = self.image.partition(key.0, key.1).cloned();
        if let Some(state) = state.filter(|state| !new.is_empty() && state.leader_epoch >= moved.leader_epoch)
        {
            let is_current = state.leader_epoch == moved.leader_epoch;
            // The leader's own log is looked at as the others': with flush.messages it must be on its device too.
            let logs: BTreeMap<BrokerId, DiskLog> = state
                .replicas
                .iter()
                .map(|replica| {
                    let on_device = committed.plan.is_durable;
                    (*replica, self.log_of(node_of(*replica), committed, key, on_device))
                })
                .collect();
            let lost = |replica: BrokerId| committed.lost.contains_key(&node_of(replica));
            let isr = if is_current { &state.isr[..] } else { &[] };
            watermarks_follow_the_isr::check(node, committed, &new, isr, &logs, lost)?;
            let leads = state.leader.filter(|leader| self.is_registered(node_of(*leader)));
            if !is_current && let Some(leader) = leads {
                let theirs = self.log_of(node_of(leader), committed, key, false);
                let late = committed_records_survive::check_late(node, committed, &new, leader, &theirs);
                if committed.plan.may_be_unclean && late.is_err() {
                    let from = new.first().map_or(high_watermark, |batch| batch.base);
                    self.forgive(key, from);
                    return Ok(());
                }
                late?;
            }
        }
        if let Some(committed) = self.partitions.get_mut(&key) {
            committed.batches.extend(new.into_iter().map(|batch| (batch.base, batch)));
            committed.high_watermark = committed.high_watermark.max(high_watermark);
        }
        Ok(())
    }

    /// A process or a machine ended without notice.
    pub fn crashed(&mut self, node: NodeId, crash: Crash, before: &SimDisk, after: &SimDisk) {
        self.ended(node);
        self.note_failed_disks(&[node]);
        let (was, is) = (disks::seen(before), disks::seen(after));
        let safe = if crash == Crash::PowerLoss { disks::durable(before) } else { BTreeMap::new() };
        for (key, committed) in &mut self.partitions {
            let nothing = DiskLog::default();
            let was = was.get(&committed.name).filter(|log| is_of(log, *key)).unwrap_or(&nothing);
            let mut kept = was.parts_from(is.get(&committed.name).unwrap_or(&nothing));
            if crash == Crash::PowerLoss {
                kept = kept.min(was.parts_from(safe.get(&committed.name).unwrap_or(&nothing)));
            }
            let is_replica = self
                .image
                .partition(key.0, key.1)
                .is_some_and(|state| state.replicas.iter().any(|replica| node_of(*replica) == node));
            let is_in_doubt = is_replica && crash == Crash::PowerLoss && !committed.plan.is_durable;
            if kept < was.end() || is_in_doubt {
                let known = committed.lost.entry(node).or_insert(kept);
                *known = kept.min(*known);
            }
        }
    }

    /// Counts the disks as lost that fail, or did since their processes started.
    fn note_failed_disks(&mut self, nodes: &[NodeId]) {
        for node in nodes.iter().filter(|node| self.world.has_disk_failed(**node)) {
            for committed in self.partitions.values_mut() {
                committed.lost.insert(*node, 0);
            }
        }
    }

    /// A process ended, or starts: what it was in sync with counts no more until it has registered.
    pub fn ended(&mut self, node: NodeId) {
        self.lives.entry(node).or_default().ended_us = self.world.timeline().now_us();
    }

    fn is_registered(&self, node: NodeId) -> bool {
        self.world.is_running(node)
            && self.lives.get(&node).is_some_and(|life| life.registered_us > life.ended_us)
    }

    /// The log of a partition on a node, as processes see it.
    #[must_use]
    pub fn log(&self, node: NodeId, key: Key) -> DiskLog {
        self.partitions
            .get(&key)
            .map(|committed| self.log_of(node, committed, key, false))
            .unwrap_or_default()
    }

    /// From which offset on records of a partition may be gone, of a topic that is there.
    #[must_use]
    pub fn forgiven_from(&self, name: &TopicPartition) -> Option<i64> {
        let topic = self.image.topic_by_name(name.topic.as_str())?;
        self.partitions.get(&(topic.id, name.partition))?.forgiven_from
    }

    /// A record was acknowledged with `acks=all`.
    fn acknowledged(&mut self, name: &TopicPartition, offset: i64) {
        let Some(topic) = self.image.topic_by_name(name.topic.as_str()) else { return };
        let Some(committed) = self.partitions.get(&(topic.id, name.partition)) else { return };
        if committed.plan.is_recreated || committed.forgiven_from.is_some() {
            return;
        }
        let result = committed_records_survive::check_acknowledged(committed, offset);
        self.hold(result);
    }

    /// Looks at all disks.
    pub fn look(&mut self, nodes: &[NodeId]) {
        let logs: BTreeMap<NodeId, BTreeMap<TopicPartition, DiskLog>> =
            nodes.iter().filter_map(|node| Some((*node, disks::seen(&self.world.disk(*node)?)))).collect();
        let result = self.unique.check(&logs);
        self.hold(result);
        let registered: BTreeSet<NodeId> =
            nodes.iter().copied().filter(|node| self.is_registered(*node)).collect();
        let mut results = Vec::new();
        for (key, committed) in &mut self.partitions {
            let Some(state) = self.image.partition(key.0, key.1) else { continue };
            for member in state.isr.iter().map(|member| node_of(*member)) {
                let log = logs.get(&member).and_then(|logs| logs.get(&committed.name));
                let log = log.filter(|log| is_of(log, *key)).cloned().unwrap_or_default();
                if !registered.contains(&member) {
                    continue;
                }
                let missing = isr_members_hold_the_committed::check(member, committed, &log);
                if missing.is_ok() {
                    committed.lost.remove(&member);
                }
                results.push(missing);
            }
        }
        results.into_iter().for_each(|result| self.hold(result));
        self.note_failed_disks(nodes);
    }
}
