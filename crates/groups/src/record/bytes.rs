//! Reading and writing the fields of records: big-endian numbers, and strings, bytes and arrays in Kafka's two shapes,
//! with a fixed length before them, or a compact one in flexible versions.

use super::RecordError;

/// Reads fields off the front of some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the bytes in errors.
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn invalid(&self, field: &'static str, reason: &'static str) -> RecordError {
        RecordError::Invalid { what: self.what, field, reason }
    }

    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let short = RecordError::Short { what: self.what, field };
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let short = RecordError::Short { what: self.what, field };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// An unsigned number of up to 32 bits, in 7-bit groups, the low ones first.
    pub(super) fn uvarint(&mut self, field: &'static str) -> Result<u32, RecordError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array(field)?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.invalid(field, "the number takes more than five bytes"))
    }

    /// A length, or `None` for null.
    fn len(
        &mut self,
        field: &'static str,
        flexible: bool,
        short: bool,
    ) -> Result<Option<usize>, RecordError> {
        let len = match (flexible, short) {
            (true, _) => i64::from(self.uvarint(field)?) - 1,
            (false, true) => i64::from(self.i16(field)?),
            (false, false) => i64::from(self.i32(field)?),
        };
        match len {
            -1 => Ok(None),
            len => usize::try_from(len).map(Some).map_err(|_| self.invalid(field, "the length is negative")),
        }
    }

    pub(super) fn nullable_string(
        &mut self,
        field: &'static str,
        flexible: bool,
    ) -> Result<Option<&'a str>, RecordError> {
        let Some(len) = self.len(field, flexible, true)? else { return Ok(None) };
        let bytes = self.take(len, field)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| self.invalid(field, "the text is not UTF-8"))
    }

    pub(super) fn string(&mut self, field: &'static str, flexible: bool) -> Result<&'a str, RecordError> {
        self.nullable_string(field, flexible)?.ok_or_else(|| self.invalid(field, "it is null"))
    }

    pub(super) fn bytes(&mut self, field: &'static str, flexible: bool) -> Result<&'a [u8], RecordError> {
        match self.len(field, flexible, false)? {
            Some(len) => self.take(len, field),
            None => Err(self.invalid(field, "it is null")),
        }
    }

    /// How many elements follow. Never more than there are bytes left, as each element takes at least one.
    pub(super) fn count(&mut self, field: &'static str, flexible: bool) -> Result<usize, RecordError> {
        match self.len(field, flexible, false)? {
            Some(count) if count <= self.rest.len() => Ok(count),
            Some(_) => Err(RecordError::Short { what: self.what, field }),
            None => Err(self.invalid(field, "it is null")),
        }
    }

    /// Hands each tagged field to `take`, which knows some of them; the others are passed over (KIP-482).
    pub(super) fn tags(
        &mut self,
        mut take: impl FnMut(u32, &mut Self) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for _ in 0..self.uvarint("tagged fields")? {
            let tag = self.uvarint("tag")?;
            let len = self.uvarint("length of a tagged field")?;
            let bytes = self.take(len as usize, "tagged field")?;
            take(tag, &mut Self { rest: bytes, what: self.what })?;
        }
        Ok(())
    }
}

/// Writes a string with a length of 16 bits. What is written here was checked to fit when it came in
/// ([`fits`](super::fits)).
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    debug_assert!(super::fits(text), "a text of {} bytes came past the check", text.len());
    let len = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend(text.bytes().take(usize::try_from(len).unwrap_or_default()));
}

/// Writes a string, or null, with a length of 16 bits.
pub(super) fn put_nullable_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.extend_from_slice(&(-1_i16).to_be_bytes()),
    }
}

/// Writes bytes with a length of 32 bits. They came in a frame, whose own length has 31.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Writes a number in 7-bit groups.
pub(super) fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a string with a compact length.
pub(super) fn put_compact_string(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, u32::try_from(text.len()).unwrap_or(u32::MAX).saturating_add(1));
    out.extend_from_slice(text.as_bytes());
}
