//! Walking over the batches of a segment file, in order, from a place where one is known to start.
//!
//! A [`Scan`] reads in windows and allocates at most a window, or one batch that the file really holds.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::File;
use ottla_records::header::HEADER_LEN;
use ottla_records::{Batch, BatchError, BatchHeader};
use ottla_types::Offset;

use crate::{Error, Result};

/// A window for walks that look at headers only: jumps are likely.
pub(crate) const HEADERS: usize = 8 * 1024;
/// A window for walks that read everything.
pub(crate) const WHOLE: usize = 1024 * 1024;

/// A batch at its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Found {
    /// Where the next batch starts.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_bytes() as u64
    }
}

/// A walk over `file` up to byte `limit`.
pub(crate) struct Scan {
    file: Arc<dyn File>,
    position: u64,
    limit: u64,
    window_len: usize,
    window: Bytes,
    window_at: u64,
    /// The offset that the next batch must not be below; the last known one, for messages.
    next_offset: Offset,
    /// The size of the last batch: the next one is likely to be like it.
    last_size: usize,
}

impl Scan {
    pub(crate) fn new(
        file: Arc<dyn File>,
        position: u64,
        limit: u64,
        from: Offset,
        window_len: usize,
    ) -> Self {
        Self {
            file,
            position,
            limit,
            window_len,
            window: Bytes::new(),
            window_at: position,
            next_offset: from,
            last_size: 0,
        }
    }

    /// Goes back to a batch, so that it comes again.
    pub(crate) fn back_to(&mut self, found: &Found) {
        self.position = found.position;
        self.next_offset = found.header.base_offset;
    }

    /// Where the next batch is expected.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Where the walk ends.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// What the next batch's offset is at least.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn corrupt(&self, reason: impl ToString) -> Error {
        Error::Corrupt {
            path: self.file.path().clone(),
            position: self.position,
            offset: self.next_offset,
            reason: reason.to_string(),
        }
    }

    /// The next batch's header, or `None` at the limit. Its length is seen to lie within the limit and its offsets to
    /// follow the last ones; its checksum is not looked at.
    pub(crate) async fn header(&mut self) -> Result<Option<Found>> {
        if self.position >= self.limit {
            return Ok(None);
        }
        // A walk over headers of large batches reads the headers alone.
        let is_sparse = self.window_len == HEADERS && self.last_size >= HEADERS;
        let window_len = if is_sparse { HEADER_LEN } else { self.window_len };
        let bytes = self.bytes(HEADER_LEN, window_len).await?;
        let header = BatchHeader::parse(&bytes).map_err(|e| self.corrupt(e))?;
        header.check_shape().map_err(|e| self.corrupt(e))?;
        if header.base_offset < self.next_offset {
            return Err(self.corrupt(format!("the batch there starts at offset {}", header.base_offset)));
        }
        let found = Found { position: self.position, header };
        if found.end() > self.limit {
            let available = usize::try_from(self.limit - self.position).unwrap_or(usize::MAX);
            return Err(self.corrupt(BatchError::Truncated { needed: header.size_bytes(), available }));
        }
        self.position = found.end();
        self.next_offset = header.next_offset();
        self.last_size = header.size_bytes();
        Ok(Some(found))
    }

    /// The next batch whole, its checksum verified; `None` at the limit. After an error the walk stands before it.
    pub(crate) async fn batch(&mut self) -> Result<Option<(Found, Bytes)>> {
        let before = (self.position, self.next_offset);
        let Some(found) = self.header().await? else { return Ok(None) };
        let after = (self.position, self.next_offset);
        (self.position, self.next_offset) = before;
        let bytes = self.bytes(found.header.size_bytes(), self.window_len).await?;
        let (batch, _) = Batch::parse(&bytes).map_err(|e| self.corrupt(e))?;
        batch.verify().map_err(|e| self.corrupt(e))?;
        (self.position, self.next_offset) = after;
        Ok(Some((found, bytes)))
    }

    /// Whether the limit lies within the batch at the position, as a write leaves it that was cut off: of a batch that
    /// cannot be read.
    pub(crate) async fn is_cut_off(&mut self) -> Result<bool> {
        let bytes = self.bytes(HEADER_LEN, HEADER_LEN).await?;
        let rest = self.limit.saturating_sub(self.position);
        let is_longer = BatchHeader::parse(&bytes).is_ok_and(|header| header.size_bytes() as u64 > rest);
        Ok(rest < HEADER_LEN as u64 || is_longer)
    }

    /// `len` bytes at the position: fewer where the limit comes first. What must be read is read in windows.
    async fn bytes(&mut self, len: usize, window_len: usize) -> Result<Bytes> {
        let to_limit = usize::try_from(self.limit.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let len = len.min(to_limit);
        let start = usize::try_from(self.position.wrapping_sub(self.window_at)).unwrap_or(usize::MAX);
        if start.checked_add(len).is_none_or(|end| end > self.window.len()) {
            self.window = self.file.read_at(self.position, len.max(window_len).min(to_limit)).await?;
            self.window_at = self.position;
        }
        let start = usize::try_from(self.position.wrapping_sub(self.window_at)).unwrap_or(usize::MAX);
        let end = start.saturating_add(len).min(self.window.len());
        Ok(self.window.slice(start.min(end)..end))
    }
}
