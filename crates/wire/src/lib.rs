//! Kafka's requests and responses, one file per API, and the codec beneath them.
//!
//! A message is a plain struct with `#[derive(Message)]`; the derive writes its decoding, encoding, default and schema from
//! the attributes. [`messages`] holds them, and the one list of the APIs served; [`consumer_protocol`] what members of
//! groups tell each other in the bytes of some of them. [`header`] and [`frame`] turn the bytes
//! of a connection into a request and a response into the bytes of a connection.
//!
//! The formats are those of KIP-482 and of the definitions that Apache Kafka 4.3 publishes. Bytes from outside never
//! panic here, never make it allocate more than a small constant times their own length, and are refused with an
//! [`Error`] that names message, version and field. Record batches pass through as bytes: nothing here looks into them.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

// The derive names this crate from outside, and so must we.
extern crate self as ottla_wire;

pub mod api;
pub mod consumer_protocol;
pub mod error;
pub mod frame;
pub mod header;
pub mod messages;
pub mod schema;

mod inbox;
mod reader;
mod records;
mod string;
mod tags;
mod uuid;
mod value;
mod writer;

#[cfg(test)]
mod derive_tests;

pub use api::{Audience, Codec};
pub use error::Error;
pub use frame::Frame;
pub use header::{RequestHeader, ResponseHeader};
pub use inbox::{FrameError, Inbox};
pub use messages::*;
pub use ottla_wire_derive::Message;
pub use reader::{Reader, memory_granted};
pub use records::Records;
pub use string::Str;
pub use tags::UnknownTags;
pub use uuid::Uuid;
pub use value::{Message, Nullable, Value, Version};
pub use writer::Writer;
