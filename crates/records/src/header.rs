//! The fixed header of a record batch: where its fields lie, reading and writing it.
//!
//! The format is Kafka's "record batch" with magic 2 (KIP-98); all numbers are big-endian.

use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::attributes::Attributes;
use crate::error::BatchError;

/// The size of the header: everything in front of the records.
pub const HEADER_LEN: usize = 61;

/// What the length field does not count: itself and the base offset in front of it.
pub const LENGTH_OVERHEAD: usize = 12;

/// The only format there is here.
pub const MAGIC: i8 = 2;

/// The sequence number of a batch whose producer is not idempotent.
pub const NO_SEQUENCE: i32 = -1;

/// "No timestamp": the timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// The least value of the length field: a batch without records.
pub(crate) const MIN_LENGTH: i32 = (HEADER_LEN - LENGTH_OVERHEAD) as i32;

/// Where each field begins.
pub(crate) mod at {
    pub(crate) const BASE_OFFSET: usize = 0;
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    /// The checksum covers everything from here to the end of the batch.
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const PRODUCER_ID: usize = 43;
    pub(crate) const PRODUCER_EPOCH: usize = 51;
    pub(crate) const BASE_SEQUENCE: usize = 53;
    pub(crate) const RECORDS_COUNT: usize = 57;
}

/// The header of a batch. Magic is not a field: only magic 2 is read and written.
///
/// A header that was parsed is well-formed, which says nothing about whether its numbers agree with each other
/// ([`Self::check_shape`]), with the records, or with the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record. After compaction that record may be gone.
    pub base_offset: Offset,
    /// Bytes that follow the length field; see [`Self::size_bytes`] for the size of the batch.
    pub length: i32,
    /// The epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// CRC32C of everything from the attributes to the end.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// The offset of the last record, less the base offset. Compaction keeps it, even when it removes that record.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas refer to; with the delete horizon flag, that horizon as well.
    pub base_timestamp_ms: i64,
    /// The highest timestamp of the records; with LogAppendTime, the timestamp of them all.
    pub max_timestamp_ms: i64,
    /// The producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// The producer's epoch, or [`ProducerEpoch::NONE`].
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// The number of records that the batch holds.
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. The rest of the batch need not be there.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Magic`] or [`BatchError::Length`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // Magic stands at the same place in all formats, and old batches may be shorter than a header of this one.
        if let Some(&[magic]) =
            bytes.get(at::MAGIC..=at::MAGIC).map(<&[u8; 1]>::try_from).and_then(Result::ok)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::Magic(magic as i8));
        }
        match bytes.first_chunk::<HEADER_LEN>() {
            Some(header) => Self::from_array(header),
            None => Err(BatchError::Truncated { needed: HEADER_LEN, available: bytes.len() }),
        }
    }

    /// Reads a header from exactly its bytes.
    ///
    /// # Errors
    /// [`BatchError::Magic`] or [`BatchError::Length`].
    pub fn from_array(bytes: &[u8; HEADER_LEN]) -> Result<Self, BatchError> {
        let magic = i8::from_be_bytes(field(bytes, at::MAGIC));
        if magic != MAGIC {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(field(bytes, at::LENGTH));
        if length < MIN_LENGTH {
            return Err(BatchError::Length(length));
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, at::BASE_OFFSET))),
            length,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, at::LEADER_EPOCH))),
            crc: u32::from_be_bytes(field(bytes, at::CRC)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, at::ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(bytes, at::LAST_OFFSET_DELTA)),
            base_timestamp_ms: i64::from_be_bytes(field(bytes, at::BASE_TIMESTAMP)),
            max_timestamp_ms: i64::from_be_bytes(field(bytes, at::MAX_TIMESTAMP)),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, at::PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, at::PRODUCER_EPOCH))),
            base_sequence: i32::from_be_bytes(field(bytes, at::BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(field(bytes, at::RECORDS_COUNT)),
        })
    }

    /// Writes the header, all fields as they are.
    pub fn write_to(&self, bytes: &mut [u8; HEADER_LEN]) {
        put(bytes, at::BASE_OFFSET, self.base_offset.0.to_be_bytes());
        put(bytes, at::LENGTH, self.length.to_be_bytes());
        put(bytes, at::LEADER_EPOCH, self.leader_epoch.0.to_be_bytes());
        put(bytes, at::MAGIC, MAGIC.to_be_bytes());
        put(bytes, at::CRC, self.crc.to_be_bytes());
        put(bytes, at::ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(bytes, at::LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(bytes, at::BASE_TIMESTAMP, self.base_timestamp_ms.to_be_bytes());
        put(bytes, at::MAX_TIMESTAMP, self.max_timestamp_ms.to_be_bytes());
        put(bytes, at::PRODUCER_ID, self.producer_id.0.to_be_bytes());
        put(bytes, at::PRODUCER_EPOCH, self.producer_epoch.0.to_be_bytes());
        put(bytes, at::BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(bytes, at::RECORDS_COUNT, self.records_count.to_be_bytes());
    }

    /// The size of the whole batch, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        // A parsed length is never negative; one set by hand may be, and then the batch is empty at best.
        LENGTH_OVERHEAD + usize::try_from(self.length).unwrap_or(0)
    }

    /// The offset of the last record (of the last there was, after compaction).
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.wrapping_add(i64::from(self.last_offset_delta)))
    }

    /// The offset after the last record: where the next batch begins.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.wrapping_add(1))
    }

    /// The sequence number of the last record, which wraps after the largest; [`NO_SEQUENCE`] without sequences.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The time after which compaction may drop the tombstones of the batch (KIP-534).
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp_ms)
    }

    /// Checks that the numbers agree with each other as they do in every batch of a log, compacted or not.
    ///
    /// # Errors
    /// [`BatchError::OffsetRange`], [`BatchError::Count`] or [`BatchError::UnknownCodec`].
    pub fn check_shape(&self) -> Result<(), BatchError> {
        let Self { base_offset, last_offset_delta, records_count, .. } = *self;
        // The end offset of the log must still be an offset.
        let end =
            base_offset.0.checked_add(i64::from(last_offset_delta)).and_then(|last| last.checked_add(1));
        if base_offset.0 < 0 || last_offset_delta < 0 || end.is_none() {
            return Err(BatchError::OffsetRange { base_offset: base_offset.0, last_offset_delta });
        }
        // Compaction removes records and keeps the offset range: there may be fewer, and never more.
        if records_count < 0 || i64::from(records_count) > i64::from(last_offset_delta) + 1 {
            return Err(BatchError::Count { records_count, last_offset_delta });
        }
        self.attributes.codec().map(|_| ()).map_err(BatchError::UnknownCodec)
    }
}

/// The sequence number `by` records after `sequence`: after the largest comes 0 (KIP-98).
#[must_use]
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) & i64::from(i32::MAX)) as i32
}

/// The `N` bytes at a constant place of a header.
#[allow(clippy::indexing_slicing, reason = "the places are constants of this crate, all inside the header")]
pub(crate) fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// Writes `N` bytes at a constant place of a header.
#[allow(clippy::indexing_slicing, reason = "the places are constants of this crate, all inside the header")]
pub(crate) fn put<const N: usize>(bytes: &mut [u8; HEADER_LEN], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}
