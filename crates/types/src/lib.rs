//! The vocabulary that every other crate shares: ids, offsets, epochs, topic names, error codes, configuration keys,
//! histograms.
//!
//! Nothing here does I/O, reads a clock or depends on another crate of ours.

#![forbid(unsafe_code)]

pub mod config;
pub mod error_code;
pub mod histogram;
pub mod ids;
pub mod sabotage;
pub mod topic;

pub use error_code::ErrorCode;
pub use histogram::{Counted, Histogram};
pub use ids::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, LeadershipEpoch, Offset, PartitionEpoch, ProducerEpoch,
    ProducerId, TopicId,
};
pub use topic::{TopicName, TopicPartition};
