//! Request bytes on their way in: a read buffer that gives whole frames (four bytes of length, then the request).
//!
//! A frame's bytes are handed out as a slice of the buffer they were read into; nothing is copied. Room is made as
//! bytes arrive: a length prefix alone buys at most [`TRUSTED`] bytes.

use bytes::{Bytes, BytesMut};

/// Room made for a frame on the word of its length prefix. Larger frames earn more by arriving.
const TRUSTED: usize = 1 << 20;

/// The least room to read into: small requests come several to a read.
const READ_SIZE: usize = 64 << 10;

/// Why a connection's bytes are not frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// More than `socket.request.max.bytes`.
    #[error("a request of {size} bytes is larger than socket.request.max.bytes ({max})")]
    TooLarge {
        /// What the prefix says.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// A length below zero.
    #[error("the length prefix is negative ({0}): this is not the Kafka protocol")]
    Negative(i32),
}

/// The read side of a connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: BytesMut,
    max_frame: u32,
}

impl Inbox {
    /// An empty buffer for frames of at most `max_frame` bytes.
    pub(crate) fn new(max_frame: u32) -> Self {
        Self { buffer: BytesMut::new(), max_frame }
    }

    /// The size of the frame that the buffer starts with, without its prefix; `None` until the prefix is there.
    pub(crate) fn frame_size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let size = i32::from_be_bytes(*prefix);
        let unsigned = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if unsigned > self.max_frame {
            return Err(FrameError::TooLarge { size: unsigned, max: self.max_frame });
        }
        Ok(Some(unsigned as usize))
    }

    /// Takes the next whole frame, without its prefix.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.frame_size()? {
            Some(size) if self.buffer.len() - 4 >= size => {
                let mut frame = self.buffer.split_to(4 + size).freeze();
                let body = frame.split_off(4);
                Ok(Some(body))
            }
            _ => Ok(None),
        }
    }

    /// The buffer to read into, with room for more.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let wanted = match self.frame_size() {
            Ok(Some(size)) => {
                (4 + size).saturating_sub(self.buffer.len()).min(TRUSTED.max(self.buffer.len()))
            }
            _ => 0,
        };
        // `reserve` takes the old allocation back when no frame cut from it is alive any more, which is the rule.
        if self.buffer.capacity() - self.buffer.len() < wanted.max(READ_SIZE / 4) {
            self.buffer.reserve(wanted.max(READ_SIZE));
        }
        &mut self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_come_out_whole_and_in_order_however_the_bytes_arrive() {
        let stream: Vec<u8> = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for step in 1..=stream.len() {
            let mut inbox = Inbox::new(100);
            let mut frames = Vec::new();
            for part in stream.chunks(step) {
                inbox.room().extend_from_slice(part);
                while let Some(frame) = inbox.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"one"[..], b"", b"three"]);
            assert!(inbox.room().is_empty());
        }
    }

    #[test]
    fn a_length_over_the_limit_or_below_zero_is_refused_before_any_body_arrives() {
        let mut inbox = Inbox::new(100);
        inbox.room().extend_from_slice(&101_i32.to_be_bytes());
        assert_eq!(inbox.next_frame(), Err(FrameError::TooLarge { size: 101, max: 100 }));
        let mut inbox = Inbox::new(100);
        inbox.room().extend_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(inbox.next_frame(), Err(FrameError::Negative(-1)));
    }

    #[test]
    fn a_length_prefix_alone_buys_little_memory() {
        let mut inbox = Inbox::new(u32::MAX >> 1);
        inbox.room().extend_from_slice(&i32::MAX.to_be_bytes());
        assert!(inbox.room().capacity() <= 2 * TRUSTED);
    }
}
