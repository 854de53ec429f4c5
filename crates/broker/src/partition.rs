//! One partition as this broker serves it: its log, who leads it in which epoch, what its topic's configuration asks,
//! and who waits for it.
//!
//! With one replica the high watermark is the log's end, or what of it is durable where `flush.messages` asks for that.
//! What decides it for more is the `replica` machine's, which takes its place behind [`Partition::high_watermark`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ottla_log::{Appended, Log};
use ottla_records::{Codec, Compression, Prepared, ProduceRules, TimestampType};
use ottla_types::config::{self, CompressionType, TopicConfig};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicPartition};

use crate::committed::Committed;
use crate::metrics::TopicTraffic;
use crate::waiters::{Place, Waiter, Waiters};

/// A partition with a replica on this broker.
pub(crate) struct Partition {
    pub(crate) id: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) log: Arc<Log>,
    /// Where what goes in and out is counted.
    pub(crate) traffic: TopicTraffic,
    waiters: Arc<Waiters>,
    committed: Arc<Committed>,
    /// How many appends are under way, or look whether they may begin.
    appending: AtomicUsize,
    state: RwLock<State>,
}

/// What a leader knows of a log that nobody else copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is no record, there never was one, and none comes before the partition has one replica again.
    Empty,
    /// There is a record, or was.
    Records,
    /// It cannot be told yet, or is no matter of this broker.
    Unknown,
}

/// An append that is under way.
struct Appending<'a>(&'a AtomicUsize);

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct State {
    leadership: Leadership,
    config: Arc<PartitionConfig>,
}

/// Who leads a partition, as the metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// Whether this broker is the leader.
    pub(crate) is_leader: bool,
    pub(crate) epoch: LeaderEpoch,
    /// How many replicas there are.
    pub(crate) replicas: usize,
    /// How many of them are in sync, the leader included.
    pub(crate) in_sync: usize,
}

impl Leadership {
    /// How many replicas must be in sync for a batch of which all must have it. A topic cannot ask for more than it has:
    /// a broker's `min.insync.replicas` also meets topics with fewer replicas (as in Kafka).
    pub(crate) fn min_in_sync(&self, config: &PartitionConfig) -> usize {
        config.min_insync_replicas.min(self.replicas)
    }
}

/// What a topic's configuration asks of produce requests.
#[derive(Debug)]
pub(crate) struct PartitionConfig {
    pub(crate) rules: ProduceRules,
    pub(crate) min_insync_replicas: usize,
}

impl From<&TopicConfig> for PartitionConfig {
    fn from(config: &TopicConfig) -> Self {
        let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
        let rules = ProduceRules {
            max_message_bytes: size(config.max_message_bytes),
            segment_bytes: size(config.segment_bytes),
            compacted: config.cleanup_policy.compact,
            timestamp_type: match config.message_timestamp_type {
                config::TimestampType::CreateTime => TimestampType::CreateTime,
                config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
            },
            timestamp_before_max_ms: config.message_timestamp_before_max_ms,
            timestamp_after_max_ms: config.message_timestamp_after_max_ms,
            compression: compression(config.compression_type),
            ..ProduceRules::default()
        };
        Self { rules, min_insync_replicas: size(config.min_insync_replicas) }
    }
}

fn compression(of: CompressionType) -> Option<Compression> {
    let compression = match of {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => Compression::NONE,
        CompressionType::Gzip(None) => Compression::new(Codec::Gzip),
        CompressionType::Gzip(Some(level)) => Compression::with_level(Codec::Gzip, level),
        CompressionType::Snappy => Compression::new(Codec::Snappy),
        CompressionType::Lz4(level) => Compression::with_level(Codec::Lz4, level),
        CompressionType::Zstd(level) => Compression::with_level(Codec::Zstd, level),
    };
    Some(compression)
}

/// KIP-101: a leader notes where its epoch begins before it writes its first record. ListOffsets tells consumers the epoch,
/// and OffsetForLeaderEpoch must know it then: a consumer takes an unknown epoch for a truncation, and starts over.
async fn begin_epoch(log: &Log, leadership: Leadership) {
    if leadership.is_leader && log.latest_epoch().is_none_or(|latest| latest < leadership.epoch) {
        log.begin_epoch(leadership.epoch).await;
    }
}

impl Partition {
    pub(crate) async fn new(
        id: TopicPartition,
        topic_id: TopicId,
        log: Arc<Log>,
        leadership: Leadership,
        config: PartitionConfig,
        traffic: TopicTraffic,
    ) -> Self {
        begin_epoch(&log, leadership).await;
        let state = State { leadership, config: Arc::new(config) };
        let waiters: Arc<Waiters> = Arc::default();
        let committed = Committed::of(&log, &waiters);
        let (appending, state) = (AtomicUsize::new(0), RwLock::new(state));
        Self { id, topic_id, log, traffic, waiters, committed, appending, state }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> Arc<PartitionConfig> {
        Arc::clone(&self.state().config)
    }

    pub(crate) fn leadership(&self) -> Leadership {
        self.state().leadership
    }

    /// Takes what the metadata now say, and wakes those who waited under what they said before.
    pub(crate) async fn lead(&self, leadership: Leadership) {
        begin_epoch(&self.log, leadership).await;
        self.state.write().unwrap_or_else(PoisonError::into_inner).leadership = leadership;
        self.waiters.wake_all();
    }

    pub(crate) fn configure(&self, config: PartitionConfig) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).config = Arc::new(config);
    }

    /// Wakes those who wait: there will be nothing more to wait for.
    pub(crate) fn retire(&self) {
        self.waiters.wake_all();
    }

    /// Everything below is committed and may be read.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.committed.offset().min(self.log.end_offset())
    }

    /// No transaction is open below. Without transactions, that is the high watermark.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.high_watermark()
    }

    /// Checks that this broker leads, and that it does so in the epoch that a client believes in (KIP-320).
    pub(crate) fn check_leader(&self, believed: LeaderEpoch) -> Result<Leadership, ErrorCode> {
        let leadership = self.leadership();
        if believed != LeaderEpoch::NONE && believed < leadership.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if believed > leadership.epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if leadership.is_leader { Ok(leadership) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// What this broker knows of the log as the leader in `epoch`.
    ///
    /// "Empty" must never be said wrongly: by it replicas count as in sync that copied nothing. Appends to a partition of
    /// several replicas are refused; what is under way when the second replica comes was begun before this broker heard of
    /// it, and is waited for. A log that lost its records is not this broker's to lead: its broker says that it is lost.
    pub(crate) fn content(&self, epoch: LeaderEpoch) -> Content {
        let leadership = self.leadership();
        if !leadership.is_leader || leadership.epoch != epoch || leadership.replicas < 2 {
            return Content::Unknown;
        }
        // An append that saw one replica was counted before it looked, so it is seen here, or its record is below.
        if self.appending.load(Ordering::SeqCst) > 0 {
            return Content::Unknown;
        }
        let is_empty = self.log.start_offset() == Offset(0) && self.log.end_offset() == Offset(0);
        if is_empty { Content::Empty } else { Content::Records }
    }

    /// Counts an append, before it is looked at whether it may begin: see [`Self::content`].
    fn begin_append(&self) -> ottla_log::Result<Appending<'_>> {
        self.appending.fetch_add(1, Ordering::SeqCst);
        let appending = Appending(&self.appending);
        match self.leadership().replicas {
            ..2 => Ok(appending),
            replicas => {
                let message =
                    format!("{} has {replicas} replicas, and data are not copied to them yet", self.id);
                Err(std::io::Error::other(message).into())
            }
        }
    }

    /// Appends a batch as the leader, and wakes those who wait for records: at once, or when it is durable if
    /// `flush.messages` asks for that.
    pub(crate) async fn append(
        &self,
        batch: Prepared,
        epoch: LeaderEpoch,
        now_ms: i64,
    ) -> ottla_log::Result<Appended> {
        let _appending = self.begin_append()?;
        let (records, size) = (batch.header().records_count, batch.size_bytes());
        let appended = self.log.append(batch, epoch, now_ms).await?;
        if appended.duplicate {
            self.traffic.note_append(0, 0);
        } else {
            self.traffic.note_append(u64::try_from(records).unwrap_or(0), size);
            self.committed.appended(&self.log, &appended, size);
        }
        if appended.flush_due {
            // Whatever becomes of the producer, and whether or not it waits.
            self.log.request_flush();
        }
        Ok(appended)
    }

    /// Tells `waiter` of appends until the place is dropped.
    pub(crate) fn wait(&self, waiter: &Arc<Waiter>) -> Place {
        self.waiters.register(waiter)
    }

    /// Whether `place` was given by this very partition, and not by another of the same name.
    pub(crate) fn gave(&self, place: &Place) -> bool {
        place.is_among(&self.waiters)
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("id", &self.id)
            .field("topic_id", &self.topic_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
