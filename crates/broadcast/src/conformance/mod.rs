//! What every implementation of [`AtomicBroadcast`] must pass: claims as functions, for the tests of an implementation.
//!
//! An implementation brings a [`Cluster`]: nodes that can be started, killed and cut off. Each claim starts the nodes that
//! it needs and panics where the claim does not hold. [`all`] runs every one of them, each on a cluster of its own;
//! [`chaos::survive`] runs a random history of appends and faults, and holds what was seen to what was promised.
//!
//! Nothing is asked about time but that things happen at all: claims wait, and a claim that waits for ever is broken by
//! the limit of whoever runs it. They are made for a clock that is paused and advances by itself.

pub mod chaos;
mod claims;
mod node;

use std::sync::Arc;

use crate::atomic::{AtomicBroadcast, BoxFuture};

pub use self::claims::*;
pub use self::node::{Node, batch, leader, leader_among};

/// Nodes of one broadcast, each with storage of its own that outlives it.
pub trait Cluster: Send {
    /// How many nodes there are. They are called by number, from 0 on.
    fn size(&self) -> usize;

    /// Starts a node that does not run.
    fn start(&mut self, node: usize) -> BoxFuture<'_, Arc<dyn AtomicBroadcast>>;

    /// Ends a node without warning; what it had synced, or handed to the operating system, stays.
    fn kill(&mut self, node: usize);

    /// Cuts the power of a node: what it had not synced may be gone.
    fn cut_power(&mut self, node: usize);

    /// Cuts a node off from all others, in both directions, until [`Cluster::heal`].
    fn isolate(&mut self, node: usize);

    /// Lets all nodes reach each other again.
    fn heal(&mut self);
}

/// Makes a cluster that never ran.
pub type Factory<'a> = &'a mut dyn FnMut() -> Box<dyn Cluster>;

/// Every claim, one after another.
pub async fn all(factory: Factory<'_>) {
    let mut cluster = factory();
    order_is_agreed(&mut *cluster).await;
    cluster = factory();
    what_is_refused_never_appears(&mut *cluster).await;
    cluster = factory();
    whoever_leads_has_been_delivered_all_that_was_committed(&mut *cluster).await;
    cluster = factory();
    an_epoch_that_was_resigned_is_over(&mut *cluster).await;
    cluster = factory();
    a_leader_that_is_cut_off_resigns_and_is_fenced(&mut *cluster).await;
    cluster = factory();
    a_snapshot_and_what_follows_it_equal_the_log(&mut *cluster).await;
    cluster = factory();
    a_restart_of_all_delivers_the_same(&mut *cluster).await;
    cluster = factory();
    a_power_cut_of_all_loses_nothing_that_was_committed(&mut *cluster).await;
    cluster = factory();
    a_barrier_lies_above_all_that_was_committed_before(&mut *cluster).await;
    cluster = factory();
    who_only_reads_gets_the_same_records(&mut *cluster).await;
    cluster = factory();
    after_close_nothing_is_taken_and_the_others_go_on(&mut *cluster).await;
}
