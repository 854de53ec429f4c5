//! From frames to handlers and back: the one place that knows which handler serves which API.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, error, trace};

use ottla_types::ErrorCode;
use ottla_wire::api_versions::ApiVersionsResponse;
use ottla_wire::frame::{LENGTH_SIZE, encode_request, encode_response};
use ottla_wire::header::{parse_request, parse_response};
use ottla_wire::{ApiKey, Audience, Request, RequestHeader, Response, Str};

use crate::broker::Core;
use crate::cluster::is_for_the_next_leader;
use crate::context::{Answer, RequestContext};
use crate::handlers;
use crate::handlers::hand_on::{self, HandOn};
use crate::metrics::Begun;
use crate::server::{Handled, Peer, Service};

/// Answers the requests of all connections.
pub(crate) struct Dispatch {
    core: Arc<Core>,
}

impl Dispatch {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl Service for Dispatch {
    async fn call<'a>(&'a self, peer: &'a Peer, frame: Bytes, read_at: Instant) -> Handled {
        let size = LENGTH_SIZE + frame.len();
        let whole = self.core.channel.has_others().then(|| frame.clone());
        let (header, mut reader) = match parse_request(frame) {
            Ok(parsed) => parsed,
            Err(error) => return Handled::Close(error.to_string()),
        };
        if header.api.audience() != Audience::Clients {
            return Handled::Close(format!("{} is not served to clients", header.api));
        }
        let begun = self.core.metrics.requests.of(header.api).begin(header.api_version, size, read_at);
        if !header.api.served().contains(header.api_version) {
            return unsupported_version(&header, &mut reader, begun);
        }
        let request = match Request::decode(header.api, header.api_version, &mut reader) {
            Ok(request) => request,
            Err(error) => return Handled::Close(error.to_string()),
        };
        // What outlives the request must not hold its frame.
        drop(reader);
        let mut reply = Reply { correlation_id: header.correlation_id, version: header.api_version, begun };
        let context = RequestContext {
            api: header.api,
            version: header.api_version,
            client_id: header.client_id.as_ref().map(Str::detached),
            peer: peer.clone(),
            is_forwarded: false,
        };
        trace!(api = %context.api, version = context.version, peer = %peer.address, "request");
        if let Some(whole) = whole.filter(|_| is_the_controllers(context.api)) {
            reply.begun.waits();
            return Handled::Later(Box::pin(forward(Arc::clone(&self.core), context, request, whole, reply)));
        }
        match route(&self.core, &context, request).await {
            Answer::Now(response) => reply.encode(&response),
            Answer::Later(response) => {
                reply.begun.waits();
                Handled::Later(Box::pin(async move { reply.encode(&response.await) }))
            }
            Answer::Silent => {
                reply.begun.ends();
                Handled::Silent
            }
            Answer::Close(reason) => Handled::Close(reason),
        }
    }
}

/// How long a request may wait for an active controller: `request.timeout.ms` of most clients.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a request is the active controller's to decide, whichever broker it came to (KIP-590).
fn is_the_controllers(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::DescribeQuorum
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
            | ApiKey::ListPartitionReassignments
            | ApiKey::UpdateFeatures
            | ApiKey::UnregisterBroker
    )
}

/// Has the active controller answer, which may be this node.
async fn forward(
    core: Arc<Core>,
    context: RequestContext,
    request: Request,
    whole: Bytes,
    reply: Reply,
) -> Handled {
    match forwarding(&core, &context, request, whole, reply.correlation_id).await {
        Ok(response) => reply.encode(&response),
        Err(reason) => Handled::Close(reason),
    }
}

async fn forwarding(
    core: &Arc<Core>,
    context: &RequestContext,
    request: Request,
    whole: Bytes,
    correlation_id: i32,
) -> Result<Response, String> {
    let (handed_on, refusals) = match hand_on::check(core.node_id, &request) {
        HandOn::Whole => (whole, None),
        HandOn::Nothing(response) => return Ok(response),
        HandOn::Rest(rest, refusals) => {
            let header = RequestHeader {
                client_id: context.client_id.clone(),
                ..RequestHeader::new(context.api, context.version, correlation_id)
            };
            let rest = encode_request(&header, &rest).map_err(|error| error.to_string())?;
            (rest.into_bytes().slice(LENGTH_SIZE..), Some(refusals))
        }
    };
    let mut tries = core.channel.tries(FORWARD_TIMEOUT);
    loop {
        let (response, refusals) = match core.channel.forward(&context.peer, handed_on.clone(), &tries).await
        {
            Ok(Some(answer)) => (read_answer(context, answer)?, refusals.as_ref()),
            // This node has come to lead.
            Ok(None) => (settled(route(core, context, request.clone()).await).await?, None),
            // There was nobody who did in time, and the answer of this node says that.
            Err(refused) if refused.error == ErrorCode::NotController => {
                return settled(route(core, context, request).await).await;
            }
            Err(refused) => return Err(format!("the active controller refuses it: {}", refused.message)),
        };
        let is_undone = is_for_the_next_leader(&response, context.version);
        if is_undone && tries.again_with_the_next_leader().await {
            debug!(api = %context.api, "whoever was to answer leads no longer: the next leader is asked");
            continue;
        }
        return Ok(match refusals {
            None => response,
            Some(refusals) => refusals.joined_with(response),
        });
    }
}

fn read_answer(context: &RequestContext, answer: Bytes) -> Result<Response, String> {
    let unreadable = |error: ottla_wire::Error| format!("the active controller's answer: {error}");
    let (_, mut body) = parse_response(answer, context.api, context.version).map_err(unreadable)?;
    Response::decode(context.api, context.version, &mut body).map_err(unreadable)
}

/// Answers a request that another broker hands on for a client: header and body in, header and body out.
///
/// # Errors
/// UNSUPPORTED_VERSION or INVALID_REQUEST: it is none that may be handed on, or there is no answer to it.
pub(crate) async fn forwarded(core: &Arc<Core>, client: &Peer, request: Bytes) -> Result<Bytes, ErrorCode> {
    let unreadable = |_| ErrorCode::UnsupportedVersion;
    let (header, mut reader) = parse_request(request).map_err(unreadable)?;
    let (api, version) = (header.api, header.api_version);
    if !is_the_controllers(api) {
        return Err(ErrorCode::InvalidRequest);
    }
    if !api.served().contains(version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let request = Request::decode(api, version, &mut reader).map_err(unreadable)?;
    let client_id = header.client_id.as_ref().map(Str::detached);
    let context = RequestContext { api, version, client_id, peer: client.clone(), is_forwarded: true };
    trace!(%api, version, client = %client.address.ip(), principal = %client.principal, "forwarded request");
    let answer = settled(route(core, &context, request).await).await;
    let response = answer.map_err(|_| ErrorCode::InvalidRequest)?;
    let frame = encode_response(header.correlation_id, version, &response).map_err(|error| {
        error!(%api, version, %error, "cannot encode a response");
        ErrorCode::UnknownServerError
    })?;
    Ok(frame.into_bytes().slice(LENGTH_SIZE..))
}

/// The response, once it is there.
async fn settled(answer: Answer) -> Result<Response, String> {
    match answer {
        Answer::Now(response) => Ok(response),
        Answer::Later(response) => Ok(response.await),
        Answer::Close(reason) => Err(reason),
        Answer::Silent => Err("there is no answer".to_owned()),
    }
}

/// Hands a request to its handler.
async fn route(core: &Arc<Core>, context: &RequestContext, request: Request) -> Answer {
    match request {
        Request::Produce(request) => handlers::produce::handle(core, context, request).await,
        Request::Fetch(request) => handlers::fetch::handle(core, context, request).await,
        Request::Metadata(request) => handlers::metadata::handle(core, context, request).await.into(),
        Request::ApiVersions(request) => handlers::api_versions::handle(core, context, &request).into(),
        Request::ListOffsets(request) => handlers::list_offsets::handle(core, context, request).await.into(),
        Request::DeleteRecords(request) => handlers::delete_records::handle(core, request).await,
        Request::InitProducerId(request) => handlers::init_producer_id::handle(core, request).await.into(),
        Request::OffsetForLeaderEpoch(request) => {
            handlers::offset_for_leader_epoch::handle(core, request).into()
        }
        Request::DescribeProducers(request) => handlers::describe_producers::handle(core, request).into(),
        Request::AlterReplicaLogDirs(request) => {
            handlers::alter_replica_log_dirs::handle(core, request).await.into()
        }
        Request::DescribeLogDirs(request) => handlers::describe_log_dirs::handle(core, request).await.into(),
        Request::CreateTopics(request) => {
            handlers::create_topics::handle(core, context, request).await.into()
        }
        Request::DeleteTopics(request) => {
            handlers::delete_topics::handle(core, context, request).await.into()
        }
        Request::CreatePartitions(request) => handlers::create_partitions::handle(core, request).await.into(),
        Request::DescribeConfigs(request) => handlers::describe_configs::handle(core, request).into(),
        Request::AlterConfigs(request) => {
            handlers::alter_configs::handle(core, context, request).await.into()
        }
        Request::IncrementalAlterConfigs(request) => {
            handlers::incremental_alter_configs::handle(core, context, request).await.into()
        }
        Request::ElectLeaders(request) => {
            handlers::elect_leaders::handle(core, context, request).await.into()
        }
        Request::AlterPartitionReassignments(request) => {
            handlers::alter_partition_reassignments::handle(core, request).await.into()
        }
        Request::ListPartitionReassignments(request) => {
            handlers::list_partition_reassignments::handle(core, request).await.into()
        }
        Request::UpdateFeatures(request) => {
            handlers::update_features::handle(core, context, request).await.into()
        }
        Request::UnregisterBroker(request) => handlers::unregister_broker::handle(core, request).await.into(),
        Request::ListConfigResources(request) => {
            handlers::list_config_resources::handle(core, context, &request).into()
        }
        Request::DescribeCluster(request) => {
            handlers::describe_cluster::handle(core, context, &request).into()
        }
        Request::DescribeTopicPartitions(request) => {
            handlers::describe_topic_partitions::handle(core, request).into()
        }
        Request::DescribeQuorum(request) => {
            handlers::describe_quorum::handle(core, context, request).await.into()
        }
        Request::DescribeReplicas(request) => handlers::describe_replicas::handle(core, request).into(),
        Request::AddRaftVoter(request) => handlers::add_raft_voter::handle(core, request).await.into(),
        Request::RemoveRaftVoter(request) => handlers::remove_raft_voter::handle(core, request).await.into(),
        Request::FindCoordinator(request) => handlers::find_coordinator::handle(core, context, request).await,
        Request::JoinGroup(request) => handlers::join_group::handle(core, context, request).await,
        Request::SyncGroup(request) => handlers::sync_group::handle(core, context, request).await,
        Request::Heartbeat(request) => handlers::heartbeat::handle(core, request).await,
        Request::LeaveGroup(request) => handlers::leave_group::handle(core, context, request).await,
        Request::OffsetCommit(request) => handlers::offset_commit::handle(core, context, request).await,
        Request::OffsetFetch(request) => handlers::offset_fetch::handle(core, context, request).await,
        Request::OffsetDelete(request) => handlers::offset_delete::handle(core, request).await,
        Request::ListGroups(request) => handlers::list_groups::handle(core, request).await,
        Request::DescribeGroups(request) => handlers::describe_groups::handle(core, context, request).await,
        Request::DeleteGroups(request) => handlers::delete_groups::handle(core, context, request).await,
        other => Answer::Close(format!("{} has no handler", other.api())),
    }
}

/// What a response is written with, and counted by.
struct Reply {
    correlation_id: i32,
    version: i16,
    begun: Begun,
}

impl Reply {
    fn encode(self, response: &Response) -> Handled {
        match encode_response(self.correlation_id, self.version, response) {
            Ok(frame) => {
                let chunks = frame.into_chunks();
                let size = chunks.iter().map(Bytes::len).sum();
                self.begun.api().note_response(response, self.version, size);
                self.begun.ends();
                Handled::Now(chunks)
            }
            Err(error) => {
                // A handler filled in what this version cannot say: a fault of ours, and the client must not wait.
                error!(api = %response.api(), version = self.version, %error, "cannot encode a response");
                Handled::Close(error.to_string())
            }
        }
    }
}

/// The answer to a version that is not served.
fn unsupported_version(header: &RequestHeader, body: &mut ottla_wire::Reader, begun: Begun) -> Handled {
    match header.api {
        // KIP-511: version 0 is what every client understands, and the table tells it what to ask instead.
        ApiKey::ApiVersions => {
            let response: ApiVersionsResponse = handlers::api_versions::unsupported();
            Reply { correlation_id: header.correlation_id, version: 0, begun }.encode(&response.into())
        }
        ApiKey::Produce => handlers::produce_old::refuse(header, body),
        api => Handled::Close(format!(
            "{api} v{} is not served: versions {} to {} are",
            header.api_version,
            api.served().first,
            api.served().last
        )),
    }
}
