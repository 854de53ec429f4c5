//! Produce: appends record batches (KIP-98, KIP-467, KIP-516).
//!
//! A request's batches are appended before the next request of the connection is looked at; only what its answer waits for
//! overlaps. A batch that is refused concerns its own partition only.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
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
use crate::partition::{AckPlace, Acks as ReplicaAcks, Partition};
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
    let deadline = deadline(request.timeout_ms);
    let mut unsettled = Vec::new();
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
                Ok((response, Some(waits))) => {
                    unsettled.push(((responses.len(), partition_responses.len()), waits));
                    response
                }
                Ok((response, None)) => response,
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
        _ if unsettled.is_empty() => ProduceResponse { responses, ..ProduceResponse::default() }.into(),
        _ => {
            let wait = Wait::begin(unsettled);
            Answer::Later(Box::pin(async move {
                wait.end(&mut responses, deadline).await;
                ProduceResponse { responses, ..ProduceResponse::default() }.into()
            }))
        }
    }
}

/// When a request has waited long enough: it is answered, and what was appended stays.
fn deadline(timeout_ms: i32) -> Instant {
    Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// A batch that is in the log, and not acknowledged yet.
struct Unsettled {
    partition: Arc<Partition>,
    /// The leader epoch that it was appended in.
    epoch: LeaderEpoch,
    end: Offset,
    /// `flush.messages` wants it on the device first.
    flush_due: bool,
    /// All replicas in sync are to have it first.
    by_replicas: bool,
}

/// Where in the answer a batch is told of: the topic, and the partition in it.
type PlaceInAnswer = (usize, usize);

/// What the answer to a request waits for.
struct Wait {
    batches: Vec<(PlaceInAnswer, Unsettled)>,
    acks: Arc<ReplicaAcks>,
    places: Vec<AckPlace>,
}

impl Wait {
    /// Begins to listen at the partitions.
    fn begin(batches: Vec<(PlaceInAnswer, Unsettled)>) -> Self {
        let acks = ReplicaAcks::new(batches.len());
        let mut places = Vec::new();
        for (nth, (_, batch)) in batches.iter().enumerate() {
            if batch.by_replicas {
                places.extend(batch.partition.await_replicas(batch.epoch, batch.end, &acks, nth));
            } else {
                acks.settle(nth, ErrorCode::None);
            }
        }
        Self { batches, acks, places }
    }

    /// Waits until batches are durable, where that is asked for, and where they are to be. Other requests append meanwhile;
    /// one fsync serves all that wait for it, and so does one fetch of a follower.
    async fn end(self, responses: &mut [TopicProduceResponse], deadline: Instant) {
        let Self { batches, acks, places } = self;
        let mut failed = Vec::new();
        for (nth, (_, batch)) in batches.iter().enumerate().filter(|(_, (_, batch))| batch.flush_due) {
            if let Err(error) = batch.partition.log.flushed_to(batch.end).await {
                warn!(partition = %batch.partition.id, %error, "cannot flush");
                acks.settle(nth, error.code());
                failed.push((nth, error));
            }
        }
        let outcomes = acks.settled(deadline).await;
        drop(places);
        for (nth, outcome) in outcomes.into_iter().enumerate() {
            let failure = failed.iter().find(|(failed, _)| *failed == nth).map(|(_, error)| error);
            let code = failure.map_or(outcome, ottla_log::Error::code);
            let Some(((topic, index), batch)) = batches.get(nth).filter(|_| code.is_error()) else {
                continue;
            };
            let topic = responses.get_mut(*topic);
            let Some(response) = topic.and_then(|topic| topic.partition_responses.get_mut(*index)) else {
                continue;
            };
            let message =
                failure.map_or_else(|| unsettled_message(&batch.partition, code), ToString::to_string);
            *response =
                Refused { message: Some(message), ..Refused::from(code) }.into_response(response.index);
        }
    }
}

/// What a producer is told whose batch is in the leader's log, and is not known to be where it should.
fn unsettled_message(partition: &Partition, code: ErrorCode) -> String {
    let id = &partition.id;
    match code {
        ErrorCode::RequestTimedOut => {
            format!("{id}: not all replicas in sync had the batch within the request's timeout")
        }
        ErrorCode::NotEnoughReplicasAfterAppend => format!(
            "{id}: the batch was appended, and then fewer replicas were in sync than min.insync.replicas asks for"
        ),
        ErrorCode::NotLeaderOrFollower => {
            format!("{id}: the leadership ended before all replicas in sync had the batch")
        }
        code => format!("{id}: {code}"),
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
) -> Result<(PartitionProduceResponse, Option<Unsettled>), Refused> {
    let leadership = partition.check_leader(LeaderEpoch::NONE)?;
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
    let end = appended.end_offset();
    // A duplicate of what is not committed yet waits like the original.
    let by_replicas = acks == Acks::InSync && !partition.is_committed(leadership.epoch, end);
    let unsettled = (appended.flush_due || by_replicas).then(|| Unsettled {
        partition: Arc::clone(partition),
        epoch: leadership.epoch,
        end,
        flush_due: appended.flush_due,
        by_replicas,
    });
    Ok((response, unsettled))
}
