//! CRC32C (Castagnoli), the checksum of record batches.

use crc_fast::{CrcAlgorithm, Digest};

use crate::error::BatchError;
use crate::header::{HEADER_LEN, at, field};

/// The checksum of a batch in two pieces: its header and what follows.
#[must_use]
pub fn batch_crc(head: &[u8; HEADER_LEN], body: &[u8]) -> u32 {
    let (_, covered) = head.split_at(at::ATTRIBUTES);
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(covered);
    digest.update(body);
    digest.finalize() as u32
}

/// Checks the checksum of a batch in two pieces: that these are the bytes that were written.
///
/// # Errors
/// [`BatchError::Crc`].
pub fn verify_parts(head: &[u8; HEADER_LEN], body: &[u8]) -> Result<(), BatchError> {
    let stored = u32::from_be_bytes(field(head, at::CRC));
    let computed = batch_crc(head, body);
    if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
}

/// The checksum of bytes that come in pieces.
#[derive(Debug)]
pub struct Crc32c(Digest);

impl Crc32c {
    /// That of no bytes yet.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a checksum of nothing is begun, not defaulted to")]
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize() as u32
    }
}

/// The checksum of contiguous bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        let mut crc = Crc32c::new();
        b"123456789".chunks(2).for_each(|piece| crc.update(piece));
        assert_eq!(crc.finish(), 0xe306_9283);
    }

    #[test]
    fn two_pieces_have_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
        let head: &[u8; HEADER_LEN] = whole.first_chunk().unwrap();
        assert_eq!(batch_crc(head, &whole[HEADER_LEN..]), crc32c(&whole[at::ATTRIBUTES..]));
    }
}
