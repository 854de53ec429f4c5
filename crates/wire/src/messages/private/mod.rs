//! What Kafka has no message for: what only nodes of one cluster say to each other, and no client ever hears of; and what this
//! project's own tools ask brokers for ([`describe_replicas`]), which is told in ApiVersions as all that clients may ask for.
//! Their keys lie outside Kafka's range, from [`crate::schema::PRIVATE_FROM`] up.
//!
//! They are encoded as all others are, with the same bounds on what decoding costs, and versioned, so that nodes of different
//! releases understand each other. Only the comparison with Kafka passes over them.

pub mod describe_replicas;
pub mod pull_metadata;
pub mod quorum_probe;
pub mod raft_envelope;
pub mod rejoin_quorum;
