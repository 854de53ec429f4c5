//! What can go wrong with a log, each error naming the file, offset or producer that it is about.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// An error of this crate. [`Error::code`] says what a client is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),

    /// An earlier failure left the log in doubt: it takes no more appends until it is opened again.
    #[error("{partition}: the log is offline since a storage failure: {reason}")]
    Offline {
        /// Whose log.
        partition: TopicPartition,
        /// What failed.
        reason: Arc<str>,
    },

    /// The log was closed or deleted.
    #[error("{partition}: the log is closed")]
    Closed {
        /// Whose log.
        partition: TopicPartition,
    },

    /// The offset lies outside the log.
    #[error("{partition}: offset {offset} is out of range: the log holds offsets from {start} up to {end}")]
    OutOfRange {
        /// Whose log.
        partition: TopicPartition,
        /// The offset asked for.
        offset: Offset,
        /// The first offset of the log.
        start: Offset,
        /// The end: the offset of the next record to be written.
        end: Offset,
    },

    /// Bytes on disk are not the batch that was written there. They are not served.
    #[error("{} is corrupt at byte {position}, near offset {offset}: {reason}", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// The offset expected there, as far as it is known.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },

    /// A checkpoint, snapshot or properties file cannot be read.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and what is there.
        reason: String,
    },

    /// A sequence number does not follow the last one (KIP-98).
    #[error(
        "{partition}: producer {producer_id} sent sequence {sequence} in epoch {epoch}, \
         and {expected} was expected"
    )]
    OutOfOrderSequence {
        /// Whose log.
        partition: TopicPartition,
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The first sequence number of the batch.
        sequence: i32,
        /// The sequence number that follows the last one appended.
        expected: i32,
    },

    /// A producer with a higher epoch has taken over (KIP-98, KIP-360).
    #[error("{partition}: producer {producer_id} sent epoch {epoch}, and {current} is the current one")]
    InvalidProducerEpoch {
        /// Whose log.
        partition: TopicPartition,
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The highest epoch seen.
        current: ProducerEpoch,
    },

    /// A plain batch of a producer that has a transaction open here.
    #[error(
        "{partition}: producer {producer_id} has a transaction open since offset {since}, and sent a batch outside it"
    )]
    InvalidTxnState {
        /// Whose log.
        partition: TopicPartition,
        /// The producer.
        producer_id: ProducerId,
        /// The first offset of the transaction.
        since: Offset,
    },

    /// The batch is larger than a segment may be.
    #[error("{partition}: the batch is {size_bytes} bytes large, and segment.bytes is {segment_bytes}")]
    BatchTooLarge {
        /// Whose log.
        partition: TopicPartition,
        /// The size of the batch.
        size_bytes: usize,
        /// The setting.
        segment_bytes: u32,
    },

    /// An append with a leader epoch below the log's.
    #[error("{partition}: an append in leader epoch {epoch}, and the log has records of epoch {latest}")]
    StaleLeaderEpoch {
        /// Whose log.
        partition: TopicPartition,
        /// The epoch of the append.
        epoch: LeaderEpoch,
        /// The latest epoch in the log.
        latest: LeaderEpoch,
    },

    /// What a leader sent is not what it appended. Nothing of it was written.
    #[error("{partition}: the batch that the leader sent for offset {offset} is refused: {reason}")]
    BadReplicated {
        /// Whose log.
        partition: TopicPartition,
        /// The offset that was expected there.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },

    /// A leader sent other offsets than those that come next. Nothing of it was written.
    #[error("{partition}: the leader sent a batch with offsets {first} to {last}, and {expected} comes next")]
    NotNext {
        /// Whose log.
        partition: TopicPartition,
        /// The offset of the batch's first record.
        first: Offset,
        /// The offset of the batch's last record.
        last: Offset,
        /// The offset that comes next.
        expected: Offset,
    },

    /// There is no offset left for the records.
    #[error("{partition}: the log ends at offset {end}, and has no room for {records} more records")]
    OffsetsExhausted {
        /// Whose log.
        partition: TopicPartition,
        /// The end of the log.
        end: Offset,
        /// How many were to be appended.
        records: i64,
    },

    /// Another process works on the directory.
    #[error("{} is in use: {reason}. Stop the other process or name another log.dirs", path.display())]
    DirInUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it.
        reason: String,
    },

    /// `meta.properties` belongs to another node or cluster.
    #[error("{} says {key}={found}, and this node has {key}={expected}: is it another node's directory?", path.display())]
    ForeignDir {
        /// The file.
        path: PathBuf,
        /// The property.
        key: &'static str,
        /// The value in the file.
        found: String,
        /// This node's value.
        expected: String,
    },

    /// Two directories hold a log of one partition.
    #[error("{partition} is both in {} and in {}: remove one of them", first.display(), second.display())]
    DuplicateLog {
        /// Whose log.
        partition: TopicPartition,
        /// One directory.
        first: PathBuf,
        /// The other directory.
        second: PathBuf,
    },

    /// The partition's log is there and could not be opened. It is not replaced by an empty one.
    #[error("{partition}: the log in {} could not be opened: {reason}", path.display())]
    Unusable {
        /// Whose log.
        partition: TopicPartition,
        /// Where.
        path: PathBuf,
        /// Why.
        reason: Arc<str>,
    },

    /// There is a log of the partition already, of this or another topic id.
    #[error("{partition}: there is a log already in {}", path.display())]
    AlreadyExists {
        /// Whose log.
        partition: TopicPartition,
        /// Where.
        path: PathBuf,
    },

    /// The name of the directory of a copy would be too long: it tells the topic, the partition and more.
    #[error("{partition}: the topic's name is too long for a copy in another log directory")]
    NameTooLong {
        /// Whose log.
        partition: TopicPartition,
    },

    /// No directory can take a new log.
    #[error("no log directory is online")]
    NoDirOnline,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error code that a request gets.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            Self::BatchTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            // Consumers tell their application of it, where they would try for ever after a storage error.
            Self::Corrupt { .. } | Self::BadReplicated { .. } => ErrorCode::CorruptMessage,
            Self::NotNext { .. } => ErrorCode::UnknownServerError,
            Self::NameTooLong { .. } => ErrorCode::InvalidTopicException,
            Self::Io(_)
            | Self::Offline { .. }
            | Self::Closed { .. }
            | Self::Malformed { .. }
            | Self::OffsetsExhausted { .. }
            | Self::DirInUse { .. }
            | Self::ForeignDir { .. }
            | Self::DuplicateLog { .. }
            | Self::Unusable { .. }
            | Self::AlreadyExists { .. }
            | Self::NoDirOnline => ErrorCode::KafkaStorageError,
        }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), reason: reason.into() }
    }
}
