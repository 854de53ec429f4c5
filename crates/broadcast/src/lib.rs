//! The totally ordered log of metadata records that all nodes agree on.
//!
//! - [`AtomicBroadcast`]: what the rest of the system knows of it; [`QuorumAdmin`]: what administers a quorum.
//! - [`single`]: the broadcast of one node, on a file.
//! - [`raft`]: the broadcast by an embedded quorum.
//! - [`observer`]: the broadcast as a node sees it that does not vote.
//! - [`founding`]: how a quorum is founded once, and how a node finds its place in it.
//! - [`conformance`]: what every implementation must pass.
//! - [`MetadataLog`]: that file's log; [`frame`]: its bytes on disk; [`recovery`]: what opening makes of them.
//!
//! What is not here: what the records mean (`metadata`), and how bytes travel between nodes (`broker`).

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod atomic;
#[allow(clippy::indexing_slicing, reason = "a claim that does not hold panics")]
pub mod conformance;
pub mod founding;
pub mod frame;
mod frame_file;
mod log;
pub mod observer;
mod pieces;
pub mod quorum;
pub mod raft;
pub mod recovery;
pub mod single;
mod state_file;
mod writer;

pub use atomic::{
    Appended, Appending, AtomicBroadcast, BoxFuture, Delivery, DeliveryReceiver, LeaderHint, NoQuorum, Read,
    ReadError, Refused, SnapshotError, SnapshotPiece,
};
pub use frame::MAX_BATCH_BYTES;
pub use log::{AppendError, MetadataLog};
pub use observer::Observer;
pub use quorum::QuorumAdmin;
pub use raft::Raft;
pub use recovery::{OpenError, Opened, Replayed};
pub use single::Single;

/// The name of the directory that holds the log: one that Kafka's tools do not take for a partition's.
pub const DIRECTORY: &str = "ottla-metadata";
