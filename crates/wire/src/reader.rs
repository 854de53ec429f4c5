//! Reading the protocol's primitive types out of shared bytes.
//!
//! Slices taken here share the memory of the whole frame. Every length is checked against the bytes that are there before
//! anything is allocated.
//!
//! That alone would let an empty string, one byte on the wire, cost the 32 that it takes in memory, and a frame of 100 MiB
//! three gigabytes. So a reader also keeps account of the memory that arrays and unknown tagged fields take, and
//! refuses what goes beyond what [`memory_granted`] says for the bytes it was given. Messages that mean something stay
//! below: most take less than five times their bytes, and lists of short names, which take more, are no longer than a
//! mebibyte.

use bytes::Bytes;

use crate::error::{Error, Fault};

/// How much memory the elements of a message may take for each of its first [`DENSE_BYTES`]: what a list of empty strings
/// takes, and with that any list of short names.
const MEMORY_PER_DENSE_BYTE: usize = 32;

/// So many bytes of a message may be dense. A hundred thousand members or topics with names of a few letters fit in.
const DENSE_BYTES: usize = 1 << 20;

/// How much memory the elements of a message may take for each of its bytes behind those.
const MEMORY_PER_BYTE: usize = 8;

/// How much memory the elements of a message may take on top, for tagged fields that are not known.
const MEMORY_AT_LEAST: usize = 64 * 1024;

/// How much memory the elements of a message may take that has so many bytes.
#[must_use]
pub const fn memory_granted(size_bytes: usize) -> usize {
    let (dense, others) = match size_bytes.checked_sub(DENSE_BYTES) {
        Some(others) => (DENSE_BYTES, others),
        None => (size_bytes, 0),
    };
    others
        .saturating_mul(MEMORY_PER_BYTE)
        .saturating_add(dense * MEMORY_PER_DENSE_BYTE)
        .saturating_add(MEMORY_AT_LEAST)
}

/// A position in the bytes of a message, and the end of what may be read.
#[derive(Debug, Clone)]
pub struct Reader {
    data: Bytes,
    at: usize,
    end: usize,
    /// How much memory the elements still to be read may take.
    memory: usize,
}

/// What [`Reader::enter_tag`] remembers until the tagged field is read.
#[derive(Debug)]
#[must_use]
pub struct TagSection {
    outer_end: usize,
    size: usize,
}

/// The tagged fields of one structure, as they are met.
#[derive(Debug)]
pub struct TagsAhead {
    left: u32,
    previous: Option<u32>,
}

impl Reader {
    /// A reader at the start of `data`.
    #[must_use]
    pub fn new(data: Bytes) -> Self {
        let end = data.len();
        Self { data, at: 0, end, memory: memory_granted(end) }
    }

    /// How many bytes are left to read.
    #[must_use]
    #[inline]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The bytes that are left, without a copy.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.data.slice(self.at..self.end)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> Error {
        Error::new(Fault::Truncated { needed, left: self.remaining() })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.data.get(self.at..self.end).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.truncated(N)),
        }
    }

    /// The next `size` bytes, sharing memory with the frame.
    pub fn take(&mut self, size: usize) -> Result<Bytes, Error> {
        if size > self.remaining() {
            return Err(self.truncated(size));
        }
        let start = self.at;
        self.at += size;
        Ok(self.data.slice(start..self.at))
    }

    /// An `int8`.
    #[inline]
    pub fn read_i8(&mut self) -> Result<i8, Error> {
        self.array().map(i8::from_be_bytes)
    }

    /// An `int16`.
    #[inline]
    pub fn read_i16(&mut self) -> Result<i16, Error> {
        self.array().map(i16::from_be_bytes)
    }

    /// A `uint16`.
    #[inline]
    pub fn read_u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// An `int32`.
    #[inline]
    pub fn read_i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_be_bytes)
    }

    /// A `uint32`.
    #[inline]
    pub fn read_u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// An `int64`.
    #[inline]
    pub fn read_i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_be_bytes)
    }

    /// A `float64`.
    #[inline]
    pub fn read_f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    /// The 16 bytes of a `uuid`.
    #[inline]
    pub fn read_uuid(&mut self) -> Result<[u8; 16], Error> {
        self.array()
    }

    /// A `bool`: as Kafka reads it, any byte but 0 is true.
    #[inline]
    pub fn read_bool(&mut self) -> Result<bool, Error> {
        self.read_i8().map(|byte| byte != 0)
    }

    /// An unsigned varint of at most 32 bits: seven bits a byte, the lowest first.
    #[inline]
    pub fn read_uvarint(&mut self) -> Result<u32, Error> {
        let [first] = self.array::<1>()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let [byte] = self.array::<1>()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::new(Fault::BadVarint))
    }

    /// Whether a structure that may be null is there.
    pub fn read_presence(&mut self) -> Result<bool, Error> {
        match self.read_i8()? {
            -1 => Ok(false),
            1 => Ok(true),
            other => Err(Error::new(Fault::BadPresence(other))),
        }
    }

    /// The length before a string; `None` for null.
    #[inline]
    pub fn read_string_length(&mut self, compact: bool) -> Result<Option<usize>, Error> {
        if compact { self.read_compact_length() } else { signed_length(self.read_i16()?.into()) }
    }

    /// The length before bytes, records or an array; `None` for null.
    #[inline]
    pub fn read_length(&mut self, compact: bool) -> Result<Option<usize>, Error> {
        if compact { self.read_compact_length() } else { signed_length(self.read_i32()?.into()) }
    }

    #[inline]
    fn read_compact_length(&mut self) -> Result<Option<usize>, Error> {
        match self.read_uvarint()? {
            0 => Ok(None),
            length => Ok(Some(length as usize - 1)),
        }
    }

    /// Errors unless `count` elements of at least `element_size` bytes each can follow, and their memory can be had.
    #[inline]
    pub fn claim_elements<T>(&mut self, count: usize, element_size: usize) -> Result<(), Error> {
        if count.checked_mul(element_size).is_none_or(|size| size > self.remaining()) {
            return Err(Error::new(Fault::TooManyElements { count, element_size, left: self.remaining() }));
        }
        self.claim_memory(count.saturating_mul(size_of::<T>()))
    }

    /// Takes `size` bytes off the memory that may still be used.
    #[inline]
    pub fn claim_memory(&mut self, size: usize) -> Result<(), Error> {
        match self.memory.checked_sub(size) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(Error::new(Fault::TooMuchMemory { size, left: self.memory })),
        }
    }

    /// The count of tagged fields, and then each one's tag and size.
    #[inline]
    pub fn read_tags(&mut self) -> Result<TagsAhead, Error> {
        let count = self.read_uvarint().map_err(in_tagged_fields)?;
        // A tagged field takes a byte for its tag and one for its size.
        if count as usize > self.remaining() / 2 {
            return Err(in_tagged_fields(Error::new(Fault::TooManyTags { count, left: self.remaining() })));
        }
        Ok(TagsAhead { left: count, previous: None })
    }

    /// Confines reading to the `size` bytes of a tagged field.
    pub fn enter_tag(&mut self, _tag: u32, size: usize) -> Result<TagSection, Error> {
        if size > self.remaining() {
            return Err(in_tagged_fields(self.truncated(size)));
        }
        let section = TagSection { outer_end: self.end, size };
        self.end = self.at + size;
        Ok(section)
    }

    /// Leaves a tagged field, all of whose bytes must have been read.
    pub fn leave_tag(&mut self, tag: u32, section: TagSection) -> Result<(), Error> {
        let left = self.remaining();
        self.end = section.outer_end;
        if left == 0 {
            return Ok(());
        }
        Err(in_tagged_fields(Error::new(Fault::TagSize { tag, size: section.size, left })))
    }
}

impl TagsAhead {
    /// The tag and the size of the next tagged field, whose bytes follow; `None` after the last.
    #[inline]
    pub fn next(&mut self, reader: &mut Reader) -> Result<Option<(u32, usize)>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let tag = reader.read_uvarint().map_err(in_tagged_fields)?;
        if let Some(previous) = self.previous.filter(|previous| tag <= *previous) {
            return Err(in_tagged_fields(Error::new(Fault::TagOrder { tag, previous })));
        }
        self.previous = Some(tag);
        let size = reader.read_uvarint().map_err(in_tagged_fields)?;
        Ok(Some((tag, size as usize)))
    }
}

/// What lies among the tagged fields, and not in one whose name is known, has a field to be named too.
#[cold]
pub(crate) fn in_tagged_fields(error: Error) -> Error {
    error.in_field("tagged_fields")
}

fn signed_length(length: i64) -> Result<Option<usize>, Error> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(Error::new(Fault::NegativeLength(length))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn varints_hold_32_bits_and_not_one_more() {
        assert_eq!(reader(&[0]).read_uvarint(), Ok(0));
        assert_eq!(reader(&[0x7f]).read_uvarint(), Ok(127));
        assert_eq!(reader(&[0x80, 0x01]).read_uvarint(), Ok(128));
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).read_uvarint(), Ok(u32::MAX));
        let bad = [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0xff, 0xff, 0xff, 0xff, 0x8f, 0x00][..]];
        for bytes in bad {
            assert_eq!(reader(bytes).read_uvarint().unwrap_err().fault(), &Fault::BadVarint);
        }
    }

    #[test]
    fn a_varint_may_be_longer_than_it_needs_to_be_as_in_kafka() {
        assert_eq!(reader(&[0x81, 0x80, 0x00]).read_uvarint(), Ok(1));
    }

    #[test]
    fn a_number_that_is_cut_off_is_an_error_and_consumes_nothing() {
        let mut reader = reader(&[0, 0, 1]);
        assert_eq!(reader.read_i32().unwrap_err().fault(), &Fault::Truncated { needed: 4, left: 3 });
        assert_eq!(reader.read_i16(), Ok(0));
        assert_eq!(reader.read_i64().unwrap_err().fault(), &Fault::Truncated { needed: 8, left: 1 });
        assert_eq!(reader.read_i8(), Ok(1));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn slices_share_the_memory_of_the_frame() {
        let frame = Bytes::from(vec![1, 2, 3, 4]);
        let mut reader = Reader::new(frame.clone());
        let slice = reader.take(3).unwrap();
        assert_eq!(slice.as_ptr(), frame.as_ptr());
        assert_eq!(reader.take(2).unwrap_err().fault(), &Fault::Truncated { needed: 2, left: 1 });
        assert_eq!(
            reader.take(usize::MAX).unwrap_err().fault(),
            &Fault::Truncated { needed: usize::MAX, left: 1 }
        );
    }

    #[test]
    fn minus_one_is_null_and_a_lower_length_is_an_error() {
        assert_eq!(reader(&[0xff, 0xff]).read_string_length(false), Ok(None));
        assert_eq!(reader(&[0]).read_string_length(true), Ok(None));
        let error = reader(&[0xff, 0xfe]).read_string_length(false).unwrap_err();
        assert_eq!(error.fault(), &Fault::NegativeLength(-2));
        let error = reader(&[0x80, 0, 0, 0]).read_length(false).unwrap_err();
        assert_eq!(error.fault(), &Fault::NegativeLength(i32::MIN.into()));
    }

    #[test]
    fn a_count_of_elements_must_fit_into_what_is_left() {
        let mut reader = reader(&[0; 12]);
        assert!(reader.claim_elements::<i32>(3, 4).is_ok());
        assert!(reader.claim_elements::<i32>(4, 4).is_err());
        assert!(reader.claim_elements::<i32>(usize::MAX, 4).is_err());
    }

    #[test]
    fn elements_in_memory_are_bounded_by_the_bytes_of_the_whole_message() {
        let bytes = 4 * DENSE_BYTES;
        let mut reader = Reader::new(Bytes::from(vec![0; bytes]));
        let allowed = bytes * MEMORY_PER_BYTE + DENSE_BYTES * 24 + MEMORY_AT_LEAST;
        assert!(reader.claim_elements::<[u8; 32]>(bytes, 1).is_err());
        assert!(reader.claim_elements::<[u8; 8]>(bytes, 1).is_ok());
        assert_eq!(
            reader.claim_elements::<[u8; 8]>(bytes, 1).unwrap_err().fault(),
            &Fault::TooMuchMemory { size: bytes * 8, left: allowed - bytes * 8 }
        );
    }

    #[test]
    fn what_is_granted_grows_with_the_bytes_and_never_by_more_than_for_empty_strings() {
        let sizes = [0, 1, 1000, DENSE_BYTES - 1, DENSE_BYTES, DENSE_BYTES + 1, 100 << 20, usize::MAX];
        for (less, more) in sizes.iter().zip(&sizes[1..]) {
            let grown = memory_granted(*more) - memory_granted(*less);
            assert!(grown > 0 && grown.div_ceil(more - less) <= size_of::<crate::Str>(), "{less} to {more}");
        }
        assert_eq!(memory_granted(100 << 20), (32 + 99 * 8) * (1 << 20) + MEMORY_AT_LEAST);
    }

    #[test]
    fn tags_must_ascend_each_once() {
        for (first, second) in [(1, 1), (2, 1)] {
            let mut reader = Reader::new(Bytes::from(vec![2, first, 0, second, 0]));
            let mut tags = reader.read_tags().unwrap();
            assert_eq!(tags.next(&mut reader), Ok(Some((first.into(), 0))));
            let error = tags.next(&mut reader).unwrap_err();
            assert_eq!(error.fault(), &Fault::TagOrder { tag: second.into(), previous: first.into() });
        }
    }

    #[test]
    fn more_tags_than_bytes_are_refused_before_the_first_is_read() {
        let error = reader(&[0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0]).read_tags().unwrap_err();
        assert_eq!(error.fault(), &Fault::TooManyTags { count: i32::MAX as u32, left: 3 });
    }

    #[test]
    fn a_tagged_field_is_confined_to_its_bytes() {
        let mut reader = reader(&[1, 2, 3, 4]);
        let section = reader.enter_tag(5, 2).unwrap();
        assert_eq!(reader.read_i32().unwrap_err().fault(), &Fault::Truncated { needed: 4, left: 2 });
        assert_eq!(reader.read_i8(), Ok(1));
        let error = reader.leave_tag(5, section).unwrap_err();
        assert_eq!(error.fault(), &Fault::TagSize { tag: 5, size: 2, left: 1 });
        assert!(reader.enter_tag(5, 4).is_err());
    }
}
