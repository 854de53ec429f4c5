//! The batches of a segment file, one after another. Unlike the broker's own walk, this one goes on behind a batch that is
//! damaged, as long as its length leads to the next one.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::disk::OpenMode;
use ottla_env::{Disk, File};
use ottla_records::crc::Crc32c;
use ottla_records::{BatchError, BatchHeader, HEADER_LEN};

use crate::Result;

/// So many bytes are read at a time.
const WINDOW: usize = 1024 * 1024;

/// Where the bytes begin that a batch's checksum covers: its attributes.
const CRC_COVERS_FROM: u64 = 21;

/// A batch at its place.
#[derive(Debug, Clone)]
pub struct PlacedBatch {
    /// The byte of the file where it starts.
    pub position: u64,
    /// Its header, as it is there.
    pub header: BatchHeader,
    /// What is wrong with it: its checksum, or numbers of the header that contradict each other.
    pub fault: Option<BatchError>,
}

impl PlacedBatch {
    /// Where the next batch starts.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.position + self.header.size_bytes() as u64
    }
}

/// Bytes that are no batch, so that nobody can tell where the next one would start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where they start.
    pub position: u64,
    /// How many there are up to the end of the file.
    pub bytes: u64,
    /// Why they are no batch.
    pub reason: String,
}

/// What comes next in a segment.
#[derive(Debug, Clone)]
pub enum Item {
    /// A batch.
    Batch(PlacedBatch),
    /// The rest of the file.
    Unreadable(Unreadable),
}

/// Reads a segment.
pub struct SegmentReader {
    file: Arc<dyn File>,
    position: u64,
    limit: u64,
    window: Bytes,
    window_at: u64,
}

impl SegmentReader {
    /// Opens a segment at its beginning.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub async fn open(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.open(path, OpenMode::Read).await?;
        let limit = file.size().await?;
        Ok(Self { file, position: 0, limit, window: Bytes::new(), window_at: 0 })
    }

    /// The length of the file, as far as it was looked at.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.limit
    }

    /// Goes on at this byte.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// The next batch, or `None` at the end.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io). Damage is no error: it is told.
    pub async fn next_item(&mut self) -> Result<Option<Item>> {
        if self.position >= self.limit {
            return Ok(None);
        }
        let head = self.bytes(self.position, HEADER_LEN).await?;
        let header = match BatchHeader::parse(&head) {
            Ok(header) => header,
            Err(BatchError::Truncated { .. }) if self.has_grown().await? => {
                return Box::pin(self.next_item()).await;
            }
            Err(error) => return Ok(Some(self.unreadable(&head, &error))),
        };
        let batch = PlacedBatch { position: self.position, header, fault: None };
        if batch.end() > self.limit {
            // A broker may be writing it just now.
            if self.has_grown().await? {
                return Box::pin(self.next_item()).await;
            }
            let available = usize::try_from(self.limit - self.position).unwrap_or(usize::MAX);
            let error = BatchError::Truncated { needed: header.size_bytes(), available };
            return Ok(Some(self.unreadable(&head, &error)));
        }
        let computed = self.crc(self.position + CRC_COVERS_FROM, batch.end()).await?;
        let fault = match header.check_shape() {
            _ if computed != header.crc => Some(BatchError::Crc { stored: header.crc, computed }),
            shape => shape.err(),
        };
        self.position = batch.end();
        Ok(Some(Item::Batch(PlacedBatch { fault, ..batch })))
    }

    /// All bytes of a batch that was found.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub async fn read(&mut self, batch: &PlacedBatch) -> Result<Bytes> {
        self.bytes(batch.position, batch.header.size_bytes()).await
    }

    async fn has_grown(&mut self) -> Result<bool> {
        let size = self.file.size().await?;
        let grown = size > self.limit;
        self.limit = self.limit.max(size);
        self.window = Bytes::new();
        Ok(grown)
    }

    fn unreadable(&mut self, head: &[u8], error: &BatchError) -> Item {
        let (position, bytes) = (self.position, self.limit - self.position);
        self.position = self.limit;
        let reason = if head.iter().all(|&byte| byte == 0) {
            "there are zeros: room that was made in advance, or a write that was lost".to_owned()
        } else {
            error.to_string()
        };
        Item::Unreadable(Unreadable { position, bytes, reason })
    }

    async fn crc(&mut self, from: u64, to: u64) -> Result<u32> {
        let mut crc = Crc32c::new();
        let mut at = from;
        while at < to {
            let len = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
            let piece = self.bytes(at, len).await?;
            if piece.is_empty() {
                break;
            }
            crc.update(&piece);
            at += piece.len() as u64;
        }
        Ok(crc.finish())
    }

    /// `len` bytes from `at` on, fewer where the file ends.
    async fn bytes(&mut self, at: u64, len: usize) -> Result<Bytes> {
        let to_limit = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(to_limit);
        let inside = |window: &Bytes, window_at: u64| {
            let start = usize::try_from(at.checked_sub(window_at)?).ok()?;
            let end = start.checked_add(len)?;
            (end <= window.len()).then(|| window.slice(start..end))
        };
        if let Some(bytes) = inside(&self.window, self.window_at) {
            return Ok(bytes);
        }
        self.window = self.file.read_at(at, len.max(WINDOW).min(to_limit)).await?;
        self.window_at = at;
        Ok(self.window.slice(..len.min(self.window.len())))
    }
}
