//! Records read from a compressed body while it is decompressed: keys and values are skipped, never collected.

use crate::compression::Decompressor;
use crate::error::{BatchError, Field, RecordError};
use crate::grammar::Source;

const BUFFER_LEN: usize = 32 * 1024;

/// Why a record could not be read from a stream.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The record is wrong.
    Record(RecordError),
    /// Its bytes could not be had.
    Decompress(BatchError),
}

impl From<RecordError> for Stop {
    fn from(reason: RecordError) -> Self {
        Self::Record(reason)
    }
}

/// A window over decompressed bytes.
pub(crate) struct Stream<'a> {
    decompressor: Decompressor<'a>,
    buffer: Box<[u8]>,
    /// The bytes in the buffer that are still to be taken.
    start: usize,
    end: usize,
    /// Bytes that came before those in the buffer.
    before: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(decompressor: Decompressor<'a>) -> Self {
        Self { decompressor, buffer: vec![0; BUFFER_LEN].into(), start: 0, end: 0, before: 0 }
    }

    /// Gets more bytes once all were taken; false at the end.
    fn refill(&mut self) -> Result<bool, BatchError> {
        self.before += self.end as u64;
        self.start = 0;
        self.end = 0;
        self.end = self.decompressor.read(&mut self.buffer)?;
        Ok(self.end > 0)
    }

    /// Bytes that follow, as far as they are known: 0 at the end only.
    pub(crate) fn trailing(&mut self) -> Result<usize, BatchError> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(self.end - self.start)
    }
}

impl Source for Stream<'_> {
    type Span = ();
    type Error = Stop;

    #[inline]
    fn position(&self) -> u64 {
        self.before + self.start as u64
    }

    #[inline]
    fn byte(&mut self, field: Field) -> Result<u8, Stop> {
        if self.start == self.end && !self.refill().map_err(Stop::Decompress)? {
            return Err(RecordError::Truncated(field).into());
        }
        let byte = *self.buffer.get(self.start).ok_or(RecordError::Truncated(field))?;
        self.start += 1;
        Ok(byte)
    }

    #[inline]
    fn take(&mut self, mut len: usize, field: Field) -> Result<(), Stop> {
        loop {
            let skipped = len.min(self.end - self.start);
            self.start += skipped;
            len -= skipped;
            if len == 0 {
                return Ok(());
            }
            if !self.refill().map_err(Stop::Decompress)? {
                return Err(RecordError::Truncated(field).into());
            }
        }
    }
}
