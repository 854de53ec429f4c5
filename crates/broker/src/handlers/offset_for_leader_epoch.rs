//! OffsetForLeaderEpoch: where a leader epoch ends in a log (KIP-101, KIP-279, KIP-320).
//!
//! Readers find with it where their log parts from the leader's. Who asks (`replica_id`) makes no difference: followers
//! must see the end of the log, and consumers do in Kafka too.

use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use crate::broker::Core;
use crate::partitions::TopicRef;

pub(crate) fn handle(core: &Core, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| OffsetForLeaderTopicResult {
        partitions: topic.partitions.iter().map(|wanted| response(core, &topic.topic, wanted)).collect(),
        topic: topic.topic,
        ..OffsetForLeaderTopicResult::default()
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..OffsetForLeaderEpochResponse::default() }
}

fn response(core: &Core, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let partition = EpochEndOffset { partition: wanted.partition, ..EpochEndOffset::default() };
    match end_offset(core, topic, wanted) {
        Ok(Some((epoch, end))) => EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..partition },
        // The epoch is not known: the defaults, -1 and -1, say so.
        Ok(None) => partition,
        Err(error) => EpochEndOffset { error_code: error.code(), ..partition },
    }
}

fn end_offset(
    core: &Core,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let partition = core.find_partition(TopicRef::Name(topic), wanted.partition)?;
    partition.check_leader(LeaderEpoch(wanted.current_leader_epoch))?;
    Ok(partition.log.epoch_end_offset(LeaderEpoch(wanted.leader_epoch)))
}
