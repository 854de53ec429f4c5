//! Changing single fields of a batch in place.
//!
//! Base offset and leader epoch lie outside the checksum. Every other change makes a new one.

use ottla_types::{LeaderEpoch, Offset};

use crate::attributes::{Attributes, TimestampType};
use crate::crc::batch_crc;
use crate::error::BatchError;
use crate::header::{BatchHeader, HEADER_LEN, at, field, put};

/// Sets the base offset and the leader epoch of a header.
pub fn assign(head: &mut [u8; HEADER_LEN], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(head, at::BASE_OFFSET, base_offset.0.to_be_bytes());
    put(head, at::LEADER_EPOCH, leader_epoch.0.to_be_bytes());
}

/// Sets the base offset and the leader epoch of the batch at the front of `bytes`.
///
/// # Errors
/// [`BatchError::Truncated`] without a whole header, or what else is wrong with it.
pub fn assign_batch(
    bytes: &mut [u8],
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<(), BatchError> {
    BatchHeader::parse(bytes)?;
    let (head, _) = split(bytes)?;
    assign(head, base_offset, leader_epoch);
    Ok(())
}

/// Sets timestamp type, max timestamp and the checksum that follows from them, of a batch in two pieces.
pub fn set_max_timestamp(
    head: &mut [u8; HEADER_LEN],
    body: &[u8],
    timestamp_type: TimestampType,
    max_timestamp_ms: i64,
) {
    let attributes =
        Attributes(i16::from_be_bytes(field(head, at::ATTRIBUTES))).with_timestamp_type(timestamp_type);
    put(head, at::ATTRIBUTES, attributes.0.to_be_bytes());
    put(head, at::MAX_TIMESTAMP, max_timestamp_ms.to_be_bytes());
    put(head, at::CRC, batch_crc(head, body).to_be_bytes());
}

/// Sets timestamp type, max timestamp and the checksum that follows from them, of the one batch that `bytes` are.
///
/// # Errors
/// [`BatchError::Truncated`] without a whole batch, or what else is wrong with its header.
pub fn set_max_timestamp_of_batch(
    bytes: &mut [u8],
    timestamp_type: TimestampType,
    max_timestamp_ms: i64,
) -> Result<(), BatchError> {
    let size = BatchHeader::parse(bytes)?.size_bytes();
    let available = bytes.len();
    let batch = bytes.get_mut(..size).ok_or(BatchError::Truncated { needed: size, available })?;
    let (head, body) = split(batch)?;
    set_max_timestamp(head, body, timestamp_type, max_timestamp_ms);
    Ok(())
}

fn split(bytes: &mut [u8]) -> Result<(&mut [u8; HEADER_LEN], &mut [u8]), BatchError> {
    let available = bytes.len();
    bytes.split_first_chunk_mut().ok_or(BatchError::Truncated { needed: HEADER_LEN, available })
}
