//! A fetcher's request on the wire: Fetch, in the highest version that both brokers know. Pure.

use ottla_types::{BrokerEpoch, BrokerId};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState};

use super::session::{Plan, Want};
use super::settings::FetchSettings;

/// The first version that has topics by their ids (KIP-516): a follower must not copy another topic of the same name.
pub(super) const FIRST_VERSION: i16 = 13;

/// The first version in which a follower tells its broker's epoch (KIP-903).
const EPOCH_SINCE: i16 = 15;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follower {
    pub(super) broker: BrokerId,
    /// Of its registration.
    pub(super) epoch: BrokerEpoch,
}

/// The request, for this version; it waits for so long at most.
pub(super) fn fetch(
    settings: &FetchSettings,
    me: Follower,
    plan: Plan,
    max_wait_ms: i32,
    version: i16,
) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((topic, index), want) in plan.ask {
        let partition = fetch_partition(settings, index, &want);
        match topics.last_mut().filter(|last| last.topic_id == topic.into()) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic_id: topic.into(),
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
    let mut forgotten: Vec<ForgottenTopic> = Vec::new();
    for (topic, index) in plan.forget {
        match forgotten.last_mut().filter(|last| last.topic_id == topic.into()) {
            Some(last) => last.partitions.push(index),
            None => forgotten.push(ForgottenTopic {
                topic_id: topic.into(),
                partitions: vec![index],
                ..ForgottenTopic::default()
            }),
        }
    }
    let mut request = FetchRequest {
        max_wait_ms: max_wait_ms.min(settings.max_wait_ms),
        min_bytes: settings.min_bytes,
        max_bytes: settings.max_bytes,
        session_id: plan.session_id,
        session_epoch: plan.session_epoch,
        topics,
        forgotten_topics_data: forgotten,
        ..FetchRequest::default()
    };
    if version >= EPOCH_SINCE {
        request.replica_state =
            ReplicaState { replica_id: me.broker.0, replica_epoch: me.epoch.0, ..ReplicaState::default() };
    } else {
        request.replica_id = me.broker.0;
    }
    request
}

fn fetch_partition(settings: &FetchSettings, index: i32, want: &Want) -> FetchPartition {
    FetchPartition {
        partition: index,
        current_leader_epoch: want.leader_epoch.0,
        fetch_offset: want.offset.0,
        last_fetched_epoch: want.last_fetched_epoch.0,
        log_start_offset: want.log_start.0,
        partition_max_bytes: settings.partition_max_bytes,
        ..FetchPartition::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::config::Settings;
    use ottla_types::{LeaderEpoch, Offset, TopicId};

    use super::*;

    const ME: Follower = Follower { broker: BrokerId(3), epoch: BrokerEpoch(70) };

    fn plan() -> Plan {
        let want = |offset| Want {
            leader_epoch: LeaderEpoch(4),
            offset: Offset(offset),
            last_fetched_epoch: LeaderEpoch(2),
            log_start: Offset(1),
        };
        let key = |topic, index| (TopicId([topic; 16]), index);
        Plan {
            session_id: 8,
            session_epoch: 2,
            ask: vec![(key(1, 0), want(10)), (key(1, 3), want(11)), (key(2, 0), want(12))],
            forget: vec![key(1, 1), key(1, 2), key(5, 0)],
        }
    }

    fn settings() -> FetchSettings {
        let text = "replica.fetch.max.bytes=77\nreplica.fetch.response.max.bytes=99\nreplica.fetch.min.bytes=2\n\
                    replica.fetch.wait.max.ms=44\n";
        FetchSettings::from(&Settings::parse("f", text).unwrap().0)
    }

    #[test]
    fn a_request_says_who_asks_in_which_run_and_what_the_settings_allow() {
        let request = fetch(&settings(), ME, plan(), i32::MAX, 17);
        let state = &request.replica_state;
        assert_eq!((request.replica_id, state.replica_id, state.replica_epoch), (-1, 3, 70));
        assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (44, 2, 99));
        assert_eq!((request.session_id, request.session_epoch), (8, 2));
        let old = fetch(&settings(), ME, plan(), 9, 14);
        assert_eq!((old.replica_id, old.replica_state.replica_id, old.max_wait_ms), (3, -1, 9));
    }

    #[test]
    fn partitions_are_named_with_their_topics_once() {
        let request = fetch(&settings(), ME, plan(), i32::MAX, 18);
        let asked: Vec<Vec<i32>> =
            request.topics.iter().map(|t| t.partitions.iter().map(|p| p.partition).collect()).collect();
        assert_eq!(asked, [vec![0, 3], vec![0]]);
        let forgotten: Vec<_> =
            request.forgotten_topics_data.iter().map(|t| (t.topic_id, t.partitions.clone())).collect();
        assert_eq!(forgotten, [(TopicId([1; 16]).into(), vec![1, 2]), (TopicId([5; 16]).into(), vec![0])]);
    }

    #[test]
    fn of_a_partition_it_says_offset_epochs_and_start() {
        let request = fetch(&settings(), ME, plan(), i32::MAX, 18);
        let first = &request.topics[0].partitions[0];
        assert_eq!((first.fetch_offset, first.partition_max_bytes), (10, 77));
        assert_eq!((first.current_leader_epoch, first.last_fetched_epoch), (4, 2));
        assert_eq!(first.log_start_offset, 1);
    }
}
