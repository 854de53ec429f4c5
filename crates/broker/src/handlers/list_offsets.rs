//! ListOffsets: the offset that belongs to a time, or to an end of the log (KIP-79, KIP-207, KIP-320, KIP-734).
//!
//! Nothing is tiered here: the earliest local offset is the log's start (KIP-405), and the latest tiered and earliest
//! pending ones (KIP-1005, KIP-1023) are answered as Kafka answers them for a topic without remote storage, with -1.

use std::collections::BTreeSet;

use tracing::warn;

use ottla_log::FoundRecord;
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::Str;
use ottla_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use super::each::repeated;
use crate::broker::Core;
use crate::context::RequestContext;
use crate::partition::{Leadership, Partition};
use crate::partitions::TopicRef;

/// The `replica_id` of a consumer.
const CONSUMER: i32 = -1;

/// The `replica_id` of a tool that asks any replica, be it the leader or not.
const DEBUGGING: i32 = -2;

/// The first version whose answer has a leader epoch (KIP-320).
const LEADER_EPOCH_SINCE: i16 = 4;

/// The first version whose clients know OFFSET_NOT_AVAILABLE (KIP-207).
const OFFSET_NOT_AVAILABLE_SINCE: i16 = 5;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let repeated = repeated_partitions(&request);
    let reader = Reader::of(&request);
    let mut answered = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let index = wanted.partition_index;
            let key = (topic.name.clone(), index);
            let outcome = if repeated.contains(&key) {
                if !answered.insert(key) {
                    continue;
                }
                Err(ErrorCode::InvalidRequest)
            } else {
                find(core, context.version, reader, &topic.name, &wanted).await
            };
            partitions.push(response(context.version, index, outcome));
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
            ..ListOffsetsTopicResponse::default()
        });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

fn repeated_partitions(request: &ListOffsetsRequest) -> BTreeSet<(Str, i32)> {
    let keys = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.clone(), partition.partition_index))
    });
    repeated(keys)
}

/// Who asks, which decides how far they may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Sees what is committed.
    Consumer { read_committed: bool },
    /// A broker that follows; sees all.
    Follower,
    /// A tool; sees all, on any replica.
    Debugger,
}

impl Reader {
    fn of(request: &ListOffsetsRequest) -> Self {
        match request.replica_id {
            CONSUMER => Self::Consumer { read_committed: request.isolation_level == 1 },
            DEBUGGING => Self::Debugger,
            _ => Self::Follower,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The first record of this time or later.
    Time(i64),
    /// The offset after the last record that the reader may see.
    Latest,
    /// The log's start.
    Earliest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// An offset of tiered storage.
    Tiered,
}

impl Wanted {
    /// A negative time stands for something special, from the version on that defined it.
    fn from_wire(timestamp: i64, version: i16) -> Result<Self, ErrorCode> {
        match timestamp {
            0.. => Ok(Self::Time(timestamp)),
            -1 => Ok(Self::Latest),
            -2 => Ok(Self::Earliest),
            -3 if version >= 7 => Ok(Self::MaxTimestamp),
            -4 if version >= 8 => Ok(Self::Earliest),
            -5 if version >= 9 => Ok(Self::Tiered),
            -6 if version >= 11 => Ok(Self::Tiered),
            _ => Err(ErrorCode::UnsupportedVersion),
        }
    }
}

/// An answer. Without an offset, nothing is where it was looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    offset: Option<Offset>,
    timestamp_ms: Option<i64>,
    leader_epoch: Option<LeaderEpoch>,
}

impl Found {
    fn end(offset: Offset, leader_epoch: Option<LeaderEpoch>) -> Self {
        Self { offset: Some(offset), timestamp_ms: None, leader_epoch }
    }
}

impl From<FoundRecord> for Found {
    fn from(record: FoundRecord) -> Self {
        Self {
            offset: Some(record.offset),
            timestamp_ms: Some(record.timestamp_ms),
            leader_epoch: Some(record.leader_epoch),
        }
    }
}

fn response(version: i16, index: i32, outcome: Result<Found, ErrorCode>) -> ListOffsetsPartitionResponse {
    let partition =
        ListOffsetsPartitionResponse { partition_index: index, ..ListOffsetsPartitionResponse::default() };
    match outcome {
        Ok(found) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp_ms.unwrap_or(-1),
            offset: found.offset.map_or(-1, |offset| offset.0),
            leader_epoch: match found.leader_epoch {
                Some(epoch) if version >= LEADER_EPOCH_SINCE => epoch.0,
                _ => LeaderEpoch::NONE.0,
            },
            ..partition
        },
        Err(error) => ListOffsetsPartitionResponse { error_code: code(error, version).code(), ..partition },
    }
}

/// What older clients, which do not know OFFSET_NOT_AVAILABLE, take as a reason to ask again.
fn code(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::OffsetNotAvailable if version < OFFSET_NOT_AVAILABLE_SINCE => {
            ErrorCode::LeaderNotAvailable
        }
        error => error,
    }
}

async fn find(
    core: &Core,
    version: i16,
    reader: Reader,
    topic: &str,
    partition: &ListOffsetsPartition,
) -> Result<Found, ErrorCode> {
    let wanted = Wanted::from_wire(partition.timestamp, version)?;
    let believed = LeaderEpoch(partition.current_leader_epoch);
    let partition = core.find_partition(TopicRef::Name(topic), partition.partition_index)?;
    let leadership = check(&partition, believed, reader)?;
    let log = &partition.log;
    let found = match wanted {
        Wanted::Earliest => {
            let start = log.start_offset();
            return Ok(Found::end(start, log.epoch_for_offset(start)));
        }
        Wanted::Latest => {
            let view = View::of(&partition, leadership, reader);
            view.settled()?;
            return Ok(Found::end(view.upper, Some(leadership.epoch)));
        }
        Wanted::Tiered => return Ok(Found::default()),
        Wanted::Time(timestamp_ms) => log.offset_for_timestamp(timestamp_ms).await,
        Wanted::MaxTimestamp => log.max_timestamp_record().await,
    };
    let found = found.map_err(|error| {
        warn!(partition = %partition.id, %error, "cannot look up an offset by time");
        error.code()
    })?;
    View::of(&partition, leadership, reader).show(found)
}

fn check(partition: &Partition, believed: LeaderEpoch, reader: Reader) -> Result<Leadership, ErrorCode> {
    match partition.check_leader(believed) {
        Err(ErrorCode::NotLeaderOrFollower) if reader == Reader::Debugger => Ok(partition.leadership()),
        checked => checked,
    }
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Only what lies below is seen.
    upper: Offset,
    /// A new leader does not know yet how far the log is committed.
    unsettled: bool,
}

impl View {
    fn of(partition: &Partition, leadership: Leadership, reader: Reader) -> Self {
        let Reader::Consumer { read_committed } = reader else {
            return Self { upper: partition.log.end_offset(), unsettled: false };
        };
        let epoch_start = epoch_start(partition, leadership.epoch);
        let high_watermark = partition.high_watermark();
        let upper = if read_committed { partition.last_stable_offset() } else { high_watermark };
        Self { upper, unsettled: epoch_start > high_watermark }
    }

    /// KIP-207: before its watermark has reached the start of its epoch, a leader may have to answer with offsets that
    /// the leader before had passed already. It had better not answer at all.
    fn settled(self) -> Result<(), ErrorCode> {
        if self.unsettled { Err(ErrorCode::OffsetNotAvailable) } else { Ok(()) }
    }

    /// What was found, if the reader may see it.
    fn show(self, found: Option<FoundRecord>) -> Result<Found, ErrorCode> {
        match found {
            Some(record) if record.offset < self.upper => Ok(record.into()),
            _ => self.settled().map(|()| Found::default()),
        }
    }
}

/// Where the leader's epoch begins: at its first record, or where its first record will be.
fn epoch_start(partition: &Partition, epoch: LeaderEpoch) -> Offset {
    let end = partition.log.end_offset();
    partition.log.epochs().last().filter(|entry| entry.epoch == epoch).map_or(end, |entry| entry.start_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::tests::{Bench, led_by};

    #[test]
    fn a_special_time_needs_the_version_that_defined_it() {
        for (timestamp, since) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            for version in 1..=11 {
                let wanted = Wanted::from_wire(timestamp, version);
                let expected = version >= since;
                assert_eq!(wanted.is_ok(), expected, "timestamp {timestamp} in version {version}");
                assert!(expected || wanted == Err(ErrorCode::UnsupportedVersion));
            }
        }
    }

    #[test]
    fn a_negative_time_that_nobody_defined_is_refused() {
        for timestamp in [-7, -100, i64::MIN] {
            assert_eq!(Wanted::from_wire(timestamp, 11), Err(ErrorCode::UnsupportedVersion));
        }
        assert_eq!(Wanted::from_wire(0, 1), Ok(Wanted::Time(0)));
        assert_eq!(Wanted::from_wire(i64::MAX, 1), Ok(Wanted::Time(i64::MAX)));
    }

    fn record(offset: i64) -> FoundRecord {
        FoundRecord { offset: Offset(offset), timestamp_ms: 7, leader_epoch: LeaderEpoch(3) }
    }

    #[test]
    fn a_record_that_is_not_committed_yet_is_as_good_as_none() {
        let view = View { upper: Offset(10), unsettled: false };
        assert_eq!(view.show(Some(record(9))), Ok(record(9).into()));
        assert_eq!(view.show(Some(record(10))), Ok(Found::default()));
        assert_eq!(view.show(None), Ok(Found::default()));
    }

    #[test]
    fn a_leader_that_does_not_know_its_watermark_yet_says_only_what_is_surely_committed() {
        let view = View { upper: Offset(10), unsettled: true };
        assert_eq!(view.show(Some(record(9))), Ok(record(9).into()));
        assert_eq!(view.show(Some(record(10))), Err(ErrorCode::OffsetNotAvailable));
        assert_eq!(view.show(None), Err(ErrorCode::OffsetNotAvailable));
        assert_eq!(view.settled(), Err(ErrorCode::OffsetNotAvailable));
    }

    #[tokio::test]
    async fn a_new_leader_tells_consumers_an_end_when_its_watermark_has_come_to_the_start_of_its_epoch() {
        let bench = Bench::new(&led_by(2, 3, &[1, 2])).await;
        bench.copy(0).await;
        bench.partition.take(&led_by(1, 4, &[1, 2])).await;
        let look = |reader| View::of(&bench.partition, bench.partition.leadership(), reader);
        let consumer = Reader::Consumer { read_committed: false };
        assert_eq!(look(consumer).settled(), Err(ErrorCode::OffsetNotAvailable));
        assert_eq!((look(Reader::Follower).settled(), look(Reader::Follower).upper), (Ok(()), Offset(1)));
        bench.fetch(2, 1, 3).unwrap();
        assert_eq!((look(consumer).settled(), look(consumer).upper), (Ok(()), Offset(1)));
    }

    #[test]
    fn old_clients_are_told_of_a_missing_leader_in_place_of_a_missing_offset() {
        let answer = |version| response(version, 0, Err(ErrorCode::OffsetNotAvailable)).error_code;
        assert_eq!(answer(4), ErrorCode::LeaderNotAvailable.code());
        assert_eq!(answer(5), ErrorCode::OffsetNotAvailable.code());
    }

    #[test]
    fn the_leader_epoch_is_left_out_where_the_version_has_no_place_for_it() {
        let epoch = |version| response(version, 0, Ok(record(1).into())).leader_epoch;
        assert_eq!((epoch(3), epoch(4)), (-1, 3));
    }
}
