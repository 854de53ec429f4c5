//! What nodes tell each other while they look for their quorum, and what each keeps of it.

use std::fmt;
use std::sync::Arc;

use ottla_types::config::listeners::Voter as ListedVoter;
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};

use crate::quorum::{Voter, VoterEndpoint, VoterKey};

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
    pub(crate) fn of(voter: &ListedVoter) -> Self {
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
    pub listed: ListedVoter,
    /// The directory that it had when the quorum was founded. Another one of the same node has no vote.
    pub directory: DirectoryId,
}

impl Founding {
    /// Who votes at first, as the log is to begin with them: each is reached by its listener `listener`.
    #[must_use]
    pub fn electorate(&self, listener: &str) -> Vec<Voter> {
        let voter = |voter: &FoundingVoter| {
            let ListedVoter { id, host, port } = voter.listed.clone();
            let endpoint = VoterEndpoint { listener: listener.to_owned(), host, port };
            Voter { key: VoterKey { id, directory: voter.directory }, endpoints: vec![endpoint] }
        };
        self.voters.iter().map(voter).collect()
    }

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

/// What a node's log knows of its quorum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The last leader, if it ever knew one.
    pub leader: Option<Leader>,
    /// Who votes; none where there is no log.
    pub voters: Vec<Voter>,
}

/// What a node tells of itself when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub key: VoterKey,
    /// The voters that its configuration lists, in any order; none where it only joins.
    pub listed: Vec<ListedVoter>,
    /// The cluster whose data is in its log directories, or that it knows by its founding.
    pub cluster_id: Option<ClusterId>,
}

/// What a node says of itself. Everything in it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub key: VoterKey,
    /// The voters that its configuration lists, in any order; none where it only joins.
    pub listed: Vec<ListedVoter>,
    /// The cluster whose data is in its log directories, or that it knows by its founding.
    pub cluster_id: Option<ClusterId>,
    /// The quorum that it belongs to. `None`: its directory is empty, it has never voted.
    pub founding: Option<Founding>,
    /// What its log knows.
    pub known: Known,
}

/// A list of voters as configurations have it, by id.
pub(crate) fn told(voters: &[ListedVoter]) -> String {
    if voters.is_empty() {
        return "none (it has controller.quorum.bootstrap.servers alone)".to_owned();
    }
    let mut voters: Vec<&ListedVoter> = voters.iter().collect();
    voters.sort_by_key(|voter| voter.id);
    let one = |voter: &&ListedVoter| format!("{}@{}", voter.id, Address::of(voter));
    voters.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Whether two lists name the same voters at the same addresses.
pub(crate) fn same_list(one: &[ListedVoter], other: &[ListedVoter]) -> bool {
    let sorted = |list: &[ListedVoter]| {
        let voter = |voter: &ListedVoter| (voter.id, voter.host.to_ascii_lowercase(), voter.port);
        let mut list: Vec<_> = list.iter().map(voter).collect();
        list.sort();
        list
    };
    sorted(one) == sorted(other)
}

/// What a list of a configuration says otherwise than the quorum's log, if anything. The log's voters are those that vote
/// (KIP-853).
pub(crate) fn difference(listed: &[ListedVoter], voters: &[Voter]) -> Option<String> {
    let mut differences = Vec::new();
    for voter in voters {
        let at = |endpoint: &VoterEndpoint, listed: &ListedVoter| {
            endpoint.port == listed.port && endpoint.host.eq_ignore_ascii_case(&listed.host)
        };
        let id = voter.key.id;
        match listed.iter().find(|listed| listed.id == id) {
            None => differences.push(format!("node {id} votes, and is not listed")),
            Some(listed) if !voter.endpoints.iter().any(|endpoint| at(endpoint, listed)) => {
                let known = voter.endpoints.first();
                let known = known.map(|at| Address { host: at.host.clone(), port: at.port }.to_string());
                let known = known.unwrap_or_else(|| "no address".to_owned());
                differences
                    .push(format!("node {id} is listed at {}, and known at {known}", Address::of(listed)));
            }
            Some(_) => {}
        }
    }
    for listed in listed.iter().filter(|listed| !voters.iter().any(|voter| voter.key.id == listed.id)) {
        differences.push(format!("node {} is listed, and does not vote", listed.id));
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}
