//! The client against brokers that do as a test tells them, on loopback ports.
//!
//! [`fake`] is the broker; each other module holds the claims about one part of the client.

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
mod group_consumer;
mod groups;
mod producer;
