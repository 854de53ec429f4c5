//! The batches of every partition that are filling, waiting or on their way. Plain state: time is an argument.
//!
//! Of each partition one batch is on its way at a time, so that a batch sent again never overtakes another, with or
//! without idempotence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ottla_records::{Compression, PushError};
use ottla_types::{TopicName, TopicPartition};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::ProducerRecord;
use super::batch::{Batch, Identity, Waiter};

/// What is to be done with the batch that is first in its partition.
pub(super) enum Turn {
    /// It is taken, and sent now.
    Take,
    /// It waits until something else is done.
    Wait,
    /// Its partition has no leader that is known: it waits for this long.
    Pause(Duration),
}

/// The numbering of one partition's batches under one producer id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) identity: Identity,
    pub(super) next: i32,
}

impl Sequence {
    /// The numbering after `count` records more: after the largest number comes 0.
    pub(super) fn after(self, count: usize) -> Self {
        let next = self.next.wrapping_add(count as i32) & i32::MAX;
        Self { next, ..self }
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Batch>,
    is_in_flight: bool,
    not_before: Option<Instant>,
    sequence: Option<Sequence>,
}

pub(super) struct Accumulator {
    batch_size: usize,
    linger: Duration,
    compression: Compression,
    queues: BTreeMap<TopicPartition, Queue>,
    /// Where records without key go until the batch there is full (KIP-480).
    sticky: BTreeMap<TopicName, i32>,
    next_number: u64,
    /// The batches whose records are not all answered.
    outstanding: BTreeSet<u64>,
    /// Batches below this number do not linger.
    flush_below: u64,
}

impl Accumulator {
    pub(super) fn new(batch_size: usize, linger: Duration, compression: Compression) -> Self {
        Self {
            batch_size,
            linger,
            compression,
            queues: BTreeMap::new(),
            sticky: BTreeMap::new(),
            next_number: 0,
            outstanding: BTreeSet::new(),
            flush_below: 0,
        }
    }

    /// The partition for a record that names neither partition nor key.
    pub(super) fn sticky_partition(
        &mut self,
        record: &ProducerRecord,
        timestamp_ms: i64,
        choose: impl FnOnce() -> i32,
    ) -> i32 {
        if let Some(&partition) = self.sticky.get(&record.topic) {
            let at = TopicPartition { topic: record.topic.clone(), partition };
            let last = self.queues.get(&at).and_then(|queue| queue.waiting.back());
            if last.is_some_and(|batch| batch.has_room(record, timestamp_ms, self.batch_size)) {
                return partition;
            }
        }
        let partition = choose();
        self.sticky.insert(record.topic.clone(), partition);
        partition
    }

    /// Puts a record into its partition's last batch, or into a new one. Tells whether the sender should look.
    pub(super) fn push(
        &mut self,
        partition: &TopicPartition,
        record: &ProducerRecord,
        timestamp_ms: i64,
        (mut waiter, mut memory): (Waiter, OwnedSemaphorePermit),
        now: Instant,
    ) -> Result<bool, PushError> {
        let queue = self.queues.entry(partition.clone()).or_default();
        if let Some(batch) = queue.waiting.back_mut()
            && batch.has_room(record, timestamp_ms, self.batch_size)
        {
            match batch.push(record, timestamp_ms, waiter, memory) {
                Ok(()) => return Ok(batch.size_bytes() >= self.batch_size),
                // A timestamp too far from the others' asks for a batch of its own.
                Err((_, back, memory_back)) => (waiter, memory) = (back, memory_back),
            }
        }
        let mut batch = Batch::new(self.next_number, partition.clone(), self.compression, now);
        batch.push(record, timestamp_ms, waiter, memory).map_err(|(error, ..)| error)?;
        self.outstanding.insert(self.next_number);
        self.next_number += 1;
        queue.waiting.push_back(batch);
        Ok(true)
    }

    /// Takes the batches whose turn has come.
    pub(super) fn take_ready(
        &mut self,
        now: Instant,
        mut turn: impl FnMut(&Batch) -> Turn,
    ) -> Vec<(Batch, Option<Sequence>)> {
        let mut taken = Vec::new();
        for queue in self.queues.values_mut() {
            if queue.ready_at(self.linger, self.batch_size, self.flush_below).is_none_or(|at| at > now) {
                continue;
            }
            match queue.waiting.front().map(&mut turn) {
                Some(Turn::Take) => {
                    queue.is_in_flight = true;
                    taken.extend(queue.waiting.pop_front().map(|batch| (batch, queue.sequence)));
                }
                Some(Turn::Pause(pause)) => queue.not_before = Some(now + pause),
                Some(Turn::Wait) | None => {}
            }
        }
        taken
    }

    /// Removes the batches that waited for longer than `timeout` without being on their way.
    pub(super) fn take_expired(&mut self, now: Instant, timeout: Duration) -> Vec<Batch> {
        let mut expired = Vec::new();
        for queue in self.queues.values_mut().filter(|queue| !queue.is_in_flight) {
            while queue.waiting.front().is_some_and(|batch| now.duration_since(batch.opened) >= timeout) {
                expired.extend(queue.waiting.pop_front());
                // The pause was that batch's.
                queue.not_before = None;
            }
        }
        expired
    }

    /// When the sender has to look again, if nothing else happens.
    pub(super) fn next_look(&self, now: Instant, timeout: Duration) -> Option<Instant> {
        self.queues
            .values()
            .filter_map(|queue| {
                let ready_at = queue.ready_at(self.linger, self.batch_size, self.flush_below)?;
                let expires_at = queue.waiting.front()?.opened + timeout;
                // What is ready and was not taken waits for an event, or for its end.
                Some(if ready_at > now { ready_at.min(expires_at) } else { expires_at })
            })
            .min()
    }

    /// Removes all batches that are not on their way.
    pub(super) fn take_all_waiting(&mut self) -> Vec<Batch> {
        self.queues.values_mut().flat_map(|queue| queue.waiting.drain(..)).collect()
    }

    /// How a partition's batches are numbered.
    pub(super) fn sequence(&self, partition: &TopicPartition) -> Option<Sequence> {
        self.queues.get(partition).and_then(|queue| queue.sequence)
    }

    /// Numbers a partition's batches from here on.
    pub(super) fn set_sequence(&mut self, partition: &TopicPartition, sequence: Option<Sequence>) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.sequence = sequence;
        }
    }

    /// Puts a batch that was sent in vain back to the front of its partition.
    pub(super) fn put_back(&mut self, batch: Batch, not_before: Instant) {
        let queue = self.queues.entry(batch.partition.clone()).or_default();
        queue.is_in_flight = false;
        queue.not_before = Some(not_before);
        queue.waiting.push_front(batch);
    }

    /// Lets the next batch of a partition go.
    pub(super) fn landed(&mut self, partition: &TopicPartition) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.is_in_flight = false;
            queue.not_before = None;
        }
    }

    /// A batch whose records are all answered.
    pub(super) fn finished(&mut self, number: u64) {
        self.outstanding.remove(&number);
    }

    /// Ends the lingering of all batches there are; gives the number below which they lie.
    pub(super) fn flush(&mut self) -> u64 {
        self.flush_below = self.next_number;
        self.flush_below
    }

    /// Whether all batches below a number are done.
    pub(super) fn is_flushed(&self, below: u64) -> bool {
        self.outstanding.first().is_none_or(|&first| first >= below)
    }
}

impl Queue {
    /// When the first batch may go; `None` while another is on its way or there is none.
    fn ready_at(&self, linger: Duration, batch_size: usize, flush_below: u64) -> Option<Instant> {
        let first = self.waiting.front().filter(|_| !self.is_in_flight)?;
        let is_done_lingering = first.is_sealed()
            || self.waiting.len() > 1
            || first.number < flush_below
            || first.size_bytes() >= batch_size;
        let ready_at = if is_done_lingering { first.opened } else { first.opened + linger };
        Some(self.not_before.map_or(ready_at, |not_before| ready_at.max(not_before)))
    }
}
