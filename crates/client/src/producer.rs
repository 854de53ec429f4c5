//! Writing: records are collected into batches by partition, and each caller learns what became of its record.
//!
//! Keys go to partitions as in Kafka's Java producer; records without key stay with one partition until its batch is full
//! (KIP-480). With idempotence a batch sent again is never written twice (KIP-98). Of a partition one batch is on its way
//! at a time, which keeps the order of records in every case.
//!
//! What is not here: transactions, and more than one batch of a partition in flight.

mod accumulator;
mod batch;
mod partitioner;
mod request;
mod sender;
#[cfg(test)]
mod sender_tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::process;
use ottla_records::Compression;
use ottla_types::{ErrorCode, Offset, TopicName, TopicPartition};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::metadata::Topic;
use accumulator::Accumulator;
pub use partitioner::partition_for_key;
use sender::Sender;

/// What a record takes beside its key, value and headers, at most.
const RECORD_OVERHEAD: usize = 64;

/// Which replicas must have a record before it counts as written: `acks`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acks {
    /// None: the broker does not answer at all.
    None,
    /// The leader.
    Leader,
    /// All that are in sync.
    #[default]
    All,
}

impl Acks {
    fn on_the_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer behaves. Defaults are those of Kafka's producer, except that it is not idempotent.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// `acks`.
    pub acks: Acks,
    /// `compression.type`.
    pub compression: Compression,
    /// Bytes that a batch is filled to: `batch.size`.
    pub batch_size: usize,
    /// How long a batch that is not full waits for more records: `linger.ms`.
    pub linger: Duration,
    /// Bytes of records that wait or are on their way, at most: `buffer.memory`.
    pub buffer_memory: usize,
    /// The largest request, and so the largest record: `max.request.size`.
    pub max_request_size: usize,
    /// How long a record may take to be written, with everything tried again: `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// `enable.idempotence`. It takes `acks=all`.
    pub is_idempotent: bool,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            compression: Compression::NONE,
            batch_size: 16_384,
            linger: Duration::from_millis(5),
            buffer_memory: 32 << 20,
            max_request_size: 1 << 20,
            delivery_timeout: Duration::from_secs(120),
            is_idempotent: false,
        }
    }
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: TopicName,
    /// The partition; chosen by key, or for the producer to choose, if not said.
    pub partition: Option<i32>,
    /// The timestamp; now, if not said.
    pub timestamp_ms: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// Headers, in order; duplicates are kept.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl ProducerRecord {
    /// A record with a value alone.
    #[must_use]
    pub fn new(topic: TopicName, value: impl Into<Bytes>) -> Self {
        Self {
            topic,
            partition: None,
            timestamp_ms: None,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }

    fn size_bytes(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + len(value) + 10).sum();
        RECORD_OVERHEAD + len(&self.key) + len(&self.value) + headers
    }
}

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset; `None` where the broker did not tell: with `acks=0`, or for a duplicate it no longer remembers.
    pub offset: Option<Offset>,
    /// The record's timestamp in the log.
    pub timestamp_ms: i64,
}

/// Why a record was not written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The topic is not there or not to be used, or no broker could be asked.
    #[error(transparent)]
    Topic(Error),
    /// The partition asked for does not exist.
    #[error("the topic {topic} has {count} partitions, from 0, and none with number {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: TopicName,
        /// The number asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// Larger than any request may be.
    #[error("the record takes {size_bytes} bytes, and {limit} is the most (max.request.size)")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its batch was not written.
    #[error("{}{error}", if *.may_be_written { "it is not known whether the record was written: " } else { "" })]
    Failed {
        /// The partition.
        partition: TopicPartition,
        /// Whether an attempt may have succeeded without the answer being heard.
        may_be_written: bool,
        /// Why.
        error: Error,
    },
    /// The broker refused this very record (KIP-467).
    #[error("{partition} refused the record with {code}: {reason}")]
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// The error.
        code: ErrorCode,
        /// What is wrong with the record.
        reason: String,
    },
    /// The broker refused other records of the same batch, and with them this one (KIP-467).
    #[error("{partition} refused the record's batch with {code} because of other records in it")]
    RefusedWithOthers {
        /// The partition.
        partition: TopicPartition,
        /// The error.
        code: ErrorCode,
    },
    /// It cannot be put into a batch.
    #[error("the record cannot be written: {0}")]
    Unwritable(String),
    /// The producer was dropped before the record was written.
    #[error("the producer was closed before the record was written")]
    Closed,
}

/// What will become of a record.
#[derive(Debug)]
#[must_use = "whether the record was written is known only to who waits for it"]
pub struct Delivery(oneshot::Receiver<Result<Delivered, DeliveryError>>);

impl Delivery {
    /// Waits until the record is written or cannot be. Dropping this changes nothing about that.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn wait(self) -> Result<Delivered, DeliveryError> {
        self.0.await.unwrap_or(Err(DeliveryError::Closed))
    }
}

/// Writes records. To be shared by reference; dropping it loses what was not written, so [`Producer::flush`] before.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    shared: Arc<Shared>,
    sender: JoinHandle<()>,
}

struct Shared {
    options: ProducerOptions,
    accumulator: Mutex<Accumulator>,
    memory: Arc<Semaphore>,
    /// Tells the sender that there is something to do.
    wake: Notify,
    /// Tells those who flush that a batch is done.
    done: Notify,
    /// Why the last attempt failed that is made again.
    retrying: Mutex<Option<Error>>,
}

impl Shared {
    fn new(mut options: ProducerOptions) -> Self {
        if options.is_idempotent {
            options.acks = Acks::All;
        }
        let memory = options.buffer_memory.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            accumulator: Mutex::new(Accumulator::new(
                options.batch_size,
                options.linger,
                options.compression,
            )),
            memory: Arc::new(Semaphore::new(memory)),
            wake: Notify::new(),
            done: Notify::new(),
            retrying: Mutex::default(),
            options,
        }
    }
}

impl Producer {
    /// A producer on a client's cluster. Needs a tokio runtime, in which its sender runs.
    #[must_use]
    pub fn new(client: Client, options: ProducerOptions) -> Self {
        let shared = Arc::new(Shared::new(options));
        let sender = process::spawn(Sender::new(client.clone(), Arc::clone(&shared)).run());
        Self { client, shared, sender }
    }

    /// Puts a record into a batch, and tells by whom to learn what became of it. Waits while the buffer is full.
    ///
    /// # Errors
    /// What keeps the record from being sent at all.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, DeliveryError> {
        let options = &self.shared.options;
        let size_bytes = record.size_bytes();
        if size_bytes > options.max_request_size {
            return Err(DeliveryError::TooLarge { size_bytes, limit: options.max_request_size });
        }
        let topic = self.client.topic(&record.topic).await.map_err(DeliveryError::Topic)?;
        let permits = u32::try_from(size_bytes.min(options.buffer_memory.max(1))).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.shared.memory).acquire_many_owned(permits).await;
        let memory = memory.map_err(|_| DeliveryError::Closed)?;

        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| self.client.env().clock.wall_ms());
        let (waiter, delivery) = oneshot::channel();
        let mut accumulator = self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = self.partition(&mut accumulator, &topic, &record, timestamp_ms)?;
        let should_wake = accumulator
            .push(&partition, &record, timestamp_ms, (waiter, memory), Instant::now())
            .map_err(|error| DeliveryError::Unwritable(error.to_string()))?;
        drop(accumulator);
        if should_wake {
            self.shared.wake.notify_one();
        }
        Ok(Delivery(delivery))
    }

    fn partition(
        &self,
        accumulator: &mut Accumulator,
        topic: &Topic,
        record: &ProducerRecord,
        timestamp_ms: i64,
    ) -> Result<TopicPartition, DeliveryError> {
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) if topic.partition(partition).is_some() => partition,
            (None, Some(key)) if count > 0 => partition_for_key(key, count),
            (None, None) if count > 0 => {
                accumulator.sticky_partition(record, timestamp_ms, || self.any_partition(topic))
            }
            (partition, _) => {
                return Err(DeliveryError::NoSuchPartition {
                    topic: topic.name.clone(),
                    partition: partition.unwrap_or(0),
                    count: topic.partitions.len(),
                });
            }
        };
        Ok(TopicPartition { topic: topic.name.clone(), partition })
    }

    /// A partition by chance, among those with a leader if there are any.
    fn any_partition(&self, topic: &Topic) -> i32 {
        let led: Vec<i32> = topic.partitions.iter().filter(|p| p.leader.is_some()).map(|p| p.index).collect();
        let all = || topic.partitions.iter().map(|p| p.index).collect();
        let candidates: Vec<i32> = if led.is_empty() { all() } else { led };
        let chance = self.client.env().rng.next_u64() as usize;
        chance.checked_rem(candidates.len()).and_then(|at| candidates.get(at)).copied().unwrap_or(0)
    }

    /// Why the last attempt failed that is made again, for who wonders what takes so long; `None` when the last one
    /// succeeded.
    #[must_use]
    pub fn retrying(&self) -> Option<Error> {
        self.shared.retrying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends what lingers, and waits until every record sent before is written or has failed.
    pub async fn flush(&self) {
        let below = self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner).flush();
        self.shared.wake.notify_one();
        loop {
            let done = self.shared.done.notified();
            let mut done = std::pin::pin!(done);
            // Registered before the look, so that what happens in between is not missed.
            done.as_mut().enable();
            if self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner).is_flushed(below) {
                return;
            }
            done.await;
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}
