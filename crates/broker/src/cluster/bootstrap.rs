//! How voters that start empty become a quorum, without a format step and without anybody voting twice.
//!
//! A voter asks all the listed ones who they are. Only when every one of them has answered, holds no vote and no record,
//! and lists the same voters, it forms the quorum of them, each with the id of its directory; all who do so form the same.
//! Who finds another one with votes or records waits to be spoken to: if it is among those whom that one knows, with this
//! directory, it will be. A directory that was wiped has another id, and so no vote.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use ottla_broadcast::Raft;
use ottla_broadcast::quorum::{self, VoterEndpoint, VoterKey};
use ottla_broadcast::raft::InitialiseError;
use ottla_env::Disk;
use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};
use ottla_wire::private::quorum_probe::{self, NodeState, QuorumProbeRequest, QuorumProbeResponse};

use super::identity::{ClusterId, Identity};
use super::links::Links;
use crate::server::LogLimit;

/// How long an answer may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a metadata directory holds, as nodes tell each other.
const EMPTY: i8 = 0;
const HAS_STATE: i8 = 2;

/// Why a voter does not become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// Two nodes do not mean the same quorum.
    #[error(
        "controller.quorum.voters disagree: node {me} lists {mine}, and node {other} lists {theirs}. Give all nodes the same \
         list"
    )]
    Lists {
        /// This node.
        me: BrokerId,
        /// Its list.
        mine: String,
        /// The other one.
        other: BrokerId,
        /// Its list.
        theirs: String,
    },
    /// Another node answers where a voter should be.
    #[error(
        "controller.quorum.voters says that node {expected} is at {address}, and node {found} answers there"
    )]
    WrongNode {
        /// Who should be there.
        expected: BrokerId,
        /// Where.
        address: String,
        /// Who is.
        found: BrokerId,
    },
    /// Two nodes belong to different clusters.
    #[error(
        "node {me} has the metadata of cluster {mine}, and node {other} of controller.quorum.voters has those of cluster \
         {theirs}: a node of one cluster cannot join another. Set controller.quorum.voters right, or name empty \
         directories in log.dirs and metadata.log.dir"
    )]
    Clusters {
        /// This node.
        me: BrokerId,
        /// Its cluster.
        mine: String,
        /// The other one.
        other: BrokerId,
        /// Its cluster.
        theirs: String,
    },
    /// The quorum was not formed.
    #[error("{0}")]
    Form(String),
}

/// A voter that starts.
pub(crate) struct Bootstrap {
    pub(crate) identity: Identity,
    /// The metadata directory.
    pub(crate) directory: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) voters: Vec<Voter>,
    pub(crate) raft: Arc<Raft>,
    pub(crate) cluster_id: ClusterId,
    pub(crate) links: Arc<Links>,
}

impl Bootstrap {
    /// What this node tells of itself.
    pub(crate) fn state(&self) -> NodeState {
        let is_empty = self.raft.is_empty();
        // Who was spoken to before it heard how the cluster is called does not name it.
        let proposal = if is_empty { self.identity.proposal.as_str() } else { "" };
        NodeState {
            cluster_id: self.cluster_id.get().map_or(proposal, |id| id).into(),
            node_id: self.identity.node_id.0,
            directory_id: ottla_wire::Uuid(self.identity.directory.0),
            voters: listed(&self.voters),
            state: if is_empty { EMPTY } else { HAS_STATE },
            ..NodeState::default()
        }
    }

    /// Asks until this node is a voter of a quorum, or knows that it will be spoken to, and what the cluster is called.
    ///
    /// # Errors
    /// The settings of the nodes do not fit together.
    pub(crate) async fn run(&self) -> Result<(), BootstrapError> {
        let mut limit = LogLimit::default();
        loop {
            if self.cluster_id.get().is_some() && !self.raft.is_empty() {
                return Ok(());
            }
            let (answers, missing) = self.ask_all().await?;
            let with_state = |answer: &&NodeState| answer.state == HAS_STATE;
            let known = answers.iter().find(|answer| with_state(answer) && !answer.cluster_id.is_empty());
            if let Some(known) = known {
                info!(cluster_id = %known.cluster_id, "node {} has the metadata log already", known.node_id);
                return self.call_it(&known.cluster_id).await;
            }
            if missing.is_empty() && !answers.iter().any(|answer| with_state(&answer)) {
                return self.form(&answers).await;
            }
            if let Some(suppressed) = limit.admit(tokio::time::Instant::now()) {
                warn!(
                    suppressed,
                    "waiting for the other voters of controller.quorum.voters: {}",
                    missing.join("; ")
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks the other voters from time to time, and ends only if their settings do not fit this node's: for one that has its
    /// part of the log already, and waits for them.
    pub(crate) async fn disagreement(&self) -> BootstrapError {
        loop {
            if let Err(error) = self.ask_all().await {
                return error;
            }
            tokio::time::sleep(PROBE_TIMEOUT).await;
        }
    }

    /// What every voter says of itself, this one among them, and why those that say nothing do not.
    async fn ask_all(&self) -> Result<(Vec<NodeState>, Vec<String>), BootstrapError> {
        let others = self.voters.iter().filter(|voter| voter.id != self.identity.node_id);
        let asked = futures_util::future::join_all(others.map(async |voter| (voter, self.ask(voter).await)));
        let (mut answers, mut missing) = (vec![self.state()], Vec::new());
        for (voter, answer) in asked.await {
            match answer {
                Ok(answer) => {
                    self.check(voter, &answer.answering)?;
                    answers.push(answer.answering);
                }
                Err(error) => missing.push(format!("node {}: {error}", voter.id)),
            }
        }
        Ok((answers, missing))
    }

    async fn ask(&self, voter: &Voter) -> io::Result<QuorumProbeResponse> {
        let request = QuorumProbeRequest { asking: self.state(), ..QuorumProbeRequest::default() };
        self.links.call(voter.id, request, PROBE_TIMEOUT).await
    }

    fn check(&self, voter: &Voter, answer: &NodeState) -> Result<(), BootstrapError> {
        if answer.node_id != voter.id.0 {
            return Err(BootstrapError::WrongNode {
                expected: voter.id,
                address: format!("{}:{}", voter.host, voter.port),
                found: BrokerId(answer.node_id),
            });
        }
        let mine = listed(&self.voters);
        if ids(&mine) != ids(&answer.voters) {
            return Err(BootstrapError::Lists {
                me: self.identity.node_id,
                mine: told(&mine),
                other: voter.id,
                theirs: told(&answer.voters),
            });
        }
        // Who has no state yet only proposes a name.
        let is_another = |ours: &str| {
            answer.state == HAS_STATE && !answer.cluster_id.is_empty() && *answer.cluster_id != *ours
        };
        if let Some(ours) = self.cluster_id.get().filter(|ours| is_another(ours)) {
            return Err(BootstrapError::Clusters {
                me: self.identity.node_id,
                mine: ours.to_string(),
                other: voter.id,
                theirs: answer.cluster_id.to_string(),
            });
        }
        Ok(())
    }

    /// Remembers what the cluster is called, before anything is said in its name.
    async fn call_it(&self, cluster_id: &str) -> Result<(), BootstrapError> {
        let remembered = self.identity.remember(&*self.disk, &self.directory, cluster_id).await;
        remembered.map_err(|error| BootstrapError::Form(error.to_string()))?;
        // Only this task sets it, after the start.
        let _ = self.cluster_id.set(cluster_id.into());
        Ok(())
    }

    /// Forms the quorum. The cluster is called what the voter with the lowest id proposes.
    async fn form(&self, answers: &[NodeState]) -> Result<(), BootstrapError> {
        let Some(first) = answers.iter().min_by_key(|answer| answer.node_id) else { return Ok(()) };
        self.call_it(&first.cluster_id).await?;
        let voters = answers
            .iter()
            .map(|answer| quorum::Voter {
                key: VoterKey { id: BrokerId(answer.node_id), directory: DirectoryId(answer.directory_id.0) },
                endpoints: self.endpoints_of(answer.node_id),
            })
            .collect();
        match self.raft.initialise(voters).await {
            Ok(()) => {
                info!(cluster_id = %first.cluster_id, voters = answers.len(), "formed the metadata quorum");
                Ok(())
            }
            // Another one was quicker, and has spoken to this one.
            Err(InitialiseError::NotEmpty) => Ok(()),
            Err(error) => Err(BootstrapError::Form(error.to_string())),
        }
    }

    fn endpoints_of(&self, node: i32) -> Vec<VoterEndpoint> {
        let listener = "CONTROLLER".to_owned();
        let voters = self.voters.iter().filter(|voter| voter.id.0 == node);
        voters
            .map(|voter| VoterEndpoint {
                listener: listener.clone(),
                host: voter.host.clone(),
                port: voter.port,
            })
            .collect()
    }
}

fn listed(voters: &[Voter]) -> Vec<quorum_probe::Voter> {
    let voter = |voter: &Voter| quorum_probe::Voter {
        id: voter.id.0,
        host: voter.host.as_str().into(),
        port: voter.port,
        ..quorum_probe::Voter::default()
    };
    voters.iter().map(voter).collect()
}

/// What has to be the same: nodes may reach each other by other addresses.
fn ids(voters: &[quorum_probe::Voter]) -> Vec<i32> {
    let mut ids: Vec<i32> = voters.iter().map(|voter| voter.id).collect();
    ids.sort_unstable();
    ids
}

fn told(voters: &[quorum_probe::Voter]) -> String {
    let one = |voter: &quorum_probe::Voter| format!("{}@{}:{}", voter.id, voter.host, voter.port);
    voters.iter().map(one).collect::<Vec<_>>().join(",")
}
