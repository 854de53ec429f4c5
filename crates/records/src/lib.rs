//! Record batch v2: a borrowed view, validation, building, compression.
//!
//! Pure: nothing here does I/O, reads a clock or draws a random number. Every byte may come from a hostile peer or a
//! damaged disk: nothing panics on it, and nothing is allocated because a number in it asks for it.
//!
//! * [`BatchHeader`], [`Batch`], [`batches()`], [`Records`]: reading.
//! * [`prepare()`]: what a broker does with a produced batch before it appends it; [`Prepared`] goes to the log.
//! * [`patch`]: changing single fields in place.
//! * [`BatchBuilder`], [`Compression`]: writing.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod attributes;
pub mod batch;
pub mod builder;
pub mod compression;
pub mod crc;
pub mod error;
mod grammar;
pub mod header;
pub mod patch;
pub mod prepare;
pub mod record;
mod stream;
mod varint;

pub use attributes::{Attributes, Codec, TimestampType};
pub use batch::{Batch, Batches, batches};
pub use builder::{BatchBuilder, NewRecord, PushError};
pub use compression::{Compression, decompress};
pub use error::{BatchError, RecordError};
pub use header::{BatchHeader, HEADER_LEN, NO_SEQUENCE, NO_TIMESTAMP};
pub use prepare::{AssignedBatch, InvalidBatch, InvalidRecord, Prepared, ProduceRules, prepare};
pub use record::{Headers, Record, RecordHeader, Records};
