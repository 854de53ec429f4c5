//! Classic consumer groups and their offsets, for one partition of `__consumer_offsets` (Kafka: a coordinator shard).
//!
//! - [`Shard`]: decides requests into answers and [`Record`]s, and replays records.
//! - [`request`], [`answer`]: what can be asked, in the domain's terms.
//! - [`record`]: the bytes of the log, as Kafka 4.3 writes and reads them.
//!
//! Pure: no runtime, file, socket, clock or random number. What is not here: the log itself, requests as they are on
//! the wire, who may make them, and which broker coordinates which group (`broker`).

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod answer;
mod classic;
mod config;
mod deadlines;
mod effect;
mod followup;
mod group;
mod groups;
mod offsets;
pub mod record;
pub mod request;
mod shard;
mod sweep;
mod turn;

pub use answer::Answer;
pub use config::GroupConfig;
pub use effect::{ChangeId, Decision, Effect, Record, Ticket};
pub use record::RecordError;
pub use request::{Generation, Request};
pub use shard::{Census, CommittedOffset, Loaded, Shard, response_error};
pub use sweep::Sweep;
