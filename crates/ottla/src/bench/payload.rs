//! What the records of a measurement hold: random letters, about as compressible as names and numbers are.

use bytes::{BufMut as _, Bytes, BytesMut};
use ottla_env::Rng;

/// How many bytes the values are cut from, beside one value's own.
const POOL_BYTES: usize = 1 << 16;

/// The length of the tag and the number at the front of a value.
pub(super) const MARK_BYTES: usize = 16;

/// Makes values of one size.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pool: Bytes,
    size_bytes: usize,
    tag: Option<u64>,
}

impl Payload {
    /// Values of this many bytes.
    pub(super) fn new(size_bytes: usize, rng: &dyn Rng) -> Self {
        let mut pool = vec![0; POOL_BYTES + size_bytes];
        rng.fill(&mut pool);
        for byte in &mut pool {
            *byte = b'A' + *byte % 26;
        }
        Self { pool: pool.into(), size_bytes, tag: None }
    }

    /// The same with a mark at the front of each, by which a reader knows it again. It takes [`MARK_BYTES`].
    pub(super) fn marked(self, tag: u64) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// The value with this number.
    pub(super) fn value(&self, number: u64) -> Bytes {
        // A prime step, so that neighbours differ and the whole pool is used.
        let start = usize::try_from(number.wrapping_mul(7919) % POOL_BYTES as u64).unwrap_or(0);
        let text = self.pool.slice(start..start + self.size_bytes);
        let Some(tag) = self.tag else { return text };
        let mut value = BytesMut::with_capacity(self.size_bytes.max(MARK_BYTES));
        value.put_u64(tag);
        value.put_u64(number);
        value.put_slice(text.get(MARK_BYTES..).unwrap_or_default());
        value.freeze()
    }
}

/// The number of a value that carries this tag.
pub(super) fn number(value: &[u8], tag: u64) -> Option<u64> {
    let (found, rest) = value.split_first_chunk::<8>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    (u64::from_be_bytes(*found) == tag).then(|| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use ottla_env::Env;

    use super::*;

    #[test]
    fn values_have_their_size_and_neighbours_differ() {
        let payload = Payload::new(100, &*Env::real().rng);
        assert_eq!(payload.value(0).len(), 100);
        assert_eq!(payload.value(u64::MAX).len(), 100);
        assert_ne!(payload.value(1), payload.value(2));
        assert_eq!(payload.value(5), payload.value(5));
    }

    #[test]
    fn a_mark_is_known_again_by_its_tag_alone() {
        let payload = Payload::new(20, &*Env::real().rng).marked(7);
        let value = payload.value(42);
        assert_eq!(value.len(), 20);
        assert_eq!(number(&value, 7), Some(42));
        assert_eq!(number(&value, 8), None);
        assert_eq!(number(b"short", 7), None);
    }
}
