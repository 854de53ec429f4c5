//! What a producer is answered when its batch is refused (KIP-467).

use ottla_types::ErrorCode;

use crate::error::BatchError;

/// The most records that one refusal names. A batch of bad records must not make an answer many times its size.
pub const MAX_NAMED_RECORDS: usize = 100;

/// Why a produced batch is refused, as the answer says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct InvalidBatch {
    /// The error of the partition.
    pub code: ErrorCode,
    /// What is wrong, in words.
    pub message: String,
    /// The records at fault, when it is not the batch as a whole; the first [`MAX_NAMED_RECORDS`] of them.
    pub records: Vec<InvalidRecord>,
}

/// One record at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecord {
    /// Its position in the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it, in words.
    pub message: String,
}

impl InvalidBatch {
    pub(super) fn new(code: ErrorCode, message: String) -> Self {
        Self { code, message, records: Vec::new() }
    }
}

pub(super) fn no_batch() -> InvalidBatch {
    InvalidBatch::new(ErrorCode::InvalidRecord, "The request holds no whole record batch".to_owned())
}

pub(super) fn more_than_one_batch(bytes: usize) -> InvalidBatch {
    InvalidBatch::new(
        ErrorCode::InvalidRecord,
        format!("The request must hold exactly one record batch, and {bytes} bytes follow the first"),
    )
}

pub(super) fn old_magic(magic: i8) -> InvalidBatch {
    InvalidBatch::new(
        ErrorCode::InvalidRecord,
        format!("Produce from version 3 takes record batches with magic 2, and this one has magic {magic}"),
    )
}

/// The answer for bytes that are no sound batch.
pub(super) fn from_bytes(error: BatchError) -> InvalidBatch {
    let code = match error {
        BatchError::Truncated { .. } => return no_batch(),
        BatchError::Magic(_) | BatchError::Length(_) | BatchError::Crc { .. } => ErrorCode::CorruptMessage,
        // The producer splits a batch that is too large, and its halves decompress to less.
        BatchError::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
        BatchError::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
        BatchError::Compress { .. } => ErrorCode::UnknownServerError,
        // The checksum holds, so these are the bytes that the producer made; sent again they would be no better.
        _ => ErrorCode::InvalidRecord,
    };
    let mut invalid = InvalidBatch::new(code, error.to_string());
    if let BatchError::Record { index, reason } = error {
        invalid.records.push(InvalidRecord { batch_index: index, message: reason.to_string() });
    }
    invalid
}
