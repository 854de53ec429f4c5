//! DescribeTopicPartitions, for what Metadata does not tell: who may lead without being in sync (KIP-966).

use std::collections::BTreeMap;

use ottla_types::{BrokerId, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponseTopic, TopicRequest,
};

use crate::admin::bad_answer;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::Error;

/// The replicas of a partition that may lead although they are not in sync. What is `None` the cluster does not tell: its
/// feature `eligible.leader.replicas.version` is not on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EligibleReplicas {
    /// Those that have all that is committed, and may be elected.
    pub elr: Option<Vec<BrokerId>>,
    /// Those that were eligible last, before they stopped in a way that may have cost records.
    pub last_known: Option<Vec<BrokerId>>,
}

impl Client {
    /// The eligible replicas of each partition of these topics, or of all where none is named. Topics that are not there are
    /// left out.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`] by brokers older than Kafka 3.8, and whatever keeps brokers from answering.
    pub async fn eligible_replicas(
        &self,
        topics: &[TopicName],
    ) -> Result<BTreeMap<TopicPartition, EligibleReplicas>, Error> {
        let mut found = BTreeMap::new();
        let mut cursor = None;
        loop {
            let (topics, next) = self.eligible_page(topics, cursor.clone()).await?;
            found.extend(topics);
            let Some(next) = next else { return Ok(found) };
            cursor = Some(next);
        }
    }

    async fn eligible_page(
        &self,
        topics: &[TopicName],
        cursor: Option<Cursor>,
    ) -> Result<(Vec<(TopicPartition, EligibleReplicas)>, Option<Cursor>), Error> {
        let mut retry = self.retry("describing partitions".to_owned());
        loop {
            match self.eligible_page_once(topics, cursor.clone()).await {
                Ok(page) => return Ok(page),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn eligible_page_once(
        &self,
        topics: &[TopicName],
        cursor: Option<Cursor>,
    ) -> Result<(Vec<(TopicPartition, EligibleReplicas)>, Option<Cursor>), Error> {
        let connection = self.any_broker().await?;
        let topic = |name: &TopicName| TopicRequest { name: name.as_str().into(), ..TopicRequest::default() };
        let request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            cursor: cursor.clone(),
            ..DescribeTopicPartitionsRequest::default()
        };
        let response = connection.call(request).await?;
        let place = |cursor: &Cursor| (cursor.topic_name.clone(), cursor.partition_index);
        let next = response.next_cursor;
        // A broker that goes round in circles must not keep a client for ever.
        if let (Some(cursor), Some(next)) = (&cursor, &next)
            && place(next) <= place(cursor)
        {
            let reason = "its next page does not come after this one".to_owned();
            return Err(bad_answer(&connection, ApiKey::DescribeTopicPartitions, reason));
        }
        let mut found = Vec::new();
        for topic in response.topics.iter().filter(|topic| topic.error_code == 0) {
            read_topic(&connection, topic, &mut found)?;
        }
        Ok((found, next))
    }
}

fn read_topic(
    connection: &Connection,
    topic: &DescribeTopicPartitionsResponseTopic,
    found: &mut Vec<(TopicPartition, EligibleReplicas)>,
) -> Result<(), Error> {
    let bad = |reason: String| bad_answer(connection, ApiKey::DescribeTopicPartitions, reason);
    let name = topic.name.as_deref().ok_or_else(|| bad("a topic has no name".to_owned()))?;
    let name = TopicName::new(name).map_err(|error| bad(error.to_string()))?;
    let ids = |ids: &Option<Vec<i32>>| ids.as_ref().map(|ids| ids.iter().copied().map(BrokerId).collect());
    found.extend(topic.partitions.iter().map(|partition| {
        let at = TopicPartition { topic: name.clone(), partition: partition.partition_index };
        let eligible = EligibleReplicas {
            elr: ids(&partition.eligible_leader_replicas),
            last_known: ids(&partition.last_known_elr),
        };
        (at, eligible)
    }));
    Ok(())
}
