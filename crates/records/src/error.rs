//! What can be wrong with the bytes of a batch.
//!
//! These errors describe bytes. What a broker answers to a producer who sent them is decided in [`crate::prepare()`].

use crate::attributes::Codec;

/// Why bytes are not a sound record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Fewer bytes than the batch needs, or than its header needs.
    #[error("the record batch is cut off: {needed} bytes needed, {available} available")]
    Truncated {
        /// Bytes needed, from the start of the batch.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// Not the format with magic 2.
    #[error("the record batch has magic {0}, and only magic 2 is supported")]
    Magic(i8),
    /// A length field that no batch can have.
    #[error("the record batch claims a length of {0} bytes, and {min} is the least", min = crate::header::MIN_LENGTH)]
    Length(i32),
    /// The checksum does not match: the bytes are not those that were written.
    #[error("the record batch is corrupt: stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// Numbers of the header that contradict each other.
    #[error("the record batch has {records_count} records and a last offset delta of {last_offset_delta}")]
    Count {
        /// The number of records that the header claims.
        records_count: i32,
        /// The last offset delta that the header claims.
        last_offset_delta: i32,
    },
    /// An offset range that begins below zero or ends past the largest offset.
    #[error("the record batch has base offset {base_offset} and last offset delta {last_offset_delta}")]
    OffsetRange {
        /// The base offset in the header.
        base_offset: i64,
        /// The last offset delta in the header.
        last_offset_delta: i32,
    },
    /// A compression codec that does not exist.
    #[error("the record batch names compression codec {0}, and only 0 to 4 exist")]
    UnknownCodec(u8),
    /// The records of a compressed batch were asked for without decompressing them first.
    #[error("the records are compressed with {0}: decompress the batch before reading them")]
    Compressed(Codec),
    /// The codec's library could not compress.
    #[error("cannot compress the records ({codec}): {reason}")]
    Compress {
        /// The codec asked for.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// The compressed data is not what its codec expects.
    #[error("cannot decompress the records ({codec}): {reason}")]
    Decompress {
        /// The codec that the header names.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// More decompressed bytes than the caller allows.
    #[error("the records decompress to more than {limit} bytes ({codec})")]
    DecompressedTooLarge {
        /// The codec that the header names.
        codec: Codec,
        /// The most bytes allowed.
        limit: usize,
    },
    /// A record that is not one.
    #[error("record {index}: {reason}")]
    Record {
        /// The position of the record in its batch, from 0.
        index: i32,
        /// What is wrong with it.
        reason: RecordError,
    },
    /// Bytes after the last of the claimed records.
    #[error("{bytes} bytes follow the last of {records_count} records")]
    TrailingBytes {
        /// How many bytes follow; of compressed data, how many were seen before giving up.
        bytes: usize,
        /// The number of records that the header claims.
        records_count: i32,
    },
}

/// Why bytes are not a sound record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The data ends inside the record.
    #[error("the data ends in its {0}")]
    Truncated(Field),
    /// A variable-length integer with more bytes than its type can have.
    #[error("its {0} is a variable-length integer that does not end in time")]
    Varint(Field),
    /// A length that cannot be.
    #[error("its {field} has a length of {length}")]
    Length {
        /// Which field.
        field: Field,
        /// The length it claims.
        length: i32,
    },
    /// The fields do not fill the record as long as it claims to be.
    #[error("it claims {claimed} bytes and its fields take {taken}")]
    Size {
        /// The size in front of the record.
        claimed: i32,
        /// What the fields take together.
        taken: u64,
    },
    /// The sum of base and delta is no offset.
    #[error("its offset is out of range")]
    OffsetRange,
    /// The sum of base and delta is no timestamp.
    #[error("its timestamp is out of range")]
    TimestampRange,
}

/// The parts of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The size in front of the record.
    Size,
    /// The attributes byte.
    Attributes,
    /// The difference to the batch's base timestamp.
    TimestampDelta,
    /// The difference to the batch's base offset.
    OffsetDelta,
    /// The key or its length.
    Key,
    /// The value or its length.
    Value,
    /// The number of headers.
    HeaderCount,
    /// The key of a header or its length.
    HeaderKey,
    /// The value of a header or its length.
    HeaderValue,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Attributes => "attributes",
            Self::TimestampDelta => "timestamp delta",
            Self::OffsetDelta => "offset delta",
            Self::Key => "key",
            Self::Value => "value",
            Self::HeaderCount => "header count",
            Self::HeaderKey => "header key",
            Self::HeaderValue => "header value",
        })
    }
}
