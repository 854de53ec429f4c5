//! The failure detector: rules by scripts, promises by properties, and what it costs on traces of good and bad machines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod properties;
mod rules;
mod script;
mod traces;
mod world;
