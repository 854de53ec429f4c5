//! What a node of a quorum tells a simulation of itself: see [`ottla_env::process::observe`]. Whoever looks at all nodes of a
//! quorum can say from this whether it is one.

use ottla_types::{LeadershipEpoch, Offset};

use crate::atomic::Delivery;
use crate::quorum::VoterKey;

/// Something that happened in a node.
#[derive(Debug, Clone)]
pub enum Observed {
    /// It has read its disk.
    Opened {
        /// Who it is.
        me: VoterKey,
        /// The latest epoch that it knows of.
        epoch: LeadershipEpoch,
    },
    /// It is about to answer a peer.
    Answers {
        /// The latest epoch that it knows of.
        epoch: LeadershipEpoch,
    },
    /// It hands this over.
    Delivers(Delivery),
    /// It tells whoever appended that all is committed.
    Acknowledges {
        /// The epoch in which it was appended.
        epoch: LeadershipEpoch,
        /// The offset after the last record.
        end: Offset,
    },
}
