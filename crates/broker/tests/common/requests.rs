//! Produce and fetch requests, for all versions: topics go by name and id, of which each version takes its own.

use bytes::Bytes;

use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_wire::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use ottla_wire::{Str, Uuid};

use super::Client;

/// A topic as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: Str,
    pub(crate) id: Uuid,
}

impl Topic {
    /// A topic of which only the name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.into(), id: Uuid::ZERO }
    }

    /// Records for one partition, to be produced.
    pub(crate) fn records(&self, partition: i32, records: Bytes) -> TopicProduceData {
        self.all_records(vec![(partition, records)])
    }

    /// Records for partitions, to be produced.
    pub(crate) fn all_records(&self, records: Vec<(i32, Bytes)>) -> TopicProduceData {
        let data = |(index, records): (i32, Bytes)| PartitionProduceData {
            index,
            records: Some(records.into()),
            ..PartitionProduceData::default()
        };
        TopicProduceData {
            name: self.name.clone(),
            topic_id: self.id,
            partition_data: records.into_iter().map(data).collect(),
            ..TopicProduceData::default()
        }
    }

    /// Partitions to be fetched.
    pub(crate) fn fetch(&self, partitions: Vec<FetchPartition>) -> FetchTopic {
        let (topic, topic_id) = (self.name.clone(), self.id);
        FetchTopic { topic, topic_id, partitions, ..FetchTopic::default() }
    }
}

pub(crate) fn produce_request(acks: i16, topic_data: Vec<TopicProduceData>) -> ProduceRequest {
    ProduceRequest { acks, timeout_ms: 10_000, topic_data, ..ProduceRequest::default() }
}

/// A partition to be fetched from an offset.
pub(crate) fn from_offset(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() }
}

/// A fetch that does not wait.
pub(crate) fn fetch_request(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest { min_bytes: 1, max_bytes: 1 << 20, topics, ..FetchRequest::default() }
}

impl Client {
    /// Produces one batch.
    pub(crate) async fn produce_to(
        &mut self,
        version: i16,
        acks: i16,
        topic: &Topic,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let request = produce_request(acks, vec![topic.records(partition, batch)]);
        let mut response = self.call(version, request).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches one partition, without waiting.
    pub(crate) async fn fetch_from(&mut self, version: i16, topic: &Topic, offset: i64) -> PartitionData {
        let request = fetch_request(vec![topic.fetch(vec![from_offset(0, offset)])]);
        let mut response = self.call(version, request).await;
        assert_eq!(response.error_code, 0);
        response.responses.remove(0).partitions.remove(0)
    }
}
