//! The walk over the records of a produced batch: each is read once, keys and values are not copied.

use ottla_types::ErrorCode;

use super::ProduceRules;
use super::invalid::{self, InvalidBatch, InvalidRecord, MAX_NAMED_RECORDS};
use crate::attributes::{Codec, TimestampType};
use crate::compression::Decompressor;
use crate::error::{BatchError, RecordError};
use crate::grammar::{RawRecord, Slice, Source, read_record};
use crate::header::{BatchHeader, NO_TIMESTAMP};
use crate::record::Base;
use crate::stream::{Stop, Stream};

/// What the walk found out.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) max_timestamp_ms: i64,
    /// Of the first record with that timestamp.
    pub(super) max_timestamp_offset_delta: i32,
}

/// Walks records in memory.
pub(super) fn slice(
    header: &BatchHeader,
    records: &[u8],
    rules: &ProduceRules,
    now_ms: i64,
) -> Result<Walked, InvalidBatch> {
    let mut source = Slice::new(records);
    let walk = Walk::new(header, rules, now_ms).run(&mut source)?;
    check_end(source.rest().len(), header)?;
    walk.verdict()
}

/// Walks records while they are decompressed.
pub(super) fn stream(
    header: &BatchHeader,
    codec: Codec,
    body: &[u8],
    rules: &ProduceRules,
    now_ms: i64,
) -> Result<Walked, InvalidBatch> {
    let decompressor =
        Decompressor::new(codec, body, rules.max_decompressed_bytes).map_err(invalid::from_bytes)?;
    let mut source = Stream::new(decompressor);
    let walk = Walk::new(header, rules, now_ms).run(&mut source)?;
    check_end(source.trailing().map_err(invalid::from_bytes)?, header)?;
    walk.verdict()
}

fn check_end(bytes: usize, header: &BatchHeader) -> Result<(), InvalidBatch> {
    match bytes {
        0 => Ok(()),
        bytes => {
            let records_count = header.records_count;
            Err(invalid::from_bytes(BatchError::TrailingBytes { bytes, records_count }))
        }
    }
}

struct Walk<'a> {
    rules: &'a ProduceRules,
    now_ms: i64,
    base: Base,
    batch_timestamp_type: TimestampType,
    records_count: i32,
    walked: Walked,
    at_fault: AtFault,
}

#[derive(Default)]
struct AtFault {
    named: Vec<InvalidRecord>,
    total: usize,
    timestamps: bool,
}

impl<'a> Walk<'a> {
    fn new(header: &BatchHeader, rules: &'a ProduceRules, now_ms: i64) -> Self {
        Self {
            rules,
            now_ms,
            base: Base::of(header),
            batch_timestamp_type: header.attributes.timestamp_type(),
            records_count: header.records_count,
            walked: Walked { max_timestamp_ms: NO_TIMESTAMP, max_timestamp_offset_delta: 0 },
            at_fault: AtFault::default(),
        }
    }

    fn run<S: Source>(mut self, source: &mut S) -> Result<Self, InvalidBatch>
    where
        Stop: From<S::Error>,
    {
        for index in 0..self.records_count {
            let checked = match read_record(source) {
                Ok(record) => self.check(index, &record).map_err(Stop::Record),
                Err(error) => Err(error.into()),
            };
            checked.map_err(|stop| {
                invalid::from_bytes(match stop {
                    Stop::Record(reason) => BatchError::Record { index, reason },
                    Stop::Decompress(error) => error,
                })
            })?;
        }
        Ok(self)
    }

    fn check<S>(&mut self, index: i32, record: &RawRecord<S>) -> Result<(), RecordError> {
        let timestamp_ms = self.base.timestamp_ms(record.timestamp_delta)?;
        if record.offset_delta != index {
            self.at_fault.name(index, || format!("Its offset delta is {}, not {index}", record.offset_delta));
        } else if self.rules.compacted && record.key.is_none() {
            self.at_fault.name(index, || "A compacted topic takes no record without a key".to_owned());
        } else {
            self.check_timestamp(index, timestamp_ms);
        }
        if timestamp_ms > self.walked.max_timestamp_ms {
            self.walked = Walked { max_timestamp_ms: timestamp_ms, max_timestamp_offset_delta: index };
        }
        Ok(())
    }

    fn check_timestamp(&mut self, index: i32, timestamp_ms: i64) {
        if self.batch_timestamp_type == TimestampType::LogAppendTime {
            self.at_fault.timestamps = true;
            self.at_fault
                .name(index, || "Only a broker gives records the timestamp type LogAppendTime".to_owned());
            return;
        }
        if self.rules.timestamp_type == TimestampType::LogAppendTime || timestamp_ms == NO_TIMESTAMP {
            return;
        }
        let ProduceRules { timestamp_before_max_ms: before, timestamp_after_max_ms: after, .. } = *self.rules;
        let now_ms = self.now_ms;
        if now_ms.saturating_sub(timestamp_ms) > before || timestamp_ms.saturating_sub(now_ms) > after {
            self.at_fault.timestamps = true;
            self.at_fault.name(index, || {
                let (least, most) = (now_ms.saturating_sub(before), now_ms.saturating_add(after));
                format!("Its timestamp is {timestamp_ms}, and this topic takes {least} to {most} now")
            });
        }
    }

    fn verdict(self) -> Result<Walked, InvalidBatch> {
        let AtFault { named, total, timestamps } = self.at_fault;
        let Some(first) = named.first() else { return Ok(self.walked) };
        // Kafka names the timestamps when they are among the faults.
        let code = if timestamps { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord };
        let InvalidRecord { batch_index, message } = first;
        let message = format!("{total} of the batch's records are invalid; record {batch_index}: {message}");
        Err(InvalidBatch { code, message, records: named })
    }
}

impl AtFault {
    fn name(&mut self, batch_index: i32, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.named.len() < MAX_NAMED_RECORDS {
            self.named.push(InvalidRecord { batch_index, message: message() });
        }
    }
}
