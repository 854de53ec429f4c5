//! The totally ordered log of metadata records, on one node.
//!
//! What is here keeps the promise that the rest of the system builds on: every record has one offset, an append is
//! answered when it is durable, and whoever opens the log again is handed the same records in the same order.
//!
//! - [`MetadataLog`]: the log.
//! - [`frame`]: its bytes on disk.
//! - [`recovery`]: what opening makes of what is on disk.
//!
//! What is not here: what the records mean (`metadata`), and agreement between nodes, which is to replace what is
//! underneath and leave the shape: append a batch, learn its offset when it is committed, replay in order.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod frame;
mod log;
pub mod recovery;
mod writer;

pub use frame::MAX_BATCH_BYTES;
pub use log::{AppendError, MetadataLog};
pub use recovery::{OpenError, Opened, Replayed};

/// The name of the directory that holds the log: one that Kafka's tools do not take for a partition's.
pub const DIRECTORY: &str = "ottla-metadata";
