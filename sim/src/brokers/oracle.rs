//! What was sent, what was told of it, and what was read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_types::TopicPartition;

/// Which record: the writer, and its count. It is what the record's value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The writer's number.
    pub writer: u32,
    /// How many it sent before this one.
    pub number: u64,
}

impl RecordId {
    /// A value that begins with this, and is filled up to a length.
    #[must_use]
    pub fn value(self, len: usize) -> Bytes {
        let mut value = Vec::with_capacity(len.max(12));
        value.extend_from_slice(&self.writer.to_be_bytes());
        value.extend_from_slice(&self.number.to_be_bytes());
        value.resize(len.max(12), self.number as u8);
        value.into()
    }

    /// The record whose value this is.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Self> {
        let (writer, rest) = value.split_first_chunk()?;
        let (number, fill) = rest.split_first_chunk()?;
        let number = u64::from_be_bytes(*number);
        let is_whole = fill.iter().all(|byte| *byte == number as u8);
        is_whole.then_some(Self { writer: u32::from_be_bytes(*writer), number })
    }
}

/// What is known of a record that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may be written, or come to be.
    Unknown,
    /// It was acknowledged, at this offset; `None`: at one that was not told.
    Acknowledged(Option<i64>),
    /// It was told that it is not written, and never will be.
    Refused,
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What it is; `None`: nothing that was ever sent.
    pub record: Option<RecordId>,
    /// When, in microseconds.
    pub at_us: u64,
}

/// All that is known of one partition.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What was sent.
    pub sent: BTreeMap<RecordId, Fate>,
    /// What was read while the faults went on: the first of each offset.
    pub seen: BTreeMap<i64, Seen>,
    /// What was read of an offset, and was not what had been read there before.
    pub changed: Vec<(i64, Seen, Seen)>,
    /// What is there in the end, by offset.
    pub left: BTreeMap<i64, Option<RecordId>>,
}

/// The histories of all partitions. Clones are the same.
#[derive(Clone, Default)]
pub struct Oracle {
    histories: Arc<Mutex<BTreeMap<TopicPartition, History>>>,
    watcher: Option<FateWatcher>,
}

/// Is told what a writer was told of a record.
pub type FateWatcher = Arc<dyn Fn(&TopicPartition, RecordId, Fate) + Send + Sync>;

impl Oracle {
    /// One that tells somebody else of what writers were told.
    #[must_use]
    pub fn watched(watcher: FateWatcher) -> Self {
        Self { watcher: Some(watcher), ..Self::default() }
    }

    /// A writer was told of a record.
    pub(super) fn told(&self, partition: &TopicPartition, id: RecordId, fate: Fate) {
        self.with(partition, |history| history.sent.insert(id, fate));
        if let Some(watcher) = &self.watcher {
            watcher(partition, id, fate);
        }
    }

    /// Does something to a partition's history.
    pub(super) fn with<R>(&self, partition: &TopicPartition, what: impl FnOnce(&mut History) -> R) -> R {
        let mut all = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        what(all.entry(partition.clone()).or_default())
    }

    /// The histories as they are now.
    #[must_use]
    pub fn histories(&self) -> BTreeMap<TopicPartition, History> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl History {
    /// Notes that a record was read while the faults went on.
    pub(super) fn note_seen(&mut self, offset: i64, seen: Seen) {
        let first = *self.seen.entry(offset).or_insert(seen);
        if first.record != seen.record {
            self.changed.push((offset, first, seen));
        }
    }
}
