//! What the quorum's leader does about a voter that lost its metadata directory and asks to vote by a new one (KIP-853: a voter
//! is a directory).
//!
//! # In which order
//!
//! The lost directory is removed first, and the new one is added when it has caught up. Say that there are n voters, of
//! which one is lost.
//!
//! - *Removing first is never worse than waiting.* n voters need n/2 + 1, and n - 1 are left to give them. Without the lost one
//!   n - 1 voters need (n - 1)/2 + 1, which is no more, and the same n - 1 are there: of three, two of two instead of two
//!   of three. While the new one catches up, and if it never does, the quorum bears as many more losses as it did
//!   before it was asked.
//! - *Adding first could be worse.* n + 1 voters with one that is surely dead: of four three are needed, the new one among
//!   them, before it has shown that it stays.
//! - *Who leads dies in between.* The lost one is no voter, and the new one is none yet: it goes on to ask, and the next
//!   leader adds it. Both steps are entries of the log that need their majorities, so neither is half done for long.
//! - *Another voter is lost meanwhile.* Of three, one is left: there is no majority, before the removal as after it, so nothing
//!   is removed or added, and nothing is founded anew, for an empty directory does not found where anybody has a log. All
//!   that are left wait, and say which directories are lost. Of five, three are left, which is a majority, and the two come
//!   back one after the other.
//!
//! # What must not happen
//!
//! A directory that lives must not lose its vote to a second process with its node's id. So the leader first asks at the
//! voter's own address who is there: it must be the new directory, and then the old one is not.

use std::time::Duration;

use tracing::{info, warn};

use ottla_broadcast::QuorumAdmin as _;
use ottla_broadcast::founding::{Address, ClusterId, Question};
use ottla_broadcast::quorum::{QuorumError, Voter, VoterEndpoint, VoterKey};
use ottla_types::{BrokerId, DirectoryId, ErrorCode};
use ottla_wire::private::rejoin_quorum::{RejoinQuorumRequest, RejoinQuorumResponse};

use super::service::ControllerNode;

/// How long the new directory may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lets a directory vote instead of a lost one.
pub(super) async fn answer(node: &ControllerNode, request: RejoinQuorumRequest) -> RejoinQuorumResponse {
    let (error, message, leader) = match rejoin(node, &request).await {
        Ok(()) => return RejoinQuorumResponse::default(),
        Err(refused) => refused,
    };
    RejoinQuorumResponse {
        error_code: error.code(),
        error_message: Some(message.as_str().into()),
        leader_id: leader.map_or(-1, |leader| leader.0),
        ..RejoinQuorumResponse::default()
    }
}

type Refused = (ErrorCode, String, Option<BrokerId>);

async fn rejoin(node: &ControllerNode, request: &RejoinQuorumRequest) -> Result<(), Refused> {
    if let Err(error) = node.check_cluster(&request.cluster_id) {
        return Err((error, "it belongs to another cluster".to_owned(), None));
    }
    let raft = &node.bootstrap.raft;
    let new = VoterKey { id: BrokerId(request.node_id), directory: DirectoryId(request.directory_id.0) };
    // One at a time: of two, each could remove what the other one added.
    let Ok(_turn) = node.rejoining.try_lock() else { return Err(refused(&QuorumError::InProgress)) };
    let state = raft.describe().await.map_err(|error| refused(&error))?;
    let voters = || state.voters.iter().map(|replica| &replica.voter);
    if voters().any(|voter| voter.key == new) {
        return Ok(());
    }
    let lost = voters().find(|voter| voter.key.id == new.id);
    let Some(endpoints) = endpoints(node, new.id, lost) else {
        let message = format!(
            "node {} is neither a voter nor in controller.quorum.voters of the leader: add it there, or by AddRaftVoter",
            new.id
        );
        return Err((ErrorCode::InvalidRequest, message, None));
    };
    is_there(node, new, &endpoints).await?;
    if let Some(lost) = lost {
        warn!(
            "node {} lost its metadata directory {}: its vote is removed, and its new directory {} is to vote instead",
            new.id, lost.key.directory, new.directory
        );
        raft.remove_voter(lost.key).await.map_err(|error| refused(&error))?;
    }
    raft.add_voter(Voter { key: new, endpoints }).await.map_err(|error| refused(&error))?;
    info!("node {} votes again, by its new metadata directory {}", new.id, new.directory);
    Ok(())
}

/// Where a voter is reached: as the quorum knows it, or else as it is listed here.
fn endpoints(node: &ControllerNode, id: BrokerId, known: Option<&Voter>) -> Option<Vec<VoterEndpoint>> {
    if let Some(known) = known {
        return Some(known.endpoints.clone());
    }
    let listed = node.voters.iter().find(|voter| voter.id == id)?;
    let listener = node.quorum.listener().to_owned();
    Some(vec![VoterEndpoint { listener, host: listed.host.clone(), port: listed.port }])
}

/// Checks that the new directory is what answers where the voter is reached, and so nothing else is.
async fn is_there(node: &ControllerNode, new: VoterKey, endpoints: &[VoterEndpoint]) -> Result<(), Refused> {
    let Some(endpoint) = endpoints.first() else {
        return Err((ErrorCode::InvalidRequest, format!("no address is known of node {}", new.id), None));
    };
    let at = Address { host: endpoint.host.clone(), port: endpoint.port };
    let cluster_id = node.bootstrap.cluster_id.get().map(|id| ClusterId::new(id));
    let question = Question { key: node.bootstrap.me, listed: node.voters.clone(), cluster_id };
    let answer = node.prober.ask(&at, &question, PATIENCE).await;
    let answer = answer.map_err(|why| {
        (ErrorCode::BrokerNotAvailable, format!("node {} is not reached at {at}: {why}", new.id), None)
    })?;
    if answer.key == new {
        return Ok(());
    }
    let message = format!(
        "at {at}, the address of node {}, answers node {} with the metadata directory {}, and not {}: two nodes have one node.id, \
         or the address is wrong",
        new.id, answer.key.id, answer.key.directory, new.directory
    );
    Err((ErrorCode::DuplicateVoter, message, None))
}

fn refused(error: &QuorumError) -> Refused {
    let (code, leader) = match error {
        QuorumError::NotLeader { leader } => (ErrorCode::NotController, *leader),
        QuorumError::Duplicate(_) => (ErrorCode::DuplicateVoter, None),
        QuorumError::NotFound(_) => (ErrorCode::VoterNotFound, None),
        QuorumError::Invalid(_) => (ErrorCode::InvalidRequest, None),
        QuorumError::InProgress | QuorumError::NotCaughtUp(_) | QuorumError::Unknown(_) => {
            (ErrorCode::RequestTimedOut, None)
        }
    };
    (code, error.to_string(), leader)
}
