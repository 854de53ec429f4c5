//! The grammar of a record, once: over bytes in memory, which are borrowed, and over bytes still being decompressed,
//! which are skipped.
//!
//! A record is: size, attributes byte, timestamp delta, offset delta, key, value, headers. Sizes, deltas and lengths
//! are variable-length integers; a length of -1 means null. Nothing here believes a length before the bytes are there.
//!
//! A broker reads every record that is produced with this, so everything is inlined: that halves what a record costs.

use crate::error::{Field, RecordError};
use crate::varint::{MAX_LEN_32, MAX_LEN_64, unzigzag};

/// Where records are read from.
pub(crate) trait Source {
    /// What taking bytes gives: the bytes, or nothing.
    type Span;

    /// Why bytes could not be had, or were wrong. Small where that is all there is to say: this decides the speed.
    type Error: From<RecordError>;

    /// Bytes taken so far.
    fn position(&self) -> u64;

    /// The next byte.
    fn byte(&mut self, field: Field) -> Result<u8, Self::Error>;

    /// The next `len` bytes.
    fn take(&mut self, len: usize, field: Field) -> Result<Self::Span, Self::Error>;
}

/// A record as its batch holds it: deltas instead of offset and timestamp.
#[derive(Debug)]
pub(crate) struct RawRecord<S> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<S>,
    pub(crate) value: Option<S>,
    pub(crate) header_count: i32,
    /// The position of the first header.
    pub(crate) headers_at: u64,
}

/// Reads one record and checks that its fields take exactly the size it claims.
#[inline(always)]
pub(crate) fn read_record<S: Source>(source: &mut S) -> Result<RawRecord<S::Span>, S::Error> {
    let size = read_varint(source, Field::Size)?;
    let claimed =
        u64::try_from(size).map_err(|_| RecordError::Length { field: Field::Size, length: size })?;
    let start = source.position();
    let end = start + claimed;

    source.byte(Field::Attributes)?;
    let timestamp_delta = read_varlong(source, Field::TimestampDelta)?;
    let offset_delta = read_varint(source, Field::OffsetDelta)?;
    let key = read_bytes(source, end, Field::Key)?;
    let value = read_bytes(source, end, Field::Value)?;
    let header_count = read_varint(source, Field::HeaderCount)?;
    if header_count < 0 {
        return Err(RecordError::Length { field: Field::HeaderCount, length: header_count }.into());
    }
    let headers_at = source.position();
    for _ in 0..header_count {
        // A count that lies is found out at the end of the record, not at the end of the data.
        if source.position() >= end {
            return Err(RecordError::Length { field: Field::HeaderCount, length: header_count }.into());
        }
        read_header(source, end)?;
    }

    let taken = source.position() - start;
    if taken != claimed {
        return Err(RecordError::Size { claimed: size, taken }.into());
    }
    Ok(RawRecord { timestamp_delta, offset_delta, key, value, header_count, headers_at })
}

/// The key and the value of a header.
pub(crate) type RawHeader<S> = (S, Option<S>);

/// Reads one header of a record that ends at `end`.
pub(crate) fn read_header<S: Source>(source: &mut S, end: u64) -> Result<RawHeader<S::Span>, S::Error> {
    let key = read_bytes(source, end, Field::HeaderKey)?
        .ok_or(RecordError::Length { field: Field::HeaderKey, length: -1 })?;
    let value = read_bytes(source, end, Field::HeaderValue)?;
    Ok((key, value))
}

/// Reads a length and so many bytes, which must lie before `end`. Kafka takes any negative length for null.
#[inline(always)]
fn read_bytes<S: Source>(source: &mut S, end: u64, field: Field) -> Result<Option<S::Span>, S::Error> {
    let length = read_varint(source, field)?;
    let Ok(len) = usize::try_from(length) else { return Ok(None) };
    if len as u64 > end.saturating_sub(source.position()) {
        return Err(RecordError::Length { field, length }.into());
    }
    source.take(len, field).map(Some)
}

#[inline(always)]
fn read_varint<S: Source>(source: &mut S, field: Field) -> Result<i32, S::Error> {
    let raw = read_raw(source, MAX_LEN_32, field)?;
    // Five bytes carry 35 bits; Kafka's own reader drops the three that do not fit.
    Ok(unzigzag(u64::from(raw as u32)) as i32)
}

#[inline(always)]
fn read_varlong<S: Source>(source: &mut S, field: Field) -> Result<i64, S::Error> {
    read_raw(source, MAX_LEN_64, field).map(unzigzag)
}

#[inline(always)]
fn read_raw<S: Source>(source: &mut S, max_len: u32, field: Field) -> Result<u64, S::Error> {
    let first = source.byte(field)?;
    if first < 0x80 {
        return Ok(u64::from(first));
    }
    let mut raw = u64::from(first & 0x7f);
    for i in 1..max_len {
        let byte = source.byte(field)?;
        raw |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok(raw);
        }
    }
    Err(RecordError::Varint(field).into())
}

/// Bytes in memory.
#[derive(Debug, Clone)]
pub(crate) struct Slice<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len() }
    }

    /// What is still to be taken.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Source for Slice<'a> {
    type Span = &'a [u8];
    type Error = RecordError;

    #[inline(always)]
    fn position(&self) -> u64 {
        (self.len - self.rest.len()) as u64
    }

    #[inline(always)]
    fn byte(&mut self, field: Field) -> Result<u8, RecordError> {
        let (&byte, rest) = self.rest.split_first().ok_or(RecordError::Truncated(field))?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline(always)]
    fn take(&mut self, len: usize, field: Field) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RecordError::Truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }
}
