//! The client against brokers that do as a test tells them, on loopback ports.
//!
//! [`fake`] is the broker, [`fake_group`] one that coordinates a group; each other module holds the claims about one part of the client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod client;
mod configs;
mod connection;
mod consumer;
mod fake;
mod fake_group;
mod group_consumer;
mod group_offsets;
mod groups;
mod producer;
mod replicas;
