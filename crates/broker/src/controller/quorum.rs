//! What may be asked about the quorum, and by whom it is changed: DescribeQuorum (KIP-595, KIP-836), AddRaftVoter,
//! RemoveRaftVoter and UpdateRaftVoter (KIP-853), and DescribeCluster at a controller's listener (KIP-919).
//!
//! Error codes and the order of the checks are those of Kafka's `KafkaRaftClient` with `kraft.version` 1. Two things differ: a
//! new voter is waited for until it has caught up, where Kafka refuses one that has not; and the endpoints of the voters are
//! told. What changes the voters is in `voters`. What is not here: how the quorum does it (`broadcast`), and the way to its
//! leader (`cluster::channel`).

mod voters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_broadcast::QuorumAdmin;
use ottla_broadcast::quorum::{QuorumError, QuorumState, ReplicaState, Voter, VoterKey};
use ottla_env::{Clock, Env};
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_types::config::Settings;
use ottla_types::config::broker::network::CONTROLLER_LISTENER_NAMES;
use ottla_types::config::broker::node::{
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS, CONTROLLER_QUORUM_FETCH_TIMEOUT_MS,
};
use ottla_types::{DirectoryId, ErrorCode, Offset};
use ottla_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use ottla_wire::describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
use tokio::time::Instant;

use super::described_quorum::{described, is_about_metadata, leave_out, with_errors};
use super::end_of;
use super::observers::Observers;
use crate::cluster::{ClusterId, Metadata};

/// `kraft.version` as it is finalized: the quorum can be changed.
const KRAFT_VERSION: i16 = 1;

/// `EndpointType`'s number of controllers.
const CONTROLLERS: i8 = 2;

/// How much longer than an election needs a request waits for an active controller.
const BEYOND_ELECTION: Duration = Duration::from_secs(3);

/// The quorum, for requests about it.
#[derive(Clone)]
pub(crate) struct Quorum {
    metadata: Arc<Metadata>,
    cluster_id: ClusterId,
    clock: Arc<dyn Clock>,
    /// The first of `controller.listener.names`: where voters reach each other.
    listener: Arc<str>,
    /// How long an election takes at most, where a majority is there.
    election: Duration,
    part: Part,
    observers: Arc<Mutex<Observers>>,
}

/// This node's part in the quorum.
#[derive(Clone)]
enum Part {
    /// It is its own.
    Alone,
    /// It has one with others.
    Voter(Arc<dyn QuorumAdmin>),
    /// It has none.
    Observer,
}

impl Quorum {
    fn new(
        env: &Env,
        settings: &Settings,
        metadata: &Arc<Metadata>,
        cluster_id: &ClusterId,
        part: Part,
    ) -> Self {
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let names = settings.get(&CONTROLLER_LISTENER_NAMES);
        Self {
            metadata: Arc::clone(metadata),
            cluster_id: Arc::clone(cluster_id),
            clock: Arc::clone(&env.clock),
            listener: names.first().map_or("CONTROLLER", String::as_str).to_ascii_uppercase().into(),
            election: millis(settings.get(&CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS))
                + millis(settings.get(&CONTROLLER_QUORUM_FETCH_TIMEOUT_MS)),
            part,
            observers: Arc::default(),
        }
    }

    /// That of a node which is its own quorum.
    pub(crate) fn alone(env: &Env, settings: &Settings, metadata: &Arc<Metadata>) -> Self {
        Self::new(env, settings, metadata, &ClusterId::default(), Part::Alone)
    }

    /// That of a node which runs a part of it.
    pub(crate) fn of_voter(
        env: &Env,
        settings: &Settings,
        metadata: &Arc<Metadata>,
        cluster_id: &ClusterId,
        admin: Arc<dyn QuorumAdmin>,
    ) -> Self {
        Self::new(env, settings, metadata, cluster_id, Part::Voter(admin))
    }

    /// That of a node which only follows the log.
    pub(crate) fn of_observer(
        env: &Env,
        settings: &Settings,
        metadata: &Arc<Metadata>,
        cluster_id: &ClusterId,
    ) -> Self {
        Self::new(env, settings, metadata, cluster_id, Part::Observer)
    }

    /// The first of `controller.listener.names`.
    pub(crate) fn listener(&self) -> &str {
        &self.listener
    }

    /// How long a request waits for an active controller: over an election and some seconds more. After that nobody can
    /// expect one any more, and who asks is better told why. Kafka's brokers go on for a minute.
    pub(crate) fn patience(&self) -> Duration {
        self.election + BEYOND_ELECTION
    }

    /// Who votes, as far as this node knows.
    pub(crate) fn members(&self) -> Vec<Voter> {
        match &self.part {
            Part::Alone => vec![self.itself()],
            Part::Voter(admin) => admin.members(),
            Part::Observer => Vec::new(),
        }
    }

    fn itself(&self) -> Voter {
        // A quorum of one knows no directories: there is nobody to tell them apart for.
        let key = VoterKey { id: self.metadata.node_id(), directory: DirectoryId::ZERO };
        Voter { key, endpoints: Vec::new() }
    }

    /// Notes how far a broker is, as its heartbeat says that was taken: the last offset that it has carried out.
    pub(crate) fn heard_of(&self, heartbeat: &Heartbeat) {
        let image = self.metadata.host.image();
        let mut observers = self.observers();
        observers.retain(|broker| image.broker(broker).is_some());
        let end = Offset(heartbeat.metadata_offset.0.saturating_add(1));
        observers.note(heartbeat.id, end, end_of(&image), Instant::now());
    }

    fn observers(&self) -> MutexGuard<'_, Observers> {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn state(&self) -> Result<QuorumState, QuorumError> {
        let hint = *self.metadata.leader().borrow();
        match &self.part {
            Part::Voter(admin) => admin.describe().await,
            Part::Observer => Err(QuorumError::NotLeader { leader: hint.leader }),
            Part::Alone if !self.metadata.is_leading() => Err(QuorumError::NotLeader { leader: None }),
            Part::Alone => {
                let end = end_of(&self.metadata.host.image());
                let now = Some(Duration::ZERO);
                let itself = ReplicaState {
                    voter: self.itself(),
                    log_end: Some(end),
                    last_answer: now,
                    last_caught_up: now,
                };
                Ok(QuorumState {
                    leader: self.metadata.node_id(),
                    epoch: hint.epoch,
                    high_watermark: end,
                    voters: vec![itself],
                    observers: Vec::new(),
                })
            }
        }
    }

    /// Answers DescribeQuorum in a version: before 2 it has no directories and no nodes.
    pub(crate) async fn describe(
        &self,
        version: i16,
        request: &DescribeQuorumRequest,
    ) -> DescribeQuorumResponse {
        let mut response = self.describe_fully(request).await;
        leave_out(version, &mut response);
        response
    }

    async fn describe_fully(&self, request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
        if !is_about_metadata(request) {
            return with_errors(request, ErrorCode::UnknownTopicOrPartition);
        }
        match self.state().await {
            Ok(mut state) => {
                let brokers = self.observers().besides(&state.voters, Instant::now());
                state
                    .observers
                    .retain(|node| brokers.iter().all(|broker| broker.voter.key.id != node.voter.key.id));
                state.observers.extend(brokers);
                described(&state, self.clock.wall_ms())
            }
            Err(_) => with_errors(request, ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Answers DescribeCluster where controllers are asked: with the voters, and the active controller among them.
    pub(crate) fn describe_controllers(&self, request: &DescribeClusterRequest) -> DescribeClusterResponse {
        if request.endpoint_type != CONTROLLERS {
            return DescribeClusterResponse {
                error_code: ErrorCode::MismatchedEndpointType.code(),
                error_message: Some(
                    "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER"
                        .into(),
                ),
                ..DescribeClusterResponse::default()
            };
        }
        let nodes = self.members().into_iter().filter_map(|voter| {
            let endpoint = voter.endpoints.first()?;
            Some(DescribeClusterBroker {
                broker_id: voter.key.id.0,
                host: endpoint.host.as_str().into(),
                port: i32::from(endpoint.port),
                ..DescribeClusterBroker::default()
            })
        });
        DescribeClusterResponse {
            endpoint_type: CONTROLLERS,
            cluster_id: self.cluster_id.get().map(|id| id.as_ref().into()).unwrap_or_default(),
            controller_id: self.metadata.leader().borrow().leader.map_or(-1, |leader| leader.0),
            brokers: nodes.collect(),
            ..DescribeClusterResponse::default()
        }
    }

    fn check_cluster(&self, theirs: Option<&str>) -> Result<(), Refused> {
        match (self.cluster_id.get(), theirs) {
            (Some(ours), Some(theirs)) if **ours != *theirs => Err(Refused {
                error: ErrorCode::InconsistentClusterId,
                message: format!("The given id \"{theirs}\" doesn't match the cluster id \"{ours}\""),
            }),
            _ => Ok(()),
        }
    }

    fn admin(&self) -> Result<Arc<dyn QuorumAdmin>, Refused> {
        match &self.part {
            Part::Voter(admin) => Ok(Arc::clone(admin)),
            Part::Observer => Err(code(ErrorCode::NotLeaderOrFollower)),
            // What Kafka answers where `kraft.version` is 0.
            Part::Alone => Err(Refused {
                error: ErrorCode::UnsupportedVersion,
                message: format!(
                    "node {} is its own metadata quorum, which gets no other voters: a cluster of several is formed by \
                     controller.quorum.voters, with empty log.dirs",
                    self.metadata.node_id()
                ),
            }),
        }
    }
}

fn code(error: ErrorCode) -> Refused {
    Refused { error, message: error.to_string() }
}
