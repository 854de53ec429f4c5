//! Hosts the controller of `metadata` while this node leads the metadata log.
//!
//! - `host`: what is replayed, and what the leader decides on top of it; `appender`: the task that takes it to the log.
//!
//! What is not here: rules (`metadata`), agreement (`broadcast`), and what this broker does about what is decided
//! (`cluster`).

mod appender;
mod host;

pub(crate) use host::{ControllerHost, end_of, not_controller, refused};
