//! Claims about a partition: as its leader sees it, as a follower does, and when it changes from the one to the other.

use std::time::Duration;

use bytes::Bytes;
use ottla_env::Env;
use ottla_log::{Appended, LogConfig, LogDirs, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord, Prepared, ProduceRules};
use ottla_replica::{EpochEnd, FetchAnswer, FollowerFetch, NextFetch, Step};
use ottla_types::{BrokerEpoch, ErrorCode, LeaderEpoch, PartitionEpoch, TopicName};
use tokio::time::Instant;

use super::*;
use crate::metrics::TopicMetrics;

const ME: BrokerId = BrokerId(1);
const EPOCH: LeaderEpoch = LeaderEpoch(3);
const NOW_MS: i64 = 1_800_000_000_000;

/// Broker `leader` leads in `epoch`; the replicas are 1 to 3.
pub(crate) fn led_by(leader: i32, epoch: i32, isr: &[i32]) -> PartitionState {
    PartitionState {
        replicas: [1, 2, 3].map(BrokerId).into(),
        isr: isr.iter().map(|id| BrokerId(*id)).collect(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch * 10 - i32::try_from(isr.len()).unwrap()),
        ..PartitionState::default()
    }
}

/// This broker is the only replica.
fn alone() -> PartitionState {
    PartitionState { replicas: [ME].into(), ..led_by(1, 3, &[1]) }
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { timestamp_ms: NOW_MS, key: None, value: None, headers: &[] }).unwrap();
    builder.build().unwrap()
}

/// A partition whose log is flushed by nobody but the test.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    _dirs: LogDirs,
    pub(crate) partition: Arc<Partition>,
}

impl Bench {
    pub(crate) async fn new(placed: &PartitionState) -> Self {
        Self::with(placed, LogConfig::default(), 1).await
    }

    async fn with(placed: &PartitionState, config: LogConfig, min_insync_replicas: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs_config = LogDirsConfig {
            dirs: vec![dir.path().to_owned()],
            cluster_id: None,
            node_id: ME,
            opened_at_a_time: 1,
        };
        let env = Env::real();
        let config = Arc::new(config);
        let dirs = LogDirs::open(&env, &dirs_config, |_| Arc::clone(&config), NOW_MS).await.unwrap().dirs;
        let id = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let log = dirs.create(&id, TopicId([1; 16]), config, NOW_MS).await.unwrap();
        let config = PartitionConfig { rules: ProduceRules::default(), min_insync_replicas };
        let traffic = TopicMetrics::default().of(TopicId([1; 16]), &id.topic);
        let hosting = Arc::new(Hosting::for_tests(ME));
        let partition = Partition::new(&hosting, id, TopicId([1; 16]), log, placed, config, traffic).await;
        Self { _dir: dir, _dirs: dirs, partition }
    }

    async fn append(&self) -> Appended {
        self.append_in(EPOCH).await.unwrap()
    }

    async fn append_in(&self, epoch: LeaderEpoch) -> Result<Appended, AppendError> {
        self.partition.append(Prepared::own(batch(), 1 << 20).unwrap(), epoch, NOW_MS).await
    }

    /// Copies a record of epoch 3 from the leader, whose watermark is this.
    pub(crate) async fn copy(&self, high_watermark: i64) {
        let NextFetch::Fetch(sent) = self.partition.next_fetch() else { panic!("it does not fetch") };
        let answer = FetchAnswer {
            error: ErrorCode::None,
            high_watermark: Offset(high_watermark),
            log_start: Offset(0),
            diverging: None,
        };
        let _tenure = self.partition.tenure().await;
        assert!(matches!(self.partition.answered(&sent, answer), Step::Append { .. }));
        let sent_by_leader = Prepared::own(batch(), 1 << 20).unwrap().assign(sent.offset, EPOCH);
        let bytes: Bytes = [&sent_by_leader.head[..], &sent_by_leader.body[..]].concat().into();
        self.partition.log.append_replicated(bytes, NOW_MS).await.unwrap();
        self.partition.copied();
    }

    /// A follower fetches from `offset`, having records of `last_epoch`.
    pub(crate) fn fetch(
        &self,
        follower: i32,
        offset: i64,
        last_epoch: i32,
    ) -> Result<Option<EpochEnd>, ErrorCode> {
        self.partition.fetched(&FollowerFetch {
            follower: BrokerId(follower),
            broker_epoch: Some(BrokerEpoch(7)),
            leader_epoch: self.partition.leadership().epoch,
            offset: Offset(offset),
            last_fetched_epoch: (last_epoch >= 0).then_some(LeaderEpoch(last_epoch)),
            log_start: Offset(0),
        })
    }

    fn ends(&self) -> (i64, i64) {
        (self.partition.high_watermark().0, self.partition.log.end_offset().0)
    }
}

/// One that waits for all replicas to have what ends at `end`.
fn wait_for(partition: &Arc<Partition>, end: i64) -> (Arc<Acks>, Option<AckPlace>) {
    let acks = Acks::new(1);
    let place = partition.await_replicas(EPOCH, Offset(end), &acks, 0);
    (acks, place)
}

async fn outcome(acks: &Acks) -> ErrorCode {
    acks.settled(Instant::now()).await[0]
}

#[tokio::test]
async fn with_one_replica_the_end_is_committed_and_the_append_wakes() {
    let bench = Bench::new(&alone()).await;
    let waiter = Waiter::new(1);
    let _place = bench.partition.wait(For::Watermark, &waiter);
    let appended = bench.append().await;
    assert_eq!(bench.ends(), (1, 1));
    assert!(bench.partition.is_committed(EPOCH, appended.end_offset()));
    waiter.wait().await;
}

#[tokio::test]
async fn what_must_be_durable_first_is_committed_and_wakes_with_the_flush_and_not_with_the_append() {
    let config = LogConfig { flush_messages: 2, ..LogConfig::default() };
    let bench = Bench::with(&alone(), config, 1).await;
    bench.append().await;
    assert_eq!(bench.ends(), (1, 1), "one record is not yet due");
    let waiter = Waiter::new(1);
    let _place = bench.partition.wait(For::Watermark, &waiter);
    let mut wait = Box::pin(waiter.wait());
    // The flush that the append asks for is done by nobody here.
    let unflushed = bench.partition.log.flushed_offset();
    bench.partition.drive_noting(
        |progress| {
            progress.note_batch(Offset(2), 70);
            progress.share = progress.share.max(unflushed);
        },
        |replica, ends, now| (replica.appended(Ends { end: Offset(2), ..ends }, now), ()),
    );
    assert_eq!(bench.partition.high_watermark(), Offset(1));
    assert!(futures_util::poll!(&mut wait).is_pending());
}

#[tokio::test]
async fn what_is_flushed_after_its_append_is_committed_and_wakes() {
    let config = LogConfig { flush_messages: 1, ..LogConfig::default() };
    let bench = Bench::with(&alone(), config, 1).await;
    let waiter = Waiter::new(1);
    let _place = bench.partition.wait(For::Watermark, &waiter);
    bench.append().await;
    bench.partition.log.flush().await.unwrap();
    assert_eq!(bench.ends(), (1, 1));
    waiter.wait().await;
}

#[tokio::test]
async fn a_batch_is_committed_when_all_in_sync_have_it_and_its_producer_is_told_then() {
    let bench = Bench::new(&led_by(1, 3, &[1, 2, 3])).await;
    let end = bench.append().await.end_offset();
    assert!(!bench.partition.is_committed(EPOCH, end));
    let (acks, _place) = wait_for(&bench.partition, 1);
    for (follower, watermark) in [(2, 0), (3, 1)] {
        assert_eq!(outcome(&acks).await, ErrorCode::RequestTimedOut, "it is open");
        assert_eq!(bench.fetch(follower, 1, 3), Ok(None));
        assert_eq!(bench.partition.high_watermark(), Offset(watermark));
    }
    assert_eq!(outcome(&acks).await, ErrorCode::None);
    assert!(wait_for(&bench.partition, 1).1.is_none(), "who comes later does not wait");
}

#[tokio::test]
async fn consumers_wake_by_the_watermark_and_followers_by_the_end() {
    let bench = Bench::new(&led_by(1, 3, &[1, 2])).await;
    let (consumer, follower) = (Waiter::new(1), Waiter::new(1));
    let _places =
        [bench.partition.wait(For::Watermark, &consumer), bench.partition.wait(For::End, &follower)];
    let mut consumes = Box::pin(consumer.wait());
    bench.append().await;
    follower.wait().await;
    assert!(futures_util::poll!(&mut consumes).is_pending());
    bench.fetch(2, 1, 3).unwrap();
    assert!(futures_util::poll!(&mut consumes).is_ready());
}

#[tokio::test]
async fn whoever_waits_is_told_at_once_when_too_few_are_in_sync_or_the_leadership_ends() {
    for (next, expected) in [
        (led_by(1, 3, &[1]), ErrorCode::NotEnoughReplicasAfterAppend),
        (led_by(2, 4, &[1, 2]), ErrorCode::NotLeaderOrFollower),
        (led_by(1, 4, &[1, 2]), ErrorCode::NotLeaderOrFollower),
    ] {
        let bench = Bench::with(&led_by(1, 3, &[1, 2]), LogConfig::default(), 2).await;
        bench.append().await;
        let (acks, place) = wait_for(&bench.partition, 1);
        assert!(place.is_some());
        bench.partition.take(&next).await;
        assert_eq!(outcome(&acks).await, expected);
        let (acks, place) = wait_for(&bench.partition, 1);
        assert_eq!((outcome(&acks).await, place.is_none()), (expected, true), "and so is who comes later");
        assert!(!bench.partition.is_committed(EPOCH, Offset(1)));
    }
}

#[tokio::test]
async fn a_min_insync_that_is_lowered_lets_the_watermark_pass_and_one_that_is_raised_stops_it() {
    let bench = Bench::with(&led_by(1, 3, &[1]), LogConfig::default(), 2).await;
    bench.append().await;
    assert_eq!(bench.ends(), (0, 1), "KAFKA-15583");
    let configure = |min_insync_replicas| {
        let rules = ProduceRules::default();
        bench.partition.configure(PartitionConfig { rules, min_insync_replicas });
    };
    configure(1);
    assert_eq!(bench.ends(), (1, 1));
    configure(2);
    bench.append().await;
    assert_eq!(bench.ends(), (1, 2));
}

#[tokio::test]
async fn an_append_that_was_checked_before_the_leadership_ended_does_not_land_after() {
    let bench = Bench::new(&led_by(1, 3, &[1])).await;
    // An append that has looked, and has not written.
    let under_way = bench.partition.tenure().await;
    let next = led_by(2, 4, &[1, 2]);
    let mut take = Box::pin(bench.partition.take(&next));
    assert!(futures_util::poll!(&mut take).is_pending(), "it waits for what is under way");
    assert!(!bench.partition.leadership().is_leader, "and nothing more begins");
    drop(under_way);
    take.await;
    let refused = bench.append_in(EPOCH).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotLeaderOrFollower);
    assert_eq!(bench.ends(), (0, 0));
}

#[tokio::test]
async fn a_leadership_begins_behind_what_a_follower_had_under_way() {
    let bench = Bench::new(&led_by(2, 3, &[1, 2])).await;
    let under_way = bench.partition.tenure().await;
    let next = led_by(1, 4, &[1, 2]);
    let mut take = Box::pin(bench.partition.take(&next));
    assert!(futures_util::poll!(&mut take).is_pending());
    assert!(!bench.partition.leadership().is_leader, "not before its epoch is noted");
    drop(under_way);
    take.await;
    assert_eq!(bench.partition.log.latest_epoch(), Some(LeaderEpoch(4)));
    assert_eq!(bench.append_in(EPOCH).await.unwrap_err().code(), ErrorCode::NotLeaderOrFollower);
    assert!(bench.append_in(LeaderEpoch(4)).await.is_ok());
}

#[tokio::test]
async fn metadata_that_are_older_than_the_log_take_no_epoch_from_it_and_append_nothing() {
    let bench = Bench::new(&led_by(2, 3, &[1, 2])).await;
    bench.copy(1).await;
    bench.partition.take(&led_by(1, 4, &[1, 2])).await;
    bench.append_in(LeaderEpoch(4)).await.unwrap();
    let epochs = bench.partition.log.epochs();
    let Bench { _dir: dir, _dirs: dirs, partition } = bench;
    let (id, log) = (partition.id.clone(), Arc::clone(&partition.log));
    let (config, traffic) = (
        PartitionConfig { rules: ProduceRules::default(), min_insync_replicas: 1 },
        partition.traffic.clone(),
    );
    drop(partition);
    let hosting = Arc::new(Hosting::for_tests(ME));
    let old = led_by(1, 3, &[1, 2]);
    let partition = Partition::new(&hosting, id, TopicId([1; 16]), log, &old, config, traffic).await;
    assert_eq!(partition.log.epochs(), epochs);
    let bench = Bench { _dir: dir, _dirs: dirs, partition };
    assert!(bench.append_in(EPOCH).await.is_err());
    assert_eq!(bench.ends().1, 2);
}

#[tokio::test]
async fn a_follower_copies_and_learns_the_watermark() {
    let bench = Bench::new(&led_by(2, 3, &[1, 2])).await;
    assert_eq!(bench.partition.follows(), Some((BrokerId(2), EPOCH)));
    let NextFetch::Fetch(sent) = bench.partition.next_fetch() else { panic!("it does not fetch") };
    assert_eq!((sent.leader, sent.leader_epoch, sent.offset), (BrokerId(2), EPOCH, Offset(0)));
    bench.copy(9).await;
    assert_eq!(bench.ends(), (1, 1), "as far as it has records");
    assert_eq!(bench.partition.check_leader(EPOCH), Err(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn the_low_watermark_is_the_lowest_start_of_those_who_live() {
    let bench = Bench::new(&led_by(1, 3, &[1, 2, 3])).await;
    assert_eq!(bench.partition.low_watermark(|_| true), None, "nobody has said where its log starts");
    bench.append().await;
    bench.fetch(2, 1, 3).unwrap();
    bench.fetch(3, 1, 3).unwrap();
    bench.partition.log.advance_start(Offset(1), NOW_MS).await.unwrap();
    assert_eq!(bench.partition.low_watermark(|_| true), Some(Offset(0)));
    assert_eq!(bench.partition.low_watermark(|_| false), Some(Offset(1)));
}

#[tokio::test]
async fn a_partition_that_goes_leads_no_more_and_lets_go_of_those_who_wait() {
    let bench = Bench::with(&led_by(1, 3, &[1, 2]), LogConfig::default(), 2).await;
    bench.append().await;
    let (acks, _place) = wait_for(&bench.partition, 1);
    let waiter = Waiter::new(1);
    let _waits = bench.partition.wait(For::Watermark, &waiter);
    bench.partition.retire().await;
    assert_eq!(outcome(&acks).await, ErrorCode::NotLeaderOrFollower);
    waiter.wait().await;
    assert_eq!(bench.append_in(EPOCH).await.unwrap_err().code(), ErrorCode::NotLeaderOrFollower);
}

#[tokio::test]
async fn a_follower_that_lags_is_looked_at_when_its_time_has_come() {
    let bench = Bench::new(&led_by(1, 3, &[1, 2])).await;
    bench.append().await;
    let due = bench.partition.hosting.signals.next_due();
    assert!(
        due.is_some_and(|due| due <= bench.partition.hosting.clock.monotonic() + Duration::from_secs(30))
    );
}

#[test]
fn a_topic_asks_for_as_many_replicas_in_sync_as_it_is_set_to_and_for_no_more_than_it_has() {
    let min_in_sync = |replicas, min_insync_replicas| {
        let leadership = Leadership { is_leader: true, epoch: LeaderEpoch(0), replicas, in_sync: 1 };
        let rules = ProduceRules::default();
        leadership.min_in_sync(&PartitionConfig { rules, min_insync_replicas })
    };
    assert_eq!((min_in_sync(3, 1), min_in_sync(3, 2), min_in_sync(3, 3)), (1, 2, 3));
    assert_eq!((min_in_sync(1, 2), min_in_sync(2, 3)), (1, 2));
}
