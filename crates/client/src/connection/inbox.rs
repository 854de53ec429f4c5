//! Response bytes on their way in: a read buffer that gives whole frames.
//!
//! A frame is a slice of the buffer that it was read into. A length alone buys little memory: room grows with what has
//! arrived.

use bytes::{Bytes, BytesMut};

/// Room made for a frame on the word of its length. Larger frames earn more by arriving.
const TRUSTED: usize = 1 << 20;

/// The least room to read into: small answers come several to a read.
const READ_SIZE: usize = 32 << 10;

const LENGTH_SIZE: usize = ottla_wire::frame::LENGTH_SIZE;

/// Why bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("an answer of {size} bytes is larger than the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the length of an answer is negative ({0}): this is not the Kafka protocol")]
    Negative(i32),
}

/// The read side of a connection.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    limit: usize,
}

impl Inbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// The next whole frame, without its length.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let Some(size) = self.frame_size()? else { return Ok(None) };
        if self.buffer.len() - LENGTH_SIZE < size {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(LENGTH_SIZE + size).freeze();
        Ok(Some(frame.split_off(LENGTH_SIZE)))
    }

    /// The buffer, with room to read into.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let missing = match self.frame_size() {
            Ok(Some(size)) => (LENGTH_SIZE + size).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        let wanted = missing.min(TRUSTED.max(self.buffer.len()));
        if self.buffer.capacity() - self.buffer.len() < wanted.max(READ_SIZE / 4) {
            self.buffer.reserve(wanted.max(READ_SIZE));
        }
        &mut self.buffer
    }

    fn frame_size(&self) -> Result<Option<usize>, BadFrame> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        let size = usize::try_from(length).map_err(|_| BadFrame::Negative(length))?;
        if size > self.limit {
            return Err(BadFrame::TooLarge { size, limit: self.limit });
        }
        Ok(Some(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let bytes = [&[0, 0, 0, 3][..], b"one", &[0, 0, 0, 0], &[0, 0, 0, 2], b"ab"].concat();
        for step in 1..=bytes.len() {
            let mut inbox = Inbox::new(3);
            let mut frames = Vec::new();
            for part in bytes.chunks(step) {
                inbox.room().extend_from_slice(part);
                while let Some(frame) = inbox.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"one"[..], b"", b"ab"], "in steps of {step}");
        }
    }

    #[test]
    fn a_length_alone_buys_little_memory() {
        let mut inbox = Inbox::new(usize::MAX);
        inbox.room().extend_from_slice(&i32::MAX.to_be_bytes());
        assert!(inbox.room().capacity() <= 2 * TRUSTED);
    }

    #[test]
    fn a_length_over_the_limit_or_below_zero_is_refused_at_once() {
        let mut inbox = Inbox::new(9);
        inbox.room().extend_from_slice(&10_i32.to_be_bytes());
        assert_eq!(inbox.next_frame(), Err(BadFrame::TooLarge { size: 10, limit: 9 }));
        let mut inbox = Inbox::new(9);
        inbox.room().extend_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(inbox.next_frame(), Err(BadFrame::Negative(-1)));
    }
}
