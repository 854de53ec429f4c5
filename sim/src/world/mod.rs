//! A world in which everything comes from a seed: [`World`] with its machines, or [`env`] for one disk alone, without a
//! network.

mod clock;
mod node;
mod nodes;

use std::io;
use std::sync::Arc;

use ottla_env::net::{BoundAddr, ListenOptions, Net, NetFuture, Stream};
use ottla_env::{Disk, Env, Timestamp};

pub use self::node::{Program, Started};
pub use self::nodes::{LossWatcher, World, WorldWatcher};
use crate::clock::SimClock;
use crate::rng::{RngPort, SimRng};

/// When simulated worlds begin: in January 2027.
pub const EPOCH_MS: Timestamp = 1_800_000_000_000;

/// An environment on this disk. To be made inside a runtime whose time is paused.
#[must_use]
pub fn env(disk: Arc<dyn Disk>, rng: SimRng) -> Env {
    Env {
        clock: Arc::new(SimClock::new(EPOCH_MS)),
        rng: Arc::new(RngPort::new(rng)),
        disk,
        net: Arc::new(NoNet),
    }
}

/// A machine without a network.
#[derive(Debug, Clone, Copy)]
struct NoNet;

fn no_network<'a, T: 'a>() -> NetFuture<'a, T> {
    Box::pin(async { Err(io::Error::new(io::ErrorKind::NetworkUnreachable, "this world has no network")) })
}

impl Net for NoNet {
    fn bind<'a>(&'a self, _: &'a str, _: u16, _: ListenOptions) -> NetFuture<'a, Box<dyn BoundAddr>> {
        no_network()
    }

    fn connect<'a>(&'a self, _: &'a str, _: u16) -> NetFuture<'a, Box<dyn Stream>> {
        no_network()
    }

    fn hostname(&self) -> String {
        "simulated".to_owned()
    }
}
