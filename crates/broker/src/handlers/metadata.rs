//! Metadata: brokers, controller, topics with their partitions; and topics created on first use.

use std::collections::HashSet;
use std::sync::Arc;

use ottla_metadata::Image;
use ottla_metadata::image::TopicImage;
use ottla_metadata::record::PartitionState;
use ottla_types::config::broker::node::AUTO_CREATE_TOPICS_ENABLE;
use ottla_types::{BrokerId, ErrorCode, TopicId, TopicName};
use ottla_wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::{Str, Uuid};

use super::authorized::{CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS};
use super::reachable::{controller_among, reachable};
use crate::broker::Core;
use crate::context::RequestContext;

/// The first version that asks for topics by id; two before it have the field and may not use it (KIP-516).
const IDS_SINCE: i16 = 12;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: MetadataRequest,
) -> MetadataResponse {
    let wanted = match Wanted::from_request(context.version, request.topics) {
        Ok(wanted) => wanted,
        Err(refused) => return MetadataResponse { topics: refused, ..MetadataResponse::default() },
    };
    if request.allow_auto_topic_creation
        && let Wanted::These(topics) = &wanted
    {
        create_missing(core, topics).await;
    }
    let image = core.metadata.image();
    let operations = if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { NOT_ASKED };
    let mut topics = match &wanted {
        Wanted::All => image.topics().map(|topic| known_topic(&image, topic)).collect(),
        Wanted::These(topics) => topics.iter().map(|topic| wanted_topic(&image, topic)).collect::<Vec<_>>(),
    };
    for topic in &mut topics {
        // What may be done to a name does not depend on whether there is a topic of it.
        if topic.name.is_some() {
            topic.topic_authorized_operations = operations;
        }
    }
    let brokers = brokers(&image, &context.peer.listener);
    let told: Vec<_> = brokers.iter().map(|broker| broker.node_id).collect();
    MetadataResponse {
        brokers,
        cluster_id: Some(core.cluster_id.as_ref().into()),
        controller_id: controller_among(core.node_id, &told),
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            NOT_ASKED
        },
        ..MetadataResponse::default()
    }
}

enum Wanted {
    All,
    These(Vec<MetadataRequestTopic>),
}

impl Wanted {
    /// What is asked for; or, where the version may not ask so, what all topics are answered.
    fn from_request(
        version: i16,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> Result<Self, Vec<MetadataResponseTopic>> {
        match topics {
            None => Ok(Self::All),
            // Version 0 cannot say null, and asks for all topics with an empty list.
            Some(topics) if version == 0 && topics.is_empty() => Ok(Self::All),
            Some(topics) if version < IDS_SINCE && topics.iter().any(|topic| !is_by_name(topic)) => {
                let refused = |topic: MetadataRequestTopic| {
                    failed(Some(topic.name.unwrap_or_default()), topic.topic_id, ErrorCode::InvalidRequest)
                };
                Err(topics.into_iter().map(refused).collect())
            }
            Some(mut topics) => {
                // A few bytes that name a topic give kilobytes of answer, and giving them again helps nobody.
                let mut seen = HashSet::new();
                topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
                Ok(Self::These(topics))
            }
        }
    }
}

fn is_by_name(topic: &MetadataRequestTopic) -> bool {
    topic.name.is_some() && topic.topic_id.is_zero()
}

/// Creates the topics that are asked for by name and are not there (`auto.create.topics.enable`). Why one could not be
/// created shows in its answer, which finds it missing.
async fn create_missing(core: &Core, topics: &[MetadataRequestTopic]) {
    let image = core.metadata.image();
    if !image.layers(core.node_id, &core.settings).get(&AUTO_CREATE_TOPICS_ENABLE) {
        return;
    }
    let missing: Vec<TopicName> = topics
        .iter()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| TopicName::new(topic.name.as_deref()?).ok())
        // Internal topics are made by whoever keeps state in them, with the configuration that it needs.
        .filter(|name| !name.is_internal() && image.topic_by_name(name.as_str()).is_none())
        .collect();
    if !missing.is_empty() {
        core.auto_create(missing).await;
    }
}

fn brokers(image: &Image, listener: &str) -> Vec<MetadataResponseBroker> {
    reachable(image, listener)
        .filter(|(broker, _)| !broker.fenced)
        .map(|(broker, endpoint)| MetadataResponseBroker {
            node_id: broker.registration.id.0,
            host: (&*endpoint.host).into(),
            port: i32::from(endpoint.port),
            rack: broker.registration.rack.as_deref().map(Str::from),
            ..MetadataResponseBroker::default()
        })
        .collect()
}

fn wanted_topic(image: &Image, wanted: &MetadataRequestTopic) -> MetadataResponseTopic {
    if !wanted.topic_id.is_zero() {
        return match image.topic(TopicId::from(wanted.topic_id)) {
            Some(topic) => known_topic(image, topic),
            None => failed(None, wanted.topic_id, ErrorCode::UnknownTopicId),
        };
    }
    let name = wanted.name.clone().unwrap_or_default();
    if TopicName::new(&name).is_err() {
        return failed(Some(name), Uuid::ZERO, ErrorCode::InvalidTopicException);
    }
    match image.topic_by_name(&name) {
        Some(topic) => known_topic(image, topic),
        None => failed(Some(name), Uuid::ZERO, ErrorCode::UnknownTopicOrPartition),
    }
}

fn failed(name: Option<Str>, topic_id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    // Before version 12 the name cannot be null; the encoder's default for it is the empty string.
    let is_internal =
        name.as_deref().and_then(|name| TopicName::new(name).ok()).is_some_and(|name| name.is_internal());
    MetadataResponseTopic {
        error_code: error.code(),
        name,
        topic_id,
        is_internal,
        ..MetadataResponseTopic::default()
    }
}

fn known_topic(image: &Image, topic: &Arc<TopicImage>) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id.into(),
        is_internal: topic.name.is_internal(),
        partitions: topic.partitions().map(|(index, state)| partition(image, index, state)).collect(),
        ..MetadataResponseTopic::default()
    }
}

fn partition(image: &Image, index: i32, state: &PartitionState) -> MetadataResponsePartition {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect();
    MetadataResponsePartition {
        error_code: if state.leader.is_some() { 0 } else { ErrorCode::LeaderNotAvailable.code() },
        partition_index: index,
        leader_id: state.leader.map_or(-1, |id| id.0),
        leader_epoch: state.leader_epoch.0,
        replica_nodes: ids(&state.replicas),
        isr_nodes: ids(&state.isr),
        offline_replicas: offline(image, state),
        ..MetadataResponsePartition::default()
    }
}

/// The replicas whose broker is away.
pub(crate) fn offline(image: &Image, state: &PartitionState) -> Vec<i32> {
    let is_away = |id: &&BrokerId| image.broker(**id).is_none_or(|broker| broker.fenced);
    state.replicas.iter().filter(is_away).map(|id| id.0).collect()
}
