//! Administration of a quorum: which nodes vote, and how far each is.
//!
//! Apart from [`AtomicBroadcast`](crate::AtomicBroadcast), and optional: an implementation on an ensemble of its own
//! makes has no quorum of our nodes. The terms are those of KIP-595 and KIP-853.

use std::fmt;
use std::time::Duration;

use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch, Offset};

use crate::atomic::BoxFuture;

/// Shows and changes the nodes that vote.
pub trait QuorumAdmin: Send + Sync + 'static {
    /// The nodes that vote, by id, as far as this node knows: it need not lead.
    fn members(&self) -> Vec<Voter>;

    /// The quorum as its leader sees it.
    ///
    /// # Errors
    /// This node does not lead.
    fn describe(&self) -> BoxFuture<'_, Result<QuorumState, QuorumError>>;

    /// Makes a node a voter, after it has caught up with the log.
    ///
    /// # Errors
    /// Nothing has changed, unless the error is that the outcome is not known.
    fn add_voter(&self, voter: Voter) -> BoxFuture<'_, Result<(), QuorumError>>;

    /// Takes a node's vote. The leader may remove itself: it goes on until that is committed, and then resigns.
    ///
    /// # Errors
    /// As for [`QuorumAdmin::add_voter`].
    fn remove_voter(&self, voter: VoterKey) -> BoxFuture<'_, Result<(), QuorumError>>;

    /// Changes the endpoints of a voter.
    ///
    /// # Errors
    /// As for [`QuorumAdmin::add_voter`].
    fn update_voter(&self, voter: Voter) -> BoxFuture<'_, Result<(), QuorumError>>;
}

/// A voter's identity. A node that lost its directory comes back with another one, and so as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoterKey {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The id of the directory that holds its log and its vote.
    pub directory: DirectoryId,
}

impl fmt::Display for VoterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.directory)
    }
}

/// Where a voter is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// The listener's name.
    pub listener: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A node that votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Who it is.
    pub key: VoterKey,
    /// Where it is reached, at least one.
    pub endpoints: Vec<VoterEndpoint>,
}

/// The quorum, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    /// The leader: the node that answers.
    pub leader: BrokerId,
    /// Its epoch.
    pub epoch: LeadershipEpoch,
    /// The offset after the last committed record.
    pub high_watermark: Offset,
    /// The nodes that vote, by id.
    pub voters: Vec<ReplicaState>,
    /// The nodes that are sent the log and do not vote, by id.
    pub observers: Vec<ReplicaState>,
}

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// Who.
    pub voter: Voter,
    /// The offset after the last record that it is known to have; `None` before its first answer.
    pub log_end: Option<Offset>,
    /// How long ago its last answer was; zero for the leader, `None` before the first.
    pub last_answer: Option<Duration>,
    /// For how long the leader may have had what it has not; zero for the leader, `None` if it never had all.
    pub last_caught_up: Option<Duration>,
}

/// Why the quorum was not changed or shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Only the leader does this.
    #[error("this node does not lead the quorum")]
    NotLeader {
        /// Who seems to.
        leader: Option<BrokerId>,
    },
    /// There is a voter with that id, and another directory or the same one.
    #[error("node {0} is a voter already: remove it first if its directory is another one")]
    Duplicate(BrokerId),
    /// There is no such voter.
    #[error("node {} with directory {} is no voter", .0.id, .0.directory)]
    NotFound(VoterKey),
    /// Another change of the voters is under way.
    #[error("another change of the voters is under way: ask again when it is done")]
    InProgress,
    /// The node did not catch up with the log in time.
    #[error(
        "node {0} did not catch up with the metadata log in time: is it running, and reached by its endpoints?"
    )]
    NotCaughtUp(BrokerId),
    /// What is asked for cannot be.
    #[error("the quorum cannot be changed so: {0}")]
    Invalid(String),
    /// It may have been done, or be done yet.
    #[error("whether the quorum was changed is not known: {0}")]
    Unknown(String),
}
