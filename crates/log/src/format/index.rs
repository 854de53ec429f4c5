//! The entries of the two indexes of a segment, as Kafka lays them out; all numbers are big-endian.
//!
//! - Offset index: relative offset (4 bytes), position (4 bytes). The offset is the *last* one of the batch that starts
//!   at the position, so the greatest entry at or below a wanted offset leads to a batch at or before the wanted one.
//! - Time index: timestamp (8 bytes), relative offset (4 bytes). No record up to the offset is newer than the timestamp,
//!   and the batch that ends with the offset has it.

/// An entry of fixed size, sorted by its key.
pub(crate) trait Entry: Copy {
    /// Bytes on disk.
    const SIZE: usize;
    /// What entries are sorted and looked up by.
    type Key: Ord + Copy;

    fn key(&self) -> Self::Key;
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads an entry from the front of `bytes`.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// An entry of the offset index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, less the segment's base offset.
    pub(crate) relative: u32,
    /// Where the batch starts.
    pub(crate) position: u32,
}

/// An entry of the time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The highest timestamp so far.
    pub(crate) timestamp_ms: i64,
    /// Last offset of the first batch that has it, less the segment's base offset.
    pub(crate) relative: u32,
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;
    type Key = u32;

    fn key(&self) -> u32 {
        self.relative
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (relative, rest) = bytes.split_first_chunk()?;
        let position = rest.first_chunk()?;
        Some(Self { relative: u32::from_be_bytes(*relative), position: u32::from_be_bytes(*position) })
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;
    type Key = i64;

    fn key(&self) -> i64 {
        self.timestamp_ms
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp_ms, rest) = bytes.split_first_chunk()?;
        let relative = rest.first_chunk()?;
        Some(Self {
            timestamp_ms: i64::from_be_bytes(*timestamp_ms),
            relative: u32::from_be_bytes(*relative),
        })
    }
}

/// The greatest entry of sorted entries whose key is at most `key`.
pub(crate) fn floor<E: Entry>(entries: &[E], key: E::Key) -> Option<E> {
    let after = entries.partition_point(|entry| entry.key() <= key);
    entries.get(after.checked_sub(1)?).copied()
}

/// Entries in a row, as in a file.
pub(crate) fn decode_all<E: Entry>(bytes: &[u8]) -> Vec<E> {
    bytes.chunks_exact(E::SIZE).filter_map(E::decode).collect()
}

pub(crate) fn encode_all<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * E::SIZE);
    entries.iter().for_each(|entry| entry.encode(&mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_kafkas_bytes() {
        let offsets = [OffsetEntry { relative: 9, position: 0x0102_0304 }];
        assert_eq!(encode_all(&offsets), [0, 0, 0, 9, 1, 2, 3, 4]);
        assert_eq!(decode_all::<OffsetEntry>(&[0, 0, 0, 9, 1, 2, 3, 4, 5]), offsets);
        let times = [TimeEntry { timestamp_ms: 0x0a0b, relative: 7 }];
        assert_eq!(encode_all(&times), [0, 0, 0, 0, 0, 0, 0x0a, 0x0b, 0, 0, 0, 7]);
        assert_eq!(decode_all::<TimeEntry>(&encode_all(&times)), times);
    }

    #[test]
    fn the_floor_is_the_greatest_entry_at_or_below_the_key() {
        let entries = [3, 7, 9].map(|relative| OffsetEntry { relative, position: relative * 10 });
        assert_eq!(floor(&entries, 2), None);
        assert_eq!(floor(&entries, 7).map(|e| e.position), Some(70));
        assert_eq!(floor(&entries, 8).map(|e| e.position), Some(70));
        assert_eq!(floor(&entries, u32::MAX).map(|e| e.position), Some(90));
    }
}
