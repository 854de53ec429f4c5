//! The usual record, read with few instructions: every number is in at most three bytes.
//!
//! A broker reads every record that is produced, and of small ones there are ten million to a gigabyte. What is not
//! usual, or not right, is left to [`crate::grammar`], which says what is wrong: this here only ever says "usual" of what that
//! would take too, and a test holds the one against the other.

/// A usual record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usual {
    /// All its bytes, the size in front included.
    pub(super) len: usize,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i64,
    pub(super) has_key: bool,
}

/// The zigzag of -1: the length of what is null.
const NULL: u64 = 1;

/// Reads the record at the front of `bytes`, if it is a usual one and enough bytes follow its numbers to read them by words.
#[inline(always)]
pub(super) fn read(bytes: &[u8]) -> Option<Usual> {
    let (size, size_len) = short(word(bytes, 0)?)?;
    // Behind the size stands the attributes byte, which nobody uses.
    let mut at = size_len + 1;
    let deltas = word(bytes, at)?;
    let (timestamp_delta, taken) = short(deltas)?;
    let (offset_delta, more) = short(deltas >> (8 * taken))?;
    at += taken + more;
    let lengths = word(bytes, at)?;
    let (key, taken) = short(lengths)?;
    at += taken;
    at = if key == NULL { field(at, lengths >> 8)? } else { skip(bytes, at + length(key)?)? };
    let headers = *bytes.get(at)?;
    at += 1;
    if headers != 0 {
        at = skip_headers(bytes, at, headers)?;
    }
    if at != size_len + length(size)? {
        return None;
    }
    let (timestamp_delta, offset_delta) = (unzigzag(timestamp_delta), unzigzag(offset_delta));
    Some(Usual { len: at, timestamp_delta, offset_delta, has_key: key != NULL })
}

/// Where the headers end that begin at `at`. `count` is the byte that says how many there are.
#[inline(never)]
fn skip_headers(bytes: &[u8], mut at: usize, count: u8) -> Option<usize> {
    if count >= 0x80 {
        return None;
    }
    for _ in 0..length(u64::from(count))? {
        let (key, taken) = short(word(bytes, at)?)?;
        at = skip(bytes, at + taken + length(key)?)?;
    }
    // What the last header claims need not be there.
    (at <= bytes.len()).then_some(at)
}

/// Where the field ends whose length stands at `at`.
#[inline(always)]
fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    field(at, word(bytes, at)?)
}

/// Where the field ends whose length stands at `at` and at the low end of `word`.
#[inline(always)]
fn field(at: usize, word: u64) -> Option<usize> {
    let (len, taken) = short(word)?;
    Some(at + taken + if len == NULL { 0 } else { length(len)? })
}

/// The eight bytes from `at` on, the first of them the lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The varint at the low end of `word`, still in zigzag, and its length in bytes; `None` for one of more than three.
#[inline(always)]
fn short(word: u64) -> Option<(u64, usize)> {
    let (first, second, third) = (word & 0x7f, (word >> 1) & (0x7f << 7), (word >> 2) & (0x7f << 14));
    // The lengths of a batch's records are much alike, so these branches are nearly always foreseen. Without them each
    // number would wait for the one before.
    if word & 0x80 == 0 {
        Some((first, 1))
    } else if word & 0x80_00 == 0 {
        Some((first | second, 2))
    } else if word & 0x80_00_00 == 0 {
        Some((first | second | third, 3))
    } else {
        None
    }
}

/// What a zigzag says, if it is not below zero.
#[inline(always)]
fn length(zigzag: u64) -> Option<usize> {
    if zigzag & 1 == 0 { usize::try_from(zigzag >> 1).ok() } else { None }
}

#[inline(always)]
fn unzigzag(raw: u64) -> i64 {
    crate::varint::unzigzag(raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grammar::{Slice, Source, read_record};
    use crate::varint;

    /// A record as the fields say, and its size as `claimed` says.
    fn record(
        claimed: i64,
        timestamp_delta: i64,
        offset_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: u8,
    ) -> Vec<u8> {
        let mut body = vec![0];
        varint::put(&mut body, timestamp_delta);
        varint::put(&mut body, offset_delta);
        for field in [key, value] {
            varint::put(&mut body, field.map_or(-1, |bytes| bytes.len() as i64));
            body.extend_from_slice(field.unwrap_or_default());
        }
        varint::put(&mut body, i64::from(headers));
        for _ in 0..headers {
            body.extend_from_slice(&[2, b'h', 1]);
        }
        let mut bytes = Vec::new();
        varint::put(&mut bytes, body.len() as i64 + claimed);
        bytes.extend_from_slice(&body);
        bytes
    }

    /// What the grammar makes of the same bytes.
    fn by_the_grammar(bytes: &[u8]) -> Option<Usual> {
        let mut source = Slice::new(bytes);
        let raw = read_record(&mut source).ok()?;
        Some(Usual {
            len: usize::try_from(source.position()).unwrap(),
            timestamp_delta: raw.timestamp_delta,
            offset_delta: i64::from(raw.offset_delta),
            has_key: raw.key.is_some(),
        })
    }

    fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(any::<u8>(), 60..70),
            prop::collection::vec(any::<u8>(), 8_180..8_200),
        ];
        prop::option::of(bytes)
    }

    proptest! {
        #[test]
        fn what_is_usual_is_read_as_the_grammar_reads_it(
            claimed in prop_oneof![4 => Just(0i64), 1 => -20i64..20],
            timestamp_delta in prop_oneof![-70i64..70, -9_000i64..9_000, any::<i64>()],
            offset_delta in prop_oneof![-70i64..70, 0i64..2_000_000],
            key in field(),
            value in field(),
            headers in prop_oneof![4 => Just(0u8), 1 => 1u8..3],
            behind in prop::collection::vec(any::<u8>(), 0..20),
            broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = record(claimed, timestamp_delta, offset_delta, key.as_deref(), value.as_deref(), headers);
            bytes.extend_from_slice(&behind);
            if let Some((at, byte)) = broken {
                let at = at.index(bytes.len().min(24));
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Some(usual) = read(&bytes) {
                prop_assert_eq!(Some(usual), by_the_grammar(&bytes));
            }
        }

        #[test]
        fn bytes_of_no_record_are_read_as_the_grammar_reads_them(bytes in prop::collection::vec(0u8..40, 0..60)) {
            if let Some(usual) = read(&bytes) {
                prop_assert_eq!(Some(usual), by_the_grammar(&bytes));
            }
        }
    }

    #[test]
    fn records_of_small_numbers_are_usual_and_those_with_long_ones_are_not() {
        let value = [7; 100];
        for (key, headers) in [(None, 0), (Some(&b"key"[..]), 1), (Some(&b""[..]), 3)] {
            for (timestamp_delta, offset_delta) in [(0, 0), (-1, 63), (70, 64), (9_000, 20_000)] {
                let mut bytes = record(0, timestamp_delta, offset_delta, key, Some(&value), headers);
                let expected =
                    Usual { len: bytes.len(), timestamp_delta, offset_delta, has_key: key.is_some() };
                // Words are read of the last header.
                bytes.extend_from_slice(&[0; 8]);
                assert_eq!(read(&bytes), Some(expected));
            }
        }
        assert_eq!(read(&record(0, 1 << 40, 0, None, Some(&value), 0)), None);
    }
}
