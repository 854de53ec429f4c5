//! A borrowed view of one batch, and of many in a row.

use std::borrow::Cow;

use bytes::Bytes;
use ottla_types::Offset;

use crate::attributes::Codec;
use crate::compression::{self, Decompressor};
use crate::crc::crc32c;
use crate::error::BatchError;
use crate::grammar::read_record;
use crate::header::{BatchHeader, HEADER_LEN, at};
use crate::record::{Base, Records};
use crate::stream::{Stop, Stream};

/// The bytes of one whole batch, with its header read.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Splits the first batch from `bytes`, and gives what follows it.
    ///
    /// Neither checksum nor records are looked at; see [`Self::verify`].
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Magic`] or [`BatchError::Length`].
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_bytes();
        match bytes.split_at_checked(needed) {
            Some((bytes, rest)) => Ok((Self { header, bytes }, rest)),
            None => Err(BatchError::Truncated { needed, available: bytes.len() }),
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed or not.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Checks the checksum: that these are the bytes that were written.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(self.bytes.get(at::ATTRIBUTES..).unwrap_or_default());
        let stored = self.header.crc;
        if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
    }

    /// Checks the checksum and that the numbers of the header agree: what a broker asks of a batch from its leader or
    /// from its disk. The records are not walked.
    ///
    /// # Errors
    /// [`BatchError::Crc`], or what [`BatchHeader::check_shape`] finds.
    pub fn verify(&self) -> Result<(), BatchError> {
        self.verify_crc()?;
        self.header.check_shape()
    }

    /// The records of a batch that is not compressed.
    ///
    /// # Errors
    /// [`BatchError::Compressed`] or [`BatchError::UnknownCodec`].
    pub fn records(&self) -> Result<Records<'a>, BatchError> {
        match self.codec()? {
            Codec::None => Ok(Records::new(&self.header, self.body())),
            codec => Err(BatchError::Compressed(codec)),
        }
    }

    /// The records' bytes, decompressed into at most `limit` bytes; copied when they are not compressed.
    /// [`Records::new`] with this batch's header iterates over them.
    ///
    /// # Errors
    /// [`BatchError::Decompress`], [`BatchError::DecompressedTooLarge`] or [`BatchError::UnknownCodec`].
    pub fn decompress(&self, limit: usize) -> Result<Bytes, BatchError> {
        compression::decompress(self.codec()?, self.body(), limit).map(Bytes::from)
    }

    /// The records' bytes, borrowed when they are not compressed, else decompressed into at most `limit` bytes.
    /// [`Records::new`] with this batch's header iterates over them.
    ///
    /// # Errors
    /// [`BatchError::Decompress`], [`BatchError::DecompressedTooLarge`] or [`BatchError::UnknownCodec`].
    pub fn records_bytes(&self, limit: usize) -> Result<Cow<'a, [u8]>, BatchError> {
        match self.codec()? {
            Codec::None => Ok(Cow::Borrowed(self.body())),
            codec => compression::decompress(codec, self.body(), limit).map(Cow::Owned),
        }
    }

    /// The offset of the first record that has the batch's highest timestamp; `None` in a batch without records.
    ///
    /// # Errors
    /// What reading the records may find.
    pub fn offset_of_max_timestamp(&self, limit: usize) -> Result<Option<Offset>, BatchError> {
        let records = self.records_bytes(limit)?;
        let mut best: Option<(i64, Offset)> = None;
        for record in Records::new(&self.header, &records) {
            let record = record?;
            if best.is_none_or(|(timestamp_ms, _)| record.timestamp_ms > timestamp_ms) {
                best = Some((record.timestamp_ms, record.offset));
            }
        }
        Ok(best.map(|(_, offset)| offset))
    }

    /// The offset and timestamp of the first record for which `wanted` says so. A compressed batch is decompressed as far as
    /// that record, up to `limit` bytes, and only a window of it is held in memory (a block of Snappy is one window).
    ///
    /// # Errors
    /// What reading the records up to there may find.
    pub fn find(
        &self,
        limit: usize,
        wanted: impl Fn(Offset, i64) -> bool,
    ) -> Result<Option<(Offset, i64)>, BatchError> {
        let base = Base::of(&self.header);
        let mut stream = Stream::new(Decompressor::new(self.codec()?, self.body(), limit)?);
        for index in 0..self.header.records_count {
            let at = |reason| BatchError::Record { index, reason };
            let record = read_record(&mut stream).map_err(|stop| match stop {
                Stop::Record(reason) => at(reason),
                Stop::Decompress(error) => error,
            })?;
            let offset = base.offset(record.offset_delta).map_err(at)?;
            let timestamp_ms = base.timestamp_ms(record.timestamp_delta).map_err(at)?;
            if wanted(offset, timestamp_ms) {
                return Ok(Some((offset, timestamp_ms)));
            }
        }
        Ok(None)
    }

    fn codec(&self) -> Result<Codec, BatchError> {
        self.header.attributes.codec().map_err(BatchError::UnknownCodec)
    }
}

/// The batches in `bytes`, one after another.
#[must_use]
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes, failed: false }
}

/// An iterator over batches in a row; see [`batches()`].
///
/// It ends after the last whole batch when the bytes end there. Otherwise it gives one error and then ends:
/// [`BatchError::Truncated`] for a tail that is the front of a batch (which a fetch answer or a torn write may have),
/// another one for bytes that are none. [`Self::rest`] tells what it has not read.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    /// The bytes after the last batch given.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match Batch::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
