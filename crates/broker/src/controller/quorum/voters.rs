//! AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter (KIP-853): what is asked, checked, and answered.

use std::time::Duration;

use ottla_broadcast::quorum::{QuorumError, Voter, VoterEndpoint, VoterKey};
use ottla_env::process;
use ottla_metadata::controller::Refused;
use ottla_types::{BrokerId, DirectoryId, ErrorCode};
use ottla_wire::add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};
use ottla_wire::remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use ottla_wire::update_raft_voter::{CurrentLeader, UpdateRaftVoterRequest, UpdateRaftVoterResponse};
use ottla_wire::{Str, Uuid};

use super::super::described_quorum::epoch;
use super::{KRAFT_VERSION, Quorum, code};

impl Quorum {
    /// Answers AddRaftVoter. It is always answered when it is committed, which whoever does not ask for that does not mind.
    pub(crate) async fn add_voter(&self, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
        let done = self.try_add(&request).await;
        let (error_code, error_message) = told(done);
        AddRaftVoterResponse { error_code, error_message, ..AddRaftVoterResponse::default() }
    }

    async fn try_add(&self, request: &AddRaftVoterRequest) -> Result<(), Refused> {
        self.check_cluster(request.cluster_id.as_deref())?;
        let admin = self.admin()?;
        let key = voter_key(request.voter_id, request.voter_directory_id, "Add")?;
        let listeners = request.listeners.iter();
        let listeners = listeners.map(|listener| endpoint(&listener.name, &listener.host, listener.port));
        let endpoints = self.default_first(listeners.collect()).ok_or_else(|| {
            invalid(format!(
                "Add voter request didn't include the endpoint for the default listener {}",
                self.listener
            ))
        })?;
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        // It takes its course also when nobody waits for it: half of it would leave a node that is sent the log for nothing.
        let adding = process::spawn(async move { admin.add_voter(Voter { key, endpoints }).await });
        match tokio::time::timeout(timeout, adding).await {
            Ok(Ok(added)) => added.map_err(|error| refused(&error)),
            Ok(Err(_)) => Err(refused(&QuorumError::Unknown("the node stops".to_owned()))),
            Err(_) => Err(Refused {
                error: ErrorCode::RequestTimedOut,
                message: format!(
                    "node {} has not caught up with the metadata log within {} ms. It is still sent the log, and becomes a \
                     voter if it has caught up soon: describe the quorum to see it",
                    key.id, request.timeout_ms
                ),
            }),
        }
    }

    /// Answers RemoveRaftVoter.
    pub(crate) async fn remove_voter(&self, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse {
        let removing = async {
            self.check_cluster(request.cluster_id.as_deref())?;
            let admin = self.admin()?;
            let key = voter_key(request.voter_id, request.voter_directory_id, "Remove")?;
            // As in adding one.
            match process::spawn(async move { admin.remove_voter(key).await }).await {
                Ok(removed) => removed.map_err(|error| refused(&error)),
                Err(_) => Err(refused(&QuorumError::Unknown("the node stops".to_owned()))),
            }
        };
        let (error_code, error_message) = told(removing.await);
        RemoveRaftVoterResponse { error_code, error_message, ..RemoveRaftVoterResponse::default() }
    }

    /// Answers UpdateRaftVoter, which has no words for what is wrong.
    pub(crate) async fn update_voter(&self, request: UpdateRaftVoterRequest) -> UpdateRaftVoterResponse {
        let error_code = match self.try_update(&request).await {
            Ok(()) => ErrorCode::None,
            Err(refused) => refused.error,
        };
        UpdateRaftVoterResponse {
            error_code: error_code.code(),
            current_leader: self.current_leader(),
            ..UpdateRaftVoterResponse::default()
        }
    }

    async fn try_update(&self, request: &UpdateRaftVoterRequest) -> Result<(), Refused> {
        self.check_cluster(request.cluster_id.as_deref())?;
        let admin = self.admin()?;
        match request.current_leader_epoch.cmp(&epoch(self.metadata.leader().borrow().epoch)) {
            std::cmp::Ordering::Less => return Err(code(ErrorCode::FencedLeaderEpoch)),
            std::cmp::Ordering::Greater => return Err(code(ErrorCode::UnknownLeaderEpoch)),
            std::cmp::Ordering::Equal if !self.metadata.is_leading() => {
                return Err(code(ErrorCode::NotLeaderOrFollower));
            }
            std::cmp::Ordering::Equal => {}
        }
        let key = voter_key(request.voter_id, request.voter_directory_id, "Update")?;
        let listeners = request.listeners.iter();
        let listeners = listeners.map(|listener| endpoint(&listener.name, &listener.host, listener.port));
        let endpoints =
            self.default_first(listeners.collect()).ok_or_else(|| code(ErrorCode::InvalidRequest))?;
        let versions = &request.kraft_version_feature;
        if !(versions.min_supported_version..=versions.max_supported_version).contains(&KRAFT_VERSION) {
            return Err(code(ErrorCode::InvalidRequest));
        }
        let updating = process::spawn(async move { admin.update_voter(Voter { key, endpoints }).await });
        match updating.await {
            Ok(updated) => updated.map_err(|error| refused(&error)),
            Err(_) => Err(code(ErrorCode::RequestTimedOut)),
        }
    }

    fn current_leader(&self) -> CurrentLeader {
        let hint = *self.metadata.leader().borrow();
        let leader = hint.leader.and_then(|id| self.members().into_iter().find(|voter| voter.key.id == id));
        let endpoint = leader.as_ref().and_then(|voter| voter.endpoints.first());
        CurrentLeader {
            leader_id: hint.leader.map_or(-1, |leader| leader.0),
            leader_epoch: epoch(hint.epoch),
            host: endpoint.map_or_else(Str::default, |endpoint| endpoint.host.as_str().into()),
            port: endpoint.map_or(0, |endpoint| i32::from(endpoint.port)),
            ..CurrentLeader::default()
        }
    }

    /// The endpoints, with that of the default listener first; `None` where there is none of it.
    fn default_first(&self, mut endpoints: Vec<VoterEndpoint>) -> Option<Vec<VoterEndpoint>> {
        let is_default = |endpoint: &VoterEndpoint| endpoint.listener.eq_ignore_ascii_case(&self.listener);
        let nth = endpoints.iter().position(is_default)?;
        endpoints.get_mut(..=nth)?.rotate_right(1);
        Some(endpoints)
    }
}

fn endpoint(listener: &str, host: &str, port: u16) -> VoterEndpoint {
    VoterEndpoint { listener: listener.to_owned(), host: host.to_owned(), port }
}

fn voter_key(id: i32, directory: Uuid, what: &str) -> Result<VoterKey, Refused> {
    let directory = DirectoryId(directory.0);
    if id < 0 || directory == DirectoryId::ZERO {
        return Err(invalid(format!("{what} voter request didn't include a valid voter")));
    }
    Ok(VoterKey { id: BrokerId(id), directory })
}

fn invalid(message: String) -> Refused {
    Refused { error: ErrorCode::InvalidRequest, message }
}

/// What a client is told of the quorum's answer.
fn refused(error: &QuorumError) -> Refused {
    let code = match error {
        QuorumError::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
        QuorumError::Duplicate(_) => ErrorCode::DuplicateVoter,
        QuorumError::NotFound(_) => ErrorCode::VoterNotFound,
        QuorumError::Invalid(_) => ErrorCode::InvalidRequest,
        // All of them pass, or show whether it was done when it is asked for again.
        QuorumError::InProgress | QuorumError::NotCaughtUp(_) | QuorumError::Unknown(_) => {
            ErrorCode::RequestTimedOut
        }
    };
    Refused { error: code, message: error.to_string() }
}

fn told(done: Result<(), Refused>) -> (i16, Option<Str>) {
    match done {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(refused) => (refused.error.code(), Some(refused.message.into())),
    }
}
