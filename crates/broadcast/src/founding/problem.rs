//! Set-ups that cannot work, each with what to do about it; and what an operator should know while a node waits.

use std::fmt;
use std::time::Duration;

use ottla_types::{BrokerId, DirectoryId};

use super::terms::{Address, ClusterId};
use crate::quorum::VoterKey;

/// Why a node does not start, or what it noticed about another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The node votes, and is not in its own list.
    #[error(
        "node.id is {node}, and controller.quorum.voters lists {list}: add this node to the list on every node, or take \
         `controller` out of its process.roles"
    )]
    NotListed {
        /// This node.
        node: BrokerId,
        /// Its list.
        list: String,
    },
    /// An id or an address is in the list twice.
    #[error(
        "controller.quorum.voters lists {what} twice: {list}. Give each voter an id and an address of its own"
    )]
    ListedTwice {
        /// Which.
        what: String,
        /// The list.
        list: String,
    },
    /// There is nobody to ask.
    #[error(
        "neither controller.quorum.voters nor controller.quorum.bootstrap.servers names a node: set one of them"
    )]
    NobodyListed,
    /// Two nodes do not mean the same quorum.
    #[error(
        "controller.quorum.voters disagree: node {node} lists {list}, and node {other} lists {others}. Give all nodes the \
         same list, and restart those that had another one"
    )]
    ListsDisagree {
        /// This node.
        node: BrokerId,
        /// Its list.
        list: String,
        /// The other one.
        other: BrokerId,
        /// Its list.
        others: String,
    },
    /// Somebody else answers at a voter's address.
    #[error(
        "controller.quorum.voters says that node {expected} is at {address}, and node {found} answers there: correct the \
         list on every node, or node.id there"
    )]
    WrongNode {
        /// Who should be there.
        expected: BrokerId,
        /// Where.
        address: Address,
        /// Who is.
        found: BrokerId,
    },
    /// Another process has this node's id.
    #[error(
        "two nodes have node.id {node}: this one, whose metadata directory is {mine}, and {place}, whose directory is \
         {theirs}. Give one of them another node.id, or stop it"
    )]
    TwoNodes {
        /// The id.
        node: BrokerId,
        /// This node's directory.
        mine: DirectoryId,
        /// Where the other one is, in words.
        place: String,
        /// Its directory.
        theirs: DirectoryId,
    },
    /// Two nodes have one directory.
    #[error(
        "node {node} and node {other} have the metadata directory {directory}: one was copied from the other. Empty \
         metadata.log.dir of the copy"
    )]
    CopiedDirectory {
        /// One.
        node: BrokerId,
        /// The other.
        other: BrokerId,
        /// The id of the directory.
        directory: DirectoryId,
    },
    /// This node has the data of another cluster.
    #[error(
        "this node has data of cluster {mine}, and node {other} belongs to cluster {theirs}: it does not join. Correct \
         controller.quorum.voters or controller.quorum.bootstrap.servers, or name empty log.dirs and metadata.log.dir"
    )]
    OtherCluster {
        /// The cluster whose data this node has.
        mine: ClusterId,
        /// Who belongs to another one.
        other: BrokerId,
        /// The other one.
        theirs: ClusterId,
    },
    /// This node's directories belong to two clusters.
    #[error(
        "log.dirs hold data of cluster {data}, and the metadata directory is that of a node of cluster {log}: they do not belong \
         together. Set log.dirs and metadata.log.dir right"
    )]
    OtherClustersData {
        /// The cluster of the data.
        data: ClusterId,
        /// That of the metadata log.
        log: ClusterId,
    },
    /// Other nodes belong to two clusters.
    #[error(
        "node {one} belongs to cluster {ones}, and node {other} to cluster {others}: which one is meant? Correct \
         controller.quorum.voters or controller.quorum.bootstrap.servers"
    )]
    TwoClusters {
        /// A node.
        one: BrokerId,
        /// Its cluster.
        ones: ClusterId,
        /// Another one.
        other: BrokerId,
        /// Its cluster.
        others: ClusterId,
    },
    /// Nodes of one cluster know different first voters.
    #[error(
        "node {one} and node {other} say different things of how cluster {cluster_id} began: one of them has a metadata \
         directory from an old backup. Empty metadata.log.dir there"
    )]
    TwoFoundings {
        /// A node.
        one: BrokerId,
        /// Another one.
        other: BrokerId,
        /// The cluster of the first.
        cluster_id: ClusterId,
    },
    /// The directory is another node's.
    #[error(
        "the metadata directory is node {found}'s, and node.id is {node}: set node.id or metadata.log.dir right"
    )]
    OtherNodesDirectory {
        /// This node.
        node: BrokerId,
        /// Whose directory it is.
        found: BrokerId,
    },
    /// There are votes or records of no known quorum.
    #[error(
        "the metadata directory holds a log or votes, and does not say of which quorum: it is that of a node that was alone, \
         or files were removed from it. Name an empty metadata.log.dir, or restore what was there"
    )]
    StateOfNoQuorum,
    /// There are data, and nobody knows the metadata that say what they are.
    #[error(
        "log.dirs hold logs ({example} is one), and no voter that answered has the metadata log that says what they are: a new \
         quorum would know none of them. Is metadata.log.dir wrong, or a disk not mounted? Bring the metadata log back, or move \
         the logs away"
    )]
    MetadataLost {
        /// The path of a log.
        example: String,
    },
    /// Too many voters lost their directories for the others to go on.
    #[error(
        "the metadata quorum of cluster {cluster_id} has {voters} voters, and {} lost their metadata directories ({}): those \
         that are left are no majority, and no new quorum is founded, for what was agreed on would be forgotten. Bring back \
         enough of these directories (is a disk not mounted, is metadata.log.dir or log.dirs wrong?). If they are lost \
         for good, so are the metadata: then start every node with empty directories",
        lost.len(), keys(lost)
    )]
    MajorityLost {
        /// The cluster.
        cluster_id: ClusterId,
        /// How many vote.
        voters: usize,
        /// The directories that are lost.
        lost: Vec<VoterKey>,
    },
    /// The quorum goes on without this node.
    #[error(
        "node {} with the metadata directory {} does not vote any more: the quorum removed it, or another directory came in its \
         place, while it was away. Its voters are {}. Take this node out of controller.quorum.voters on every node and \
         `controller` out of its process.roles; or empty its metadata.log.dir, and it is voted in again", me.id, me.directory,
        keys(voters)
    )]
    Removed {
        /// This node.
        me: VoterKey,
        /// Who votes.
        voters: Vec<VoterKey>,
    },
    /// Others know that this node founded the quorum, and it does not.
    #[error(
        "node {other} says that this node founded cluster {cluster_id} with this metadata directory, which does not know it: \
         the directory was restored from an older copy. Empty it, and the node joins with a new one"
    )]
    RolledBack {
        /// Who says so.
        other: BrokerId,
        /// The cluster.
        cluster_id: ClusterId,
    },
}

/// Keys in a sentence.
fn keys(keys: &[VoterKey]) -> String {
    let one = |key: &VoterKey| format!("node {}'s {}", key.id, key.directory);
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What an operator should know of a node that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Nodes do not answer.
    Silent {
        /// Those, in the order of the list.
        nodes: Vec<Silence>,
        /// What cannot be done without them.
        consequence: &'static str,
    },
    /// All answer, and nobody has founded the quorum yet, or knows of a leader.
    NotFounded {
        /// Who is waited for; `None` where any would do.
        founder: Option<BrokerId>,
        /// For how long this node has waited.
        waiting: Duration,
    },
    /// All answer, and the quorum has no leader yet.
    NoLeader {
        /// For how long this node has waited.
        waiting: Duration,
    },
    /// A node of a working quorum noticed a set-up that cannot work; it is the other one that has to be looked at.
    Noticed(Problem),
    /// The node's list is not what the quorum has.
    ListDiffers {
        /// This node.
        node: BrokerId,
        /// In what, in words.
        difference: String,
    },
}

/// A node that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id, where it is listed with one.
    pub node: Option<BrokerId>,
    /// Where it was asked.
    pub address: Address,
    /// For how long it has not answered: since its last answer, or since this node began to ask.
    pub lasting: Duration,
    /// What came of asking last.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { nodes, consequence } => {
                for (at, silence) in nodes.iter().enumerate() {
                    let Silence { node, address, lasting, why } = silence;
                    f.write_str(if at == 0 { "" } else { "; " })?;
                    match node {
                        Some(node) => write!(f, "node {node} at {address}")?,
                        None => write!(f, "{address}")?,
                    }
                    write!(f, " has not answered for {} s ({why})", lasting.as_secs())?;
                }
                write!(f, ". {consequence}")
            }
            Self::NotFounded { founder: Some(founder), waiting } => write!(
                f,
                "waiting for {} s for node {founder} to found the metadata quorum: it has the lowest id of \
                 controller.quorum.voters, and needs an answer of every voter. Its log says whose it has not",
                waiting.as_secs()
            ),
            Self::NotFounded { founder: None, waiting } => write!(
                f,
                "waiting for {} s for a metadata quorum with a leader: those asked answer, and know of none",
                waiting.as_secs()
            ),
            Self::NoLeader { waiting } => write!(
                f,
                "waiting for {} s for the metadata quorum to have a leader: all of its nodes that are listed answer",
                waiting.as_secs()
            ),
            Self::Noticed(problem) => problem.fmt(f),
            Self::ListDiffers { node, difference } => write!(
                f,
                "controller.quorum.voters of node {node} is not what the metadata quorum has: {difference}. The quorum's voters \
                 are those in its log, whatever is listed (KIP-853): correct the list, or change the quorum"
            ),
        }
    }
}
