//! DeleteRecords: moves the start of logs forward (KIP-107).
//!
//! The answer has the low watermark, the lowest start of the logs of all replicas whose brokers live. Records are deleted when
//! that has come to the offset: followers advance their logs' starts as they hear of the leader's, and say so with their
//! fetches. A request waits for them as long as its timeout allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::Str;
use ottla_wire::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
    DeleteRecordsTopicResult,
};

use crate::broker::Core;
use crate::context::Answer;
use crate::partition::Partition;
use crate::partitions::TopicRef;
use crate::replicas::topic_config;
use crate::waiters::{For, Waiter};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// The low watermark of an answer that has none.
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) async fn handle(core: &Arc<Core>, request: DeleteRecordsRequest) -> Answer {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + timeout;
    let mut topics = Vec::new();
    let mut waits = false;
    for (name, wanted) in by_partition(request.topics) {
        let mut partitions = Vec::with_capacity(wanted.len());
        for (index, offset) in wanted {
            let begun = delete(core, &name, index, offset).await;
            waits |= begun.as_ref().is_ok_and(|begun| !begun.is_done(core));
            partitions.push((index, begun));
        }
        topics.push((name, partitions));
    }
    if !waits {
        return respond(core, topics, deadline).await.into();
    }
    let core = Arc::clone(core);
    Answer::Later(Box::pin(async move { respond(&core, topics, deadline).await.into() }))
}

/// What was begun of each partition, by topic.
type Begun = Vec<(Str, Vec<(i32, Result<Deletion, ErrorCode>)>)>;

async fn respond(core: &Core, begun: Begun, deadline: Instant) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(begun.len());
    for (name, begun) in begun {
        let mut partitions = Vec::with_capacity(begun.len());
        for (index, begun) in begun {
            let done = match begun {
                Ok(deletion) => deletion.done(core, deadline).await,
                Err(error) => Err(error),
            };
            let (low_watermark, error) = match done {
                Ok(low) => (low.0, ErrorCode::None),
                Err(error) => (NO_LOW_WATERMARK, error),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: index,
                low_watermark,
                error_code: error.code(),
                ..DeleteRecordsPartitionResult::default()
            });
        }
        topics.push(DeleteRecordsTopicResult { name, partitions, ..DeleteRecordsTopicResult::default() });
    }
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

/// Records that the leader has deleted, and that followers are to delete.
struct Deletion {
    partition: Arc<Partition>,
    epoch: LeaderEpoch,
    /// The first offset that stays.
    start: Offset,
}

impl Deletion {
    /// The low watermark, if it is known.
    fn low_watermark(&self, core: &Core) -> Option<Offset> {
        let image = core.metadata.image();
        self.partition.low_watermark(|broker| image.broker(broker).is_some_and(|known| known.is_active()))
    }

    fn is_done(&self, core: &Core) -> bool {
        self.low_watermark(core).is_some_and(|low| low >= self.start)
    }

    /// Waits until all replicas have deleted them. Returns the low watermark.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER: another one leads now, or in another epoch. REQUEST_TIMED_OUT.
    async fn done(&self, core: &Core, deadline: Instant) -> Result<Offset, ErrorCode> {
        loop {
            let waiter = Waiter::new(1);
            let _place = self.partition.wait(For::LowWatermark, &waiter);
            let low = self.low_watermark(core);
            let leadership = self.partition.check_leader(LeaderEpoch::NONE)?;
            if leadership.epoch != self.epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if let Some(low) = low.filter(|low| *low >= self.start) {
                return Ok(low);
            }
            if Instant::now() >= deadline {
                return Err(ErrorCode::RequestTimedOut);
            }
            // An elapsed deadline is no error: the next look is the last.
            let _elapsed = tokio::time::timeout_at(deadline, waiter.wait()).await;
        }
    }
}

/// The offsets asked for. Of a partition that is named twice the later offset counts, and it is answered once, since
/// clients keep the answers by partition.
fn by_partition(topics: Vec<DeleteRecordsTopic>) -> BTreeMap<Str, BTreeMap<i32, i64>> {
    let mut offsets: BTreeMap<Str, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in topics {
        let partitions =
            topic.partitions.into_iter().map(|partition| (partition.partition_index, partition.offset));
        offsets.entry(topic.name).or_default().extend(partitions);
    }
    offsets
}

/// Deletes what lies below `offset` here.
async fn delete(core: &Core, topic: &str, index: i32, offset: i64) -> Result<Deletion, ErrorCode> {
    let partition = core.find_partition(TopicRef::Name(topic), index)?;
    if partition.id.topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let epoch = partition.check_leader(LeaderEpoch::NONE)?.epoch;
    if is_compacted_only(core, &partition) {
        return Err(ErrorCode::PolicyViolation);
    }
    let start = new_start(offset, partition.high_watermark())?;
    let advanced = partition.log.advance_start(start, core.env.clock.wall_ms()).await;
    advanced.map_err(|error| {
        let code = error.code();
        if matches!(code, ErrorCode::KafkaStorageError | ErrorCode::CorruptMessage) {
            warn!(partition = %partition.id, %error, "cannot delete records");
        }
        code
    })?;
    Ok(Deletion { partition, epoch, start })
}

/// Whether the topic keeps the last record of each key, however old: deleting by offset would break that promise.
fn is_compacted_only(core: &Core, partition: &Partition) -> bool {
    let image = core.metadata.image();
    let policy = topic_config(&image, core.node_id, &core.settings, &partition.id.topic).cleanup_policy;
    policy.compact && !policy.delete
}

fn new_start(offset: i64, high_watermark: Offset) -> Result<Offset, ErrorCode> {
    match offset {
        HIGH_WATERMARK => Ok(high_watermark),
        0.. if offset <= high_watermark.0 => Ok(Offset(offset)),
        _ => Err(ErrorCode::OffsetOutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use ottla_wire::delete_records::DeleteRecordsPartition;

    use super::*;

    #[test]
    fn the_start_moves_up_to_the_high_watermark_and_no_further() {
        let high_watermark = Offset(10);
        assert_eq!(new_start(-1, high_watermark), Ok(Offset(10)));
        assert_eq!(new_start(0, high_watermark), Ok(Offset(0)));
        assert_eq!(new_start(10, high_watermark), Ok(Offset(10)));
        for offset in [11, i64::MAX, -2, i64::MIN] {
            assert_eq!(new_start(offset, high_watermark), Err(ErrorCode::OffsetOutOfRange), "{offset}");
        }
    }

    #[test]
    fn a_partition_that_is_named_twice_is_answered_once_for_its_later_offset() {
        let partition = |partition_index, offset| DeleteRecordsPartition {
            partition_index,
            offset,
            ..Default::default()
        };
        let topic = |name: &str, partitions| DeleteRecordsTopic {
            name: name.into(),
            partitions,
            ..Default::default()
        };
        let offsets = by_partition(vec![
            topic("a", vec![partition(0, 5), partition(1, 6), partition(0, 7)]),
            topic("b", vec![partition(0, 1)]),
            topic("a", vec![partition(1, 8)]),
        ]);
        let expected =
            BTreeMap::from([("a".into(), BTreeMap::from([(0, 7), (1, 8)])), ("b".into(), [(0, 1)].into())]);
        assert_eq!(offsets, expected);
    }
}
