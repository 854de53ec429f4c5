//! gzip, as `java.util.zip` writes it. Members in a row are read as one.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// zlib's own default, which is 6.
pub(super) const DEFAULT_LEVEL: i32 = -1;

pub(super) fn compress(data: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    let level = match level {
        DEFAULT_LEVEL => Compression::default(),
        level => Compression::new(level.clamp(0, 9).unsigned_abs()),
    };
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(data)?;
    encoder.finish().map(|_| ())
}

pub(super) struct Decoder<'a>(MultiGzDecoder<&'a [u8]>);

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(MultiGzDecoder::new(data))
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
