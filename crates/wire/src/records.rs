//! The bytes of record batches, in as many pieces as they happen to be in.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Record batches as the protocol's `records` field carries them.
///
/// A decoded field is one chunk; an answer to a fetch may be put together from the chunks of several reads or cache
/// entries. Two are equal when their bytes are, however they are cut.
#[derive(Clone, Default)]
pub struct Records(Chunks);

/// Nearly every field is one chunk, which then needs no list.
#[derive(Clone, Default)]
enum Chunks {
    #[default]
    None,
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Records {
    /// No records: the length 0, which is not null.
    #[must_use]
    pub const fn new() -> Self {
        Self(Chunks::None)
    }

    /// Adds a chunk at the end.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.0 = match std::mem::take(&mut self.0) {
            Chunks::None => Chunks::One(chunk),
            Chunks::One(first) => Chunks::Many(vec![first, chunk]),
            Chunks::Many(mut chunks) => {
                chunks.push(chunk);
                Chunks::Many(chunks)
            }
        };
    }

    /// The chunks in order, none of them empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        match &self.0 {
            Chunks::None => &[],
            Chunks::One(chunk) => std::slice::from_ref(chunk),
            Chunks::Many(chunks) => chunks,
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks().iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks().is_empty()
    }

    /// All bytes in one piece: without a copy unless there are several chunks.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Chunks::None => Bytes::new(),
            Chunks::One(chunk) => chunk,
            Chunks::Many(chunks) => {
                let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                for chunk in &chunks {
                    whole.extend_from_slice(chunk);
                }
                whole.freeze()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(chunk: Bytes) -> Self {
        if chunk.is_empty() { Self::new() } else { Self(Chunks::One(chunk)) }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(chunks: Vec<Bytes>) -> Self {
        chunks.into_iter().collect()
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut records = Self::new();
        chunks.into_iter().for_each(|chunk| records.push(chunk));
        records
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        match (self.chunks(), other.chunks()) {
            ([one], [another]) => one == another,
            (these, those) => self.len() == other.len() && these.iter().flatten().eq(those.iter().flatten()),
        }
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes in {} chunks)", self.len(), self.chunks().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&'static str]) -> Records {
        pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect()
    }

    #[test]
    fn records_are_equal_when_their_bytes_are_however_they_are_cut() {
        assert_eq!(cut(&["abc"]), cut(&["a", "bc"]));
        assert_eq!(cut(&["ab", "c"]), cut(&["a", "", "bc"]));
        assert_eq!(cut(&[]), cut(&[""]));
        assert_ne!(cut(&["abc"]), cut(&["a", "bd"]));
        assert_ne!(cut(&["abc"]), cut(&["abcd"]));
    }

    #[test]
    fn several_chunks_join_into_one_and_a_single_one_is_not_copied() {
        assert_eq!(cut(&["ab", "", "c"]).into_bytes(), "abc");
        assert_eq!(cut(&["ab", "", "c"]).chunks().len(), 2);
        let chunk = Bytes::from(vec![1, 2]);
        assert_eq!(Records::from(chunk.clone()).into_bytes().as_ptr(), chunk.as_ptr());
    }
}
