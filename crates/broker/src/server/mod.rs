//! Listeners and the connections that they accept. Knows frames; knows nothing of what is in them.

mod answers;
mod connection;
mod limits;
mod listener;
mod log_limit;
mod outbox;
mod principal;
mod responses;
mod traffic;

pub(crate) use connection::{ConnectionSettings, Handled, Peer, Service, stopped};
pub(crate) use limits::{Admission, ConnectionLimits, RequestMemory};
pub(crate) use listener::{Acceptor, Shared};
pub(crate) use log_limit::{LogLimit, PartitionLimit, StateLines};
pub(crate) use principal::Principal;
pub(crate) use responses::ResponseMemory;
pub(crate) use traffic::{Traffic, TrafficCounts};
