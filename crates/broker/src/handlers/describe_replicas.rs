//! DescribeReplicas: what this broker knows, as their leader, of the replicas of its partitions. Kafka has nothing like it.
//!
//! What the machine recorded is told as it is, with ages instead of times; brokers and directories are as the metadata say. A
//! partition that this broker does not lead is left out: who leads it tells.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_metadata::Image;
use ottla_metadata::record::{LOST_DIRECTORY, PartitionState};
use ottla_replica::{AskedChange, Change, Ends, FollowerState, View};
use ottla_types::config::broker::network::MAX_REQUEST_PARTITION_SIZE_LIMIT;
use ottla_types::{BrokerId, Offset};
use ottla_wire::Str;
use ottla_wire::private::describe_replicas::{
    DescribeReplicasRequest, DescribeReplicasResponse, DescribedPartition, DescribedReplica, DescribedTopic,
    ReplicasCursor,
};

use crate::broker::Core;
use crate::partition::Partition;

/// What stands for a number that is not known.
const UNKNOWN: i64 = -1;

/// How a replica stands, in the response.
mod standing {
    pub(super) const LEADS: i8 = 1;
    pub(super) const IN_SYNC: i8 = 2;
    pub(super) const CATCHES_UP: i8 = 3;
    pub(super) const NOT_SEEN: i8 = 4;
    pub(super) const FENCED: i8 = 5;
    pub(super) const STOPPING: i8 = 6;
    pub(super) const DIRECTORY_OFFLINE: i8 = 7;
    pub(super) const UNREGISTERED: i8 = 8;
}

pub(crate) fn handle(core: &Core, request: DescribeReplicasRequest) -> DescribeReplicasResponse {
    let image = core.metadata.image();
    let most = core.settings.get(&MAX_REQUEST_PARTITION_SIZE_LIMIT);
    let room = usize::try_from(request.response_partition_limit.min(most).max(1)).unwrap_or(1);
    let wanted: Option<BTreeSet<Str>> = request.topics.map(|topics| topics.into_iter().collect());
    let from = request.cursor.map(|cursor| (cursor.topic_name, cursor.partition_index));
    let is_meant = |partition: &Arc<Partition>| {
        let (topic, index) = (partition.id.topic.as_str(), partition.id.partition);
        let is_named = wanted.as_ref().is_none_or(|wanted| wanted.contains(topic));
        is_named && from.as_ref().is_none_or(|(name, first)| (topic, index) >= (name.as_str(), *first))
    };
    let mut response = DescribeReplicasResponse::default();
    let mut count = 0;
    for partition in core.partitions.all().iter().filter(|partition| is_meant(partition)) {
        let Some(led) = Led::of(partition) else { continue };
        if request.only_under_replicated && led.view.isr.len() >= led.view.replicas.len() {
            continue;
        }
        let name = Str::from(partition.id.topic.as_str());
        if count == room {
            let partition_index = partition.id.partition;
            response.next_cursor =
                Some(ReplicasCursor { topic_name: name, partition_index, ..ReplicasCursor::default() });
            break;
        }
        count += 1;
        let described = described(core.node_id, &image, partition, &led);
        match response.topics.last_mut().filter(|last| last.name == name) {
            Some(last) => last.partitions.push(described),
            None => response.topics.push(DescribedTopic {
                name,
                topic_id: partition.topic_id.into(),
                partitions: vec![described],
                ..DescribedTopic::default()
            }),
        }
    }
    response
}

/// What a leader knows at one moment.
struct Led {
    view: View,
    ends: Ends,
    high_watermark: Offset,
    followers: Vec<FollowerState>,
    now: Duration,
}

impl Led {
    /// `None` where this broker does not lead.
    fn of(partition: &Partition) -> Option<Self> {
        partition.drive(|replica, ends, now| {
            let led = replica.is_leader().then(|| Self {
                view: replica.current().clone(),
                ends,
                high_watermark: replica.high_watermark(),
                followers: replica.followers(now),
                now,
            });
            (Change::default(), led)
        })
    }

    /// How long ago that was, in milliseconds.
    fn ago(&self, at: Duration) -> i64 {
        i64::try_from(self.now.saturating_sub(at).as_millis()).unwrap_or(i64::MAX)
    }
}

fn described(me: BrokerId, image: &Image, partition: &Partition, led: &Led) -> DescribedPartition {
    let state = image.partition(partition.topic_id, partition.id.partition);
    let replica = |broker: &BrokerId| match led.followers.iter().find(|one| one.broker == *broker) {
        Some(follower) => described_follower(image, state.map(AsRef::as_ref), led, follower),
        None => described_leader(me, *broker, led),
    };
    DescribedPartition {
        partition_index: partition.id.partition,
        leader_epoch: led.view.leader_epoch.0,
        partition_epoch: led.view.partition_epoch.0,
        log_start_offset: led.ends.start.0,
        high_watermark: led.high_watermark.0,
        log_end_offset: led.ends.end.0,
        size_bytes: i64::try_from(partition.log.size_bytes()).unwrap_or(i64::MAX),
        min_insync_replicas: i32::try_from(led.view.min_insync).unwrap_or(i32::MAX),
        replicas: led.view.replicas.iter().map(replica).collect(),
        ..DescribedPartition::default()
    }
}

/// The leader itself. It is among the replicas, and all others are its followers.
fn described_leader(me: BrokerId, broker: BrokerId, led: &Led) -> DescribedReplica {
    DescribedReplica {
        broker_id: broker.0,
        is_in_sync: led.view.isr.contains(&broker),
        standing: if broker == me { standing::LEADS } else { standing::NOT_SEEN },
        log_end_offset: led.ends.end.0,
        lag_records: 0,
        ..DescribedReplica::default()
    }
}

fn described_follower(
    image: &Image,
    state: Option<&PartitionState>,
    led: &Led,
    follower: &FollowerState,
) -> DescribedReplica {
    let caught_up = match (follower.last_fetch, follower.behind_since) {
        // Whoever has not fetched in this epoch may be anywhere.
        (None, _) => UNKNOWN,
        (Some(_), None) => 0,
        (Some(_), Some(since)) => led.ago(since),
    };
    DescribedReplica {
        broker_id: follower.broker.0,
        is_in_sync: follower.in_isr,
        asked: match follower.asked {
            None => 0,
            Some(AskedChange::Enters) => 1,
            Some(AskedChange::Leaves) => 2,
        },
        standing: standing_of(image, state, follower),
        log_end_offset: follower.end.map_or(UNKNOWN, |end| end.0),
        lag_records: follower.lag_records.unwrap_or(UNKNOWN),
        last_fetch_ms_ago: follower.last_fetch.map_or(UNKNOWN, |at| led.ago(at)),
        last_caught_up_ms_ago: caught_up,
        out_of_sync_ms: follower.out_since.map_or(UNKNOWN, |at| led.ago(at)),
        ..DescribedReplica::default()
    }
}

/// How a follower stands: what keeps it away goes before what it does.
fn standing_of(image: &Image, state: Option<&PartitionState>, follower: &FollowerState) -> i8 {
    let Some(broker) = image.broker(follower.broker) else { return standing::UNREGISTERED };
    let directory = state.and_then(|state| state.directory(follower.broker));
    let is_offline =
        directory.is_some_and(|directory| directory == LOST_DIRECTORY || !broker.has_online(directory));
    if broker.fenced {
        standing::FENCED
    } else if broker.in_controlled_shutdown {
        standing::STOPPING
    } else if is_offline {
        standing::DIRECTORY_OFFLINE
    } else if follower.in_isr {
        standing::IN_SYNC
    } else if follower.last_fetch.is_none() {
        standing::NOT_SEEN
    } else {
        standing::CATCHES_UP
    }
}
