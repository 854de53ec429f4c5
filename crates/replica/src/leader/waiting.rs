//! What a producer that waits for all replicas is answered.

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};

use crate::replica::Replica;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckVerdict {
    /// Nothing yet.
    Wait,
    /// The records are committed.
    Done,
    /// The records are in the leader's log, and too few replicas are in sync now for them to be committed.
    NotEnoughReplicasAfterAppend,
    /// The epoch in which they were appended is over: whether they are committed, nobody can tell here.
    NotLeaderOrFollower,
}

impl AckVerdict {
    /// The error code of an answer; `None` while there is none to give.
    #[must_use]
    pub fn error(self) -> Option<ErrorCode> {
        match self {
            Self::Wait => None,
            Self::Done => Some(ErrorCode::None),
            Self::NotEnoughReplicasAfterAppend => Some(ErrorCode::NotEnoughReplicasAfterAppend),
            Self::NotLeaderOrFollower => Some(ErrorCode::NotLeaderOrFollower),
        }
    }

    pub(crate) fn of(replica: &Replica, epoch: LeaderEpoch, end: Offset) -> Self {
        let is_over = !replica.is_leader() || epoch != replica.leader_epoch();
        if is_over && !is(Sabotage::WaiterOutlivesEpoch) {
            Self::NotLeaderOrFollower
        } else if replica.high_watermark() >= end {
            Self::Done
        } else if !replica.has_enough() {
            Self::NotEnoughReplicasAfterAppend
        } else {
            Self::Wait
        }
    }
}
