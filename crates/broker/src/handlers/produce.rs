//! Produce: appends record batches (KIP-98, KIP-467, KIP-516).
//!
//! A request's batches are appended before the next request of the connection is looked at. A batch that is refused
//! concerns its own partition only.

use std::sync::Arc;

use tracing::warn;

use ottla_records::{InvalidBatch, ProduceRules, TimestampType, prepare};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicName};
use ottla_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_wire::{Records, Str};

use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::partition::Partition;
use crate::partitions::TopicRef;

/// The client id by which Kafka's own tools write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// The first version that knows zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// How many replicas must have a batch before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acks {
    None,
    Leader,
    InSync,
}

impl Acks {
    fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::InSync),
            _ => None,
        }
    }
}

pub(crate) async fn handle(core: &Arc<Core>, context: &RequestContext, request: ProduceRequest) -> Answer {
    let acks = Acks::from_wire(request.acks);
    let transactional = request.transactional_id.is_some();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    let mut first_error = ErrorCode::None;
    let mut flushes = Vec::new();
    for topic in request.topic_data {
        let TopicProduceData { name, topic_id, partition_data, .. } = topic;
        let key = if context.version >= 13 { TopicRef::Id(topic_id.into()) } else { TopicRef::Name(&name) };
        let mut partition_responses = Vec::with_capacity(partition_data.len());
        for data in partition_data {
            let index = data.index;
            let outcome = async {
                let acks = acks.ok_or(ErrorCode::InvalidRequiredAcks)?;
                if transactional {
                    return Err(no_transactions());
                }
                let partition = core
                    .find_partition(key, index)
                    .inspect_err(|_| core.metrics.topics.note_produce_to_unknown())?;
                check_internal(&partition.id.topic, context)?;
                let size = data.records.as_ref().map_or(0, Records::len);
                let appended = append(core, context, &partition, acks, data).await;
                appended.inspect_err(|refused| partition.traffic.note_refused(refused.code, size))
            };
            let response = match outcome.await {
                Ok((response, unflushed)) => {
                    let place = (responses.len(), partition_responses.len());
                    flushes.extend(unflushed.map(|unflushed| (place, unflushed)));
                    response
                }
                Err(refused) => {
                    let refused: Refused = refused;
                    if first_error == ErrorCode::None {
                        first_error = refused.code;
                    }
                    refused.into_response(index)
                }
            };
            partition_responses.push(response);
        }
        responses.push(TopicProduceResponse {
            name,
            topic_id,
            partition_responses,
            ..TopicProduceResponse::default()
        });
    }
    match acks {
        // The client expects no answer, so the only way to tell it of an error is to close the connection.
        Some(Acks::None) if first_error.is_error() => {
            Answer::Close(format!("a Produce request with acks=0 was refused: {first_error}"))
        }
        Some(Acks::None) => Answer::Silent,
        _ if flushes.is_empty() => ProduceResponse { responses, ..ProduceResponse::default() }.into(),
        _ => Answer::Later(Box::pin(async move {
            flush(&mut responses, flushes).await;
            ProduceResponse { responses, ..ProduceResponse::default() }.into()
        })),
    }
}

/// A batch that `flush.messages` wants on the device before it is acknowledged.
struct Unflushed {
    partition: Arc<Partition>,
    end: Offset,
}

/// Waits until batches are durable before their answers go out. Other requests append meanwhile, and one fsync serves all
/// that wait for it.
async fn flush(responses: &mut [TopicProduceResponse], flushes: Vec<((usize, usize), Unflushed)>) {
    for ((topic, index), Unflushed { partition, end }) in flushes {
        let Err(error) = partition.log.flushed_to(end).await else { continue };
        warn!(partition = %partition.id, %error, "cannot flush");
        let response = responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(index));
        if let Some(response) = response {
            let refused = Refused { message: Some(error.to_string()), ..Refused::from(error.code()) };
            *response = refused.into_response(response.index);
        }
    }
}

/// Why a batch was not appended.
struct Refused {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage>,
    log_start_offset: i64,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), log_start_offset: -1 }
    }
}

impl From<InvalidBatch> for Refused {
    fn from(invalid: InvalidBatch) -> Self {
        let records = invalid
            .records
            .into_iter()
            .map(|record| BatchIndexAndErrorMessage {
                batch_index: record.batch_index,
                batch_index_error_message: Some(record.message.into()),
                ..BatchIndexAndErrorMessage::default()
            })
            .collect();
        Self { code: invalid.code, message: Some(invalid.message), records, log_start_offset: -1 }
    }
}

impl Refused {
    fn into_response(self, index: i32) -> PartitionProduceResponse {
        PartitionProduceResponse {
            index,
            error_code: self.code.code(),
            base_offset: -1,
            log_start_offset: self.log_start_offset,
            record_errors: self.records,
            error_message: self.message.map(Str::from),
            ..PartitionProduceResponse::default()
        }
    }
}

fn no_transactions() -> Refused {
    Refused {
        message: Some("this broker has no transactions yet".to_owned()),
        ..Refused::from(ErrorCode::InvalidTxnState)
    }
}

/// Clients do not write to the topics that hold the brokers' own state; Kafka's admin tools may.
fn check_internal(topic: &TopicName, context: &RequestContext) -> Result<(), Refused> {
    let is_admin = context.client_id.as_ref().is_some_and(|id| *id == ADMIN_CLIENT_ID);
    if topic.is_internal() && !is_admin {
        return Err(Refused {
            message: Some(format!("{topic} is an internal topic, and clients cannot write to it")),
            ..Refused::from(ErrorCode::InvalidTopicException)
        });
    }
    Ok(())
}

async fn append(
    core: &Core,
    context: &RequestContext,
    partition: &Arc<Partition>,
    acks: Acks,
    data: PartitionProduceData,
) -> Result<(PartitionProduceResponse, Option<Unflushed>), Refused> {
    let leadership = partition.check_leader(LeaderEpoch::NONE)?;
    if leadership.replicas > 1 {
        // Nobody is told that data are safe that are on one disk.
        return Err(Refused {
            message: Some(format!(
                "{} has {} replicas, and this version does not copy data to replicas yet: use a topic with one replica",
                partition.id, leadership.replicas
            )),
            ..Refused::from(ErrorCode::PolicyViolation)
        });
    }
    let config = partition.config();
    let min_in_sync = leadership.min_in_sync(&config);
    if acks == Acks::InSync && leadership.in_sync < min_in_sync {
        return Err(Refused {
            message: Some(format!(
                "{}: {} replicas are in sync, and min.insync.replicas asks for {min_in_sync}",
                partition.id, leadership.in_sync
            )),
            ..Refused::from(ErrorCode::NotEnoughReplicas)
        });
    }
    let now_ms = core.env.clock.wall_ms();
    let records = data.records.unwrap_or_default().into_bytes();
    let batch = if context.version >= ZSTD_SINCE {
        prepare(records, &config.rules, now_ms)?
    } else {
        prepare(records, &ProduceRules { zstd_allowed: false, ..config.rules.clone() }, now_ms)?
    };
    if batch.header().attributes.is_transactional() {
        return Err(no_transactions());
    }
    let appended = partition.append(batch, leadership.epoch, now_ms).await.map_err(|error| {
        let code = error.code();
        if code == ErrorCode::KafkaStorageError {
            warn!(partition = %partition.id, %error, "cannot append");
        }
        Refused {
            message: Some(error.to_string()),
            log_start_offset: partition.log.start_offset().0,
            ..Refused::from(code)
        }
    })?;
    let by_broker = config.rules.timestamp_type == TimestampType::LogAppendTime;
    let response = PartitionProduceResponse {
        index: data.index,
        base_offset: appended.base_offset.0,
        log_append_time_ms: if by_broker { appended.max_timestamp_ms } else { -1 },
        log_start_offset: appended.log_start_offset.0,
        ..PartitionProduceResponse::default()
    };
    let unflushed = appended
        .flush_due
        .then(|| Unflushed { partition: Arc::clone(partition), end: appended.end_offset() });
    Ok((response, unflushed))
}
