//! How a node finds its quorum: a pure machine. (KIP-853; the rule that an empty directory never votes on its own.)
//!
//! A node whose directory is empty may be a new one, or one that lost its directory. A new quorum may be formed only if
//! there is none: so a voter with an empty directory asks all voters that are listed who they are, and what they hold.
//!
//! - If any of them has votes or a log, there is a cluster, and it is joined. Whoever lost a directory has a new one with
//!   another id, for which no vote of before counts; it is voted in again, or not.
//! - If all of them answered twice, and none has any, and all have the same list, one of them forms the quorum: the one with the
//!   lowest id. The others only follow, so that there are never two first entries of the log that differ. The voters are
//!   those directories that answered, by id: whoever loses its directory after that is none of them.
//! - A node that is in no list of voters joins what it finds, and forms nothing.
//!
//! Twice, because answers are given one after another: a node that was empty when it was asked may have got a log from one
//! that lost it before it was asked. When all have answered, all are asked again; a directory that is the same and empty both
//! times was so in between, and so all of them were at one moment. From then on only the one that forms the quorum can
//! give any of them a log.
//!
//! What is not here: asking (the broker's), and being in a quorum ([`crate::Raft`]).

mod error;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::{BrokerId, DirectoryId};

use crate::quorum::VoterKey;

pub use self::error::BootstrapError;

/// A voter, as configurations list it (`controller.quorum.voters`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedVoter {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Where it is reached.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What a node's metadata directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The id of a cluster, and neither a vote nor a log.
    Identity,
    /// Votes or a log.
    Log,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The id of its metadata directory.
    pub directory: DirectoryId,
    /// The voters that its configuration lists, in any order; none where it only joins.
    pub voters: Vec<ListedVoter>,
    /// What its directory holds.
    pub held: Held,
    /// The cluster's id where it knows it. An empty directory knows none: what is said then is its proposal.
    pub cluster_id: Option<String>,
}

/// What a node does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has a log or votes: it goes on with them.
    Resume,
    /// It keeps the cluster's id, and forms the quorum of these directories, itself among them.
    Form {
        /// The cluster's id.
        cluster_id: String,
        /// Who votes, and where it is reached.
        voters: Vec<(VoterKey, ListedVoter)>,
    },
    /// It keeps the cluster's id, and waits to be heard of by the quorum's leader: as a voter if its directory is one of
    /// the quorum's, else it observes until it is voted in.
    Follow {
        /// The cluster's id.
        cluster_id: String,
        /// Whether it is listed as a voter though the quorum was formed without this directory, or may have been.
        was_here_before: bool,
    },
    /// It asks those nodes, and waits for their answers.
    Ask {
        /// Whom: all listed that have not answered in this round.
        whom: Vec<BrokerId>,
        /// The round that the answers are for.
        round: u32,
    },
}

/// Which question an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The node that was asked.
    pub id: BrokerId,
    /// The round of [`Step::Ask`], as it was when the question was sent.
    pub round: u32,
}

/// A node that looks for its quorum.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    me: NodeState,
    answers: BTreeMap<BrokerId, NodeState>,
    round: u32,
    /// Who has answered in this round.
    answered: BTreeSet<BrokerId>,
    /// Whether all have answered in the round before, and nothing has changed since.
    is_second: bool,
    /// Whether all have answered twice.
    is_settled: bool,
}

impl Bootstrap {
    /// A node that has asked nobody yet.
    #[must_use]
    pub fn new(mut me: NodeState) -> Self {
        me.voters.sort();
        let is_settled = me.voters.iter().all(|voter| voter.id == me.id);
        let (answers, answered) = (BTreeMap::new(), BTreeSet::new());
        Self { me, answers, round: 0, answered, is_second: false, is_settled }
    }

    /// What this node says when it is asked.
    #[must_use]
    pub fn me(&self) -> &NodeState {
        &self.me
    }

    /// Takes what a node says of itself: when it was asked, or, without `asked`, when it asked this one.
    ///
    /// # Errors
    /// The configurations of the two nodes contradict each other, or they belong to different clusters.
    pub fn heard(&mut self, asked: Option<Asked>, mut answer: NodeState) -> Result<(), BootstrapError> {
        answer.voters.sort();
        if let Some(asked) = asked.filter(|asked| asked.id != answer.id) {
            return Err(BootstrapError::AnotherNode { asked: asked.id, found: answer.id });
        }
        if answer.id == self.me.id {
            // Where its own address is asked a node hears itself.
            return if answer.directory == self.me.directory {
                Ok(())
            } else {
                Err(BootstrapError::SameId {
                    id: answer.id,
                    ours: self.me.directory,
                    theirs: answer.directory,
                })
            };
        }
        let (ours, theirs) = (&self.me.voters, &answer.voters);
        if !ours.is_empty() && !theirs.is_empty() && ours != theirs {
            let (ours, theirs) = (ours.clone(), theirs.clone());
            return Err(BootstrapError::Voters { ours, theirs, id: answer.id });
        }
        self.check_cluster(&answer)?;
        self.count(asked, &answer);
        self.answers.insert(answer.id, answer);
        Ok(())
    }

    /// Goes on to the second round when all have answered, and back to the first when one of them has changed.
    fn count(&mut self, asked: Option<Asked>, answer: &NodeState) {
        let known = self.answers.get(&answer.id);
        let has_changed =
            known.is_some_and(|known| (known.directory, known.held) != (answer.directory, answer.held));
        if has_changed && (self.is_second || self.is_settled) {
            (self.is_second, self.is_settled) = (false, false);
            self.begin_round();
        }
        // An answer to a question of an earlier round may tell of a time before the round.
        if asked.is_some_and(|asked| asked.round == self.round) {
            self.answered.insert(answer.id);
        }
        if self.silent().is_empty() && !self.is_settled {
            (self.is_second, self.is_settled) = (true, self.is_second);
            self.begin_round();
        }
    }

    fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.answered.clear();
    }

    /// Two nodes that each know their cluster know the same one.
    fn check_cluster(&self, answer: &NodeState) -> Result<(), BootstrapError> {
        let Some(theirs) = known_cluster(answer) else { return Ok(()) };
        for known in std::iter::once(&self.me).chain(self.answers.values().filter(|a| a.id != answer.id)) {
            if let Some(ours) = known_cluster(known)
                && ours != theirs
            {
                return Err(BootstrapError::Cluster {
                    one: known.id,
                    its_cluster: ours.to_owned(),
                    other: answer.id,
                    others_cluster: theirs.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What to do, going by what was heard so far.
    #[must_use]
    pub fn next(&self) -> Step {
        if self.me.held == Held::Log {
            return Step::Resume;
        }
        let is_listed = self.me.voters.iter().any(|voter| voter.id == self.me.id);
        if let Some(cluster_id) = self.cluster_with_a_log() {
            return Step::Follow { cluster_id, was_here_before: is_listed };
        }
        if !is_listed {
            // A list of the others' is as good as one of its own: it forms nothing by it.
            return match self.known() {
                Some(cluster_id) => Step::Follow { cluster_id, was_here_before: false },
                None => Step::Ask { whom: self.silent(), round: self.round },
            };
        }
        if !self.is_settled {
            return Step::Ask { whom: self.silent(), round: self.round };
        }
        let founder = self.me.voters.iter().map(|voter| voter.id).min();
        let founders = self.answers.values().chain([&self.me]).find(|node| Some(node.id) == founder);
        // What one of them has kept goes before what anybody proposes.
        let cluster_id = self.known().or_else(|| founders.and_then(|node| node.cluster_id.clone()));
        match cluster_id {
            Some(cluster_id) if founder == Some(self.me.id) => {
                Step::Form { cluster_id, voters: self.electorate() }
            }
            Some(cluster_id) => Step::Follow { cluster_id, was_here_before: false },
            None => Step::Ask { whom: founder.into_iter().collect(), round: self.round },
        }
    }

    /// The cluster of a node that has votes or a log.
    fn cluster_with_a_log(&self) -> Option<String> {
        let with_log = self.answers.values().find(|answer| answer.held == Held::Log)?;
        with_log.cluster_id.clone()
    }

    /// The cluster that anybody, this node too, has kept the id of.
    fn known(&self) -> Option<String> {
        let mut nodes = std::iter::once(&self.me).chain(self.answers.values());
        nodes.find_map(known_cluster).map(str::to_owned)
    }

    /// Who has not answered in this round.
    fn silent(&self) -> Vec<BrokerId> {
        let listed = self.me.voters.iter().map(|voter| voter.id).filter(|id| *id != self.me.id);
        listed.filter(|id| !self.answered.contains(id)).collect()
    }

    /// The directories of the listed voters. All of them have answered.
    fn electorate(&self) -> Vec<(VoterKey, ListedVoter)> {
        let directory = |id: BrokerId| {
            if id == self.me.id {
                Some(self.me.directory)
            } else {
                self.answers.get(&id).map(|a| a.directory)
            }
        };
        let voters = self.me.voters.iter();
        voters
            .filter_map(|voter| {
                let directory = directory(voter.id)?;
                Some((VoterKey { id: voter.id, directory }, voter.clone()))
            })
            .collect()
    }
}

/// The cluster's id, where it is more than a proposal.
fn known_cluster(node: &NodeState) -> Option<&str> {
    node.cluster_id.as_deref().filter(|_| node.held != Held::Nothing)
}
