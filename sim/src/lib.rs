//! Simulation: the doors of `env` opened on a seed, workloads that run behind them under faults, and the invariants that
//! must hold whatever happens.
//!
//! - [`disk`]: a disk in memory that loses, tears and reorders what was not synced, and fails in other ways.
//! - [`log_crash`]: random workloads over a broker's logs, crashed at every change of the disk.
//! - [`invariants`]: what must hold, one file each.
//! - [`rng`], [`clock`], [`world`]: randomness, time and the rest of an [`ottla_env::Env`].
//!
//! What is not here: anything that a broker runs. Nothing depends on this crate.

#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod invariants;
pub mod log_crash;
pub mod rng;
pub mod world;
