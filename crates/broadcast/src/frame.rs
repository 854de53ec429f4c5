//! The bytes of the metadata log's files.
//!
//! ```text
//! file   := header, frame...
//! header := "OTTLAMET", version: u16, kind: u8 (0 segment, 1 snapshot), zero: u8, base: i64, crc: u32
//! frame  := mark: u32, length: u32, crc: u32, payload of that length
//! payload := base: i64, count: u32, (length: u32, bytes)...
//! ```
//!
//! Numbers are big endian. Checksums are CRC32C: the header's over the bytes before it, a frame's over its length and
//! payload. A segment's base is the offset of its first record; so is a frame's. A snapshot's base is the offset of the
//! last record that it stands for; its frames have that base too, and the last one is empty.
//!
//! A frame is what was written by one write and made durable by one fsync, before the next was begun. It holds whole
//! batches, so a batch is there completely or not at all.

use bytes::{BufMut, Bytes, BytesMut};
use ottla_types::Offset;

const MAGIC: &[u8; 8] = b"OTTLAMET";
const VERSION: u16 = 1;

/// The length of a file's header.
pub const HEADER_LEN: usize = 24;
/// The length of what precedes a frame's payload.
pub const FRAME_HEAD_LEN: usize = 12;
/// What every frame begins with: by it frames are found behind a damaged one.
pub const MARK: [u8; 4] = [0xf7, b'o', b't', 0x1a];

/// The highest offset that a file may begin with: one that no log gets to by counting, and so far from the last number
/// that counting on from it is safe.
const MAX_OFFSET: i64 = 1 << 62;

/// The largest batch: its records and four bytes for each.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// The largest payload: one batch of the largest size, or several smaller ones.
pub const MAX_PAYLOAD_BYTES: usize = MAX_BATCH_BYTES + 64;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A piece of the log.
    Segment,
    /// Records that stand for the log's beginning.
    Snapshot,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Not one of our files.
    #[error("it does not begin as a file of the metadata log does")]
    Magic,
    /// A later version of this program.
    #[error(
        "it has version {0}, and {VERSION} is the newest known: was it written by a later version of this program?"
    )]
    Version(u16),
    /// A file of the other kind, or a kind of a later version.
    #[error("it is of another kind than its name says")]
    Kind,
    /// The checksum does not agree with the bytes.
    #[error("its checksum is wrong")]
    Checksum,
    /// No frame begins here.
    #[error("no frame begins there")]
    Mark,
    /// A length that nobody writes.
    #[error("its length is {0}")]
    Length(usize),
    /// Fewer bytes than its length says.
    #[error("it ends too early")]
    Truncated,
    /// An offset that no log counts up to.
    #[error("its offset is {0}")]
    Offset(i64),
    /// A payload whose parts do not fill it.
    #[error("its records do not fill it")]
    Records,
}

impl Damage {
    /// Whether a later version of this program would find no damage.
    #[must_use]
    pub fn is_from_later(&self) -> bool {
        matches!(self, Self::Version(version) if *version > VERSION)
    }
}

/// Makes a file's header.
#[must_use]
pub fn header(kind: FileKind, base: Offset) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LEN);
    out.put_slice(MAGIC);
    out.put_u16(VERSION);
    out.put_u8(kind as u8);
    out.put_u8(0);
    out.put_i64(base.0);
    out.put_u32(crc(&out));
    out.freeze()
}

/// Reads a file's header.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_header(bytes: &[u8], kind: FileKind) -> Result<Offset, Damage> {
    let mut reader = Reader(bytes);
    if reader.take(MAGIC.len()) != Some(MAGIC) {
        return Err(Damage::Magic);
    }
    let version = reader.array().map(u16::from_be_bytes).ok_or(Damage::Truncated)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let found = reader.take(2).ok_or(Damage::Truncated)?;
    let base = reader.array().map(i64::from_be_bytes).ok_or(Damage::Truncated)?;
    let sum = reader.array().map(u32::from_be_bytes).ok_or(Damage::Truncated)?;
    if bytes.get(..HEADER_LEN - 4).map(crc) != Some(sum) {
        return Err(Damage::Checksum);
    }
    if found != [kind as u8, 0] {
        return Err(Damage::Kind);
    }
    if !(0..=MAX_OFFSET).contains(&base) {
        return Err(Damage::Offset(base));
    }
    Ok(Offset(base))
}

/// A frame being put together.
#[derive(Debug)]
pub struct FrameBuilder {
    base: Offset,
    count: u32,
    records: BytesMut,
}

impl FrameBuilder {
    /// A frame without records.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self { base, count: 0, records: BytesMut::new() }
    }

    /// The bytes that a batch takes in a frame.
    #[must_use]
    pub fn batch_len(records: &[Bytes]) -> usize {
        records.iter().map(|record| record.len() + 4).sum()
    }

    /// The bytes of the records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next(&self) -> Offset {
        Offset(self.base.0 + i64::from(self.count))
    }

    /// Adds a batch; the caller minds the frame's length. Returns the offset of its first record.
    pub fn push(&mut self, records: &[Bytes]) -> Offset {
        let first = self.next();
        for record in records {
            // A batch is within MAX_BATCH_BYTES.
            self.records.put_u32(record.len() as u32);
            self.records.put_slice(record);
            self.count += 1;
        }
        first
    }

    /// The frame's bytes: what precedes the records, and the records.
    #[must_use]
    pub fn finish(self) -> [Bytes; 2] {
        let length = (12 + self.records.len()) as u32;
        let mut head = BytesMut::with_capacity(FRAME_HEAD_LEN + 12);
        head.put_slice(&MARK);
        head.put_u32(length);
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut payload_head = BytesMut::with_capacity(12);
        payload_head.put_i64(self.base.0);
        payload_head.put_u32(self.count);
        digest.update(&length.to_be_bytes());
        digest.update(&payload_head);
        digest.update(&self.records);
        head.put_u32(digest.finalize() as u32);
        head.put_slice(&payload_head);
        [head.freeze(), self.records.freeze()]
    }
}

/// What precedes a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// The payload's length.
    pub len: usize,
    crc: u32,
}

impl FrameHead {
    /// Reads it.
    ///
    /// # Errors
    /// There is no frame, or one with an impossible length.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let mut reader = Reader(bytes);
        if reader.take(MARK.len()).ok_or(Damage::Truncated)? != MARK {
            return Err(Damage::Mark);
        }
        let len = reader.array().map(u32::from_be_bytes).ok_or(Damage::Truncated)? as usize;
        let crc = reader.array().map(u32::from_be_bytes).ok_or(Damage::Truncated)?;
        if !(12..=MAX_PAYLOAD_BYTES).contains(&len) {
            return Err(Damage::Length(len));
        }
        Ok(Self { len, crc })
    }

    /// Checks the payload and takes it apart.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn records<'a>(&self, payload: &'a [u8]) -> Result<(Offset, Vec<&'a [u8]>), Damage> {
        if payload.len() != self.len {
            return Err(Damage::Truncated);
        }
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&(self.len as u32).to_be_bytes());
        digest.update(payload);
        if digest.finalize() as u32 != self.crc {
            return Err(Damage::Checksum);
        }
        let mut reader = Reader(payload);
        let base = reader.array().map(i64::from_be_bytes).ok_or(Damage::Records)?;
        let count = reader.array().map(u32::from_be_bytes).ok_or(Damage::Records)? as usize;
        // Each record takes four bytes at least, so the allocation is within what is there.
        if count > reader.0.len() / 4 {
            return Err(Damage::Records);
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let len = reader.array().map(u32::from_be_bytes).ok_or(Damage::Records)? as usize;
            records.push(reader.take(len).ok_or(Damage::Records)?);
        }
        if !reader.0.is_empty() {
            return Err(Damage::Records);
        }
        if !(0..=MAX_OFFSET).contains(&base) {
            return Err(Damage::Offset(base));
        }
        Ok((Offset(base), records))
    }
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
