//! One Produce request: the batches for one broker, and what its answer says of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_records::BatchError;
use ottla_types::{BrokerId, Offset, TopicName};
use ottla_wire::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ottla_wire::{ApiKey, Records, Uuid};

use super::accumulator::Sequence;
use super::batch::{Appended, Batch, Refused};
use super::{Acks, ProducerOptions};
use crate::client::{Client, Leader};
use crate::connection::Connection;
use crate::error::{Error, check};

/// The last version of Produce that names topics by name; later ones need their ids (KIP-516).
const LAST_BY_NAME: i16 = 12;

/// A batch, whom it goes to, and under which number.
pub(super) struct Outgoing {
    pub(super) batch: Batch,
    pub(super) leader: Leader,
    pub(super) sequence: Option<Sequence>,
}

/// Sends batches to their leader, and tells what became of each.
pub(super) async fn deliver(
    client: &Client,
    broker: BrokerId,
    mut outgoing: Vec<Outgoing>,
    options: &ProducerOptions,
) -> Vec<(Batch, Result<Appended, Refused>)> {
    let outcome = match client.broker(broker).await {
        Ok(connection) => send(&connection, &mut outgoing, options).await.map(|answer| (connection, answer)),
        Err(error) => Err(error),
    };
    outgoing
        .into_iter()
        .map(|Outgoing { batch, leader, .. }| {
            let result = match &outcome {
                Ok((_, None)) => Ok(Appended { base_offset: None, log_append_time_ms: None }),
                Ok((connection, Some(answer))) => read(connection, answer, &batch, &leader),
                Err(error) => Err(error.clone().into()),
            };
            (batch, result)
        })
        .collect()
}

/// Sends one request; `None` where no answer is asked for.
async fn send(
    connection: &Connection,
    outgoing: &mut [Outgoing],
    options: &ProducerOptions,
) -> Result<Option<ProduceResponse>, Error> {
    let has_ids = outgoing.iter().all(|out| !out.leader.topic_id.is_zero());
    let version = connection.version_up_to(ApiKey::Produce, if has_ids { i16::MAX } else { LAST_BY_NAME })?;
    let timeout = connection.request_timeout();
    let request = ProduceRequest {
        acks: options.acks.on_the_wire(),
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: topic_data(connection, outgoing)?,
        ..ProduceRequest::default()
    };
    if options.acks == Acks::None {
        connection.send_unanswered(request, version).await?;
        return Ok(None);
    }
    connection.start_at(request, version, timeout)?.wait().await.map(Some)
}

fn topic_data(connection: &Connection, outgoing: &mut [Outgoing]) -> Result<Vec<TopicProduceData>, Error> {
    let mut topics: BTreeMap<TopicName, TopicProduceData> = BTreeMap::new();
    for Outgoing { batch, leader, sequence } in outgoing {
        let sequence = sequence.map(|sequence| (sequence.identity, sequence.next));
        let bytes: Bytes = batch.seal(sequence).map_err(|reason: BatchError| Error::BadBatch {
            broker: connection.broker().clone(),
            partition: batch.partition.clone(),
            offset: Offset(-1),
            reason,
        })?;
        let name = &batch.partition.topic;
        let topic = topics.entry(name.clone()).or_insert_with(|| TopicProduceData {
            name: name.as_str().into(),
            topic_id: leader.topic_id.into(),
            ..TopicProduceData::default()
        });
        topic.partition_data.push(PartitionProduceData {
            index: batch.partition.partition,
            records: Some(Records::from(bytes)),
            ..PartitionProduceData::default()
        });
    }
    Ok(topics.into_values().collect())
}

/// What an answer says of a batch.
fn read(
    connection: &Connection,
    answer: &ProduceResponse,
    batch: &Batch,
    leader: &Leader,
) -> Result<Appended, Refused> {
    let at = &batch.partition;
    let found = find(answer, at.topic.as_str(), leader.topic_id.into(), at.partition);
    let result = found.ok_or_else(|| Error::BadAnswer {
        broker: connection.broker().clone(),
        api: ApiKey::Produce,
        reason: format!("{at} is not in it"),
    })?;
    let message = result.error_message.as_deref();
    check(connection.broker(), ApiKey::Produce, at, result.error_code, message).map_err(|error| Refused {
        error,
        records: result
            .record_errors
            .iter()
            .filter_map(|record| {
                let reason = record.batch_index_error_message.as_deref().or(message).unwrap_or_default();
                Some((usize::try_from(record.batch_index).ok()?, reason.to_owned()))
            })
            .collect(),
    })?;
    Ok(Appended {
        base_offset: (result.base_offset >= 0).then_some(Offset(result.base_offset)),
        log_append_time_ms: (result.log_append_time_ms >= 0).then_some(result.log_append_time_ms),
    })
}

/// Answers name topics as their request did: by name, or by id.
fn find<'a>(
    answer: &'a ProduceResponse,
    name: &str,
    id: Uuid,
    partition: i32,
) -> Option<&'a PartitionProduceResponse> {
    let is_it = |topic_name: &str, topic_id: Uuid| topic_name == name || (!id.is_zero() && topic_id == id);
    answer
        .responses
        .iter()
        .filter(|topic| is_it(&topic.name, topic.topic_id))
        .flat_map(|topic| &topic.partition_responses)
        .find(|result| result.index == partition)
}
