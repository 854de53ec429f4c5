//! A broker: listeners, sessions, one handler per API, and the hosts of the state machines that decide.
//!
//! - [`Broker`]: start and stop.
//! - `server`: connections, frames and limits; knows nothing of what is in a frame.
//! - `dispatch`, `handlers`: from a frame to the handler of its API and back.
//! - `partition`, `partitions`, `waiters`, `fetch_session`: what produce and fetch requests work on.
//! - `coordinator`: consumer groups, on the partitions of `__consumer_offsets`.
//! - `controller`, `cluster`, `replicas`: the controller's decisions, to the metadata log, to the image, to the logs.
//! - `replication`: what leaders and holders of replicas tell the controller.
//! - `roles`: what a node is to be, by its settings.
//! - `start`, `upkeep`: before and beside the requests. `failure`: what ends a broker that nobody stopped. `metrics`: what is told of them all.
//!
//! What is not here: rules. Those are in the pure crates; this one does what they say.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod broker;
mod cluster;
mod context;
mod controller;
mod coordinator;
mod dispatch;
mod failure;
/// The disk of the tests of the log, for tests of faults.
#[cfg(test)]
#[allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "shared by tests of faults")]
#[path = "../../log/tests/common/disk.rs"]
mod fault_disk;
mod features;
mod fetch_session;
mod handlers;
mod metadata_place;
mod metrics;
mod partition;
mod partitions;
mod producer_ids;
mod replicas;
mod replication;
mod roles;
mod server;
mod start;
mod upkeep;
mod waiters;

pub use broker::Broker;
pub use cluster::{HandedOnAgain, ObserverError, Replayed};
pub use failure::{FailedDirs, Failure};
pub use metadata_place::MetadataPlaceError;
pub use partition::{ReplicaCuts, ReplicaMoved};
pub use roles::RoleError;
pub use start::StartError;
