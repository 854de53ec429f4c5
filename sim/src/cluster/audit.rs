//! What a node tells of the cluster's topics, when everything is over.

use std::collections::BTreeMap;

use ottla_client::{Client, Error};
use ottla_env::Env;
use ottla_types::{BrokerId, ErrorCode, TopicId};
use ottla_wire::metadata::MetadataRequest;

use crate::brokers::program::{self, Servers};

/// A topic as a node tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTopic {
    /// Its id.
    pub id: TopicId,
    /// Why it cannot be used.
    pub error: ErrorCode,
    /// The replicas of its partitions.
    pub replicas: BTreeMap<i32, Vec<BrokerId>>,
}

/// What a node tells of all topics, by their names.
///
/// # Errors
/// It does not answer.
pub(super) async fn topics_of(
    env: Env,
    servers: &Servers,
    broker: BrokerId,
) -> Result<BTreeMap<String, ToldTopic>, Error> {
    let client: Client = program::client(env, servers).await;
    client.refresh(&[]).await?;
    let connection = client.broker(broker).await?;
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let answer = connection.call(request).await?;
    let topics = answer.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        let replicas = partitions.map(|partition| {
            (partition.partition_index, partition.replica_nodes.into_iter().map(BrokerId).collect())
        });
        let told = ToldTopic {
            id: topic.topic_id.into(),
            error: ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError),
            replicas: replicas.collect(),
        };
        (topic.name.map(|name| name.to_string()).unwrap_or_default(), told)
    });
    Ok(topics.collect())
}
