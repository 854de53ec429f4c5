//! Hosts the controller of `metadata` while this node leads the metadata log.
//!
//! - `host`: what is replayed, and what the leader decides on top of it; `appender`: the task that takes it to the log.
//! - `liveness`: the host of the failure detector; `chores`: what is looked at from time to time.
//! - `quorum`: what is asked about the nodes that vote, and about those that do not (`observers`); `described_quorum`: how that is
//!   said; `rejoin`: how one that lost its directory votes again; `suspicion`: a leader of theirs whose process has died.
//! - `pull_metadata`: what nodes are handed that do not vote.
//! - `partitions`: what leaders and holders of replicas ask.
//! - `requests`: what brokers ask, in the terms of the machine and on the wire; `service`: the listeners on which they ask.
//!
//! What is not here: rules (`metadata`), agreement (`broadcast`), and what this broker does about what is decided
//! (`cluster`).

mod appender;
mod chores;
mod described_quorum;
mod host;
mod liveness;
mod observers;
mod partitions;
mod pull_metadata;
mod quorum;
mod rejoin;
mod requests;
mod service;
mod suspicion;

pub(crate) use chores::run as do_chores;
pub(crate) use host::{ControllerHost, Decided, end_of, not_controller, refused};
pub(crate) use liveness::{Liveness, run as watch_brokers};
pub(crate) use partitions::{
    Answers, alter_partition_answers, alter_partition_request, assign_replicas_answers,
    assign_replicas_request,
};
pub(crate) use quorum::Quorum;
pub(crate) use requests::{
    ActiveController, heartbeat_request, producer_ids, producer_ids_request, refused as refused_code,
    registration_request,
};
pub(crate) use service::{ControllerNode, ControllerService};
pub(crate) use suspicion::Suspicion;
