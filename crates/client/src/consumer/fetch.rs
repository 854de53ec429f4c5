//! One Fetch request: the partitions that one broker leads, and the records in its answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_records::{Batch, BatchError, Codec, Records, batches};
use ottla_types::{BrokerId, ErrorCode, Offset, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};

use super::{ConsumedRecord, ConsumerOptions};
use crate::address::Address;
use crate::client::{Client, Leader};
use crate::connection::Connection;
use crate::error::{Error, check};

/// The last version of Fetch that names topics by name; later ones need their ids (KIP-516).
const LAST_BY_NAME: i16 = 12;

/// A partition to read, and from where.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
    pub(super) leader: Leader,
}

/// What was read from a partition.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) records: Vec<ConsumedRecord>,
    /// Where to go on.
    pub(super) next: Offset,
    pub(super) high_watermark: Offset,
}

/// Asks a broker once for what it has of these partitions.
pub(super) async fn fetch(
    client: &Client,
    broker: BrokerId,
    wanted: Vec<Wanted>,
    options: &ConsumerOptions,
) -> Vec<(Wanted, Result<Fetched, Error>)> {
    let answer = match client.broker(broker).await {
        Ok(connection) => ask(&connection, &wanted, options).await.map(|answer| (connection, answer)),
        Err(error) => Err(error),
    };
    wanted
        .into_iter()
        .map(|wanted| {
            let result = match &answer {
                Ok((connection, answer)) => read(connection.broker(), answer, &wanted, options),
                Err(error) => Err(error.clone()),
            };
            (wanted, result)
        })
        .collect()
}

async fn ask(
    connection: &Connection,
    wanted: &[Wanted],
    options: &ConsumerOptions,
) -> Result<FetchResponse, Error> {
    let has_ids = wanted.iter().all(|wanted| !wanted.leader.topic_id.is_zero());
    let version = connection.version_up_to(ApiKey::Fetch, if has_ids { i16::MAX } else { LAST_BY_NAME })?;
    let request = FetchRequest {
        max_wait_ms: i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: options.min_bytes,
        max_bytes: options.max_bytes,
        topics: topics(wanted, options),
        ..FetchRequest::default()
    };
    // The broker may rightly take `max_wait` before it begins to answer.
    let timeout = connection.request_timeout() + options.max_wait;
    let answer = connection.start_at(request, version, timeout)?.wait().await?;
    check(connection.broker(), ApiKey::Fetch, "", answer.error_code, None)?;
    Ok(answer)
}

fn topics(wanted: &[Wanted], options: &ConsumerOptions) -> Vec<FetchTopic> {
    let mut topics: BTreeMap<&TopicName, FetchTopic> = BTreeMap::new();
    for Wanted { partition, offset, leader } in wanted {
        let topic = topics.entry(&partition.topic).or_insert_with(|| FetchTopic {
            topic: partition.topic.as_str().into(),
            topic_id: leader.topic_id.into(),
            ..FetchTopic::default()
        });
        topic.partitions.push(FetchPartition {
            partition: partition.partition,
            current_leader_epoch: leader.epoch.0,
            fetch_offset: offset.0,
            partition_max_bytes: options.partition_max_bytes,
            ..FetchPartition::default()
        });
    }
    topics.into_values().collect()
}

/// What an answer holds of a partition.
fn read(
    broker: &Address,
    answer: &FetchResponse,
    wanted: &Wanted,
    options: &ConsumerOptions,
) -> Result<Fetched, Error> {
    let data = find(answer, wanted).ok_or_else(|| Error::BadAnswer {
        broker: broker.clone(),
        api: ApiKey::Fetch,
        reason: format!("{} is not in it", wanted.partition),
    })?;
    // As in Kafka's consumer, though the error is called retriable: that is for producers, whose bytes came damaged.
    if data.error_code == ErrorCode::CorruptMessage.code() {
        let (broker, partition) = (broker.clone(), wanted.partition.clone());
        return Err(Error::CorruptAtBroker { broker, partition, offset: wanted.offset });
    }
    check(broker, ApiKey::Fetch, &wanted.partition, data.error_code, None)?;
    let bytes = data.records.clone().unwrap_or_default().into_bytes();
    let mut reading = Reading { wanted, options, records: Vec::new(), next: wanted.offset };
    reading.read_all(&bytes).map_err(|reason| Error::BadBatch {
        broker: broker.clone(),
        partition: wanted.partition.clone(),
        offset: reading.next,
        reason,
    })?;
    if !bytes.is_empty() && reading.next == wanted.offset {
        return Err(Error::BadAnswer {
            broker: broker.clone(),
            api: ApiKey::Fetch,
            reason: format!("its batches of {} end before offset {}", wanted.partition, wanted.offset),
        });
    }
    let high_watermark = Offset(data.high_watermark);
    Ok(Fetched { next: reading.next, records: reading.records, high_watermark })
}

/// Answers name topics as their request did: by name, or by id.
fn find<'a>(answer: &'a FetchResponse, wanted: &Wanted) -> Option<&'a PartitionData> {
    let (name, id) = (wanted.partition.topic.as_str(), wanted.leader.topic_id);
    answer
        .responses
        .iter()
        .filter(|topic| topic.topic == name || (!id.is_zero() && topic.topic_id == id.into()))
        .flat_map(|topic| &topic.partitions)
        .find(|data| data.partition_index == wanted.partition.partition)
}

/// Reads the batches of one partition.
struct Reading<'a> {
    wanted: &'a Wanted,
    options: &'a ConsumerOptions,
    records: Vec<ConsumedRecord>,
    next: Offset,
}

impl Reading<'_> {
    fn read_all(&mut self, bytes: &Bytes) -> Result<(), BatchError> {
        for batch in batches(bytes) {
            match batch {
                Ok(batch) => self.read_batch(&batch, bytes)?,
                // An answer may end in the middle of a batch, but not of its first (KIP-74).
                Err(BatchError::Truncated { .. }) if self.next > self.wanted.offset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_batch(&mut self, batch: &Batch<'_>, bytes: &Bytes) -> Result<(), BatchError> {
        batch.verify()?;
        let header = batch.header();
        // Compaction leaves gaps, also at a batch's end: its header says where it ended once.
        let (base_offset, last_offset_delta) = (header.base_offset.0, header.last_offset_delta);
        let end = base_offset
            .checked_add(i64::from(last_offset_delta))
            .and_then(|last| last.checked_add(1))
            .ok_or(BatchError::OffsetRange { base_offset, last_offset_delta })?;
        if end <= self.next.0 {
            return Ok(());
        }
        // Control records mark the end of transactions, and are for no application (KIP-98).
        if !header.attributes.is_control() {
            match header.attributes.codec() {
                Ok(Codec::None) => self.read_records(batch, batch.body(), bytes)?,
                _ => {
                    let decompressed = batch.decompress(self.options.max_batch_bytes)?;
                    self.read_records(batch, &decompressed, &decompressed)?;
                }
            }
        }
        self.next = Offset(end);
        Ok(())
    }

    /// Takes the records that lie at or after the offset wanted; their bytes stay where they are, in `owner`.
    fn read_records(&mut self, batch: &Batch<'_>, body: &[u8], owner: &Bytes) -> Result<(), BatchError> {
        let header = batch.header();
        let timestamp_type = header.attributes.timestamp_type();
        let keep = |bytes: &[u8]| owner.slice_ref(bytes);
        for record in Records::new(header, body) {
            let record = record?;
            if record.offset < self.next {
                continue;
            }
            self.records.push(ConsumedRecord {
                partition: self.wanted.partition.clone(),
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                timestamp_type,
                key: record.key.map(keep),
                value: record.value.map(keep),
                headers: record.headers.map(|header| (keep(header.key), header.value.map(keep))).collect(),
            });
        }
        Ok(())
    }
}
