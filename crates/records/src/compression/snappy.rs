//! Snappy: raw (librdkafka and others), or in the framing of xerial's snappy-java (Kafka's own client).
//!
//! The framing is a header of 16 bytes (magic, version, oldest compatible version), then blocks: a length with four
//! bytes and a raw Snappy block. It is written as snappy-java does, in blocks of 32 KiB.

use std::io;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_LEN: usize = 16;
const BLOCK_SIZE: usize = 32 * 1024;

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_SIZE) {
        let compressed = encoder.compress_vec(block)?;
        out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(())
}

pub(super) struct Decoder<'a> {
    /// Compressed data not yet looked at.
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    /// How much of the block was given out.
    given: usize,
    limit: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8], limit: usize) -> Self {
        Self { rest: data, framed: data.starts_with(&MAGIC), block: Vec::new(), given: 0, limit }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() {
            let Some(compressed) = self.next_block()? else { return Ok(0) };
            self.decompress(compressed)?;
        }
        let block = self.block.get(self.given..).unwrap_or_default();
        let len = block.len().min(buffer.len());
        if let (Some(from), Some(to)) = (block.get(..len), buffer.get_mut(..len)) {
            to.copy_from_slice(from);
        }
        self.given += len;
        Ok(len)
    }

    fn next_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if !self.framed {
            let block = std::mem::take(&mut self.rest);
            return Ok((!block.is_empty()).then_some(block));
        }
        // Streams in a row, each with its header, are one stream.
        while self.rest.starts_with(&MAGIC) {
            self.rest = self.rest.get(HEADER_LEN..).ok_or_else(|| invalid("the stream header is cut off"))?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (len, rest) =
            self.rest.split_first_chunk().ok_or_else(|| invalid("the length of a block is cut off"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, rest) = rest.split_at_checked(len).ok_or_else(|| invalid("a block is cut off"))?;
        self.rest = rest;
        Ok(Some(block))
    }

    fn decompress(&mut self, compressed: &[u8]) -> io::Result<()> {
        let len = snap::raw::decompress_len(compressed)?;
        // Snappy's densest element copies 64 bytes and takes 3, so a longer claim is a lie, and is not allocated.
        if len > compressed.len().saturating_mul(22) {
            return Err(invalid("a block claims more bytes than it can hold"));
        }
        if len > self.limit {
            return Err(super::beyond_limit());
        }
        self.block.resize(len, 0);
        snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
        self.given = 0;
        Ok(())
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
