//! What goes wrong in a world, and is repaired again.
//!
//! - [`Fault`]: one thing, as data, with what repairs it.
//! - [`Nemesis`]: draws faults for a while, and repairs all of them at the end.
//!
//! What is not here: what must hold meanwhile.

mod nemesis;

pub use nemesis::{Nemesis, Weights};

use std::time::Duration;

use crate::disk::Faults;
use crate::engine::{Kind, NodeId};
use crate::net::Quality;
use crate::world::World;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A process ends at once; it is started again.
    Kill(NodeId),
    /// A machine loses its power; it is started again.
    PowerLoss(NodeId),
    /// A machine loses its power and its disk; it is started again with an empty one.
    Wipe(NodeId),
    /// A process is not scheduled; it goes on.
    Pause(NodeId),
    /// A process stops in order; it is started again.
    Stop(NodeId),
    /// Nothing comes through in one direction; it is mended.
    Cut(NodeId, NodeId),
    /// Some machines are cut off from the others, in both directions; that is mended.
    Partition(Vec<NodeId>, Vec<NodeId>),
    /// All connections between two machines are reset.
    Reset(NodeId, NodeId),
    /// A link, both ways, is slow and loses segments; it is as usual again.
    BadLink(NodeId, NodeId, Quality),
    /// All calls of a disk take long; it is as usual again.
    SlowDisk(NodeId, Duration),
    /// Calls of a disk fail, until it is replaced or repaired.
    BadDisk(NodeId, Failing),
    /// A wall clock is wrong by so many milliseconds from now on.
    ClockJump(NodeId, i64),
}

/// Which calls of a disk fail. Syncs do in [`crate::log_crash`]: a node refuses to start on a metadata log that was damaged so, and
/// nobody is there to copy it from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Reads, now and then.
    Reads,
    /// Writes, now and then, after any part of them.
    Writes,
    /// What does not fit any more.
    Full,
}

impl Failing {
    fn set(self, faults: &mut Faults, used_bytes: u64) {
        match self {
            Self::Reads => faults.read_errors_per_mille = 50,
            Self::Writes => faults.write_errors_per_mille = 50,
            Self::Full => faults.capacity_bytes = Some(used_bytes + 2_000),
        }
    }
}

impl Fault {
    /// Lets it happen.
    pub async fn strike(&self, world: &World) {
        world.note(NodeId::WORLD, Kind::Fault, 1, || format!("{self:?}"));
        let net = world.net();
        match self {
            Self::Kill(node) => world.kill(*node),
            Self::PowerLoss(node) => world.cut_power(*node),
            Self::Wipe(node) => world.wipe(*node),
            Self::Pause(node) => world.pause(*node),
            Self::Stop(node) => world.stop(*node).await,
            Self::Cut(from, to) => net.cut(*from, *to),
            Self::Partition(some, others) => each_pair(some, others, |one, other| net.cut_both(one, other)),
            Self::Reset(one, other) => net.reset(*one, *other),
            Self::BadLink(one, other, quality) => {
                net.set_quality(*one, *other, quality.clone());
                net.set_quality(*other, *one, quality.clone());
            }
            Self::SlowDisk(node, latency) => {
                let range = *latency / 2..*latency;
                world.set_disk_faults(*node, |faults| {
                    faults.latency = Some(range.clone());
                    faults.sync_latency = Some(range);
                });
            }
            Self::BadDisk(node, failing) => world.fail_disk(*node, |faults, used| failing.set(faults, used)),
            Self::ClockJump(node, ahead_ms) => world.set_clock_ahead_ms(*node, *ahead_ms),
        }
    }

    /// Ends it.
    pub fn repair(&self, world: &World) {
        world.note(NodeId::WORLD, Kind::Fault, 2, || format!("repaired: {self:?}"));
        let net = world.net();
        match self {
            Self::Kill(node) | Self::PowerLoss(node) | Self::Wipe(node) | Self::Stop(node) => {
                world.start(*node)
            }
            Self::Pause(node) => world.resume(*node),
            Self::Cut(from, to) => net.mend(*from, *to),
            Self::Partition(some, others) => each_pair(some, others, |one, other| {
                net.mend(one, other);
                net.mend(other, one);
            }),
            Self::BadLink(one, other, _) => {
                net.set_quality(*one, *other, Quality::local());
                net.set_quality(*other, *one, Quality::local());
            }
            Self::SlowDisk(node, _) | Self::BadDisk(node, _) => world.set_disk_faults(*node, |_| {}),
            Self::Reset(..) | Self::ClockJump(..) => {}
        }
    }
}

fn each_pair(some: &[NodeId], others: &[NodeId], mut then: impl FnMut(NodeId, NodeId)) {
    for one in some {
        others.iter().for_each(|other| then(*one, *other));
    }
}

/// Repairs everything: no link is cut or bad, no disk slow, every process runs.
pub fn heal(world: &World, nodes: &[NodeId]) {
    world.note(NodeId::WORLD, Kind::Fault, 3, || "everything is repaired".to_owned());
    world.net().heal();
    for node in nodes {
        world.set_disk_faults(*node, |_| {});
        if world.is_paused(*node) {
            world.resume(*node);
        }
        world.start(*node);
    }
}
