//! Zstandard (KIP-110). Frames in a row are read as one stream.
//!
//! A frame may ask for a window of up to 128 MiB, as frames of Kafka's client at its highest levels do whatever they
//! hold. The library reserves it and touches as much of it as the data fills, so the limit on the output bounds it.

use std::cell::Cell;
use std::io;

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

pub(super) const DEFAULT_LEVEL: i32 = 3;

/// The largest decompression context that a thread keeps: a window of Kafka's default level and what belongs to it.
const MAX_KEPT_CONTEXT: usize = 4 << 20;

thread_local! {
    /// Making a context takes as long as decompressing half a batch, so each thread keeps one between batches.
    static CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn compress(data: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    let range = zstd::compression_level_range();
    let level = level.clamp(*range.start(), *range.end());
    out.append(&mut zstd::bulk::compress(data, level)?);
    Ok(())
}

pub(super) struct Decoder<'a> {
    /// `None` only while the decoder is dropped.
    context: Option<DCtx<'static>>,
    rest: &'a [u8],
    inside_frame: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> io::Result<Self> {
        let mut context = CONTEXT
            .take()
            .or_else(DCtx::try_create)
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "no memory for a context"))?;
        // The last batch may have been given up in the middle.
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        Ok(Self { context: Some(context), rest: data, inside_frame: false })
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(context) = &mut self.context else { return Ok(0) };
        let mut output = OutBuffer::around(buffer);
        // Inside a frame there may be output left in the context when the input is at its end.
        while self.inside_frame || !self.rest.is_empty() {
            let mut input = InBuffer::around(self.rest);
            let hint = context.decompress_stream(&mut output, &mut input).map_err(failed)?;
            let taken = input.pos();
            self.rest = self.rest.get(taken..).unwrap_or_default();
            self.inside_frame = hint != 0;
            if output.pos() > 0 {
                break;
            }
            if self.inside_frame && taken == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is cut off"));
            }
        }
        Ok(output.pos())
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take()
            && context.sizeof() <= MAX_KEPT_CONTEXT
        {
            CONTEXT.set(Some(context));
        }
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, get_error_name(code))
}
