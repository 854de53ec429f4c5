//! The cluster image, its records, and the controller that decides them.
//!
//! - [`record`]: the changes of metadata, and their encoding in the metadata log.
//! - [`image`]: what a node knows after replaying the log up to an offset. Cheap to clone and to compare.
//!   [`Image::to_records`] makes a snapshot of it.
//! - [`delta`]: what differs between two images.
//! - [`controller`]: decides requests into records.
//! - [`liveness`]: decides who is alive.
//!
//! Everything here is pure: no runtime, file, socket, clock or random number. What is not here: the log itself
//! (`broadcast`), requests as they are on the wire and who may make them (`broker`), and data.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod controller;
pub mod delta;
pub mod image;
pub mod liveness;
pub mod record;
mod snapshot;

pub use controller::{Controller, Decision};
pub use delta::Delta;
pub use image::Image;
pub use record::Record;
