//! LZ4 in its frame format, written as Kafka's Java client does: independent blocks of 64 KiB, without checksums and
//! content size. (That client refuses frames whose blocks depend on each other.) One frame is read; what follows it is
//! ignored, as that client does.

use std::io::{self, Read, Write};

use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder};

/// Kafka's default, which stands for the fast compressor; all other levels are those of LZ4 HC.
pub(super) const DEFAULT_LEVEL: i32 = 9;

pub(super) fn compress(data: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    // The library's levels below 3 are the fast compressor again.
    let level = if level == DEFAULT_LEVEL { 0 } else { level.clamp(3, 12).unsigned_abs() };
    let mut encoder = EncoderBuilder::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent)
        .block_checksum(BlockChecksum::NoBlockChecksum)
        .checksum(ContentChecksum::NoChecksum)
        .level(level)
        .build(out)?;
    encoder.write_all(data)?;
    encoder.finish().1
}

pub(super) struct Decoder<'a> {
    /// `None` after the end of the frame.
    inner: Option<lz4::Decoder<&'a [u8]>>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> io::Result<Self> {
        lz4::Decoder::new(data).map(|inner| Self { inner: Some(inner) })
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.inner else { return Ok(0) };
        let read = inner.read(buffer)?;
        // The library takes the end of the data for the end of the frame, unless it is asked.
        if read == 0
            && !buffer.is_empty()
            && let Some(inner) = self.inner.take()
            && inner.finish().1.is_err()
        {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is cut off"));
        }
        Ok(read)
    }
}
