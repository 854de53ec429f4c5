//! This node's part in the cluster: it follows the metadata log, and does what the metadata say.
//!
//! - `metadata`: what the rest of the broker knows of them, and how it has them changed.
//! - `replay`: the task that takes the deliveries of the log, in order.
//! - `steps`: what is replayed and not yet carried out; `follower`: the task that carries it out.
//! - `snapshots`: the task that writes snapshots of the log.
//!
//! What is not here: which logs there are to be made or deleted for a change (`replicas`).

pub(crate) mod follower;
mod metadata;
mod replay;
mod snapshots;
mod steps;

#[cfg(test)]
mod tests;

pub(crate) use metadata::Metadata;
