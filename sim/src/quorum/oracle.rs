//! What the voters of a quorum were handed and told, and what must hold of it at once. The first thing that does not is
//! kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_types::LeadershipEpoch;

use super::state::{Digest, append_of};
use crate::engine::NodeId;
use crate::invariants::{Violation, durable_votes, election_safety, logs_agree};

/// A process: the node, and which of its starts.
pub(super) type Process = (NodeId, u64);

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFate {
    /// No answer yet, or never, because its process was killed.
    Pending,
    /// It was not said.
    Unknown,
    /// It is in the log, from this offset on.
    Committed(i64),
    /// It is not in the log, and never will be.
    Rejected,
}

/// A batch that a leader appended.
#[derive(Debug, Clone, Copy)]
pub struct Append {
    /// Who.
    pub process: (NodeId, u64),
    /// Under which epoch.
    pub epoch: LeadershipEpoch,
    /// How many records.
    pub records: u32,
    /// What became of it.
    pub fate: AppendFate,
}

/// All that is known.
#[derive(Debug, Clone)]
pub struct Quorum {
    /// The log, as whoever was first was handed it.
    pub log: Vec<Bytes>,
    /// The states after so many records.
    digests: Vec<Digest>,
    /// All appends, by their numbers, which rise with time.
    pub appends: BTreeMap<u64, Append>,
    /// Who led.
    leaders: BTreeMap<LeadershipEpoch, Process>,
    /// The epochs that nodes knew of when they had last said something.
    said: BTreeMap<NodeId, LeadershipEpoch>,
    /// How far each node was handed the log since its last start.
    ends: BTreeMap<NodeId, i64>,
    /// Which start of each node is the last.
    starts: BTreeMap<NodeId, u64>,
    /// The end of what was acknowledged, with the epoch of the append.
    acknowledged: BTreeMap<LeadershipEpoch, i64>,
    last_acknowledged_us: u64,
    /// The first thing that does not hold.
    pub violation: Option<Violation>,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            log: Vec::new(),
            digests: vec![Digest::EMPTY],
            appends: BTreeMap::new(),
            leaders: BTreeMap::new(),
            said: BTreeMap::new(),
            ends: BTreeMap::new(),
            starts: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            last_acknowledged_us: 0,
            violation: None,
        }
    }
}

/// A [`Quorum`] that the voters share. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Oracle(Arc<Mutex<Quorum>>);

impl Oracle {
    /// Does something with what is known.
    pub fn with<R>(&self, what: impl FnOnce(&mut Quorum) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Quorum {
    fn hold(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    /// Something does not hold.
    pub(super) fn violated(&mut self, invariant: &'static str, what: String) {
        self.hold(Err(Violation::new(invariant, what)));
    }

    /// A voter starts, and has read its disk. Returns which start it is.
    pub(super) fn starts(&mut self, node: NodeId, epoch: LeadershipEpoch) -> u64 {
        let said = self.said.get(&node).copied();
        self.hold(durable_votes::check(node, said, epoch));
        let start = self.starts.entry(node).or_default();
        *start += 1;
        self.ends.insert(node, 0);
        *start
    }

    /// A voter is about to say something, and knows of this epoch.
    pub(super) fn says(&mut self, node: NodeId, epoch: LeadershipEpoch) {
        let said = self.said.entry(node).or_default();
        *said = epoch.max(*said);
    }

    /// A voter was handed the announcement that it leads. `end` is how far it was handed the log.
    pub(super) fn leads(&mut self, process: Process, epoch: LeadershipEpoch, end: i64) {
        let before = self.leaders.insert(epoch, process);
        self.hold(election_safety::check(epoch, process, before));
        let earlier = self.acknowledged.range(..epoch).map(|(_, end)| *end).max().unwrap_or(0);
        self.hold(election_safety::check_has_all(epoch, process, end, earlier));
    }

    /// A voter was handed a record.
    pub(super) fn delivered(&mut self, node: NodeId, offset: i64, record: &Bytes) {
        self.ends.insert(node, offset + 1);
        let known = self.log.get(offset as usize);
        if known.is_none() && offset == self.log.len() as i64 {
            let last = self.digests.last().copied().unwrap_or(Digest::EMPTY);
            self.digests.push(last.with(record));
            self.log.push(record.clone());
            return;
        }
        let result = logs_agree::check(node, offset, known, record);
        self.hold(result);
    }

    /// Somebody read a record that is committed.
    pub(super) fn read(&mut self, node: NodeId, offset: i64, record: &Bytes) {
        let known = self.log.get(offset as usize);
        // It may be read before anybody was handed it.
        if known.is_some() {
            let result = logs_agree::check(node, offset, known, record);
            self.hold(result);
        }
    }

    /// A voter was handed a snapshot.
    pub(super) fn snapshot_delivered(&mut self, node: NodeId, upto: i64, digest: Option<Digest>) {
        let known = self.digests.get((upto + 1) as usize).copied();
        if digest.is_none() || digest != known {
            self.violated(
                logs_agree::NAME,
                format!("{node} was handed a snapshot up to offset {upto} of {digest:?}, and the log says {known:?}"),
            );
        }
        self.ends.insert(node, upto + 1);
    }

    /// The number of a new append.
    pub(super) fn append(&mut self, process: Process, epoch: LeadershipEpoch, records: u32) -> u64 {
        let number = self.appends.len() as u64;
        self.appends.insert(number, Append { process, epoch, records, fate: AppendFate::Pending });
        number
    }

    /// An append was answered.
    pub(super) fn answered(&mut self, number: u64, fate: AppendFate, now_us: u64) {
        let Some(append) = self.appends.get_mut(&number) else { return };
        append.fate = fate;
        if let AppendFate::Committed(first) = fate {
            let end = self.acknowledged.entry(append.epoch).or_default();
            *end = (*end).max(first + i64::from(append.records));
            self.last_acknowledged_us = now_us;
        }
    }

    /// The end of all that was acknowledged.
    #[must_use]
    pub fn acknowledged_end(&self) -> i64 {
        self.acknowledged.values().copied().max().unwrap_or(0)
    }

    /// Which append a record of the log is of, and its place in it.
    #[must_use]
    pub fn append_of(record: &[u8]) -> Option<(u64, u32)> {
        append_of(record)
    }

    /// Whether a process is the last of its node.
    #[must_use]
    pub fn is_current(&self, (node, start): (NodeId, u64)) -> bool {
        self.starts.get(&node) == Some(&start)
    }

    /// Whether every voter has all up to `end`, and something was acknowledged since a time.
    pub(super) fn is_whole(&self, voters: &[NodeId], end: usize, since_us: u64) -> bool {
        let has_all = |voter| self.ends.get(voter).is_some_and(|has| *has >= end as i64);
        self.last_acknowledged_us > since_us && voters.iter().all(has_all)
    }
}
