//! Records of a batch, borrowed from its (decompressed) bytes.

use std::borrow::Cow;

use ottla_types::Offset;

use crate::attributes::TimestampType;
use crate::error::{BatchError, RecordError};
use crate::grammar::{Slice, Source, read_header, read_record};
use crate::header::BatchHeader;

/// One record.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its place in the partition's log.
    pub offset: Offset,
    /// Its timestamp: its own, or its batch's when the broker set that (LogAppendTime).
    pub timestamp_ms: i64,
    /// Its key; `None` is null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is null: a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order, with duplicates.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// Its key: text by convention, and bytes that nobody checked.
    pub key: &'a [u8],
    /// Its value; `None` is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordHeader<'a> {
    /// The key as text, with the replacement character for what is no UTF-8.
    #[must_use]
    pub fn key_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of one record: an iterator in the order they were written.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    left: usize,
    bytes: Slice<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The headers were checked with their record, so this reads what it read then.
        let (key, value) = read_header(&mut self.bytes, u64::MAX).ok()?;
        Some(RecordHeader { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// What turns deltas into offsets and timestamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    offset: i64,
    timestamp_ms: i64,
    log_append_time_ms: Option<i64>,
}

impl Base {
    pub(crate) fn of(header: &BatchHeader) -> Self {
        let log_append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Self {
            offset: header.base_offset.0,
            timestamp_ms: header.base_timestamp_ms,
            log_append_time_ms: log_append_time.then_some(header.max_timestamp_ms),
        }
    }

    pub(crate) fn offset(&self, delta: i32) -> Result<Offset, RecordError> {
        self.offset.checked_add(i64::from(delta)).map(Offset).ok_or(RecordError::OffsetRange)
    }

    pub(crate) fn timestamp_ms(&self, delta: i64) -> Result<i64, RecordError> {
        match self.log_append_time_ms {
            Some(timestamp_ms) => Ok(timestamp_ms),
            None => self.timestamp_ms.checked_add(delta).ok_or(RecordError::TimestampRange),
        }
    }
}

/// The records of one batch: an iterator that ends with the batch, or with the first error.
///
/// It also checks that the batch holds as many records as its header claims, and nothing after them.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    base: Base,
    count: i32,
    next_index: i32,
    source: Slice<'a>,
    failed: bool,
}

impl<'a> Records<'a> {
    /// The records of a batch with this header, in `bytes`: its body, decompressed if it was compressed.
    #[must_use]
    pub fn new(header: &BatchHeader, bytes: &'a [u8]) -> Self {
        Self {
            base: Base::of(header),
            count: header.records_count,
            next_index: 0,
            source: Slice::new(bytes),
            failed: false,
        }
    }

    fn read(&mut self) -> Result<Record<'a>, BatchError> {
        let index = self.next_index;
        let bytes = self.source.rest();
        let start = self.source.position();
        let at = |reason| BatchError::Record { index, reason };
        let raw = read_record(&mut self.source).map_err(at)?;
        let headers = bytes.get((raw.headers_at - start) as usize..).unwrap_or_default();
        Ok(Record {
            offset: self.base.offset(raw.offset_delta).map_err(at)?,
            timestamp_ms: self.base.timestamp_ms(raw.timestamp_delta).map_err(at)?,
            key: raw.key,
            value: raw.value,
            headers: Headers {
                left: usize::try_from(raw.header_count).unwrap_or(0),
                bytes: Slice::new(headers),
            },
        })
    }

    /// After the last record: nothing may follow.
    fn check_end(&self) -> Result<(), BatchError> {
        match self.source.rest().len() {
            0 => Ok(()),
            bytes => Err(BatchError::TrailingBytes { bytes, records_count: self.count }),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = if self.next_index < self.count {
            let record = self.read();
            self.next_index += 1;
            record
        } else {
            match self.check_end() {
                Ok(()) => return None,
                Err(error) => Err(error),
            }
        };
        self.failed = item.is_err();
        Some(item)
    }
}
