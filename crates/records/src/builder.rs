//! Building batches: what a producer, the command line and the tests need.

use bytes::Bytes;
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::attributes::{Attributes, Codec, TimestampType};
use crate::compression::Compression;
use crate::crc::batch_crc;
use crate::error::BatchError;
use crate::header::{BatchHeader, HEADER_LEN, LENGTH_OVERHEAD, NO_SEQUENCE, NO_TIMESTAMP};
use crate::varint;

/// A record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// Its timestamp, or [`NO_TIMESTAMP`].
    pub timestamp_ms: i64,
    /// Its key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order; duplicates are kept.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Collects records into one batch.
///
/// Offsets and timestamps are checked when a record is pushed, so that finishing fails on nothing but compression.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    attributes: Attributes,
    compression: Compression,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    log_append_time_ms: Option<i64>,
    delete_horizon_ms: Option<i64>,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    last_offset_delta: i32,
    records_count: i32,
    /// The header's place, then the records.
    bytes: Vec<u8>,
}

/// Why a record does not fit into the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Offsets of a batch rise, and span less than 2^31.
    #[error("offset {offset} cannot follow offset {last} in a batch with base offset {base}")]
    Offset {
        /// The offset of the record.
        offset: i64,
        /// The offset before it.
        last: i64,
        /// The base offset of the batch.
        base: i64,
    },
    /// The timestamp is too far from the first one's to be written as a difference.
    #[error("timestamp {timestamp_ms} is too far from the first timestamp of its batch, {base_timestamp_ms}")]
    Timestamp {
        /// The timestamp of the record.
        timestamp_ms: i64,
        /// The base timestamp of the batch.
        base_timestamp_ms: i64,
    },
    /// A record, or the batch with it, larger than a length field can say.
    #[error("the batch would take {size_bytes} bytes, and a length field of 32 bits ends before that")]
    Size {
        /// The size the batch would have.
        size_bytes: usize,
    },
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch as a plain producer sends it: base offset 0, no compression, no producer id.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch::NONE,
            attributes: Attributes::default(),
            compression: Compression::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            log_append_time_ms: None,
            delete_horizon_ms: None,
            base_timestamp_ms: NO_TIMESTAMP,
            max_timestamp_ms: NO_TIMESTAMP,
            last_offset_delta: -1,
            records_count: 0,
            bytes: vec![0; HEADER_LEN],
        }
    }

    /// Sets the base offset and the leader epoch. To be called before the first record is pushed.
    #[must_use]
    pub fn at(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }

    /// Sets how the records are compressed.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Makes it a batch of an idempotent producer (KIP-98).
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(mut self, on: bool) -> Self {
        self.attributes = self.attributes.with_transactional(on);
        self
    }

    /// Makes it a batch of control records.
    #[must_use]
    pub fn control(mut self, on: bool) -> Self {
        self.attributes = self.attributes.with_control(on);
        self
    }

    /// Gives all records the time of the broker's append instead of their own.
    #[must_use]
    pub fn log_append_time(mut self, timestamp_ms: i64) -> Self {
        self.log_append_time_ms = Some(timestamp_ms);
        self.attributes = self.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self
    }

    /// Sets the time after which compaction may drop the batch's tombstones (KIP-534). To be called before the first
    /// record is pushed, since timestamps are then written as differences to it.
    #[must_use]
    pub fn delete_horizon(mut self, timestamp_ms: i64) -> Self {
        self.delete_horizon_ms = Some(timestamp_ms);
        self.attributes = self.attributes.with_delete_horizon(true);
        self
    }

    /// Appends a record with the offset after the last one's.
    ///
    /// # Errors
    /// See [`PushError`]; the batch is then as it was.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), PushError> {
        let offset = self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1);
        self.push_at(Offset(offset), record)
    }

    /// Appends a record with its own offset, above the last one's: compaction leaves such gaps.
    ///
    /// # Errors
    /// See [`PushError`]; the batch is then as it was.
    pub fn push_at(&mut self, offset: Offset, record: &NewRecord<'_>) -> Result<(), PushError> {
        let offset_delta = self.offset_delta(offset)?;
        let base_timestamp_ms = self.base_timestamp_for(record.timestamp_ms);
        let timestamp_delta = record
            .timestamp_ms
            .checked_sub(base_timestamp_ms)
            .ok_or(PushError::Timestamp { timestamp_ms: record.timestamp_ms, base_timestamp_ms })?;
        let body_size = body_size(offset_delta, timestamp_delta, record);
        let size_bytes = self.bytes.len() + varint::len(body_size as i64) + body_size;
        if size_bytes > i32::MAX as usize {
            return Err(PushError::Size { size_bytes });
        }

        self.bytes.reserve(size_bytes - self.bytes.len());
        put_record(&mut self.bytes, body_size, offset_delta, timestamp_delta, record);
        self.base_timestamp_ms = base_timestamp_ms;
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        self.last_offset_delta = offset_delta;
        self.records_count += 1;
        Ok(())
    }

    /// The number of records pushed.
    #[must_use]
    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Whether no record was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// The size of the batch so far, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The most that the batch would take, before compression, with one more record.
    #[must_use]
    pub fn size_with(&self, record: &NewRecord<'_>) -> usize {
        // The largest deltas take 5 and 10 bytes.
        let body_size = body_size(i32::MAX, i64::MIN, record);
        self.bytes.len() + varint::len(body_size as i64) + body_size
    }

    /// Compresses the records, fills in the header and gives the batch.
    ///
    /// # Errors
    /// [`BatchError::Compress`].
    pub fn build(mut self) -> Result<Bytes, BatchError> {
        if self.compression.codec() != Codec::None {
            let mut compressed = vec![0; HEADER_LEN];
            let records = self.bytes.get(HEADER_LEN..).unwrap_or_default();
            self.compression.compress(records, &mut compressed)?;
            self.bytes = compressed;
        }
        let length = i32::try_from(self.bytes.len() - LENGTH_OVERHEAD).map_err(|_| BatchError::Compress {
            codec: self.compression.codec(),
            reason: format!("the batch takes {} bytes", self.bytes.len()),
        })?;
        let mut header = self.header(length);
        if let Some((head, body)) = self.bytes.split_first_chunk_mut() {
            header.write_to(head);
            header.crc = batch_crc(head, body);
            header.write_to(head);
        }
        Ok(Bytes::from(self.bytes))
    }

    fn header(&self, length: i32) -> BatchHeader {
        BatchHeader {
            base_offset: self.base_offset,
            length,
            leader_epoch: self.leader_epoch,
            crc: 0,
            attributes: self.attributes.with_codec(self.compression.codec()),
            last_offset_delta: self.last_offset_delta.max(0),
            base_timestamp_ms: self.delete_horizon_ms.unwrap_or(self.base_timestamp_ms),
            max_timestamp_ms: self.log_append_time_ms.unwrap_or(self.max_timestamp_ms),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.records_count,
        }
    }

    fn offset_delta(&self, offset: Offset) -> Result<i32, PushError> {
        let delta = offset.0.checked_sub(self.base_offset.0).and_then(|delta| i32::try_from(delta).ok());
        delta.filter(|&delta| delta > self.last_offset_delta).ok_or(PushError::Offset {
            offset: offset.0,
            last: self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)),
            base: self.base_offset.0,
        })
    }

    /// The base timestamp is the first record's, unless the delete horizon takes its place.
    fn base_timestamp_for(&self, timestamp_ms: i64) -> i64 {
        match self.delete_horizon_ms {
            Some(horizon_ms) => horizon_ms,
            None if self.records_count == 0 => timestamp_ms,
            None => self.base_timestamp_ms,
        }
    }
}

fn body_size(offset_delta: i32, timestamp_delta: i64, record: &NewRecord<'_>) -> usize {
    let headers: usize =
        record.headers.iter().map(|(key, value)| bytes_size(Some(key.as_bytes())) + bytes_size(*value)).sum();
    1 + varint::len(timestamp_delta)
        + varint::len(i64::from(offset_delta))
        + bytes_size(record.key)
        + bytes_size(record.value)
        + varint::len(record.headers.len() as i64)
        + headers
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len(bytes.len() as i64) + bytes.len())
}

fn put_record(
    out: &mut Vec<u8>,
    body_size: usize,
    offset_delta: i32,
    timestamp_delta: i64,
    record: &NewRecord<'_>,
) {
    varint::put(out, body_size as i64);
    // The attributes of a record: no bit has a meaning yet.
    out.push(0);
    varint::put(out, timestamp_delta);
    varint::put(out, i64::from(offset_delta));
    put_bytes(out, record.key);
    put_bytes(out, record.value);
    varint::put(out, record.headers.len() as i64);
    for (key, value) in record.headers {
        put_bytes(out, Some(key.as_bytes()));
        put_bytes(out, *value);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
