//! One partition's replica, as a pure machine: what it tells is in force, what comes in and what time it is go in, and what
//! is to be done comes out.
//!
//! - [`Replica`]: the machine. [`View`]: what the metadata say of the partition. [`Change`]: what a call changed.
//! - As the leader ([`FollowerFetch`], [`WantedIsr`], [`AckVerdict`]): whom a record is committed by, who is in sync, who
//!   lags, and what a producer that waits is answered.
//! - As a follower ([`NextFetch`], [`FetchAnswer`], [`Step`]): what to ask the leader, and what its answer means for the log.
//!
//! The rules are those of KIP-101, 279, 320, 497, 595 (divergence by fetching), 841, 903, 966 and KAFKA-15583, 14704, 9491,
//! 19996; each has a script in `tests/`.
//!
//! Pure: no runtime, file, socket, clock or random number. What is not here: the log, the wire, who decides on the ISR
//! (`metadata`), and who calls all this (`broker`).

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod change;
mod follower;
mod leader;
mod replica;
mod view;

pub use change::{Change, Turn};
pub use follower::{FetchAnswer, FetchFrom, NextFetch, Step, Truncation};
pub use leader::fetches::{EpochEnd, Fetched, FollowerFetch};
pub use leader::isr::{IsrAnswer, WantedIsr};
pub use leader::lag::{AskedChange, FollowerState, LagDetector, LagSettings, Standing};
pub use leader::waiting::AckVerdict;
pub use replica::Replica;
pub use view::{Ends, View};
