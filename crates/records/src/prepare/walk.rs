//! The walk over the records of a produced batch: each is read once, keys and values are not copied.

use std::ops::RangeInclusive;

use ottla_types::ErrorCode;

use super::ProduceRules;
use super::invalid::{self, InvalidBatch, InvalidRecord, MAX_NAMED_RECORDS};
use super::quick::{self, Usual};
use crate::attributes::{Codec, TimestampType};
use crate::compression::Decompressor;
use crate::error::{BatchError, RecordError};
use crate::grammar::{RawRecord, Slice, Source, read_record};
use crate::header::{BatchHeader, NO_TIMESTAMP};
use crate::record::Base;
use crate::stream::{Stop, Stream};

/// What the walk found out.
#[derive(Debug, PartialEq, Eq)]
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
    let mut walk = Walk::new(header, rules, now_ms);
    let rest = walk.run_slice(records)?;
    check_end(rest.len(), header)?;
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
    let mut walk = Walk::new(header, rules, now_ms);
    for index in 0..header.records_count {
        walk.step(index, &mut source)?;
    }
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

/// What a usual record must be like so that all checks are done with it. Others may be right too.
struct Unquestioned {
    base_ms: i64,
    timestamps: RangeInclusive<i64>,
    needs_key: bool,
}

impl Unquestioned {
    /// The timestamp of a record that is right at its place.
    #[inline(always)]
    fn timestamp_ms(&self, usual: &Usual, index: i32) -> Option<i64> {
        let timestamp_ms = self.base_ms.checked_add(usual.timestamp_delta)?;
        let is_right = usual.offset_delta == i64::from(index)
            && (usual.has_key || !self.needs_key)
            && self.timestamps.contains(&timestamp_ms);
        is_right.then_some(timestamp_ms)
    }
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

    /// Walks records in memory, and gives the bytes behind them.
    fn run_slice<'b>(&mut self, records: &'b [u8]) -> Result<&'b [u8], InvalidBatch> {
        let unquestioned = self.unquestioned();
        let mut rest = records;
        for index in 0..self.records_count {
            if let Some(unquestioned) = &unquestioned
                && let Some(usual) = quick::read(rest)
                && let Some(timestamp_ms) = unquestioned.timestamp_ms(&usual, index)
                && let Some(behind) = rest.get(usual.len..)
            {
                self.note_timestamp(index, timestamp_ms);
                rest = behind;
            } else {
                let mut source = Slice::new(rest);
                self.step(index, &mut source)?;
                rest = source.rest();
            }
        }
        Ok(rest)
    }

    /// What needs no further question; nothing does in a batch, or at a time, that is none of a usual producer.
    fn unquestioned(&self) -> Option<Unquestioned> {
        let ProduceRules { timestamp_before_max_ms: before, timestamp_after_max_ms: after, .. } = *self.rules;
        if self.batch_timestamp_type == TimestampType::LogAppendTime || self.now_ms < 0 {
            return None;
        }
        let timestamps = match self.rules.timestamp_type {
            TimestampType::LogAppendTime => i64::MIN..=i64::MAX,
            TimestampType::CreateTime => {
                self.now_ms.saturating_sub(before)..=self.now_ms.saturating_add(after)
            }
        };
        let base_ms = self.base.timestamp_ms(0).ok()?;
        Some(Unquestioned { base_ms, timestamps, needs_key: self.rules.compacted })
    }

    /// Reads and checks one record.
    fn step<S: Source>(&mut self, index: i32, source: &mut S) -> Result<(), InvalidBatch>
    where
        Stop: From<S::Error>,
    {
        let checked = match read_record(source) {
            Ok(record) => self.check(index, &record).map_err(Stop::Record),
            Err(error) => Err(error.into()),
        };
        checked.map_err(|stop| {
            invalid::from_bytes(match stop {
                Stop::Record(reason) => BatchError::Record { index, reason },
                Stop::Decompress(error) => error,
            })
        })
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
        self.note_timestamp(index, timestamp_ms);
        Ok(())
    }

    #[inline(always)]
    fn note_timestamp(&mut self, index: i32, timestamp_ms: i64) {
        if timestamp_ms > self.walked.max_timestamp_ms {
            self.walked = Walked { max_timestamp_ms: timestamp_ms, max_timestamp_offset_delta: index };
        }
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::{Batch, BatchBuilder, HEADER_LEN, NewRecord};

    const NOW_MS: i64 = 1_700_000_000_000;

    /// The walk without its short cut.
    fn carefully(header: &BatchHeader, records: &[u8], rules: &ProduceRules) -> Result<Walked, InvalidBatch> {
        let mut walk = Walk::new(header, rules, NOW_MS);
        let mut source = Slice::new(records);
        for index in 0..header.records_count {
            walk.step(index, &mut source)?;
        }
        check_end(source.rest().len(), header)?;
        walk.verdict()
    }

    fn record() -> impl Strategy<Value = (i64, Option<usize>, usize, bool)> {
        let age_ms = prop_oneof![8 => 0i64..200, 1 => -10_000i64..10_000, 1 => Just(NOW_MS + 1)];
        let key = prop_oneof![8 => Just(Some(3)), 2 => prop::option::of(0usize..80)];
        let value = prop_oneof![8 => Just(100usize), 2 => 0usize..10_000];
        (age_ms, key, value, prop::bool::weighted(0.1))
    }

    proptest! {
        #[test]
        fn the_short_cut_changes_no_verdict(
            records in prop::collection::vec(record(), 1..100),
            compacted in any::<bool>(),
            append_time in prop::bool::weighted(0.2),
            before_ms in prop_oneof![Just(i64::MAX), Just(150i64)],
            after_ms in prop_oneof![Just(i64::MAX), Just(5_000i64)],
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            more in prop::sample::select(vec![0i32, 0, 0, 0, 1, -1]),
        ) {
            let text = vec![b'x'; 10_000];
            let mut builder = BatchBuilder::new();
            for (age_ms, key, value, with_header) in records {
                let headers: &[(&str, Option<&[u8]>)] = if with_header { &[("h", None)] } else { &[] };
                let (key, value) = (key.map(|len| &text[..len]), Some(&text[..value]));
                builder.push(&NewRecord { timestamp_ms: NOW_MS - age_ms, key, value, headers }).unwrap();
            }
            let mut bytes = BytesMut::from(&builder.build().unwrap()[..]);
            if let Some((at, byte)) = damage {
                let at = HEADER_LEN + at.index(bytes.len() - HEADER_LEN);
                bytes[at] = byte;
            }
            let mut header = *Batch::parse(&bytes).unwrap().0.header();
            header.records_count += more;
            let rules = ProduceRules {
                compacted,
                timestamp_type: if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
                timestamp_before_max_ms: before_ms,
                timestamp_after_max_ms: after_ms,
                ..ProduceRules::default()
            };
            let body = &bytes[HEADER_LEN..];
            prop_assert_eq!(slice(&header, body, &rules, NOW_MS), carefully(&header, body, &rules));
        }
    }
}
