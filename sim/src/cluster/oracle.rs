//! What the nodes of a cluster were handed and told of their metadata, and what must hold of it at once. The first thing
//! that does not is kept.
//!
//! The log is what whoever was first was handed, and the image after each of its records is made here, by replaying it from
//! the beginning. So whatever a broker has in place of that, from a snapshot or by a mistake, shows.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_broadcast::Delivery;
use ottla_broadcast::quorum::VoterKey;
use ottla_broadcast::raft::observed::Observed;
use ottla_broker::{HandedOnAgain, Replayed};
use ottla_client::AsksAgain;
use ottla_metadata::{Image, Record};
use ottla_types::{LeadershipEpoch, Offset};

use super::Changes;
use crate::engine::NodeId;
use crate::invariants::one_leader_per_epoch::Leaders;
use crate::invariants::{
    Violation, durable_votes, election_safety, epochs_never_decrease, fenced_brokers_lead_nothing,
    image_equals_replay, logs_agree, strangers_are_not_in_sync,
};

/// A process: the node, and which of its starts.
type Process = (NodeId, u64);

/// How far a node is.
#[derive(Debug, Clone, Default)]
struct Progress {
    start: u64,
    voter: Option<VoterKey>,
    /// How far it was handed the log since its start.
    handed: i64,
    /// How far it has replayed it.
    replayed: i64,
}

/// Is told of each record of the metadata log as soon as anybody was handed it, with the metadata after it.
pub(crate) type RecordWatcher = Arc<dyn Fn(i64, &Record, &Image) + Send + Sync>;

/// All that is known.
#[derive(Default)]
pub struct MetadataLog {
    log: Vec<Bytes>,
    /// The image after so many records. Clones of an image share what is the same.
    images: Vec<Image>,
    leaders: BTreeMap<LeadershipEpoch, Process>,
    partition_leaders: Leaders,
    /// The epochs that voters knew of when they had last said something.
    said: BTreeMap<VoterKey, LeadershipEpoch>,
    nodes: BTreeMap<NodeId, Progress>,
    /// What administrators asked for, and what is done for them.
    pub changes: Changes,
    /// The ends of what was acknowledged, by the epochs of the appends.
    acknowledged: BTreeMap<LeadershipEpoch, i64>,
    /// Who is told of records.
    pub(crate) watcher: Option<RecordWatcher>,
    /// How many images were compared.
    pub compared: u64,
    /// The first thing that does not hold.
    pub violation: Option<Violation>,
}

/// A [`MetadataLog`] that the nodes share. Clones are the same.
#[derive(Clone, Default)]
pub struct Oracle(Arc<Mutex<MetadataLog>>);

impl Oracle {
    /// Does something with what is known.
    pub fn with<R>(&self, what: impl FnOnce(&mut MetadataLog) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first thing that does not hold.
    ///
    /// # Errors
    /// The violation.
    pub fn check(&self) -> Result<(), Violation> {
        self.with(|log| log.violation.clone()).map_or(Ok(()), Err)
    }
}

impl MetadataLog {
    fn hold(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    /// Something does not hold.
    pub fn violated(&mut self, violation: Violation) {
        self.hold(Err(violation));
    }

    /// A process tells of itself.
    pub fn observe(&mut self, node: NodeId, start: u64, event: &dyn Any) {
        if let Some(Replayed(image)) = event.downcast_ref() {
            self.replayed(node, image);
        }
        if let Some(AsksAgain { what }) = event.downcast_ref() {
            self.changes.asked_again(what);
        }
        if event.is::<HandedOnAgain>() {
            self.changes.handed_on_again();
        }
        match event.downcast_ref::<Observed>() {
            Some(Observed::Opened { me, epoch }) => self.opened((node, start), *me, *epoch),
            Some(Observed::Answers { epoch }) => self.says(node, *epoch),
            Some(Observed::Delivers(delivery)) => self.handed((node, start), delivery),
            Some(Observed::Acknowledges { epoch, end }) => {
                let known = self.acknowledged.entry(*epoch).or_default();
                *known = end.0.max(*known);
            }
            None => {}
        }
    }

    fn opened(&mut self, (node, start): Process, me: VoterKey, epoch: LeadershipEpoch) {
        let said = self.said.get(&me).copied();
        self.hold(durable_votes::check(node, said, epoch));
        self.nodes.insert(node, Progress { start, voter: Some(me), handed: 0, replayed: 0 });
    }

    fn says(&mut self, node: NodeId, epoch: LeadershipEpoch) {
        if let Some(voter) = self.nodes.get(&node).and_then(|node| node.voter) {
            let said = self.said.entry(voter).or_default();
            *said = epoch.max(*said);
        }
    }

    fn handed(&mut self, process: Process, delivery: &Delivery) {
        match delivery {
            Delivery::Committed { first, records } => {
                for (offset, record) in (first.0..).zip(records) {
                    self.handed_record(process.0, offset, record);
                }
            }
            Delivery::Snapshot { upto, is_last: true, .. } => self.progress(process.0).handed = upto.0 + 1,
            Delivery::Leading { epoch } => self.leads(process, *epoch),
            Delivery::Failed { reason } => {
                let what = format!("the metadata log of {} failed: {reason}", process.0);
                self.violated(Violation::new("nothing_fails", what));
            }
            Delivery::Snapshot { .. } | Delivery::NotLeading { .. } => {}
        }
    }

    fn progress(&mut self, node: NodeId) -> &mut Progress {
        self.nodes.entry(node).or_default()
    }

    fn leads(&mut self, process: Process, epoch: LeadershipEpoch) {
        let before = self.leaders.insert(epoch, process);
        self.hold(election_safety::check(epoch, process, before));
        let end = self.progress(process.0).handed;
        let earlier = self.acknowledged.range(..epoch).map(|(_, end)| *end).max().unwrap_or(0);
        self.hold(election_safety::check_has_all(epoch, process, end, earlier));
    }

    fn handed_record(&mut self, node: NodeId, offset: i64, record: &Bytes) {
        let progress = self.progress(node);
        let expected = std::mem::replace(&mut progress.handed, offset + 1);
        if offset != expected {
            let what = format!("{node} was handed offset {offset} after {expected} records");
            self.violated(Violation::new(logs_agree::NAME, what));
        }
        let known = self.log.get(offset as usize);
        if known.is_none() && offset == self.log.len() as i64 {
            self.log.push(record.clone());
            return self.extend(offset, record);
        }
        let result = logs_agree::check(node, offset, known, record);
        self.hold(result);
    }

    /// The log has one more record.
    fn extend(&mut self, offset: i64, bytes: &Bytes) {
        let before = self.image();
        let mut after = before.clone();
        let record = match Record::decode(bytes) {
            Ok(record) => record,
            Err(error) => return self.violated(image_equals_replay::unreadable(offset, &error)),
        };
        if let Err(error) = after.replay(Offset(offset), &record) {
            return self.violated(image_equals_replay::unreadable(offset, &error));
        }
        let checked = epochs_never_decrease::check(offset, &before, &after)
            .and_then(|()| fenced_brokers_lead_nothing::check(offset, &after))
            .and_then(|()| strangers_are_not_in_sync::check(offset, &record, &before, &after))
            .and_then(|()| self.partition_leaders.check(offset, &after));
        self.hold(checked.map_err(|violation| violation.after(&self.last_records(offset))));
        self.changes.recorded(offset, &record, &before);
        if let Some(watcher) = &self.watcher {
            watcher(offset, &record, &after);
        }
        self.images.push(after);
    }

    /// The last records up to an offset, in words.
    fn last_records(&self, offset: i64) -> Vec<String> {
        let from = usize::try_from(offset.saturating_sub(8)).unwrap_or(0);
        let records = self.log.iter().enumerate().skip(from);
        records.map(|(at, bytes)| format!("{at}: {:?}", Record::decode(bytes))).collect()
    }

    fn replayed(&mut self, node: NodeId, image: &Image) {
        let end = image.offset().map_or(0, |offset| offset.0 + 1);
        self.progress(node).replayed = end;
        self.compared += 1;
        let reference = match end {
            0 => Some(Image::default()),
            end => self.images.get(end as usize - 1).cloned(),
        };
        // Once a record could not be replayed there is nothing to compare with.
        if self.violation.is_none() {
            self.hold(image_equals_replay::check(node, image, reference.as_ref()));
        }
    }

    /// The metadata after all that is committed.
    #[must_use]
    pub fn image(&self) -> Image {
        self.images.last().cloned().unwrap_or_default()
    }

    /// How many records are committed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Whether a node has replayed so many records since it started last.
    #[must_use]
    pub fn has_replayed(&self, node: NodeId, records: usize) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.replayed >= records as i64)
    }

    /// How far nodes are, in words.
    #[must_use]
    pub fn progress_of(&self, node: NodeId) -> String {
        match self.nodes.get(&node) {
            Some(Progress { start, handed, replayed, .. }) => {
                format!("start {start}, was handed {handed} records and has replayed {replayed}")
            }
            None => "has never started".to_owned(),
        }
    }
}
