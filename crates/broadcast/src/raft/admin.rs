//! Who votes, and how far each node is: [`QuorumAdmin`] on openraft.
//!
//! A change of the voters is openraft's joint consensus: two entries of the log, of which each needs the majorities that it
//! says. A new voter is sent the log first, and votes when it has what there was when it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::{Instant as _, WatchReceiver};
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use ottla_types::LeadershipEpoch;

use super::Raft;
use super::types::Types;
use crate::atomic::BoxFuture;
use crate::quorum::{QuorumAdmin, QuorumError, QuorumState, ReplicaState, Voter, VoterEndpoint, VoterKey};

/// How long a new voter may take to catch up. Kafka waits for `controller.quorum.request.timeout.ms` (2 s), which a snapshot
/// of a large cluster does not fit into.
const CATCH_UP: Duration = Duration::from_secs(30);

type Change = ChangeMembers<VoterKey, Vec<VoterEndpoint>>;

impl Raft {
    /// The epoch that this node leads in.
    fn led(&self) -> Result<LeadershipEpoch, QuorumError> {
        self.leadership.state().leading.ok_or(QuorumError::NotLeader { leader: self.leadership.leader() })
    }

    fn voter_keys(&self) -> BTreeSet<VoterKey> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().collect()
    }

    async fn change(&self, change: Change) -> Result<(), QuorumError> {
        self.change_and(change, false).await
    }

    /// Changes the members. Voters that are none any more are members still if they are to be kept.
    async fn change_and(&self, change: Change, is_to_keep: bool) -> Result<(), QuorumError> {
        match self.raft.change_membership(change, is_to_keep).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(self.refused(error)),
            Err(RaftError::Fatal(error)) => Err(QuorumError::Unknown(error.to_string())),
        }
    }

    fn refused(&self, error: ClientWriteError<Types>) -> QuorumError {
        match error {
            ClientWriteError::ForwardToLeader(_) => {
                QuorumError::NotLeader { leader: self.leadership.leader() }
            }
            ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                QuorumError::InProgress
            }
            ClientWriteError::ChangeMembershipError(error) => QuorumError::Invalid(error.to_string()),
            error => QuorumError::Unknown(error.to_string()),
        }
    }

    async fn add(&self, voter: Voter) -> Result<(), QuorumError> {
        self.led()?;
        check(&voter)?;
        let key = voter.key;
        if self.voter_keys().iter().any(|known| known.id == key.id) {
            return Err(QuorumError::Duplicate(key.id));
        }
        self.change(Change::AddNodes(BTreeMap::from([(key, voter.endpoints)]))).await?;
        if !self.catches_up(key).await {
            // A learner that is not there costs attempts to reach it.
            let _ = self.change(Change::RemoveNodes(BTreeSet::from([key]))).await;
            return Err(QuorumError::NotCaughtUp(key.id));
        }
        self.change(Change::AddVoterIds(BTreeSet::from([key]))).await
    }

    /// Waits until a node has all that the log holds now.
    async fn catches_up(&self, key: VoterKey) -> bool {
        let mut metrics = self.raft.metrics();
        let asked = metrics.borrow_watched().last_log_index;
        let caught_up = async {
            loop {
                let matched = {
                    let metrics = metrics.borrow_watched();
                    metrics.replication.as_ref().and_then(|nodes| nodes.get(&key).copied().flatten())
                };
                if matched.map(|id| id.index) >= asked {
                    return true;
                }
                if metrics.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(CATCH_UP, caught_up).await.unwrap_or(false)
    }

    async fn remove(&self, key: VoterKey) -> Result<(), QuorumError> {
        let epoch = self.led()?;
        let voters = self.voter_keys();
        if !voters.contains(&key) {
            return Err(QuorumError::NotFound(key));
        }
        if voters.len() == 1 {
            return Err(QuorumError::Invalid(format!("node {} is the only voter", key.id)));
        }
        // A broker runs on without its vote, and follows the log by it: so who lives is sent the log further on. The keeper
        // forgets it when it has not been heard for long.
        let lives = key == self.me || self.silence_of(&key) <= self.patience;
        self.change_and(Change::RemoveVoters(BTreeSet::from([key])), lives).await?;
        if key == self.me {
            // Openraft goes on to lead where it is a member. The keeper hands leadership over.
            self.leadership.end(epoch);
        }
        Ok(())
    }

    /// For how long a node has not answered.
    fn silence_of(&self, key: &VoterKey) -> Duration {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let heard = metrics.heartbeat.as_ref().and_then(|nodes| nodes.get(key).copied().flatten());
        heard.map_or(Duration::MAX, |heard| heard.elapsed())
    }

    async fn update(&self, voter: Voter) -> Result<(), QuorumError> {
        self.led()?;
        check(&voter)?;
        if !self.voter_keys().contains(&voter.key) {
            return Err(QuorumError::NotFound(voter.key));
        }
        self.change(Change::SetNodes(BTreeMap::from([(voter.key, voter.endpoints)]))).await
    }

    fn state(&self) -> Result<QuorumState, QuorumError> {
        let epoch = self.led()?;
        self.progress.look(&self.raft);
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let replica = |(key, endpoints): (&VoterKey, &Vec<VoterEndpoint>)| {
            let voter = Voter { key: *key, endpoints: endpoints.clone() };
            if *key == self.me {
                let log_end = Some(self.machine.next());
                let now = Some(Duration::ZERO);
                return ReplicaState { voter, log_end, last_answer: now, last_caught_up: now };
            }
            let matched = metrics.replication.as_ref().and_then(|nodes| nodes.get(key).copied().flatten());
            let heard = metrics.heartbeat.as_ref().and_then(|nodes| nodes.get(key).copied().flatten());
            let log_end = matched.map(|id| self.machine.end_at(id.index));
            let last_answer = heard.map(|heard| heard.elapsed());
            // What it has is known from its last answer.
            let caught_up = |at: tokio::time::Instant| at.elapsed().max(last_answer.unwrap_or_default());
            let last_caught_up = self.progress.caught_up(key).map(caught_up);
            ReplicaState { voter, log_end, last_answer, last_caught_up }
        };
        let voters: BTreeSet<VoterKey> = metrics.membership_config.voter_ids().collect();
        let (voting, observing): (Vec<_>, Vec<_>) =
            metrics.membership_config.nodes().partition(|(key, _)| voters.contains(key));
        Ok(QuorumState {
            leader: self.me.id,
            epoch,
            high_watermark: self.machine.next(),
            voters: voting.into_iter().map(replica).collect(),
            observers: observing.into_iter().map(replica).collect(),
        })
    }
}

fn check(voter: &Voter) -> Result<(), QuorumError> {
    if voter.endpoints.is_empty() {
        return Err(QuorumError::Invalid(format!("node {} has no endpoint", voter.key.id)));
    }
    if voter.key.id.0 < 0 {
        return Err(QuorumError::Invalid(format!("{} is no node id", voter.key.id)));
    }
    Ok(())
}

impl QuorumAdmin for Raft {
    fn members(&self) -> Vec<Voter> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<VoterKey> = metrics.membership_config.voter_ids().collect();
        let nodes = metrics.membership_config.nodes().filter(|(key, _)| voters.contains(key));
        nodes.map(|(key, endpoints)| Voter { key: *key, endpoints: endpoints.clone() }).collect()
    }

    fn describe(&self) -> BoxFuture<'_, Result<QuorumState, QuorumError>> {
        Box::pin(std::future::ready(self.state()))
    }

    fn add_voter(&self, voter: Voter) -> BoxFuture<'_, Result<(), QuorumError>> {
        Box::pin(self.add(voter))
    }

    fn remove_voter(&self, voter: VoterKey) -> BoxFuture<'_, Result<(), QuorumError>> {
        Box::pin(self.remove(voter))
    }

    fn update_voter(&self, voter: Voter) -> BoxFuture<'_, Result<(), QuorumError>> {
        Box::pin(self.update(voter))
    }
}
