//! The doors to the outside: clock, randomness, disk and network; and the one by which tasks are spawned.
//!
//! Everything that differs from one run to the next comes through one of these traits, so that a simulation can open
//! them on a seed. Production opens them on the operating system: [`Env::real`].
//!
//! What is not here: any decision. These ports carry out, they do not choose.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod clock;
pub mod disk;
pub mod net;
pub mod process;
pub mod rng;

use std::sync::Arc;

pub use clock::{Clock, Timestamp};
pub use disk::{Disk, DiskFuture, File};
pub use net::{BoundAddr, ListenOptions, Listener, Net, Stream};
pub use rng::Rng;

/// The four doors, as one value to hand down.
#[derive(Clone)]
pub struct Env {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub rng: Arc<dyn Rng>,
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Connections.
    pub net: Arc<dyn Net>,
}

impl Env {
    /// The operating system's.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(clock::SystemClock::new()),
            rng: Arc::new(rng::OsRng),
            disk: Arc::new(disk::RealDisk::new()),
            net: Arc::new(net::TcpNet),
        }
    }
}
