//! Response bytes on their way out: chunks in order, written with as few vectored writes as the socket takes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Chunks still to be written. Record bytes stay the chunks that they were read as.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    remaining: usize,
}

impl Outbox {
    /// Adds chunks behind those that wait.
    pub(crate) fn push(&mut self, chunks: impl IntoIterator<Item = Bytes>) {
        for chunk in chunks {
            if !chunk.is_empty() {
                self.remaining += chunk.len();
                self.chunks.push_back(chunk);
            }
        }
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced past the end of the outbox");
        self.remaining -= count;
        while let Some(front) = self.chunks.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_crosses_chunks_and_keeps_order() {
        let mut outbox = Outbox::default();
        outbox.push([Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"def")]);
        assert_eq!(outbox.remaining(), 6);
        outbox.advance(2);
        assert_eq!(outbox.chunk(), b"c");
        outbox.advance(2);
        assert_eq!(outbox.chunk(), b"ef");
        outbox.advance(2);
        assert!(!outbox.has_remaining());
    }
}
