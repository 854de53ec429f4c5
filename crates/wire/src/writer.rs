//! Writing the protocol's primitive types into a list of chunks.
//!
//! Small fields gather in one buffer; record batches become chunks of their own, so that they are handed to the socket
//! as they are and never copied.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::error::{Error, Fault};

/// What most messages without records fit into.
const FIRST_CAPACITY: usize = 256;

/// From this size on, a bytes field becomes a chunk of its own: below it a copy costs less than another chunk.
const OWN_CHUNK_SIZE: usize = 4096;

/// Collects the output.
#[derive(Debug)]
pub struct Writer {
    /// What came before the first chunk that was not copied; still writable, for a length in front of all.
    head: Option<BytesMut>,
    /// What follows the head.
    chunks: Vec<Bytes>,
    /// What is written at the moment: it follows the chunks.
    tail: BytesMut,
    /// How many bytes lie before the tail.
    settled: usize,
}

/// Where a tagged field began.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct TagStart {
    /// How many pieces (head and chunks) lay before it.
    pieces: usize,
    /// Its start in the piece of that number.
    at: usize,
    /// Its start in the whole output.
    position: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self { head: None, chunks: Vec::new(), tail: BytesMut::with_capacity(FIRST_CAPACITY), settled: 0 }
    }

    /// How many bytes have been written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.settled + self.tail.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output as chunks, none of which is empty.
    #[must_use]
    pub fn into_chunks(mut self) -> Vec<Bytes> {
        self.settle_tail();
        match self.head {
            None => self.chunks,
            Some(head) => {
                self.chunks.insert(0, head.freeze());
                self.chunks
            }
        }
    }

    /// The output as chunks, its first four bytes (written before as a placeholder) replaced by `length`.
    pub(crate) fn into_frame(mut self, length: i32) -> Vec<Bytes> {
        let first = self.head.as_mut().unwrap_or(&mut self.tail);
        if let Some(place) = first.first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        self.into_chunks()
    }

    /// Moves what was written so far out of the tail, so that a chunk can follow it.
    fn settle_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        self.settled += self.tail.len();
        let piece = self.tail.split();
        if self.head.is_none() && self.chunks.is_empty() {
            self.head = Some(piece);
        } else {
            self.chunks.push(piece.freeze());
        }
    }

    /// Bytes that are not copied.
    pub fn write_chunk(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.settle_tail();
        self.settled += chunk.len();
        self.chunks.push(chunk);
    }

    /// The bytes of a bytes field: copied if they are few.
    pub fn write_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < OWN_CHUNK_SIZE { self.write_slice(bytes) } else { self.write_chunk(bytes.clone()) }
    }

    /// Bytes that are copied.
    #[inline]
    pub fn write_slice(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// An `int8`.
    #[inline]
    pub fn write_i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// An `int16`.
    #[inline]
    pub fn write_i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// A `uint16`.
    #[inline]
    pub fn write_u16(&mut self, value: u16) {
        self.tail.put_u16(value);
    }

    /// An `int32`.
    #[inline]
    pub fn write_i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// A `uint32`.
    #[inline]
    pub fn write_u32(&mut self, value: u32) {
        self.tail.put_u32(value);
    }

    /// An `int64`.
    #[inline]
    pub fn write_i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// A `float64`.
    #[inline]
    pub fn write_f64(&mut self, value: f64) {
        self.tail.put_f64(value);
    }

    /// A `bool`.
    #[inline]
    pub fn write_bool(&mut self, value: bool) {
        self.tail.put_u8(u8::from(value));
    }

    /// An unsigned varint: seven bits a byte, the lowest first.
    #[inline]
    pub fn write_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value as u8);
    }

    /// The byte before a structure that may be null.
    pub fn write_presence(&mut self, present: bool) {
        self.write_i8(if present { 1 } else { -1 });
    }

    /// The length before a string; `None` for null.
    #[inline]
    pub fn write_string_length(&mut self, length: Option<usize>, compact: bool) -> Result<(), Error> {
        let signed = match length {
            None => -1,
            Some(length) => i16::try_from(length).map_err(|_| Error::new(Fault::StringTooLong(length)))?,
        };
        if compact {
            self.write_uvarint(signed.wrapping_add(1) as u16 as u32);
        } else {
            self.write_i16(signed);
        }
        Ok(())
    }

    /// The length before bytes, records or an array; `None` for null.
    #[inline]
    pub fn write_length(&mut self, length: Option<usize>, compact: bool) -> Result<(), Error> {
        let signed = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| Error::new(Fault::TooMany(length)))?,
        };
        if compact {
            self.write_uvarint((signed as u32).wrapping_add(1));
        } else {
            self.write_i32(signed);
        }
        Ok(())
    }

    /// The tag of a tagged field; what is written from here to [`Self::end_tag`] is its value.
    pub fn begin_tag(&mut self, tag: u32) -> TagStart {
        self.write_uvarint(tag);
        let head = usize::from(self.head.is_some());
        TagStart { pieces: head + self.chunks.len(), at: self.tail.len(), position: self.len() }
    }

    /// Puts the size of a tagged field before its value.
    pub fn end_tag(&mut self, start: TagStart) {
        let size = self.len() - start.position;
        let mut prefix = BytesMut::with_capacity(5);
        put_uvarint(&mut prefix, u32::try_from(size).unwrap_or(u32::MAX));
        let head = usize::from(self.head.is_some());
        if start.pieces == head + self.chunks.len() {
            insert(&mut self.tail, start.at, &prefix);
            return;
        }
        // The value holds chunks, so its start lies in a piece that was settled since.
        self.settled += prefix.len();
        match (start.pieces, &mut self.head) {
            (0, Some(head)) => insert(head, start.at, &prefix),
            (piece, _) => {
                if let Some(chunk) = self.chunks.get_mut(piece - head) {
                    let mut whole = BytesMut::from(chunk.as_ref());
                    insert(&mut whole, start.at, &prefix);
                    *chunk = whole.freeze();
                }
            }
        }
    }
}

fn put_uvarint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

fn insert(buffer: &mut BytesMut, at: usize, bytes: &[u8]) {
    let after = buffer.split_off(at);
    buffer.put_slice(bytes);
    buffer.put_slice(&after);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new();
        write(&mut writer);
        let len = writer.len();
        let bytes = writer.into_chunks().concat();
        assert_eq!(bytes.len(), len);
        bytes
    }

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, i32::MAX as u32, u32::MAX] {
            let bytes = written(|writer| writer.write_uvarint(value));
            assert_eq!(Reader::new(bytes.into()).read_uvarint(), Ok(value));
        }
    }

    #[test]
    fn a_chunk_is_passed_on_and_not_copied() {
        let chunk = Bytes::from(vec![7; 10]);
        let mut writer = Writer::new();
        writer.write_i8(1);
        writer.write_chunk(chunk.clone());
        writer.write_chunk(Bytes::new());
        writer.write_i8(2);
        let chunks = writer.into_chunks();
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [1, 10, 1]);
        assert_eq!(chunks[1].as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn large_bytes_fields_become_chunks_and_small_ones_do_not() {
        let mut writer = Writer::new();
        writer.write_bytes(&Bytes::from(vec![1; OWN_CHUNK_SIZE - 1]));
        writer.write_bytes(&Bytes::from(vec![1; OWN_CHUNK_SIZE]));
        assert_eq!(writer.into_chunks().len(), 2);
    }

    #[test]
    fn a_length_that_its_field_cannot_say_is_an_error() {
        let mut writer = Writer::new();
        for compact in [true, false] {
            assert!(writer.write_string_length(Some(32_767), compact).is_ok());
            assert!(writer.write_string_length(Some(32_768), compact).is_err());
            assert!(writer.write_length(Some(i32::MAX as usize), compact).is_ok());
            assert!(writer.write_length(Some(i32::MAX as usize + 1), compact).is_err());
        }
    }

    #[test]
    fn the_longest_compact_lengths_are_one_above_what_they_count() {
        assert_eq!(
            written(|writer| writer.write_string_length(Some(32_767), true).unwrap()),
            [0x80, 0x80, 0x02]
        );
        assert_eq!(
            written(|writer| writer.write_length(Some(i32::MAX as usize), true).unwrap()),
            [0x80, 0x80, 0x80, 0x80, 0x08]
        );
        assert_eq!(written(|writer| writer.write_length(None, true).unwrap()), [0]);
        assert_eq!(written(|writer| writer.write_length(None, false).unwrap()), [0xff; 4]);
    }

    #[test]
    fn the_size_of_a_tagged_field_may_take_several_bytes() {
        let bytes = written(|writer| {
            writer.write_i8(9);
            let tag = writer.begin_tag(3);
            writer.write_slice(&[5; 200]);
            writer.end_tag(tag);
            writer.write_i8(8);
        });
        assert_eq!(bytes[..4], [9, 3, 0xc8, 0x01]);
        assert_eq!((bytes.len(), bytes[204]), (205, 8));
    }

    #[test]
    fn a_tagged_field_may_hold_chunks_whichever_piece_it_starts_in() {
        let records = Bytes::from_static(b"records");
        for chunks_before in 0..3 {
            let bytes = written(|writer| {
                let mut expected = Vec::new();
                for _ in 0..chunks_before {
                    writer.write_i8(1);
                    writer.write_chunk(records.clone());
                    expected.extend_from_slice(b"\x01records");
                }
                let tag = writer.begin_tag(0);
                writer.write_i8(2);
                writer.write_chunk(records.clone());
                writer.write_i8(3);
                writer.end_tag(tag);
                expected.extend_from_slice(b"\x00\x09\x02records\x03");
                assert_eq!(writer.len(), expected.len());
            });
            assert!(bytes.ends_with(b"\x00\x09\x02records\x03"), "{bytes:?}");
            assert_eq!(bytes.len(), chunks_before * 8 + 11);
        }
    }

    #[test]
    fn the_length_before_a_frame_is_patched_wherever_its_first_bytes_went() {
        for chunk in [Bytes::new(), Bytes::from_static(b"abc")] {
            let mut writer = Writer::new();
            writer.write_i32(0);
            writer.write_chunk(chunk.clone());
            let frame = writer.into_frame(7).concat();
            assert_eq!(frame[..4], [0, 0, 0, 7]);
            assert_eq!(frame[4..], chunk[..]);
        }
    }
}
