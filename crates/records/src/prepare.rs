//! What a broker does with a produced batch before it appends it: every check that Kafka's `LogValidator`, `UnifiedLog`
//! and `ProduceRequest` make for magic 2, and the changes that a topic's configuration asks for.
//!
//! Producer state (duplicates, sequence gaps, fencing) is not looked at here: that needs the log's memory.

mod invalid;
mod prepared;
mod quick;
mod walk;

use bytes::Bytes;
use ottla_types::ErrorCode;

pub use self::invalid::{InvalidBatch, InvalidRecord, MAX_NAMED_RECORDS};
pub use self::prepared::{AssignedBatch, Prepared};

use self::walk::Walked;
use crate::attributes::{Codec, TimestampType};
use crate::batch::Batch;
use crate::compression::{Compression, decompress};
use crate::crc::batch_crc;
use crate::error::BatchError;
use crate::header::{BatchHeader, HEADER_LEN, LENGTH_OVERHEAD, MAGIC, at};
use crate::patch;

/// What a topic's configuration, and the request, ask of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRules {
    /// `max.message.bytes`: the largest batch, as it comes and, when it is compressed anew, as it is written.
    pub max_message_bytes: usize,
    /// `segment.bytes`: the largest batch that fits into a segment.
    pub segment_bytes: usize,
    /// The most bytes that the records of a batch may decompress to. Kafka has no such limit; the default is the
    /// largest request, so that a batch may always be as large as one that came uncompressed.
    pub max_decompressed_bytes: usize,
    /// Whether `cleanup.policy` contains `compact`: records then need keys.
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// `compression.type` with its level; `None` is `producer`: as the producer compressed it.
    pub compression: Option<Compression>,
    /// Whether the request's version knows zstd: Produce from version 7 (KIP-110).
    pub zstd_allowed: bool,
}

impl Default for ProduceRules {
    /// A topic with Kafka's defaults, and a request of a current client.
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            max_decompressed_bytes: 100 * 1024 * 1024,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compression: None,
            zstd_allowed: true,
        }
    }
}

/// Checks the records of one partition in a produce request, and makes of them what is to be appended.
///
/// The records stay where they are in `batch`, unless `compression.type` asks for another codec.
///
/// # Errors
/// What the producer is to be answered.
pub fn prepare(batch: Bytes, rules: &ProduceRules, now_ms: i64) -> Result<Prepared, InvalidBatch> {
    let source = one_batch(&batch)?;
    let header = *source.header();
    check_envelope(&source, rules)?;
    check_header(&header)?;
    let codec = codec_of(&header, rules)?;

    let target = rules.compression.filter(|target| target.codec() != codec);
    match target {
        None => {
            let walked = match codec {
                Codec::None => walk::slice(&header, source.body(), rules, now_ms),
                codec => walk::stream(&header, codec, source.body(), rules, now_ms),
            }?;
            let head = *batch.first_chunk::<HEADER_LEN>().ok_or_else(invalid::no_batch)?;
            let body = batch.slice(HEADER_LEN..);
            finish(head, body, &walked, rules, now_ms)
        }
        Some(target) => {
            let records = match codec {
                Codec::None => batch.slice(HEADER_LEN..),
                codec => Bytes::from(
                    decompress(codec, source.body(), rules.max_decompressed_bytes)
                        .map_err(invalid::from_bytes)?,
                ),
            };
            let walked = walk::slice(&header, &records, rules, now_ms)?;
            let (head, body) = recompress(header, &records, target, rules)?;
            finish(head, body, &walked, rules, now_ms)
        }
    }
}

/// The one batch that the bytes must be.
fn one_batch(bytes: &[u8]) -> Result<Batch<'_>, InvalidBatch> {
    // Kafka finds out in this order: the length, the magic, and only then whether all bytes are there.
    let Some(&[magic]) = bytes.get(at::MAGIC..=at::MAGIC).map(<&[u8; 1]>::try_from).and_then(Result::ok)
    else {
        return Err(invalid::no_batch());
    };
    match magic as i8 {
        MAGIC => {}
        magic @ (0 | 1) => return Err(invalid::old_magic(magic)),
        magic => return Err(invalid::from_bytes(BatchError::Magic(magic))),
    }
    let (batch, rest) = Batch::parse(bytes).map_err(invalid::from_bytes)?;
    if rest.is_empty() { Ok(batch) } else { Err(invalid::more_than_one_batch(rest.len())) }
}

/// What can be said without looking at the records.
fn check_envelope(batch: &Batch<'_>, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    let header = batch.header();
    if header.base_offset.0 != 0 {
        return Err(InvalidBatch::new(
            ErrorCode::InvalidRecord,
            format!("The base offset of a produced batch must be 0, and it is {}", header.base_offset),
        ));
    }
    check_size(header.size_bytes(), rules)?;
    batch.verify_crc().map_err(invalid::from_bytes)
}

fn check_size(size_bytes: usize, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    if size_bytes > rules.max_message_bytes {
        return Err(InvalidBatch::new(
            ErrorCode::MessageTooLarge,
            format!(
                "The batch takes {size_bytes} bytes, and max.message.bytes is {}",
                rules.max_message_bytes
            ),
        ));
    }
    if size_bytes > rules.segment_bytes {
        return Err(InvalidBatch::new(
            ErrorCode::RecordListTooLarge,
            format!("The batch takes {size_bytes} bytes, and segment.bytes is {}", rules.segment_bytes),
        ));
    }
    Ok(())
}

/// What the header of a batch from a client must say.
fn check_header(header: &BatchHeader) -> Result<(), InvalidBatch> {
    let refuse = |why: String| Err(InvalidBatch::new(ErrorCode::InvalidRecord, why));
    let BatchHeader { last_offset_delta, records_count, .. } = *header;
    if records_count <= 0 {
        return refuse(format!("A produced batch needs records, and its header counts {records_count}"));
    }
    if i64::from(last_offset_delta) + 1 != i64::from(records_count) {
        return refuse(format!(
            "The last offset delta is {last_offset_delta}, which does not fit the {records_count} records counted"
        ));
    }
    if header.attributes.is_control() {
        return refuse("Clients may not write control records".to_owned());
    }
    if header.has_producer_id() && (header.base_sequence < 0 || header.producer_epoch.0 < 0) {
        return refuse(format!(
            "Producer id {} comes with epoch {} and base sequence {}, which must not be negative",
            header.producer_id, header.producer_epoch, header.base_sequence
        ));
    }
    if header.attributes.is_transactional() && !header.has_producer_id() {
        return refuse("A transactional batch needs a producer id".to_owned());
    }
    Ok(())
}

fn codec_of(header: &BatchHeader, rules: &ProduceRules) -> Result<Codec, InvalidBatch> {
    match header.attributes.codec() {
        Ok(Codec::Zstd) if !rules.zstd_allowed => Err(InvalidBatch::new(
            ErrorCode::UnsupportedCompressionType,
            "zstd may be used from version 7 of Produce".to_owned(),
        )),
        Ok(codec) => Ok(codec),
        Err(id) => Err(invalid::from_bytes(BatchError::UnknownCodec(id))),
    }
}

/// The batch with its records compressed anew; everything else of the header stays.
fn recompress(
    mut header: BatchHeader,
    records: &Bytes,
    target: Compression,
    rules: &ProduceRules,
) -> Result<([u8; HEADER_LEN], Bytes), InvalidBatch> {
    let body = match target.codec() {
        Codec::None => records.clone(),
        _ => {
            let mut compressed = Vec::with_capacity(records.len() / 2);
            target.compress(records, &mut compressed).map_err(invalid::from_bytes)?;
            Bytes::from(compressed)
        }
    };
    let size_bytes = HEADER_LEN + body.len();
    check_size(size_bytes, rules)?;
    header.length = i32::try_from(size_bytes - LENGTH_OVERHEAD).map_err(|_| {
        InvalidBatch::new(ErrorCode::MessageTooLarge, format!("The batch takes {size_bytes} bytes"))
    })?;
    header.attributes = header.attributes.with_codec(target.codec());
    let mut head = [0; HEADER_LEN];
    header.write_to(&mut head);
    header.crc = batch_crc(&head, &body);
    header.write_to(&mut head);
    Ok((head, body))
}

/// Puts the timestamps right and closes the box.
fn finish(
    mut head: [u8; HEADER_LEN],
    body: Bytes,
    walked: &Walked,
    rules: &ProduceRules,
    now_ms: i64,
) -> Result<Prepared, InvalidBatch> {
    let header = BatchHeader::from_array(&head).map_err(invalid::from_bytes)?;
    let (max_timestamp_ms, max_timestamp_offset_delta) = match rules.timestamp_type {
        TimestampType::CreateTime => (walked.max_timestamp_ms, walked.max_timestamp_offset_delta),
        // All records have the same timestamp now, so the first has the highest.
        TimestampType::LogAppendTime => (now_ms, 0),
    };
    // A producer that says the truth costs no second checksum.
    if header.attributes.timestamp_type() != rules.timestamp_type
        || header.max_timestamp_ms != max_timestamp_ms
    {
        patch::set_max_timestamp(&mut head, &body, rules.timestamp_type, max_timestamp_ms);
    }
    Prepared::new(head, body, max_timestamp_offset_delta).map_err(invalid::from_bytes)
}
