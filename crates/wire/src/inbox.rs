//! Bytes on their way in: a read buffer that gives whole frames (four bytes of length, then what they announce).
//!
//! A frame's bytes are handed out as a slice of the buffer they were read into; nothing is copied. Room is made as
//! bytes arrive: a length alone buys little.
//!
//! What is not here: reading. Whoever has the connection reads into [`Inbox::room`].

use bytes::{Bytes, BytesMut};

use crate::frame::LENGTH_SIZE;

/// Room made for a frame on the word of its length prefix. Larger frames earn more by arriving.
const TRUSTED: usize = 1 << 20;

/// The least room to read into: small requests come several to a read.
const READ_SIZE: usize = 64 << 10;

/// Why bytes are not frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More than the reader takes.
    #[error("a frame of {size} bytes is larger than the {max} that are allowed")]
    TooLarge {
        /// What the prefix says.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// A length below zero.
    #[error("the length of a frame is negative ({0}): this is not the Kafka protocol")]
    Negative(i32),
}

/// The read side of a connection: a buffer, and where frames begin in it.
#[derive(Debug)]
pub struct Inbox {
    buffer: BytesMut,
    max_frame: u32,
}

impl Inbox {
    /// An empty buffer for frames of at most `max_frame` bytes.
    #[must_use]
    pub fn new(max_frame: u32) -> Self {
        Self { buffer: BytesMut::new(), max_frame }
    }

    /// The size of the frame that the buffer starts with, without its length; `None` until the length is there.
    ///
    /// # Errors
    /// The length is negative, or over the limit: nothing that follows can be understood.
    pub fn frame_size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let size = i32::from_be_bytes(*prefix);
        let unsigned = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if unsigned > self.max_frame {
            return Err(FrameError::TooLarge { size: unsigned, max: self.max_frame });
        }
        Ok(Some(unsigned as usize))
    }

    /// Takes the next whole frame, without its length; `None` until all of it is there.
    ///
    /// # Errors
    /// As [`Self::frame_size`].
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.frame_size()? {
            Some(size) if self.buffer.len() - LENGTH_SIZE >= size => {
                let mut frame = self.buffer.split_to(LENGTH_SIZE + size).freeze();
                let body = frame.split_off(LENGTH_SIZE);
                if size > TRUSTED {
                    // Else the room that one large frame earned would stay for as long as the connection does.
                    self.buffer = BytesMut::from(&*self.buffer);
                }
                Ok(Some(body))
            }
            _ => Ok(None),
        }
    }

    /// How many bytes have arrived that no frame was made of yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The buffer to read into, with room for more.
    pub fn room(&mut self) -> &mut BytesMut {
        let wanted = match self.frame_size() {
            Ok(Some(size)) => {
                (LENGTH_SIZE + size).saturating_sub(self.buffer.len()).min(TRUSTED.max(self.buffer.len()))
            }
            _ => 0,
        };
        let enough = self.buffer.capacity() - self.buffer.len() >= wanted.max(READ_SIZE / 4);
        let wanted = wanted.max(READ_SIZE);
        // The old allocation comes back when no frame cut from it is alive any more, which is the rule. A new one is
        // filled with what has arrived: letting the allocator grow the old one would copy, and so make resident, all of
        // the room that nothing was ever read into.
        if !enough && !self.buffer.try_reclaim(wanted) {
            let mut larger = BytesMut::with_capacity(self.buffer.len() + wanted);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
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
    fn the_room_for_a_large_frame_is_given_back_with_it() {
        let mut inbox = Inbox::new(u32::MAX);
        let large = frame(&vec![7; 5 * TRUSTED]);
        inbox.room().extend_from_slice(&large);
        inbox.room().extend_from_slice(&frame(b"next"));
        drop(inbox.next_frame().unwrap().unwrap());
        assert_eq!(inbox.next_frame().unwrap().unwrap(), &b"next"[..]);
        assert!(inbox.room().capacity() <= 2 * TRUSTED);
    }

    #[test]
    fn a_length_prefix_alone_buys_little_memory() {
        let mut inbox = Inbox::new(u32::MAX >> 1);
        inbox.room().extend_from_slice(&i32::MAX.to_be_bytes());
        assert!(inbox.room().capacity() <= 2 * TRUSTED);
    }
}
