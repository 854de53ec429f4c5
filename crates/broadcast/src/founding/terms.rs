//! What nodes tell each other while they look for their quorum, and what each keeps of it.

use std::fmt;
use std::sync::Arc;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};

use crate::quorum::VoterKey;

/// The id of a cluster, as `cluster.id` in `meta.properties` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// An id from its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    pub(crate) fn of(voter: &Voter) -> Self {
        Self { host: voter.host.clone(), port: voter.port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A quorum as it was founded: decided by one node, once, and never changed. Who votes later is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// What the cluster is called.
    pub cluster_id: ClusterId,
    /// Who votes at first, by id.
    pub voters: Vec<FoundingVoter>,
}

/// A directory that votes from the first day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundingVoter {
    /// The node, as the configuration lists it.
    pub listed: Voter,
    /// The directory that it had when the quorum was founded. Another one of the same node has no vote.
    pub directory: DirectoryId,
}

impl Founding {
    /// The directory by which a node was counted on.
    #[must_use]
    pub fn key_of(&self, node: BrokerId) -> Option<VoterKey> {
        let voter = self.voters.iter().find(|voter| voter.listed.id == node)?;
        Some(VoterKey { id: node, directory: voter.directory })
    }
}

/// What a node keeps in its metadata directory before anything else, see [`Record::store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who it is.
    pub me: VoterKey,
    /// The quorum, once it knows one.
    pub founding: Option<Founding>,
}

/// Who leads the quorum, or led it: that there ever was a leader shows that a majority votes by the founding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The node.
    pub id: BrokerId,
    /// The epoch of its leadership.
    pub epoch: LeadershipEpoch,
}

/// What a node says of itself. Everything in it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub key: VoterKey,
    /// The voters that its configuration lists, in any order; none where it only joins.
    pub listed: Vec<Voter>,
    /// The cluster whose data is in its log directories, or that it knows by its founding.
    pub cluster_id: Option<ClusterId>,
    /// The quorum that it belongs to. `None`: its directory is empty, it has never voted.
    pub founding: Option<Founding>,
    /// The last leader that it knows of, if it ever knew one.
    pub leader: Option<Leader>,
}

/// A list of voters as configurations have it, by id.
pub(crate) fn told(voters: &[Voter]) -> String {
    if voters.is_empty() {
        return "none (it has controller.quorum.bootstrap.servers alone)".to_owned();
    }
    let mut voters: Vec<&Voter> = voters.iter().collect();
    voters.sort_by_key(|voter| voter.id);
    let one = |voter: &&Voter| format!("{}@{}", voter.id, Address::of(voter));
    voters.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Whether two lists name the same voters at the same addresses.
pub(crate) fn same_list(one: &[Voter], other: &[Voter]) -> bool {
    let sorted = |list: &[Voter]| {
        let voter = |voter: &Voter| (voter.id, voter.host.to_ascii_lowercase(), voter.port);
        let mut list: Vec<_> = list.iter().map(voter).collect();
        list.sort();
        list
    };
    sorted(one) == sorted(other)
}
