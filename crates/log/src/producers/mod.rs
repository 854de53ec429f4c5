//! What a log remembers of its producers, to refuse gaps and to answer duplicates (KIP-98, KIP-360). Pure.
//!
//! The rules are those of Kafka 4 (`ProducerStateManager`, `ProducerAppendInfo`):
//! - A batch equal in epoch and sequence range to one of the last five is a duplicate: it is not written again.
//! - Within an epoch the first sequence number follows the last one, from 2147483647 on to 0. Of a producer that is not
//!   known (it is new, or it was silent for too long, or its records were deleted) any sequence number is accepted.
//! - A new epoch starts at sequence 0; a lower epoch is fenced.
//! - Appends that are replayed, from disk or from a leader, were checked once and are only remembered.
//!
//! Open transactions are remembered, so that a log written by Kafka keeps its meaning; deciding on them is not done here.

pub(crate) mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use ottla_records::header::increment_sequence;
use ottla_records::{BatchHeader, NO_SEQUENCE, NO_TIMESTAMP};
use ottla_types::{Offset, ProducerEpoch, ProducerId, TopicPartition};

use crate::{Error, Result};

/// A producer may have so many requests in flight, and repeat any of them.
const BATCHES_REMEMBERED: usize = 5;

/// So many producers are remembered for one log, about 3 MB: client after client with an id of its own cannot take more.
/// When one more comes, a tenth is forgotten, those first that were silent for longest. A producer that is forgotten goes on
/// as a new one; only a duplicate of what it sent before would not be known.
pub(crate) const MAX_PRODUCERS: usize = 10_000;

/// One of a producer's last batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: Offset,
    /// Last offset less first offset, and likewise for the sequence numbers.
    pub(crate) offset_delta: i32,
    pub(crate) timestamp_ms: i64,
}

impl RememberedBatch {
    pub(crate) fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_sub(i64::from(self.offset_delta)))
    }

    fn first_sequence(&self) -> i32 {
        // Sequence numbers wrap from 2147483647 to 0.
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(1 << 31) as i32
    }
}

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    /// Of the last end-of-transaction marker; -1 without one.
    pub(crate) coordinator_epoch: i32,
    /// The max timestamp of the last batch, or the last marker's.
    pub(crate) last_timestamp_ms: i64,
    pub(crate) txn_start: Option<Offset>,
    pub(crate) batches: VecDeque<RememberedBatch>,
    /// When the broker heard of it last. Not the record timestamps: those are the producer's own and may be years old.
    seen_ms: i64,
}

impl Producer {
    pub(crate) fn new(epoch: ProducerEpoch, seen_ms: i64) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp_ms: NO_TIMESTAMP,
            txn_start: None,
            batches: VecDeque::new(),
            seen_ms,
        }
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<RememberedBatch> {
        let same = |batch: &&RememberedBatch| {
            batch.first_sequence() == header.base_sequence && batch.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).filter(|_| self.epoch == header.producer_epoch).copied()
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// What becomes of a batch that passed the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be written.
    Append,
    /// It was written before, as this one.
    Duplicate(RememberedBatch),
}

/// An end-of-transaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TxnMarker {
    pub(crate) coordinator_epoch: i32,
    pub(crate) timestamp_ms: i64,
}

/// The producers of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
}

impl Producers {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    pub(crate) fn insert(&mut self, id: ProducerId, producer: Producer) {
        self.by_id.insert(id, producer);
    }

    /// Decides on a batch that a client sent.
    pub(crate) fn check(&self, header: &BatchHeader, partition: &TopicPartition) -> Result<Verdict> {
        if !header.has_producer_id() {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(Verdict::Append) };
        if let Some(batch) = producer.duplicate_of(header) {
            return Ok(Verdict::Duplicate(batch));
        }
        check_epoch(producer, header, partition)?;
        if header.attributes.is_control() {
            return Ok(Verdict::Append);
        }
        check_sequence(producer, header, partition)?;
        match producer.txn_start {
            Some(since) if !header.attributes.is_transactional() => Err(Error::InvalidTxnState {
                partition: partition.clone(),
                producer_id: header.producer_id,
                since,
            }),
            _ => Ok(Verdict::Append),
        }
    }

    /// Remembers a data batch that was written, with its offsets.
    pub(crate) fn remember(&mut self, header: &BatchHeader, now_ms: i64) {
        if !header.has_producer_id() {
            return;
        }
        let producer = self.producer(header, now_ms);
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(RememberedBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp_ms: header.max_timestamp_ms,
        });
        producer.last_timestamp_ms = header.max_timestamp_ms;
        if header.attributes.is_transactional() && producer.txn_start.is_none() {
            producer.txn_start = Some(header.base_offset);
        }
    }

    /// Remembers a marker that was written: the transaction is over, and the epoch may be a new one.
    pub(crate) fn remember_marker(&mut self, header: &BatchHeader, marker: TxnMarker, now_ms: i64) {
        if !header.has_producer_id() {
            return;
        }
        let producer = self.producer(header, now_ms);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp_ms = marker.timestamp_ms;
        producer.txn_start = None;
    }

    fn producer(&mut self, header: &BatchHeader, now_ms: i64) -> &mut Producer {
        if self.by_id.len() >= MAX_PRODUCERS && !self.by_id.contains_key(&header.producer_id) {
            self.evict(self.by_id.len() - MAX_PRODUCERS * 9 / 10);
        }
        let new = || Producer::new(header.producer_epoch, now_ms);
        let producer = self.by_id.entry(header.producer_id).or_insert_with(new);
        producer.enter_epoch(header.producer_epoch);
        producer.seen_ms = now_ms;
        producer
    }

    /// Forgets producers that were silent for too long. Returns how many.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.by_id.len();
        self.by_id.retain(|_, producer| {
            producer.txn_start.is_some() || now_ms.saturating_sub(producer.seen_ms) < expiration_ms
        });
        before - self.by_id.len()
    }

    /// Forgets so many producers, those that were silent for longest first, and those with an open transaction last.
    fn evict(&mut self, count: usize) {
        let age = |(id, producer): (&ProducerId, &Producer)| {
            let last_offset = producer.batches.back().map(|batch| batch.last_offset);
            (producer.txn_start.is_some(), producer.seen_ms, last_offset, *id)
        };
        let mut by_age: Vec<_> = self.by_id.iter().map(age).collect();
        by_age.sort_unstable();
        for (.., id) in by_age.into_iter().take(count) {
            self.by_id.remove(&id);
        }
    }

    /// The first offset of the oldest open transaction: the last stable offset cannot pass it.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        self.by_id.values().filter_map(|producer| producer.txn_start).min()
    }
}

fn check_epoch(producer: &Producer, header: &BatchHeader, partition: &TopicPartition) -> Result<()> {
    if header.producer_epoch >= producer.epoch {
        return Ok(());
    }
    Err(Error::InvalidProducerEpoch {
        partition: partition.clone(),
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        current: producer.epoch,
    })
}

fn check_sequence(producer: &Producer, header: &BatchHeader, partition: &TopicPartition) -> Result<()> {
    let expected = if producer.epoch == ProducerEpoch::NONE {
        return Ok(());
    } else if header.producer_epoch != producer.epoch {
        0
    } else {
        // Without a batch in this epoch (a marker began it) the next one is the first: -1 + 1.
        increment_sequence(producer.last_sequence(), 1)
    };
    if header.base_sequence == expected {
        return Ok(());
    }
    Err(Error::OutOfOrderSequence {
        partition: partition.clone(),
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        sequence: header.base_sequence,
        expected,
    })
}

#[cfg(test)]
mod tests;
