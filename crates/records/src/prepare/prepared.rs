//! A batch that may be appended.

use bytes::Bytes;
use ottla_types::{LeaderEpoch, Offset};

use crate::batch::Batch;
use crate::error::BatchError;
use crate::header::{BatchHeader, HEADER_LEN};
use crate::patch;

/// A batch that was checked, and lacks only its place in the log.
///
/// Header and records are apart: the header was copied and may differ from the producer's, the records are a slice of
/// what came in.
#[derive(Debug, Clone)]
pub struct Prepared {
    header: BatchHeader,
    head: [u8; HEADER_LEN],
    body: Bytes,
    max_timestamp_offset_delta: i32,
}

/// A batch with its place in the log: what is to be written, in two pieces.
#[derive(Debug, Clone)]
pub struct AssignedBatch {
    /// The header, as written.
    pub header: BatchHeader,
    /// The bytes of the header.
    pub head: Bytes,
    /// The bytes after it.
    pub body: Bytes,
    /// The offset of the first record that has the highest timestamp, less the base offset.
    pub max_timestamp_offset_delta: i32,
}

impl Prepared {
    pub(super) fn new(
        head: [u8; HEADER_LEN],
        body: Bytes,
        max_timestamp_offset_delta: i32,
    ) -> Result<Self, BatchError> {
        let header = BatchHeader::from_array(&head)?;
        Ok(Self { header, head, body, max_timestamp_offset_delta })
    }

    /// Takes a batch that this process built, for itself or as a coordinator: control records are welcome, and no
    /// topic's rules apply. `max_decompressed_bytes` is for the look at its timestamps.
    ///
    /// # Errors
    /// [`BatchError`] for bytes that are not one sound batch.
    pub fn own(batch: Bytes, max_decompressed_bytes: usize) -> Result<Self, BatchError> {
        let (parsed, rest) = Batch::parse(&batch)?;
        if !rest.is_empty() {
            let records_count = parsed.header().records_count;
            return Err(BatchError::TrailingBytes { bytes: rest.len(), records_count });
        }
        parsed.verify()?;
        let base_offset = parsed.header().base_offset.0;
        let of_max = parsed.offset_of_max_timestamp(max_decompressed_bytes)?;
        let delta = of_max.and_then(|offset| i32::try_from(offset.0 - base_offset).ok()).unwrap_or(0);
        let head = *batch
            .first_chunk::<HEADER_LEN>()
            .ok_or(BatchError::Truncated { needed: HEADER_LEN, available: batch.len() })?;
        Self::new(head, batch.slice(HEADER_LEN..), delta)
    }

    /// The header as it stands now; base offset and leader epoch come with [`Self::assign`].
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes after the header.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The size of the whole batch.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// The number of records.
    #[must_use]
    pub fn records_count(&self) -> i32 {
        self.header.records_count
    }

    /// The highest timestamp of the records, or [`crate::NO_TIMESTAMP`].
    #[must_use]
    pub fn max_timestamp_ms(&self) -> i64 {
        self.header.max_timestamp_ms
    }

    /// The offset of the first record that has the highest timestamp, less the base offset: what ListOffsets answers
    /// for the max timestamp. (Kafka's time index names the batch's last offset instead.)
    #[must_use]
    pub fn max_timestamp_offset_delta(&self) -> i32 {
        self.max_timestamp_offset_delta
    }

    /// Gives the batch its place. Base offset and leader epoch lie outside the checksum, which stays.
    #[must_use]
    pub fn assign(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> AssignedBatch {
        patch::assign(&mut self.head, base_offset, leader_epoch);
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        AssignedBatch {
            header: self.header,
            head: Bytes::copy_from_slice(&self.head),
            body: self.body,
            max_timestamp_offset_delta: self.max_timestamp_offset_delta,
        }
    }
}
