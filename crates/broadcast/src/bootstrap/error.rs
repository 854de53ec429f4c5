//! What is wrong with a set-up, in one sentence that says what to do.

use std::fmt;

use ottla_types::{BrokerId, DirectoryId};

use super::ListedVoter;

/// Why a node cannot be in a quorum with another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// The address of one node is that of another.
    #[error(
        "controller.quorum.voters names node {asked} at an address where node {found} answers: correct the address, or \
         node.id there"
    )]
    AnotherNode {
        /// The node that was asked.
        asked: BrokerId,
        /// The node that answered.
        found: BrokerId,
    },
    /// Two nodes have one id.
    #[error(
        "two nodes have node.id {id}: this one, with directory {ours}, and one with directory {theirs}. Give one of them \
         another node.id"
    )]
    SameId {
        /// The id.
        id: BrokerId,
        /// The directory of this node.
        ours: DirectoryId,
        /// That of the other.
        theirs: DirectoryId,
    },
    /// Two nodes list different voters.
    #[error(
        "controller.quorum.voters is {} here and {} on node {id}: give all voters the same list", list(.ours), list(.theirs)
    )]
    Voters {
        /// The list here.
        ours: Vec<ListedVoter>,
        /// The list there.
        theirs: Vec<ListedVoter>,
        /// Where.
        id: BrokerId,
    },
    /// Two nodes belong to different clusters.
    #[error(
        "node {one} belongs to cluster {its_cluster}, and node {other} to cluster {others_cluster}: they cannot be in one \
         quorum. Correct controller.quorum.voters or controller.quorum.bootstrap.servers, or start the node that was meant \
         to be new with an empty directory"
    )]
    Cluster {
        /// A node.
        one: BrokerId,
        /// Its cluster.
        its_cluster: String,
        /// Another node.
        other: BrokerId,
        /// Its cluster.
        others_cluster: String,
    },
}

/// A list as it stands in a configuration.
fn list(voters: &[ListedVoter]) -> impl fmt::Display {
    let voters: Vec<String> =
        voters.iter().map(|voter| format!("{}@{}:{}", voter.id, voter.host, voter.port)).collect();
    voters.join(",")
}
