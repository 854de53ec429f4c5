//! Compressing and decompressing the records of a batch, always with a limit on what comes out.
//!
//! Each codec has a file. Decompression is a stream, so that a batch can be validated without holding all of it;
//! `stream.rs` reads records from that stream.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::io::{self, Read};

use crate::attributes::Codec;
use crate::error::BatchError;

/// How to compress: a codec and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self::new(Codec::None);

    /// A codec with Kafka's default level.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => gzip::DEFAULT_LEVEL,
            Codec::Lz4 => lz4::DEFAULT_LEVEL,
            Codec::Zstd => zstd::DEFAULT_LEVEL,
        };
        Self { codec, level }
    }

    /// A codec with a level as in `compression.gzip.level`, `compression.lz4.level` or `compression.zstd.level`.
    /// A level that the codec does not have is taken for the nearest that it has; snappy has none.
    #[must_use]
    pub const fn with_level(codec: Codec, level: i32) -> Self {
        Self { codec, level }
    }

    /// The codec.
    #[must_use]
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// The level.
    #[must_use]
    pub fn level(self) -> i32 {
        self.level
    }

    /// Compresses `data` and appends it to `out`.
    ///
    /// # Errors
    /// [`BatchError::Compress`] when the codec's library fails, which takes running out of memory or a block of more
    /// than 4 GB.
    pub fn compress(self, data: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
        let done = match self.codec {
            Codec::None => {
                out.extend_from_slice(data);
                Ok(())
            }
            Codec::Gzip => gzip::compress(data, self.level, out),
            Codec::Snappy => snappy::compress(data, out),
            Codec::Lz4 => lz4::compress(data, self.level, out),
            Codec::Zstd => zstd::compress(data, self.level, out),
        };
        done.map_err(|error| BatchError::Compress { codec: self.codec, reason: error.to_string() })
    }
}

/// Decompresses `data` into at most `limit` bytes.
///
/// # Errors
/// [`BatchError::Decompress`] or [`BatchError::DecompressedTooLarge`].
pub fn decompress(codec: Codec, data: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut reader = Decompressor::new(codec, data, limit)?;
    let mut out = vec![0; data.len().saturating_mul(2).max(MIN_CHUNK).min(limit.saturating_add(1))];
    let mut filled = 0;
    loop {
        let read = reader.read(out.get_mut(filled..).unwrap_or_default())?;
        filled += read;
        if read == 0 {
            out.truncate(filled);
            return Ok(out);
        }
        // Doubled only when bytes have really come; one byte of room beyond the limit tells whether it is passed.
        if filled == out.len() {
            out.resize(filled.saturating_mul(2).min(limit.saturating_add(1)), 0);
        }
    }
}

const MIN_CHUNK: usize = 1024;

/// A stream of decompressed bytes, which fails beyond its limit.
pub(crate) struct Decompressor<'a> {
    codec: Codec,
    inner: Inner<'a>,
    left: usize,
    limit: usize,
}

enum Inner<'a> {
    None(&'a [u8]),
    Gzip(Box<gzip::Decoder<'a>>),
    Snappy(snappy::Decoder<'a>),
    Lz4(lz4::Decoder<'a>),
    Zstd(zstd::Decoder<'a>),
}

impl<'a> Decompressor<'a> {
    pub(crate) fn new(codec: Codec, data: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        let inner = match codec {
            // A batch that lost all its records keeps its codec, and has nothing to decompress.
            _ if data.is_empty() => Ok(Inner::None(data)),
            Codec::None => Ok(Inner::None(data)),
            Codec::Gzip => Ok(Inner::Gzip(Box::new(gzip::Decoder::new(data)))),
            Codec::Snappy => Ok(Inner::Snappy(snappy::Decoder::new(data, limit))),
            Codec::Lz4 => lz4::Decoder::new(data).map(Inner::Lz4),
            Codec::Zstd => zstd::Decoder::new(data).map(Inner::Zstd),
        };
        let inner = inner.map_err(|error| failed(codec, &error))?;
        Ok(Self { codec, inner, left: limit, limit })
    }

    /// Fills the front of `buffer`; 0 bytes mean the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BatchError> {
        let read = match &mut self.inner {
            Inner::None(rest) => rest.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Snappy(decoder) => decoder.read(buffer),
            Inner::Lz4(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
        };
        let within_limit = read.and_then(|read| {
            self.left = self.left.checked_sub(read).ok_or_else(beyond_limit)?;
            Ok(read)
        });
        within_limit.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                BatchError::DecompressedTooLarge { codec: self.codec, limit: self.limit }
            }
            _ => failed(self.codec, &error),
        })
    }
}

/// What a decoder says that sees the limit passed before it has decompressed anything.
fn beyond_limit() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

fn failed(codec: Codec, error: &io::Error) -> BatchError {
    BatchError::Decompress { codec, reason: error.to_string() }
}
