//! A batch on its way: the records that wait in it, and who waits for each of them.

use bytes::Bytes;
use ottla_records::{BatchBuilder, BatchError, Compression, NewRecord, PushError};
use ottla_types::{ErrorCode, Offset, ProducerEpoch, ProducerId, TopicPartition};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::{Delivered, DeliveryError, ProducerRecord};
use crate::error::Error;

/// Tells one caller what became of its record.
pub(super) type Waiter = oneshot::Sender<Result<Delivered, DeliveryError>>;

/// Who an idempotent producer is (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// Where a broker appended a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    /// The offset of the first record; `None` where the broker does not tell.
    pub(super) base_offset: Option<Offset>,
    /// The broker's time, where the topic stamps records with it.
    pub(super) log_append_time_ms: Option<i64>,
}

/// Why a broker did not append a batch.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) error: Error,
    /// The records at fault by their place in the batch, and why (KIP-467).
    pub(super) records: Vec<(usize, String)>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, records: Vec::new() }
    }
}

enum Body {
    Filling(Box<BatchBuilder>),
    /// Sent at least once, and never changed again: a broker must see the same bytes under the same sequence.
    Sealed(Bytes),
}

pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) partition: TopicPartition,
    pub(super) opened: Instant,
    /// How often it was sent in vain.
    pub(super) failures: u32,
    /// Whether an attempt that failed may have been appended all the same.
    pub(super) has_doubt: bool,
    /// How the last attempt failed.
    pub(super) last_error: Option<Error>,
    body: Body,
    timestamps_ms: Vec<i64>,
    waiters: Vec<Waiter>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Batch {
    pub(super) fn new(
        number: u64,
        partition: TopicPartition,
        compression: Compression,
        now: Instant,
    ) -> Self {
        Self {
            number,
            partition,
            opened: now,
            failures: 0,
            has_doubt: false,
            last_error: None,
            body: Body::Filling(Box::new(BatchBuilder::new().compression(compression))),
            timestamps_ms: Vec::new(),
            waiters: Vec::new(),
            memory: None,
        }
    }

    /// Whether another record fits: while the batch was not sent, and within `batch_size` unless it is the first.
    pub(super) fn has_room(&self, record: &ProducerRecord, timestamp_ms: i64, batch_size: usize) -> bool {
        match &self.body {
            Body::Filling(builder) => {
                builder.is_empty()
                    || with_record(record, timestamp_ms, |new| builder.size_with(new)) <= batch_size
            }
            Body::Sealed(_) => false,
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.body, Body::Sealed(_))
    }

    /// Bytes it takes, before compression if it was not sent yet.
    pub(super) fn size_bytes(&self) -> usize {
        match &self.body {
            Body::Filling(builder) => builder.size_bytes(),
            Body::Sealed(bytes) => bytes.len(),
        }
    }

    pub(super) fn records_count(&self) -> usize {
        self.waiters.len()
    }

    /// Adds a record.
    pub(super) fn push(
        &mut self,
        record: &ProducerRecord,
        timestamp_ms: i64,
        waiter: Waiter,
        memory: OwnedSemaphorePermit,
    ) -> Result<(), (PushError, Waiter, OwnedSemaphorePermit)> {
        let Body::Filling(builder) = &mut self.body else {
            return Err((PushError::Size { size_bytes: self.size_bytes() }, waiter, memory));
        };
        if let Err(error) = with_record(record, timestamp_ms, |new| builder.push(new)) {
            return Err((error, waiter, memory));
        }
        self.timestamps_ms.push(timestamp_ms);
        self.waiters.push(waiter);
        match &mut self.memory {
            Some(held) => held.merge(memory),
            None => self.memory = Some(memory),
        }
        Ok(())
    }

    /// The bytes to send: made once, with the sequence given then.
    pub(super) fn seal(&mut self, sequence: Option<(Identity, i32)>) -> Result<Bytes, BatchError> {
        if let Body::Filling(builder) = &mut self.body {
            let mut builder = std::mem::take(&mut **builder);
            if let Some((identity, base_sequence)) = sequence {
                builder = builder.producer(identity.id, identity.epoch, base_sequence);
            }
            self.body = Body::Sealed(builder.build()?);
        }
        match &self.body {
            Body::Sealed(bytes) => Ok(bytes.clone()),
            Body::Filling(_) => Ok(Bytes::new()),
        }
    }

    /// Tells everyone where their records are.
    pub(super) fn succeed(self, appended: Appended) {
        for (index, (waiter, timestamp_ms)) in self.waiters.into_iter().zip(self.timestamps_ms).enumerate() {
            // A caller that no longer waits has dropped its end.
            let _ = waiter.send(Ok(Delivered {
                partition: self.partition.clone(),
                offset: appended.base_offset.and_then(|base| base.checked_add(index as i64)),
                timestamp_ms: appended.log_append_time_ms.unwrap_or(timestamp_ms),
            }));
        }
    }

    /// Tells everyone why their records were not delivered.
    pub(super) fn fail(self, refused: &Refused) {
        let code = refused.error.code().unwrap_or(ErrorCode::InvalidRecord);
        for (index, waiter) in self.waiters.into_iter().enumerate() {
            let at_fault = refused.records.iter().find(|(at, _)| *at == index);
            let _ = waiter.send(Err(match at_fault {
                Some((_, reason)) => {
                    DeliveryError::Refused { partition: self.partition.clone(), code, reason: reason.clone() }
                }
                None if !refused.records.is_empty() => {
                    DeliveryError::RefusedWithOthers { partition: self.partition.clone(), code }
                }
                None => DeliveryError::Failed {
                    partition: self.partition.clone(),
                    may_be_written: self.has_doubt || refused.error.leaves_doubt(),
                    error: refused.error.clone(),
                },
            }));
        }
    }
}

/// The record in the form that builders take, for as long as `use_it` runs.
fn with_record<T>(record: &ProducerRecord, timestamp_ms: i64, use_it: impl FnOnce(&NewRecord<'_>) -> T) -> T {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    use_it(&NewRecord {
        timestamp_ms,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    })
}
