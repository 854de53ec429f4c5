//! Simulation: the doors of `env` opened on a seed, workloads that run behind them under faults, and the invariants that
//! must hold whatever happens.
//!
//! - [`disk`]: a disk in memory that loses, tears and reorders what was not synced, and fails in other ways.
//! - [`engine`]: one thread, one clock, one order of events; the tasks of each simulated process.
//! - [`net`]: a network in memory, between machines.
//! - [`world`]: machines, each with a process that can be killed, paused and started, a disk and clocks.
//! - [`faults`]: what goes wrong, and is repaired.
//! - [`brokers`]: brokers and their clients under faults.
//! - [`cluster`]: nodes that are brokers and controllers, and their clients, under faults.
//! - [`quorum`]: the voters of the metadata log under faults.
//! - [`replication`]: records on several nodes, and their replicas, under faults.
//! - [`run`]: one seed, or many.
//! - [`log_crash`]: random workloads over a broker's logs, crashed at every change of the disk.
//! - [`invariants`]: what must hold, one file each.
//! - [`rng`], [`clock`]: randomness, and the time of a world without machines.
//!
//! What is not here: anything that a broker runs. Nothing depends on this crate.

#![forbid(unsafe_code)]

pub mod brokers;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod engine;
pub mod faults;
pub mod invariants;
pub mod log_crash;
pub mod net;
pub mod quorum;
pub mod replication;
pub mod rng;
pub mod run;
pub mod world;
