//! Zstandard (KIP-110). Frames in a row are read as one.

use std::io::{self, Read};

use zstd::stream::read;

pub(super) const DEFAULT_LEVEL: i32 = 3;

pub(super) fn compress(data: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    let range = zstd::compression_level_range();
    let level = level.clamp(*range.start(), *range.end());
    out.append(&mut zstd::bulk::compress(data, level)?);
    Ok(())
}

pub(super) struct Decoder<'a>(read::Decoder<'static, &'a [u8]>);

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> io::Result<Self> {
        read::Decoder::with_buffer(data).map(Self)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
