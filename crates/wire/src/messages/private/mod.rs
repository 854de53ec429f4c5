//! What only nodes of one cluster say to each other, and Kafka has no message for: their keys lie outside Kafka's range, from
//! [`crate::schema::PRIVATE_FROM`] up, and no client ever hears of them.
//!
//! They are encoded as all others are, with the same bounds on what decoding costs, and versioned, so that nodes of different
//! releases understand each other. Only the comparison with Kafka passes over them.

pub mod pull_metadata;
pub mod quorum_probe;
pub mod raft_envelope;
pub mod rejoin_quorum;
