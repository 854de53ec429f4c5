//! What the machine is told, what happens to it, and what it has done.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};

use super::problem::{Problem, Warning};
use super::terms::{Address, Answer, ClusterId, Founding, Known, Leader, Question, Record};
use crate::quorum::VoterKey;

/// What a node is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.id`.
    pub node_id: BrokerId,
    /// How it finds its quorum.
    pub quorum: Quorum,
    /// `cluster.id` of the `meta.properties` in its log directories, if there is any.
    pub data_of: Option<ClusterId>,
    /// A log of a partition in its log directories, by its path, if there is one: the metadata say what is in it, so they
    /// were there.
    pub log_of_data: Option<String>,
    /// What to call the cluster if this node founds it, new at each start.
    pub proposed_cluster_id: ClusterId,
    /// The id of its metadata directory if that has none yet, new at each start.
    pub proposed_directory: DirectoryId,
    /// What its log knows; nothing where that is empty.
    pub known: Known,
    /// When to ask.
    pub timing: Timing,
}

/// How a node finds its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// `controller.quorum.voters`, of a node that votes: this node among them.
    Voters(Vec<Voter>),
    /// `controller.quorum.bootstrap.servers`, or the voters' addresses for a node that does not vote: it only joins.
    Servers(Vec<Address>),
}

/// When to ask, and to complain.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From an answer to the next question.
    pub pause: Duration,
    /// How long a probe may take.
    pub patience: Duration,
    /// From the start to the first warning that something is waited for.
    pub warn_after: Duration,
    /// From one such warning to the next.
    pub warn_every: Duration,
}

/// Names a probe, so that its answer can be told from that to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node that should be there, where that is known.
    pub node: Option<BrokerId>,
    /// Where.
    pub address: Address,
}

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed, see [`Bootstrap::wakes_at`](super::Bootstrap::wakes_at).
    Tick,
    /// A probe of this process was answered.
    Answered(ProbeId, Answer),
    /// A probe was not: refused, reset, timed out, or answered with an error.
    Unanswered(ProbeId, String),
    /// Another node asks, and is told what this node's log knows: [`Effect::Answer`].
    Asked(Question, Known),
    /// The record of the last [`Effect::Store`] is durable.
    Stored,
    /// The quorum is known to have a leader: nothing is left to look for.
    LeaderKnown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a node, with [`Bootstrap::question`](super::Bootstrap::question).
    Probe(ProbeId, Target),
    /// Keep this durably, then tell [`Input::Stored`]. At most one is under way.
    Store(Record),
    /// Answer the node that asked.
    Answer(Answer),
    /// Tell the node that asked to ask again: what there is to say is not durable yet.
    AnswerLater,
    /// Vote as this key, in the quorum of these voters; the log is to begin with them. Until this, [`Effect::Resume`] or
    /// [`Effect::JoinAsObserver`], no message of the quorum may be answered. Where the log has begun meanwhile because a
    /// leader was quicker, that is as good.
    Initialise(VoterKey, Founding),
    /// Go on with the votes and the log that are there.
    Resume(VoterKey, ClusterId),
    /// Follow the log without a vote.
    JoinAsObserver {
        /// Who this node is. No vote was ever cast by this directory.
        me: VoterKey,
        /// The cluster.
        cluster_id: ClusterId,
        /// The directory of this node that is lost, if the quorum counts on one: the leader removes that voter and adds
        /// this node.
        replaces: Option<VoterKey>,
        /// Who leads, if anybody knew.
        leader: Option<Leader>,
    },
    /// Tell the operator; the node goes on.
    Warn(Warning),
    /// Tell the operator, and stop.
    Fail(Problem),
}
