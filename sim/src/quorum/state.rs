//! What the records of the quorum's log are, and the state that a voter's user makes of them: a hash over all of them, in
//! their order. Two users agree on it only if they were handed the same.

use bytes::Bytes;

/// The state after a number of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) records: i64,
    pub(super) hash: u64,
}

impl Digest {
    pub(super) const EMPTY: Self = Self { records: 0, hash: 0xcbf2_9ce4_8422_2325 };

    /// With one more record.
    pub(super) fn with(self, record: &[u8]) -> Self {
        let mut hash = self.hash ^ record.len() as u64;
        for byte in record {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        Self { records: self.records + 1, hash: hash.rotate_left(17) }
    }

    /// A snapshot: the state, and as many records more as make it `pieces` in all.
    pub(super) fn snapshot(self, pieces: usize) -> Vec<Bytes> {
        let mut state = self.records.to_be_bytes().to_vec();
        state.extend_from_slice(&self.hash.to_be_bytes());
        let fill = (1..pieces.max(1)).map(|nth| Bytes::from(vec![nth as u8; 100]));
        std::iter::once(state.into()).chain(fill).collect()
    }

    /// Reads a snapshot.
    pub(super) fn of_snapshot(records: &[Bytes]) -> Option<Self> {
        let (first, fill) = records.split_first()?;
        let (count, hash) = first.split_first_chunk()?;
        let is_whole =
            fill.iter().enumerate().all(|(nth, record)| record.iter().all(|b| *b == (nth + 1) as u8));
        let digest =
            Self { records: i64::from_be_bytes(*count), hash: u64::from_be_bytes(hash.try_into().ok()?) };
        is_whole.then_some(digest)
    }
}

/// A record: the number of its append, its place in that, and bytes to fill it.
pub(super) fn record(append: u64, nth: u32, len: usize) -> Bytes {
    let mut record = append.to_be_bytes().to_vec();
    record.extend_from_slice(&nth.to_be_bytes());
    record.resize(len.max(record.len()), append as u8);
    record.into()
}

/// The append that a record is of, and its place in it.
pub(super) fn append_of(record: &[u8]) -> Option<(u64, u32)> {
    let (append, rest) = record.split_first_chunk()?;
    let (nth, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*append), u32::from_be_bytes(*nth)))
}
