//! What is served on the listeners of controllers: the other nodes of the cluster, and nobody else.
//!
//! Anything that may take its time is answered later, so that what voters say to each other does not wait for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use tokio::time::Instant;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode};
use ottla_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_wire::envelope::{EnvelopeRequest, EnvelopeResponse};
use ottla_wire::frame::encode_response;
use ottla_wire::header::parse_request;
use ottla_wire::private::quorum_probe::{QuorumProbeRequest, QuorumProbeResponse};
use ottla_wire::private::raft_envelope::{RaftEnvelopeRequest, RaftEnvelopeResponse};
use ottla_wire::{ApiKey, Audience, Request, Response};

use super::quorum::Quorum;
use super::requests::{
    ActiveController, heartbeat, heartbeat_response, producer_ids_response, registration,
    registration_response,
};
use super::suspicion::Suspicion;
use super::{pull_metadata, rejoin};
use crate::broker::Core;
use crate::cluster::{Bootstrap, Prober, answer_to_wire, client_in, later, question_from_wire};
use crate::dispatch;
use crate::server::{Handled, Peer, Service};

/// The requests of other nodes.
pub(crate) struct ControllerService {
    pub(crate) node: Arc<ControllerNode>,
}

/// What they are answered from.
pub(crate) struct ControllerNode {
    /// The connections on which brokers speak for their registrations, by the brokers' addresses.
    pub(crate) speaking: Mutex<BTreeMap<SocketAddr, (BrokerId, BrokerEpoch)>>,
    pub(crate) bootstrap: Arc<Bootstrap>,
    pub(crate) controller: ActiveController,
    pub(crate) quorum: Quorum,
    pub(crate) suspicion: Arc<Suspicion>,
    /// The voters that this node's configuration lists.
    pub(crate) voters: Vec<Voter>,
    pub(crate) prober: Arc<Prober>,
    /// Held while a lost directory's successor is voted in.
    pub(crate) rejoining: tokio::sync::Mutex<()>,
    /// The broker of this node, once it has started.
    pub(crate) core: OnceLock<Weak<Core>>,
}

impl Service for ControllerService {
    async fn call<'a>(&'a self, peer: &'a Peer, frame: Bytes, _: Instant) -> Handled {
        let (header, mut reader) = match parse_request(frame) {
            Ok(parsed) => parsed,
            Err(error) => return Handled::Close(error.to_string()),
        };
        let (api, version, id) = (header.api, header.api_version, header.correlation_id);
        if api == ApiKey::ApiVersions && !api.served().contains(version) {
            let unsupported = ApiVersionsResponse {
                error_code: ErrorCode::UnsupportedVersion.code(),
                ..ControllerNode::api_versions()
            };
            return reply(id, 0, &unsupported.into());
        }
        if !is_for_nodes(api) || !api.served().contains(version) {
            return Handled::Close(format!("{api} v{version} is not served to nodes"));
        }
        let request = match Request::decode(api, version, &mut reader) {
            Ok(request) => request,
            Err(error) => return Handled::Close(error.to_string()),
        };
        let (node, peer) = (Arc::clone(&self.node), peer.clone());
        match request {
            Request::ApiVersions(_) => reply(id, version, &ControllerNode::api_versions().into()),
            request => Handled::Later(Box::pin(async move {
                if let Request::BrokerHeartbeat(heartbeat) = &request {
                    let speaker = (BrokerId(heartbeat.broker_id), BrokerEpoch(heartbeat.broker_epoch));
                    node.speaking().insert(peer.address, speaker);
                }
                match node.answer(&peer, version, request).await {
                    Some(response) => reply(id, version, &response),
                    None => Handled::Close(format!("{api} has no handler")),
                }
            })),
        }
    }

    /// A broker whose connection ended may have died.
    fn ended(&self, peer: &Peer) {
        let speaker = self.node.speaking().remove(&peer.address);
        if let Some((broker, epoch)) = speaker {
            self.node.controller.liveness.connection_lost(broker, epoch);
        }
        self.node.suspicion.ended(peer.address);
    }
}

impl ControllerNode {
    fn speaking(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, (BrokerId, BrokerEpoch)>> {
        self.speaking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, peer: &Peer, version: i16, request: Request) -> Option<Response> {
        let controller = &self.controller;
        Some(match request {
            Request::RaftEnvelope(request) => self.carry(peer, request).await.into(),
            Request::QuorumProbe(request) => self.probed(request).await.into(),
            Request::RejoinQuorum(request) => rejoin::answer(self, request).await.into(),
            Request::PullMetadata(request) => pull_metadata::answer(self, request).await.into(),
            Request::BrokerRegistration(request) => {
                let answer = match self.check_cluster(&request.cluster_id) {
                    Ok(()) => match registration(request) {
                        Ok(registration) => controller.register(&registration).await,
                        Err(refused) => Err(refused),
                    },
                    Err(error) => Err(ottla_metadata::controller::Refused {
                        error,
                        message: "it belongs to another cluster".to_owned(),
                    }),
                };
                registration_response(answer).into()
            }
            Request::BrokerHeartbeat(request) => {
                let heartbeat = heartbeat(&request);
                let answer = controller.heartbeat(&heartbeat).await;
                // Anybody can send one; only that of a registered broker's last run says how far it is.
                if answer.is_ok() {
                    self.quorum.heard_of(&heartbeat);
                }
                heartbeat_response(answer).into()
            }
            Request::AllocateProducerIds(request) => {
                let broker = BrokerId(request.broker_id);
                let epoch = BrokerEpoch(request.broker_epoch);
                producer_ids_response(controller.allocate_producer_ids(broker, epoch).await).into()
            }
            Request::AlterPartition(request) => controller.answer_alter_partition(request).await.into(),
            Request::AssignReplicasToDirs(request) => {
                controller.answer_assign_replicas_to_dirs(request).await.into()
            }
            Request::DescribeQuorum(request) => self.quorum.describe(version, &request).await.into(),
            Request::AddRaftVoter(request) => self.quorum.add_voter(request).await.into(),
            Request::RemoveRaftVoter(request) => self.quorum.remove_voter(request).await.into(),
            Request::UpdateRaftVoter(request) => self.quorum.update_voter(request).await.into(),
            Request::DescribeCluster(request) => self.quorum.describe_controllers(&request).into(),
            Request::Envelope(request) => self.forwarded(peer, request).await.into(),
            _ => return None,
        })
    }

    /// Hands a message of a voter to the quorum's machine: once this node knows that it may vote, or that it follows only.
    /// Before that a leader's word could make it forget that it is to found a quorum, or with whom.
    async fn carry(&self, peer: &Peer, request: RaftEnvelopeRequest) -> RaftEnvelopeResponse {
        let refused = |error: ErrorCode| RaftEnvelopeResponse {
            error_code: error.code(),
            ..RaftEnvelopeResponse::default()
        };
        if !self.bootstrap.is_placed() {
            return refused(ErrorCode::BrokerNotAvailable);
        }
        // Whoever has its place knows how its cluster is called.
        if self.bootstrap.cluster_id.get().is_none_or(|ours| **ours != *request.cluster_id) {
            return refused(ErrorCode::InconsistentClusterId);
        }
        if request.to_id != self.bootstrap.me.id.0 {
            return refused(ErrorCode::InvalidRequest);
        }
        self.suspicion.heard(peer.address, BrokerId(request.from_id));
        let payload = self.bootstrap.raft.handle(request.payload).await;
        RaftEnvelopeResponse { payload, ..RaftEnvelopeResponse::default() }
    }

    /// Refuses the nodes of another cluster. Who does not know yet how its cluster is called is not asked.
    pub(super) fn check_cluster(&self, theirs: &str) -> Result<(), ErrorCode> {
        match self.bootstrap.cluster_id.get() {
            Some(ours) if !theirs.is_empty() && **ours != *theirs => Err(ErrorCode::InconsistentClusterId),
            _ => Ok(()),
        }
    }

    /// Answers what a client asked of another broker.
    async fn forwarded(&self, peer: &Peer, envelope: EnvelopeRequest) -> EnvelopeResponse {
        let refused =
            |error: ErrorCode| EnvelopeResponse { error_code: error.code(), ..EnvelopeResponse::default() };
        let core = self.core.get().and_then(Weak::upgrade);
        let Some(core) = core.filter(|core| core.metadata.is_leading()) else {
            return refused(ErrorCode::NotController);
        };
        let client = match client_in(&envelope, peer) {
            Ok(client) => client,
            Err(error) => return refused(error),
        };
        match dispatch::forwarded(&core, &client, envelope.request_data).await {
            // What the answer tells of is carried out here by now.
            Ok(answer) => EnvelopeResponse { response_data: Some(answer), ..EnvelopeResponse::default() }
                .with_metadata_end(core.metadata.applied_end()),
            Err(error) => refused(error),
        }
    }

    async fn probed(&self, request: QuorumProbeRequest) -> QuorumProbeResponse {
        match self.bootstrap.asked(question_from_wire(request)).await {
            Some(answer) => answer_to_wire(&answer),
            None => later(),
        }
    }

    fn api_versions() -> ApiVersionsResponse {
        let api_keys = ApiKey::ALL.iter().filter(|api| is_for_nodes(**api));
        let api_keys = api_keys.map(|api| ApiVersion {
            api_key: api.code(),
            min_version: api.served().first,
            max_version: api.served().last,
            ..ApiVersion::default()
        });
        ApiVersionsResponse { api_keys: api_keys.collect(), ..ApiVersionsResponse::default() }
    }
}

/// What is served here: what nodes ask each other, and what Kafka's tools ask of controllers (KIP-919).
fn is_for_nodes(api: ApiKey) -> bool {
    api.audience() == Audience::Nodes
        || matches!(
            api,
            ApiKey::ApiVersions
                | ApiKey::DescribeCluster
                | ApiKey::DescribeQuorum
                | ApiKey::AddRaftVoter
                | ApiKey::RemoveRaftVoter
        )
}

fn reply(correlation_id: i32, version: i16, response: &Response) -> Handled {
    match encode_response(correlation_id, version, response) {
        Ok(frame) => Handled::Now(frame.into_chunks()),
        Err(error) => Handled::Close(error.to_string()),
    }
}
