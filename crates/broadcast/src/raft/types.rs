//! What openraft is told about us: its type parameters, and short names for what follows from them.
//!
//! At most one node leads in a term (`leader_id_std`), as in Raft's own paper, so that a term is a leadership epoch.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use ottla_types::{LeadershipEpoch, Offset};

use super::runtime::Runtime;
use crate::quorum::{VoterEndpoint, VoterKey};

/// Openraft's type parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Batch;
    type R = Applied;
    type NodeId = VoterKey;
    type Node = Vec<VoterEndpoint>;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, VoterKey>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Batch, VoterKey, Vec<VoterEndpoint>>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type AsyncRuntime = Runtime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type LeaderId = openraft::alias::LeaderIdOf<Types>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Payload = openraft::alias::PayloadOf<Types>;
pub(crate) type Membership = openraft::Membership<VoterKey, Vec<VoterEndpoint>>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type CommittedLeaderId = openraft::alias::CommittedLeaderIdOf<Types>;

/// One append: the records that are in the log together or not at all.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Arc<[Bytes]>);

impl Batch {
    /// The bytes that it takes in a log: each record and its length.
    pub(crate) fn len_bytes(&self) -> usize {
        self.0.iter().map(|record| record.len() + 4).sum()
    }

    /// How many offsets it takes.
    pub(crate) fn count(&self) -> i64 {
        self.0.len() as i64
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.0.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry tells who appended it: the offset of its first record, if it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied(pub(crate) Option<Offset>);

/// The id of the entry at `index`, appended in `term`.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    // Whose leadership it was is no part of the id where a term has one leader.
    let nobody = VoterKey { id: ottla_types::BrokerId(0), directory: ottla_types::DirectoryId::ZERO };
    LogId { leader_id: LeaderId::new(term, nobody).to_committed(), index }
}

/// The term of an entry.
pub(crate) fn term_of(id: &LogId) -> u64 {
    *id.leader_id
}

/// The term as everybody else knows it.
pub(crate) fn epoch(term: u64) -> LeadershipEpoch {
    LeadershipEpoch(i64::try_from(term).unwrap_or(i64::MAX))
}
