//! What a simulated world runs on: one thread, one clock, one order of events.
//!
//! - [`timeline`]: what is to happen when, to the microsecond, and in which order within one.
//! - [`driver`]: lets tasks run until all of them wait, and only then lets time pass: to the next event, or to the next of
//!   tokio's timers, whichever comes first. Nothing ticks.
//! - [`process`]: the tasks of one simulated process, which can be ended all at once, or paused.
//! - [`trace`]: what happened, as one number, and in words for who looks at a failure.
//!
//! All tasks run on one current-thread runtime of tokio with paused time, those of every process among them. A runtime for
//! each process would have made ending one simpler, and was decided against: each would have a clock of its own, none
//! tells when its next timer is due, and so they could only be kept together by ticking all of them.
//!
//! What is not here: anything that a task does.

pub mod driver;
pub mod process;
pub mod timeline;
pub mod trace;

pub use driver::run;
pub use process::{SimProcess, Watcher};
pub use timeline::{Stuck, Timeline};
pub use trace::{Kind, Trace};

/// A machine of the simulated world, with one process on it. Numbers begin at 1; see [`NodeId::WORLD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// No machine: what befalls several of them, or none.
    pub const WORLD: Self = Self(0);
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::WORLD { f.write_str("world") } else { write!(f, "node {}", self.0) }
    }
}
