//! Writing the protocol's primitive types into a list of chunks.
//!
//! Small fields gather in one buffer; record batches become chunks of their own, so that they are handed to the socket
//! as they are and never copied.

use bytes::Bytes;

use crate::error::{Error, Fault};

/// What most messages fit into, records apart.
const FIRST_CAPACITY: usize = 256;

/// From this size on, a bytes field becomes a chunk of its own: below it a copy costs less than another chunk.
const OWN_CHUNK_SIZE: usize = 4096;

/// Collects the output.
#[derive(Debug)]
pub struct Writer {
    /// Everything but the chunks that are not copied.
    small: Vec<u8>,
    /// Those chunks, in order.
    shared: Vec<SharedChunk>,
    /// How many bytes they have.
    shared_size: usize,
}

/// A chunk that is not copied.
#[derive(Debug)]
struct SharedChunk {
    /// How many of the small bytes go before it.
    after: usize,
    bytes: Bytes,
}

/// Where the value of a tagged field begins.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct TagStart {
    /// Among the small bytes.
    at: usize,
    /// In the whole output.
    position: usize,
    /// How many shared chunks lie before it.
    shared: usize,
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
        Self { small: Vec::with_capacity(FIRST_CAPACITY), shared: Vec::new(), shared_size: 0 }
    }

    /// How many bytes have been written.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.small.len() + self.shared_size
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output as chunks, none of which is empty.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut small = Bytes::from(self.small);
        let mut taken = 0;
        for SharedChunk { after, bytes } in self.shared {
            let before = small.split_to(after - taken);
            taken = after;
            if !before.is_empty() {
                chunks.push(before);
            }
            chunks.push(bytes);
        }
        if !small.is_empty() {
            chunks.push(small);
        }
        chunks
    }

    /// The output as chunks, its first four bytes (written before as a placeholder) replaced by `length`.
    pub(crate) fn into_frame(mut self, length: i32) -> Vec<Bytes> {
        if let Some(place) = self.small.first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        self.into_chunks()
    }

    /// Bytes that are not copied.
    pub fn write_chunk(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.shared_size += bytes.len();
        self.shared.push(SharedChunk { after: self.small.len(), bytes });
    }

    /// The bytes of a bytes field: copied if they are few.
    pub fn write_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < OWN_CHUNK_SIZE { self.write_slice(bytes) } else { self.write_chunk(bytes.clone()) }
    }

    /// Bytes that are copied.
    #[inline]
    pub fn write_slice(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// An `int8`.
    #[inline]
    pub fn write_i8(&mut self, value: i8) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An `int16`.
    #[inline]
    pub fn write_i16(&mut self, value: i16) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A `uint16`.
    #[inline]
    pub fn write_u16(&mut self, value: u16) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An `int32`.
    #[inline]
    pub fn write_i32(&mut self, value: i32) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A `uint32`.
    #[inline]
    pub fn write_u32(&mut self, value: u32) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// An `int64`.
    #[inline]
    pub fn write_i64(&mut self, value: i64) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A `float64`.
    #[inline]
    pub fn write_f64(&mut self, value: f64) {
        self.small.extend_from_slice(&value.to_be_bytes());
    }

    /// A `bool`.
    #[inline]
    pub fn write_bool(&mut self, value: bool) {
        self.small.push(u8::from(value));
    }

    /// An unsigned varint: seven bits a byte, the lowest first.
    #[inline]
    pub fn write_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.small.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.small.push(value as u8);
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
    #[inline]
    pub fn begin_tag(&mut self, tag: u32) -> TagStart {
        self.write_uvarint(tag);
        // Room for its size, which nearly always fits into one byte.
        self.small.push(0);
        TagStart { at: self.small.len(), position: self.len(), shared: self.shared.len() }
    }

    /// Puts the size of a tagged field before its value.
    #[inline]
    pub fn end_tag(&mut self, start: TagStart) {
        let size = self.len() - start.position;
        match (u8::try_from(size), self.small.get_mut(start.at - 1)) {
            (Ok(size), Some(place)) if size < 0x80 => *place = size,
            _ => self.insert_size(start, size),
        }
    }

    /// Replaces the one byte that was left for the size of a tagged field by the several that it takes.
    #[cold]
    fn insert_size(&mut self, start: TagStart, size: usize) {
        let value = self.small.split_off(start.at);
        self.small.pop();
        // A tag's size says at most what a frame's length can: `Frame` refuses more.
        self.write_uvarint(u32::try_from(size).unwrap_or(u32::MAX));
        let moved = self.small.len() - start.at;
        self.small.extend_from_slice(&value);
        for chunk in self.shared.iter_mut().skip(start.shared) {
            chunk.after += moved;
        }
    }
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
        let records = Bytes::from(vec![7; 130]);
        for chunks_before in 0..3 {
            let mut expected = Vec::new();
            let bytes = written(|writer| {
                for _ in 0..chunks_before {
                    writer.write_i8(1);
                    writer.write_chunk(records.clone());
                    expected.extend([&[1], &records[..]].concat());
                }
                let tag = writer.begin_tag(0);
                writer.write_i8(2);
                writer.write_chunk(records.clone());
                writer.write_i8(3);
                writer.end_tag(tag);
                expected.extend([&[0, 0x84, 0x01, 2], &records[..], &[3]].concat());
            });
            assert_eq!(bytes, expected);
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
