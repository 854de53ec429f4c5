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
    fn two_pieces_have_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
        let head: &[u8; HEADER_LEN] = whole.first_chunk().unwrap();
        assert_eq!(batch_crc(head, &whole[HEADER_LEN..]), crc32c(&whole[at::ATTRIBUTES..]));
    }
}
