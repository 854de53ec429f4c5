//! Claims about fetchers, told to a broker whose answers a test writes: awkward ones above all.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_metadata::record::PartitionState;
use ottla_records::ProduceRules;
use ottla_types::config::{Layers, TopicConfig};
use ottla_types::{
    DirectoryId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch, TopicId, TopicName, TopicPartition,
};
use ottla_wire::fetch::{EpochEndOffset, FetchResponse, PartitionData};

use super::fake_leader::{Asked, FakeLeader, SESSION, batch, data, response};
use super::*;
use crate::fault_disk::{Call, Fault, FaultDisk};
use crate::metrics::TopicMetrics;
use crate::partition::{Hosting, Partition, PartitionConfig};
use crate::replication::Key;

/// How long a test waits for what must come. No test is right because of it; a wrong one ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

const ME: BrokerId = BrokerId(1);
const TWO: BrokerId = BrokerId(2);
const THREE: BrokerId = BrokerId(3);
const EPOCH: LeaderEpoch = LeaderEpoch(5);
const TOPIC: TopicId = TopicId([1; 16]);

/// A broker's fetchers and logs, and its leaders' brokers.
struct Bench {
    _dir: tempfile::TempDir,
    dirs: LogDirs,
    hosting: Arc<Hosting>,
    throttles: Arc<Throttles>,
    fetchers: Fetchers,
    addresses: Arc<Mutex<BTreeMap<BrokerId, Address>>>,
}

impl Bench {
    async fn new() -> Self {
        // What waits, waits for the test.
        Self::with("replica.fetch.wait.max.ms=30000\n").await
    }

    async fn with(settings: &str) -> Self {
        Self::on(&Env::real(), settings).await
    }

    /// With two log directories, `a` and `b`, on this machine.
    async fn on(env: &Env, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs_config = LogDirsConfig {
            dirs: ["a", "b"].map(|name| dir.path().join(name)).to_vec(),
            cluster_id: None,
            node_id: ME,
            opened_at_a_time: 1,
        };
        let config = Arc::new(LogConfig::default());
        let opened = LogDirs::open(env, &dirs_config, |_| Arc::clone(&config), 0).await;
        let addresses = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let known = Arc::clone(&addresses);
        let throttles = Arc::new(Throttles::new(ME, &Env::real().clock));
        let fetchers = Fetchers::over(Shared {
            env: Env::real(),
            me: Follower { broker: ME, epoch: BrokerEpoch(40) },
            settings: (&Settings::parse("f", settings).unwrap().0).into(),
            throttles: Arc::clone(&throttles),
            address_of: Box::new(move |broker| known.lock().unwrap().get(&broker).cloned()),
        });
        let hosting = Arc::new(Hosting::for_tests(ME));
        Self { _dir: dir, dirs: opened.unwrap().dirs, hosting, throttles, fetchers, addresses }
    }

    async fn leader(&self, id: BrokerId) -> FakeLeader {
        let leader = FakeLeader::start().await;
        self.addresses.lock().unwrap().insert(id, leader.address.clone());
        leader
    }

    /// A replica of partition `index` that follows nobody.
    async fn partition(&self, topic: TopicId, index: i32) -> Arc<Partition> {
        let name = TopicName::new(&format!("t{}", topic.0[0])).unwrap();
        let id = TopicPartition { topic: name, partition: index };
        let config = Arc::new(LogConfig::default());
        let log = self.dirs.create(&id, topic, config, 0).await.unwrap();
        let traffic = TopicMetrics::default().of(topic, &id.topic);
        let config = PartitionConfig { rules: ProduceRules::default(), min_insync_replicas: 1 };
        Partition::new(&self.hosting, id, topic, log, &led_by(None, LeaderEpoch(0)), config, traffic).await
    }

    /// Has a partition follow a leader.
    async fn follow(&self, partition: &Arc<Partition>, leader: BrokerId, epoch: LeaderEpoch) {
        partition.take(&led_by(Some(leader), epoch)).await;
        self.fetchers.follow([Arc::clone(partition)]);
    }
}

fn led_by(leader: Option<BrokerId>, epoch: LeaderEpoch) -> PartitionState {
    let replicas: Arc<[BrokerId]> = [ME, TWO, THREE].into();
    PartitionState {
        isr: Arc::clone(&replicas),
        replicas,
        directories: [DirectoryId::ZERO; 3].into(),
        leader,
        leader_epoch: epoch,
        partition_epoch: PartitionEpoch(epoch.0),
        ..PartitionState::default()
    }
}

fn key(index: i32) -> Key {
    (TOPIC, index)
}

/// What there is to say where there is nothing new.
fn nothing() -> PartitionData {
    data(bytes::Bytes::new(), 0)
}

fn refused(error: ErrorCode) -> PartitionData {
    PartitionData { error_code: error.code(), high_watermark: -1, ..PartitionData::default() }
}

/// Waits until a request names this partition, and answers those before with nothing.
async fn asked_for(leader: &mut FakeLeader, key: Key) -> Asked {
    loop {
        let asked = leader.asked().await;
        if asked.offsets().iter().any(|(named, _)| *named == key) {
            return asked;
        }
        asked.answer(vec![]);
    }
}

#[tokio::test]
async fn a_follower_asks_from_its_end_and_acknowledges_by_the_next_request() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;

    let asked = leader.asked().await;
    assert_eq!(asked.client_id, "broker-1-fetcher-0");
    assert_eq!((asked.request.replica_state.replica_id, asked.request.replica_state.replica_epoch), (1, 40));
    assert_eq!((asked.request.session_id, asked.request.session_epoch), (0, 0));
    let (_, first) = &asked.partitions()[0];
    assert_eq!((first.fetch_offset, first.current_leader_epoch, first.last_fetched_epoch), (0, 5, -1));
    asked.answer(vec![(key(0), data(batch(0, EPOCH, 3), 2))]);

    let asked = leader.asked().await;
    assert_eq!((asked.request.session_id, asked.request.session_epoch), (SESSION, 1));
    let (_, next) = &asked.partitions()[0];
    assert_eq!((next.fetch_offset, next.last_fetched_epoch), (3, 5));
    assert_eq!((partition.log.end_offset(), partition.high_watermark()), (Offset(3), Offset(2)));
    bench.fetchers.close().await;
}

#[tokio::test]
async fn a_request_names_only_partitions_of_which_something_is_new() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let mut partitions = Vec::new();
    for index in 0..3 {
        let partition = bench.partition(TOPIC, index).await;
        partition.take(&led_by(Some(TWO), EPOCH)).await;
        partitions.push(partition);
    }
    bench.fetchers.follow(partitions);
    let asked = leader.asked().await;
    assert_eq!(asked.offsets(), [(key(0), 0), (key(1), 0), (key(2), 0)]);
    asked.answer(vec![(key(0), nothing()), (key(1), data(batch(0, EPOCH, 1), 0)), (key(2), nothing())]);
    assert_eq!(leader.asked().await.offsets(), [(key(1), 1)]);
}

#[tokio::test]
async fn a_log_is_cut_where_the_leaders_parts_from_it_and_fetched_on_from_there() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    for (base, epoch) in [(0, 1), (4, 2), (8, 4)] {
        partition.log.append_replicated(batch(base, LeaderEpoch(epoch), 4), 0).await.unwrap();
    }
    bench.follow(&partition, TWO, EPOCH).await;

    let asked = leader.asked().await;
    let (_, first) = &asked.partitions()[0];
    assert_eq!((first.fetch_offset, first.last_fetched_epoch), (12, 4));
    let end = EpochEndOffset { epoch: 2, end_offset: 20, ..EpochEndOffset::default() };
    asked.answer(vec![(key(0), PartitionData { diverging_epoch: end, ..nothing() })]);
    // The leader has epoch 2 up to 20, and here it ends at 8.
    let asked = leader.asked().await;
    let (_, next) = &asked.partitions()[0];
    assert_eq!((next.fetch_offset, next.last_fetched_epoch), (8, 2));
    let end = EpochEndOffset { epoch: 2, end_offset: 4, ..EpochEndOffset::default() };
    asked.answer(vec![(key(0), PartitionData { diverging_epoch: end, ..nothing() })]);
    assert_eq!(leader.asked().await.offsets(), [(key(0), 4)]);
    assert_eq!(partition.log.end_offset(), Offset(4));
}

/// Lines of the program's log, of the thread that asks for them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_cut_is_told_where_records_go_and_not_where_the_log_already_ends_there() {
    let lines = Lines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    for (base, epoch) in [(0, 1), (4, 2)] {
        partition.log.append_replicated(batch(base, LeaderEpoch(epoch), 4), 0).await.unwrap();
    }
    bench.follow(&partition, TWO, EPOCH).await;
    let parts_at = |end_offset| {
        let end = EpochEndOffset { epoch: 2, end_offset, ..EpochEndOffset::default() };
        vec![(key(0), PartitionData { diverging_epoch: end, ..nothing() })]
    };
    leader.asked().await.answer(parts_at(20));
    let asked = leader.asked().await;
    assert_eq!(asked.offsets(), [], "it asks for the same once more");
    assert!(!lines.text().contains("is cut to"), "{}", lines.text());
    asked.answer(parts_at(4));
    assert_eq!(leader.asked().await.offsets(), [(key(0), 4)]);
    assert!(lines.text().contains("the log ended at 8, and is cut to 4"), "{}", lines.text());
}

#[tokio::test]
async fn a_log_that_ends_before_the_leaders_starts_begins_anew_there() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    partition.log.append_replicated(batch(0, LeaderEpoch(1), 4), 0).await.unwrap();
    bench.follow(&partition, TWO, EPOCH).await;

    let out_of_range = PartitionData { log_start_offset: 100, ..refused(ErrorCode::OffsetOutOfRange) };
    leader.asked().await.answer(vec![(key(0), out_of_range)]);
    let asked = leader.asked().await;
    let (_, next) = &asked.partitions()[0];
    assert_eq!((next.fetch_offset, next.last_fetched_epoch, next.log_start_offset), (100, -1, 100));
    let sent = PartitionData { log_start_offset: 100, ..data(batch(100, EPOCH, 2), 101) };
    asked.answer(vec![(key(0), sent)]);
    assert_eq!(leader.asked().await.offsets(), [(key(0), 102)]);
    assert_eq!((partition.log.start_offset(), partition.high_watermark()), (Offset(100), Offset(101)));
}

#[tokio::test]
async fn what_the_leader_deleted_is_deleted_up_to_the_watermark() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let sent = PartitionData { log_start_offset: 3, ..data(batch(0, EPOCH, 5), 4) };
    leader.asked().await.answer(vec![(key(0), sent)]);
    let (_, next) = &leader.asked().await.partitions()[0];
    assert_eq!((next.fetch_offset, next.log_start_offset), (5, 3));
}

#[tokio::test]
async fn a_session_that_is_lost_is_followed_by_one_with_everything() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    for error in [
        ErrorCode::FetchSessionIdNotFound,
        ErrorCode::InvalidFetchSessionEpoch,
        ErrorCode::FetchSessionTopicIdError,
    ] {
        let asked = leader.asked().await;
        assert_eq!((asked.request.session_epoch, asked.offsets()), (0, vec![(key(0), 0)]));
        asked.answer(vec![(key(0), nothing())]);
        let asked = leader.asked().await;
        assert_eq!((asked.request.session_epoch, asked.offsets()), (1, vec![]));
        asked.answer_with(FetchResponse { error_code: error.code(), ..FetchResponse::default() });
    }
    assert_eq!(leader.asked().await.offsets(), [(key(0), 0)]);
}

#[tokio::test]
async fn a_batch_that_is_corrupt_is_not_written_and_keeps_no_other_partition() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let (bad, good) = (bench.partition(TOPIC, 0).await, bench.partition(TOPIC, 1).await);
    for partition in [&bad, &good] {
        partition.take(&led_by(Some(TWO), EPOCH)).await;
    }
    bench.fetchers.follow([Arc::clone(&bad), Arc::clone(&good)]);
    let mut torn = batch(0, EPOCH, 3).to_vec();
    *torn.last_mut().unwrap() ^= 1;
    leader.asked().await.answer(vec![(key(0), data(torn.into(), 3)), (key(1), data(batch(0, EPOCH, 2), 0))]);
    let asked = leader.asked().await;
    assert!(asked.offsets().contains(&(key(1), 2)), "{:?}", asked.offsets());
    assert_eq!((bad.log.end_offset(), good.log.end_offset()), (Offset(0), Offset(2)));
    // It is asked for again, from where it was: with this request, if it has rested by now.
    let again = if asked.offsets().contains(&(key(0), 0)) {
        asked
    } else {
        assert_eq!(asked.forgotten(), [key(0)]);
        asked.answer(vec![]);
        asked_for(&mut leader, key(0)).await
    };
    again.answer(vec![(key(0), data(batch(0, EPOCH, 3), 3))]);
    let _next = asked_for(&mut leader, key(0)).await;
    assert_eq!(bad.log.end_offset(), Offset(3));
}

#[tokio::test]
async fn a_replica_whose_disk_fails_is_copied_no_more_and_others_are() {
    let disk = FaultDisk::new();
    let bench = Bench::on(&disk.env(), "replica.fetch.backoff.ms=0\n").await;
    let mut leader = bench.leader(TWO).await;
    let (bad, good) = (bench.partition(TOPIC, 0).await, bench.partition(TOPIC, 1).await);
    assert_ne!(bad.log.log_dir(), good.log.log_dir());
    for partition in [&bad, &good] {
        partition.take(&led_by(Some(TWO), EPOCH)).await;
    }
    bench.fetchers.follow([bad, Arc::clone(&good)]);
    disk.fault(Call::Write, "t1-0/", || Fault::Fails(io::ErrorKind::Other));
    leader
        .asked()
        .await
        .answer(vec![(key(0), data(batch(0, EPOCH, 1), 0)), (key(1), data(batch(0, EPOCH, 1), 0))]);
    for end in 1..4 {
        let next = leader.asked().await;
        assert_eq!(next.offsets(), [(key(1), end)]);
        next.answer(vec![(key(1), data(batch(end, EPOCH, 1), 0))]);
    }
    assert_eq!(asked_for(&mut leader, key(1)).await.offsets(), [(key(1), 4)]);
}

#[tokio::test]
async fn a_leader_that_gives_no_answer_is_asked_on_another_connection() {
    let bench = Bench::with("replica.socket.timeout.ms=20\nreplica.fetch.wait.max.ms=0\n").await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let _silent = leader.asked().await;
    let asked = leader.asked().await;
    assert_eq!((asked.request.session_epoch, asked.offsets()), (0, vec![(key(0), 0)]));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_on_another_connection() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    leader.asked().await.answer_half(vec![(key(0), data(batch(0, EPOCH, 3), 0))], 60);
    let asked = leader.asked().await;
    assert_eq!((asked.request.session_epoch, asked.offsets()), (0, vec![(key(0), 0)]));
    asked.answer(vec![(key(0), data(batch(0, EPOCH, 3), 0))]);
    assert_eq!(leader.asked().await.offsets(), [(key(0), 3)]);
}

#[tokio::test]
async fn a_leader_that_has_not_heard_of_its_epoch_is_asked_again() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    for error in [ErrorCode::UnknownTopicId, ErrorCode::UnknownLeaderEpoch, ErrorCode::NotLeaderOrFollower] {
        let asked = asked_for(&mut leader, key(0)).await;
        asked.answer(vec![(key(0), refused(error))]);
    }
    let asked = asked_for(&mut leader, key(0)).await;
    assert_eq!(asked.offsets(), [(key(0), 0)]);
}

#[tokio::test]
async fn who_waits_for_another_partition_is_back_when_one_has_rested() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let (early, other) = (bench.partition(TOPIC, 0).await, bench.partition(TOPIC, 1).await);
    for partition in [&early, &other] {
        partition.take(&led_by(Some(TWO), EPOCH)).await;
    }
    bench.fetchers.follow([early, other]);
    let unknown = refused(ErrorCode::UnknownLeaderEpoch);
    leader.asked().await.answer(vec![(key(0), unknown), (key(1), nothing())]);
    let asked = leader.asked().await;
    let is_asked_again = asked.offsets() == [(key(0), 0)];
    assert!(is_asked_again || asked.request.max_wait_ms <= 6, "{} ms", asked.request.max_wait_ms);
}

#[tokio::test]
async fn a_new_leader_is_asked_at_once_while_the_old_one_keeps_its_answer() {
    let bench = Bench::new().await;
    let (mut two, mut three) = (bench.leader(TWO).await, bench.leader(THREE).await);
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let late = two.asked().await;
    bench.follow(&partition, THREE, LeaderEpoch(6)).await;
    let asked = three.asked().await;
    assert_eq!(asked.partitions()[0].1.current_leader_epoch, 6);
    // Nobody hears it any more.
    late.answer(vec![(key(0), data(batch(0, EPOCH, 7), 7))]);
    asked.answer(vec![(key(0), data(batch(0, LeaderEpoch(6), 1), 0))]);
    assert_eq!(three.asked().await.offsets(), [(key(0), 1)]);
    assert_eq!(partition.log.end_offset(), Offset(1));
    assert!(two.asked_already().is_none());
}

#[tokio::test]
async fn a_partition_that_comes_while_a_request_waits_does_not_wait_for_it() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let first = bench.partition(TOPIC, 0).await;
    bench.follow(&first, TWO, EPOCH).await;
    let _waits = leader.asked().await;
    let second = bench.partition(TOPIC, 1).await;
    bench.follow(&second, TWO, EPOCH).await;
    let asked = leader.asked().await;
    assert_eq!(asked.request.session_epoch, 0);
    assert_eq!(asked.offsets(), [(key(0), 0), (key(1), 0)]);
}

#[tokio::test]
async fn the_epoch_of_a_leader_that_is_elected_again_is_asked_in_while_a_request_waits() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let _waits = leader.asked().await;
    bench.follow(&partition, TWO, LeaderEpoch(6)).await;
    assert_eq!(leader.asked().await.partitions()[0].1.current_leader_epoch, 6);
}

#[tokio::test]
async fn a_topic_that_is_made_again_is_copied_into_its_own_log() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let (old, new) = (TOPIC, TopicId([2; 16]));
    let before = bench.partition(old, 0).await;
    bench.follow(&before, TWO, EPOCH).await;
    let waits = leader.asked().await;
    bench.fetchers.release([(old, 0)]);
    before.retire().await;
    bench.dirs.delete(&before.id, 0).await.unwrap();
    let after = bench.partition(new, 0).await;
    bench.follow(&after, TWO, LeaderEpoch(1)).await;
    let of_old = data(batch(0, EPOCH, 7), 7);
    waits.answer(vec![((old, 0), of_old)]);
    let asked = asked_for(&mut leader, (new, 0)).await;
    assert_eq!(asked.offsets(), [((new, 0), 0)]);
    asked.answer(vec![((new, 0), data(batch(0, LeaderEpoch(1), 1), 0))]);
    assert_eq!(asked_for(&mut leader, (new, 0)).await.offsets(), [((new, 0), 1)]);
    assert_eq!(before.log.end_offset(), Offset(0));
}

#[tokio::test]
async fn nothing_is_written_to_a_partition_that_moved_away_while_it_was_asked_for() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let (away, stays) = (bench.partition(TOPIC, 0).await, bench.partition(TOPIC, 1).await);
    for partition in [&away, &stays] {
        partition.take(&led_by(Some(TWO), EPOCH)).await;
    }
    bench.fetchers.follow([Arc::clone(&away), Arc::clone(&stays)]);
    let asked = leader.asked().await;
    bench.fetchers.release([key(0)]);
    away.retire().await;
    asked.answer(vec![(key(0), data(batch(0, EPOCH, 2), 0)), (key(1), data(batch(0, EPOCH, 2), 0))]);
    let asked = leader.asked().await;
    assert_eq!((asked.offsets(), asked.forgotten()), (vec![(key(1), 2)], vec![key(0)]));
    assert_eq!(away.log.end_offset(), Offset(0));
}

#[tokio::test]
async fn whoever_has_nothing_more_to_copy_from_a_broker_leaves_it() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let waits = leader.asked().await;
    partition.take(&led_by(Some(ME), LeaderEpoch(6))).await;
    bench.fetchers.follow([Arc::clone(&partition)]);
    waits.answer(vec![(key(0), data(batch(0, EPOCH, 2), 0))]);
    bench.fetchers.close().await;
    assert!(leader.asked_already().is_none());
    assert_eq!(partition.log.end_offset(), Offset(0));
}

#[tokio::test]
async fn partitions_are_spread_anew_when_there_are_to_be_more_fetchers() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let mut partitions = Vec::new();
    for index in 0..2 {
        let partition = bench.partition(TOPIC, index).await;
        partition.take(&led_by(Some(TWO), EPOCH)).await;
        partitions.push(partition);
    }
    bench.fetchers.follow(partitions);
    let asked = leader.asked().await;
    assert_eq!(asked.offsets().len(), 2);
    bench.fetchers.resize(2);
    let other = leader.asked().await;
    assert_eq!((other.client_id.as_str(), other.offsets().len()), ("broker-1-fetcher-1", 1));
    let moved = other.offsets()[0].0;
    asked.answer(vec![]);
    let next = leader.asked().await;
    assert_eq!((next.client_id.as_str(), next.forgotten()), ("broker-1-fetcher-0", vec![moved]));
}

#[tokio::test]
async fn an_error_of_a_whole_request_is_followed_by_another_request() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let partition = bench.partition(TOPIC, 0).await;
    bench.follow(&partition, TWO, EPOCH).await;
    let error_code = ErrorCode::UnknownServerError.code();
    leader.asked().await.answer_with(FetchResponse { error_code, ..response(vec![]) });
    assert_eq!(leader.asked().await.offsets(), [(key(0), 0)]);
}

#[tokio::test]
async fn a_broker_that_is_registered_elsewhere_is_found_there() {
    let bench = Bench::new().await;
    let partition = bench.partition(TOPIC, 0).await;
    // Nothing is known of it yet.
    bench.follow(&partition, TWO, EPOCH).await;
    let mut first = bench.leader(TWO).await;
    let waits = first.asked().await;
    let mut second = bench.leader(TWO).await;
    drop(waits);
    assert_eq!(second.asked().await.offsets(), [(key(0), 0)]);
}

/// Has the fetches of all replicas of the topic throttled to nothing at all, or to a rate that lets everything pass.
fn throttle(bench: &Bench, rate: i64) {
    let text = format!("follower.replication.throttled.rate={rate}\n");
    let settings = Settings::parse("f", &text).unwrap().0;
    let layers = Layers { broker: &(), cluster: &(), settings: &settings };
    let all = BTreeMap::from([("follower.replication.throttled.replicas".to_owned(), "*".to_owned())]);
    bench.throttles.set_rates(&layers);
    bench.throttles.set_topic(TOPIC, &TopicConfig::resolve(&all, &layers));
}

#[tokio::test]
async fn a_throttle_holds_back_what_is_behind_and_not_what_is_in_sync() {
    let bench = Bench::new().await;
    let mut leader = bench.leader(TWO).await;
    let (behind, in_sync) = (bench.partition(TOPIC, 0).await, bench.partition(TOPIC, 1).await);
    in_sync.take(&led_by(Some(TWO), EPOCH)).await;
    behind.take(&PartitionState { isr: [TWO].into(), ..led_by(Some(TWO), EPOCH) }).await;
    bench.fetchers.follow([behind, in_sync]);
    let asked = leader.asked().await;
    throttle(&bench, 0);
    asked.answer(vec![(key(0), data(batch(0, EPOCH, 1), 1)), (key(1), data(batch(0, EPOCH, 1), 1))]);
    let asked = leader.asked().await;
    assert_eq!((asked.offsets(), asked.forgotten()), (vec![(key(1), 1)], vec![key(0)]));
    throttle(&bench, 1 << 40);
    asked.answer(vec![]);
    assert_eq!(asked_for(&mut leader, key(0)).await.offsets(), [(key(0), 1)]);
}
