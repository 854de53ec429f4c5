//! This node's part in the cluster: it follows the metadata log, and does what the metadata say.
//!
//! - `metadata`: what the rest of the broker knows of them, and how it has them changed.
//! - `replay`: the task that takes the deliveries of the log, in order.
//! - `steps`: what is replayed and not yet carried out; `follower`: the task that carries it out.
//! - `snapshots`: the task that writes snapshots of the log.
//! - `join`: how a node comes to the log; `identity`, `bootstrap`, `probe`: how it becomes a voter; `rejoin`: how it does again when
//!   its directory was lost; `links`: connections to the others (`slot`); `registering`: how a broker registers; `taken`: whether
//!   another broker has its id.
//! - `observer`: how a broker that does not vote finds its quorum and follows it.
//! - `creating`: topics that this broker itself wants.
//! - `channel`: the way to the active controller; `forwarding`: requests of clients that take it; `partitions`: what
//!   is asked about partitions; `heartbeats`: the task that tells it that this broker lives.
//!
//! What is not here: which logs there are to be made or deleted for a change (`replicas`).

mod bootstrap;
mod channel;
mod creating;
pub(crate) mod follower;
mod forwarding;
mod heard;
pub(crate) mod heartbeats;
mod identity;
pub(crate) mod join;
mod leaderless;
mod links;
mod metadata;
mod observer;
mod partitions;
mod probe;
mod registering;
mod rejoin;
mod replay;
mod slot;
mod snapshots;
mod steps;
mod taken;

#[cfg(test)]
mod tests;

pub(crate) use bootstrap::Bootstrap;
pub(crate) use channel::Channel;
pub use forwarding::HandedOnAgain;
pub(crate) use forwarding::{client_in, is_for_the_next_leader};
pub(crate) use identity::{ClusterId, Identity};
pub(crate) use links::Links;
pub(crate) use metadata::Metadata;
pub use observer::ObserverError;
pub(crate) use observer::as_observer;
pub(crate) use probe::{Prober, answer_to_wire, later, question_from_wire};
pub(crate) use registering::{register, unfence};
pub use replay::Replayed;
