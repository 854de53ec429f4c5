//! What a call of the machine changed, for the shell to carry out.

use std::time::Duration;

use ottla_types::{BrokerId, LeaderEpoch, Offset};

/// What changed. Nothing in it allocates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Change {
    /// The high watermark is now this. It goes back by a truncation alone.
    pub high_watermark: Option<Offset>,
    /// What [`crate::Replica::wanted_isr`] says may be something else now.
    pub look_at_isr: bool,
    /// Those who wait for all replicas are to ask [`crate::Replica::acknowledged`] again, whatever the watermark is: the
    /// epoch ended, or too few replicas are in sync.
    pub wake_appends: bool,
    /// [`crate::Replica::tick`] is to be called then. Said once: the machine relies on it. A call that comes earlier does no
    /// harm, and one that comes later no other than its delay.
    pub wake_at: Option<Duration>,
    /// The replica has another part, or the same in another leader epoch.
    pub turn: Option<Turn>,
}

/// What part a replica has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It leads, and notes its epoch in the log before it takes records.
    Leads {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Where it starts: the end of the log.
        start: Offset,
    },
    /// It copies from a leader.
    Follows {
        /// Whom.
        leader: BrokerId,
        /// In which epoch.
        epoch: LeaderEpoch,
    },
    /// It is a replica, and nobody leads.
    Waits,
    /// It is not among the replicas any more.
    Stops,
}

impl Change {
    /// Both changes, this one first.
    pub fn and(self, later: Self) -> Self {
        Self {
            high_watermark: later.high_watermark.or(self.high_watermark),
            look_at_isr: self.look_at_isr || later.look_at_isr,
            wake_appends: self.wake_appends || later.wake_appends,
            wake_at: later.wake_at.or(self.wake_at),
            turn: later.turn.or(self.turn),
        }
    }
}
