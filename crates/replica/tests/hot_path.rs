//! What happens for each batch allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use ottla_replica::{
    Ends, FetchAnswer, FetchFrom, Fetched, FollowerFetch, LagDetector, LagSettings, NextFetch, Replica, Step,
    View,
};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};

const EPOCH: LeaderEpoch = LeaderEpoch(3);

fn replica(me: i32) -> Replica {
    let settings = LagSettings { time_max: Duration::from_secs(30), detector: LagDetector::Time };
    let ends = Ends::new(Offset(0), Offset(0));
    let mut replica = Replica::new(BrokerId(me), ends, Offset(0), settings);
    let brokers: Arc<[BrokerId]> = [1, 2, 3].map(BrokerId).into();
    let view = View {
        leader: Some(BrokerId(1)),
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(5),
        replicas: Arc::clone(&brokers),
        isr: brokers,
        min_insync: 2,
        recovering: false,
    };
    let _ = replica.view(view, ends, Duration::ZERO);
    replica
}

fn fetch(follower: i32, offset: i64) -> FollowerFetch {
    FollowerFetch {
        follower: BrokerId(follower),
        broker_epoch: Some(BrokerEpoch(7)),
        leader_epoch: EPOCH,
        offset: Offset(offset),
        last_fetched_epoch: (offset > 0).then_some(EPOCH),
        log_start: Offset(0),
    }
}

#[test]
fn appends_and_fetches_of_followers_allocate_nothing() {
    let mut leader = replica(1);
    let allocated = allocation_counter::measure(|| {
        for end in 1..=1_000 {
            let (ends, now) = (Ends::new(Offset(0), Offset(end)), Duration::from_millis(end.unsigned_abs()));
            let _ = leader.appended(ends, now);
            for follower in [2, 3] {
                let epoch_end = |epoch| Some((epoch, Offset(end)));
                let fetched = leader.fetched(&fetch(follower, end), ends, epoch_end, now);
                assert!(matches!(fetched, Ok(Fetched::Read(_))));
            }
            assert_eq!(leader.high_watermark(), Offset(end));
        }
    });
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn what_a_follower_copies_allocates_nothing() {
    let mut follower = replica(2);
    let allocated = allocation_counter::measure(|| {
        for end in 0..1_000 {
            let ends = Ends::new(Offset(0), Offset(end));
            let NextFetch::Fetch(sent) = follower.next_fetch(ends, (end > 0).then_some(EPOCH)) else {
                panic!("it follows");
            };
            let sent: FetchFrom = sent;
            let answer = FetchAnswer {
                error: ErrorCode::None,
                high_watermark: Offset(end),
                log_start: Offset(0),
                diverging: None,
            };
            assert!(matches!(follower.answered(&sent, &answer, ends, |_| None), Step::Append { .. }));
            let _ = follower.copied(Ends::new(Offset(0), Offset(end + 1)));
            assert_eq!(follower.high_watermark(), Offset(end));
        }
    });
    assert_eq!(allocated.count_total, 0);
}
