//! Claims about a shard's host that no client can bring about at will: its load takes a while, its records are not
//! committed, or cannot be appended.

use std::sync::atomic::{AtomicI64, AtomicUsize};

use bytes::Bytes;
use ottla_groups::request::{Commit, CommitPartition, CommitTopic, FetchOffsets, Join, Protocol};
use ottla_groups::{Generation, Record};
use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_metadata::record::{self, PartitionState, Topic};
use ottla_records::ProduceRules;
use ottla_types::config::Settings;
use ottla_types::{BrokerId, TopicPartition};

use super::*;
use crate::coordinator::watch;
use crate::fault_disk::{Call, Fault, FaultDisk};
use crate::metrics::TopicMetrics;
use crate::partition::{Hosting, PartitionConfig};

/// A host over a log in a directory of its own, whose task is run by nobody but the test.
struct Bench {
    _dir: tempfile::TempDir,
    _dirs: LogDirs,
    image: Arc<Image>,
    settings: Arc<HostSettings>,
    partition: Arc<Partition>,
    host: Arc<ShardHost>,
}

/// The partition as it lies on this broker, which leads it in epoch 3.
fn led(change: impl FnOnce(&mut PartitionState)) -> PartitionState {
    let mut state = PartitionState {
        replicas: [BrokerId(1)].into(),
        isr: [BrokerId(1)].into(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(3),
        ..PartitionState::default()
    };
    change(&mut state);
    state
}

impl Bench {
    async fn new(properties: &str) -> Self {
        Self::with(properties, LogConfig::default()).await
    }

    async fn with(properties: &str, config: LogConfig) -> Self {
        Self::on(&Env::real(), properties, config).await
    }

    async fn on(env: &Env, properties: &str, config: LogConfig) -> Self {
        let (settings, _) = Settings::parse("f", properties).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let dirs_config = LogDirsConfig {
            dirs: vec![dir.path().to_owned()],
            cluster_id: None,
            node_id: BrokerId(1),
            opened_at_a_time: 1,
        };
        let config = Arc::new(config);
        let dirs = LogDirs::open(env, &dirs_config, |_| Arc::clone(&config), 0).await.unwrap().dirs;
        let id = TopicPartition { topic: name("__consumer_offsets"), partition: 0 };
        let log = dirs.create(&id, TopicId([1; 16]), config, 0).await.unwrap();
        let config = PartitionConfig { rules: ProduceRules::default(), min_insync_replicas: 1 };
        let traffic = TopicMetrics::default().of(TopicId([1; 16]), &id.topic);
        let hosting = Arc::new(Hosting::for_tests(BrokerId(1)));
        let placed = led(|_| ());
        let partition = Partition::new(&hosting, id, TopicId([1; 16]), log, &placed, config, traffic).await;
        let mut image = Image::default();
        for (topic, id) in [("t", [2; 16]), ("u", [3; 16])] {
            let topic = Topic { name: name(topic), id: TopicId(id) };
            image.apply(&record::Record::Topic(topic)).unwrap();
        }
        let (image, settings) = (Arc::new(image), Arc::new(HostSettings::from(&settings)));
        let host = ShardHost::new(env, &settings, &partition, &image);
        Self { _dir: dir, _dirs: dirs, image, settings, partition, host }
    }

    /// Another host over the same log, as after a restart.
    fn again(&self) -> Arc<ShardHost> {
        ShardHost::new(&Env::real(), &self.settings, &self.partition, &self.image)
    }
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn commit(topic: &str, offset: i64, metadata: String) -> Request {
    let partition =
        CommitPartition { partition: 0, offset: Offset(offset), leader_epoch: LeaderEpoch::NONE, metadata };
    Request::Commit(Commit {
        group_id: "g".to_owned(),
        generation: Generation::NONE,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        topics: vec![CommitTopic {
            topic: name(topic),
            topic_id: TopicId::ZERO,
            partitions: vec![partition],
        }],
    })
}

fn committed(reply: Reply) -> Vec<ErrorCode> {
    let Ok(Answer::Commit(topics)) = reply else { panic!("{reply:?}") };
    topics.into_iter().flat_map(|topic| topic.partitions).map(|(_, error)| error).collect()
}

/// The committed offsets of the group, by topic.
async fn offsets(host: &ShardHost) -> Vec<(String, Offset)> {
    let fetch = FetchOffsets { group_id: "g".to_owned(), topics: None, require_stable: false };
    let reply = host.ask(Request::FetchOffsets(fetch)).await.reply().await;
    let Ok(Answer::FetchOffsets(answer)) = reply else { panic!("{reply:?}") };
    let mut offsets: Vec<_> = answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic.to_string(), p.offset)))
        .collect();
    offsets.sort();
    offsets
}

fn join() -> Request {
    Request::Join(Join {
        group_id: "g".to_owned(),
        member_id: String::new(),
        instance_id: None,
        new_member_id: "m".to_owned(),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::new() }],
        requires_known_member_id: false,
        supports_skipping_assignment: false,
    })
}

#[tokio::test]
async fn while_its_log_is_read_a_shard_answers_nobody_and_misses_no_topic_that_is_deleted() {
    let bench = Bench::new("").await;
    for (topic, offset) in [("t", 5), ("u", 6), ("never made", 7)] {
        let topic = topic.replace(' ', "-");
        let reply = bench.host.ask(commit(&topic, offset, String::new())).await.reply().await;
        assert_eq!(committed(reply), [ErrorCode::None]);
    }
    let host = bench.again();
    let asked = host.ask(commit("t", 9, String::new())).await;
    assert!(matches!(asked, Asked::Refused(ErrorCode::CoordinatorLoadInProgress)));
    host.forget_topics(&[(name("u"), TopicId([3; 16]))]).await;
    let task = tokio::spawn(watch::run(Arc::clone(&host)));
    while host.survey(|_| ()).await.0 == ShardState::Loading {
        tokio::task::yield_now().await;
    }
    let left = [("t".to_owned(), Offset(5))];
    assert_eq!(offsets(&host).await, left);
    host.stop(ErrorCode::NotCoordinator).await;
    task.await.unwrap();
    // What was forgotten is forgotten in the log as well.
    let host = bench.again();
    let task = tokio::spawn(watch::run(Arc::clone(&host)));
    while host.survey(|_| ()).await.0 == ShardState::Loading {
        tokio::task::yield_now().await;
    }
    assert_eq!(offsets(&host).await, left);
    host.stop(ErrorCode::NotCoordinator).await;
    task.await.unwrap();
}

#[tokio::test]
async fn an_offset_that_was_committed_for_an_earlier_topic_of_the_name_is_forgotten_with_the_load() {
    let bench = Bench::new("").await;
    for (topic, id) in [("t", TopicId([2; 16])), ("u", TopicId([9; 16]))] {
        let Request::Commit(mut request) = commit(topic, 5, String::new()) else { panic!() };
        request.topics[0].topic_id = id;
        let reply = bench.host.ask(Request::Commit(request)).await.reply().await;
        assert_eq!(committed(reply), [ErrorCode::None]);
    }
    let host = bench.again();
    let task = tokio::spawn(watch::run(Arc::clone(&host)));
    while host.survey(|_| ()).await.0 == ShardState::Loading {
        tokio::task::yield_now().await;
    }
    assert_eq!(offsets(&host).await, [("t".to_owned(), Offset(5))]);
    host.stop(ErrorCode::NotCoordinator).await;
    task.await.unwrap();
}

/// Commits offsets for partitions from 0 up, ten thousand at a time, which expire at once.
async fn commit_tens_of_thousands(host: &ShardHost, count: i32) {
    for tens in 0..count {
        let Request::Commit(mut request) = commit("t", 5, String::new()) else { panic!() };
        let partition = request.topics[0].partitions[0].clone();
        request.retention_ms = Some(0);
        request.topics[0].partitions = (tens * 10_000..(tens + 1) * 10_000)
            .map(|n| CommitPartition { partition: n, ..partition.clone() })
            .collect();
        let errors = committed(host.ask(Request::Commit(request)).await.reply().await);
        assert!(errors.len() == 10_000 && errors.iter().all(|error| !error.is_error()));
    }
}

/// The sizes of the batches from an offset on.
async fn batch_sizes(bench: &Bench, from: Offset) -> Vec<usize> {
    let end = bench.partition.log.end_offset();
    let read = bench.partition.log.read(from, 1 << 30, true, end).await.unwrap().into_bytes();
    ottla_records::batches(&read).map(|batch| batch.unwrap().bytes().len()).collect()
}

#[tokio::test]
async fn others_are_answered_while_a_hundred_thousand_offsets_expire() {
    let bench = Bench::new("").await;
    commit_tens_of_thousands(&bench.host, 10).await;
    let begin = bench.partition.log.end_offset();
    let (mut sweep, mut answered) = (Sweep::expired(), 0);
    while !sweep.is_done() {
        bench.host.look(Some(&mut sweep), || {}).await.unwrap();
        // It is at the same lock.
        let asked = bench.host.ask(commit("u", 6, String::new())).await;
        answered += usize::from(matches!(asked, Asked::Answered(_)));
    }
    assert!(answered >= 10, "{answered}");
    let sizes = batch_sizes(&bench, begin).await;
    assert!(sizes.iter().all(|&size| size <= 512 << 10), "{sizes:?}");
    assert_eq!(offsets(&bench.host).await, [("u".to_owned(), Offset(6))]);
}

#[tokio::test]
async fn a_group_whose_offsets_fill_several_batches_is_deleted() {
    let bench = Bench::new("").await;
    commit_tens_of_thousands(&bench.host, 6).await;
    let begin = bench.partition.log.end_offset();
    let delete = Request::Delete(ottla_groups::request::Delete { group_id: "g".to_owned() });
    let reply = bench.host.ask(delete).await.reply().await;
    assert!(matches!(reply, Ok(Answer::Delete(ErrorCode::None))), "{reply:?}");
    let sizes = batch_sizes(&bench, begin).await;
    assert!(sizes.len() > 1 && sizes.iter().all(|&size| size <= 1_048_588), "{sizes:?}");
    assert!(offsets(&bench.host).await.is_empty());
}

/// Another host over the same log, at work.
async fn reloaded(bench: &Bench) -> Arc<ShardHost> {
    let host = bench.again();
    let task = tokio::spawn(watch::run(Arc::clone(&host)));
    while host.survey(|_| ()).await.0 == ShardState::Loading {
        tokio::task::yield_now().await;
    }
    task.abort();
    host
}

#[tokio::test]
async fn when_the_disk_fails_in_the_middle_of_a_deletion_what_is_written_of_it_holds() {
    let disk = FaultDisk::new();
    let bench = Bench::on(&disk.env(), "", LogConfig::default()).await;
    commit_tens_of_thousands(&bench.host, 6).await;
    let begin = bench.partition.log.end_offset();
    let writes = AtomicUsize::new(0);
    disk.fault(Call::Write, "/__consumer_offsets-0/00000000000000000000.log", move || {
        match writes.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::None,
            _ => Fault::Half,
        }
    });
    let delete = || Request::Delete(ottla_groups::request::Delete { group_id: "g".to_owned() });
    let reply = bench.host.ask(delete()).await.reply().await;
    assert!(matches!(reply, Ok(Answer::Delete(ErrorCode::NotCoordinator))), "{reply:?}");
    let written = bench.partition.log.end_offset().0 - begin.0;
    assert!(written > 0, "its first batch");
    let count = |host: Arc<ShardHost>| async move { host.survey(|shard| shard.census().offsets).await.1 };
    let left = usize::try_from(60_000 - written).unwrap();
    assert_eq!(count(Arc::clone(&bench.host)).await, Some(left));
    disk.heal();
    assert_eq!(count(reloaded(&bench).await).await, Some(left), "and a load makes no difference");
    let reply = bench.host.ask(delete()).await.reply().await;
    assert!(matches!(reply, Ok(Answer::Delete(ErrorCode::None))), "{reply:?}");
    assert_eq!(count(Arc::clone(&bench.host)).await, Some(0));
}

#[tokio::test]
async fn records_that_do_not_fit_into_a_batch_are_refused_and_nothing_of_them_stays() {
    let bench = Bench::new("offset.metadata.max.bytes=30000\n").await;
    let Request::Commit(mut request) = commit("t", 5, "x".repeat(30_000)) else { panic!() };
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions =
        (0..60).map(|n| CommitPartition { partition: n, ..partition.clone() }).collect();
    let reply = bench.host.ask(Request::Commit(request)).await.reply().await;
    assert_eq!(committed(reply), [ErrorCode::UnknownServerError; 60]);
    assert!(offsets(&bench.host).await.is_empty());
    assert_eq!(bench.partition.log.end_offset(), Offset(0));
    let reply = bench.host.ask(commit("t", 6, String::new())).await.reply().await;
    assert_eq!(committed(reply), [ErrorCode::None], "and the next commit is taken");
    assert_eq!(offsets(&bench.host).await, [("t".to_owned(), Offset(6))]);
}

#[tokio::test]
async fn who_leads_no_longer_or_has_too_few_followers_writes_nothing() {
    let bench = Bench::new("").await;
    for (placed, expected) in [
        (led(|state| state.isr = [].into()), ErrorCode::CoordinatorNotAvailable),
        (led(|state| (state.leader, state.leader_epoch) = (None, LeaderEpoch(4))), ErrorCode::NotCoordinator),
        (led(|state| state.leader_epoch = LeaderEpoch(5)), ErrorCode::NotCoordinator),
    ] {
        bench.partition.take(&placed).await;
        let reply = bench.host.ask(commit("t", 5, String::new())).await.reply().await;
        assert_eq!(committed(reply), [expected]);
        assert_eq!(bench.partition.log.end_offset(), Offset(0));
        assert_eq!(bench.host.serves(&bench.partition), placed.leader_epoch == LeaderEpoch(3));
    }
}

#[tokio::test]
async fn deletions_that_do_not_fit_into_one_batch_go_into_several() {
    let bench = Bench::new("").await;
    let record = |n: usize| Record { key: vec![b'k'; 400_000 + n], value: None };
    let records: Vec<_> = (0..5).map(record).collect();
    assert!(bench.host.append(&records, false).await.is_err(), "what belongs together is not taken apart");
    assert_eq!(bench.host.append(&records, true).await.unwrap(), Offset(5));
    let read = bench.partition.log.read(Offset(0), 1 << 30, true, Offset(5)).await.unwrap().into_bytes();
    let counts: Vec<_> =
        ottla_records::batches(&read).map(|batch| batch.unwrap().header().records_count).collect();
    assert_eq!(counts, [2, 2, 1]);
}

#[tokio::test]
async fn whoever_waits_when_a_shard_stops_is_told_so() {
    let bench = Bench::new("").await;
    let waits = bench.host.ask(join()).await;
    assert!(matches!(waits, Asked::Waits(_)), "the first member of a group waits for others");
    bench.host.stop(ErrorCode::NotCoordinator).await;
    let Ok(Answer::Join(joined)) = waits.reply().await else { panic!("another answer") };
    assert_eq!(joined.error, ErrorCode::NotCoordinator);
    let asked = bench.host.ask(join()).await;
    assert!(matches!(asked, Asked::Refused(ErrorCode::NotCoordinator)));
}

/// Asks a shard at work for a commit whose records are appended and not committed.
fn in_flight(active: &mut Active, end: i64, due: Instant) -> oneshot::Receiver<Reply> {
    let ticket = Ticket(active.next_ticket);
    active.next_ticket += 1;
    let (give, take) = oneshot::channel();
    active.waiting.insert(ticket, give);
    let decision = active.shard.handle(ticket, commit("t", end, String::new()), 0);
    active.deliver(decision.effects);
    let change = decision.change.expect("a commit writes");
    active.in_flight.push_back(InFlight { change, end: Offset(end), tickets: vec![(ticket, due)] });
    take
}

#[tokio::test]
async fn a_commit_is_answered_when_the_high_watermark_has_passed_it_and_no_sooner() {
    let mut active = Active::new(Shard::new(ottla_groups::GroupConfig::default()), 0);
    let due = Instant::now() + std::time::Duration::from_secs(60);
    let mut replies = [1, 2, 3].map(|end| in_flight(&mut active, end, due));
    let answered = |replies: &mut [oneshot::Receiver<Reply>; 3]| {
        replies.each_mut().map(|reply| reply.try_recv().map(committed).ok())
    };
    active.settle(Offset(0), 0);
    assert_eq!(answered(&mut replies), [None, None, None]);
    active.settle(Offset(2), 0);
    let done = || Some(vec![ErrorCode::None]);
    assert_eq!(answered(&mut replies), [done(), done(), None]);
    active.settle(Offset(3), 0);
    assert_eq!(answered(&mut replies)[2], done());
    assert!(active.waiting.is_empty() && active.in_flight.is_empty());
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_answered_and_may_still_come_true() {
    let mut active = Active::new(Shard::new(ottla_groups::GroupConfig::default()), 0);
    let now = Instant::now();
    let later = now + std::time::Duration::from_secs(60);
    let mut overdue = in_flight(&mut active, 1, now);
    let mut early = in_flight(&mut active, 2, later);
    active.give_up(now, 0);
    assert!(matches!(overdue.try_recv(), Ok(Err(ErrorCode::RequestTimedOut))));
    assert!(early.try_recv().is_err());
    active.settle(Offset(2), 0);
    assert_eq!(committed(early.try_recv().unwrap()), [ErrorCode::None]);
    let offsets: Vec<_> = active.shard.committed_offsets().map(|committed| committed.offset).collect();
    assert_eq!(offsets, [Offset(2)]);
}

/// Has a shard decide a request whose answer is waited for; what it writes is in flight until `due`.
fn ask(active: &mut Active, request: Request, now_ms: i64, due: Option<Instant>) -> oneshot::Receiver<Reply> {
    let ticket = Ticket(active.next_ticket);
    active.next_ticket += 1;
    let (give, take) = oneshot::channel();
    active.waiting.insert(ticket, give);
    let decision = active.shard.handle(ticket, request, now_ms);
    active.deliver(decision.effects);
    if let Some(change) = decision.change {
        match due {
            Some(due) => {
                let tickets = vec![(ticket, due)];
                active.in_flight.push_back(InFlight { change, end: Offset(1), tickets });
            }
            None => {
                let effects = active.shard.committed(change, now_ms);
                active.deliver(effects);
            }
        }
    }
    take
}

#[tokio::test]
async fn members_do_not_wait_for_ever_for_an_assignment_that_is_not_committed() {
    let mut active = Active::new(Shard::new(ottla_groups::GroupConfig::default()), 0);
    let joins = ["a", "b"].map(|id| {
        let Request::Join(request) = join() else { panic!() };
        let request = Join { new_member_id: id.to_owned(), ..request };
        ask(&mut active, Request::Join(request), 0, None)
    });
    let mut now_ms = 0;
    while let Some(deadline_ms) = active.shard.next_deadline_ms().filter(|&at| at < 10_000) {
        now_ms = deadline_ms;
        let decision = active.shard.tick(now_ms);
        active.deliver(decision.effects);
    }
    for mut joined in joins {
        let Ok(Ok(Answer::Join(joined))) = joined.try_recv() else { panic!("nobody is waited for") };
        assert_eq!(joined.generation, Generation(1));
    }
    let sync = |id: &str| {
        Request::Sync(ottla_groups::request::Sync {
            group_id: "g".to_owned(),
            generation: Generation(1),
            member_id: id.to_owned(),
            instance_id: None,
            protocol_type: None,
            protocol_name: None,
            assignments: Vec::new(),
        })
    };
    let now = Instant::now();
    let syncs = ["b", "a"].map(|id| ask(&mut active, sync(id), now_ms, Some(now)));
    active.give_up(now, now_ms);
    for mut waited in syncs {
        let Ok(Ok(Answer::Sync(synced))) = waited.try_recv() else { panic!("it still waits") };
        assert_eq!(synced.error, ErrorCode::CoordinatorNotAvailable);
    }
    assert!(active.waiting.is_empty());
}

#[tokio::test]
async fn each_who_waits_is_answered_in_time_also_where_others_were_given_up_before() {
    // Each batch is to be flushed before it is committed, and nobody is told of flushes here.
    let unflushed = LogConfig { flush_messages: 1, ..LogConfig::default() };
    let bench = Bench::with("offsets.commit.timeout.ms=1\n", unflushed).await;
    bench.partition.log.observe_flushes(Arc::new(|_| {}));
    let task = tokio::spawn(watch::run(Arc::clone(&bench.host)));
    for offset in 1..=3 {
        let asked = bench.host.ask(commit("t", offset, String::new())).await;
        let reply = tokio::time::timeout(std::time::Duration::from_secs(20), asked.reply()).await;
        assert!(matches!(reply, Ok(Err(ErrorCode::RequestTimedOut))), "commit {offset}");
    }
    bench.host.stop(ErrorCode::NotCoordinator).await;
    task.await.unwrap();
}

/// A clock that stands.
struct Stopped(AtomicI64);

impl Clock for Stopped {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

#[tokio::test]
async fn records_are_dated_in_the_time_of_day() {
    let bench = Bench::new("").await;
    let clock = Arc::new(Stopped(AtomicI64::new(1_800_000_000_000)));
    let env = Env { clock, ..Env::real() };
    let host = ShardHost::new(&env, &bench.settings, &bench.partition, &bench.image);
    let reply = host.ask(commit("t", 5, String::new())).await.reply().await;
    assert_eq!(committed(reply), [ErrorCode::None]);
    let read = bench.partition.log.read(Offset(0), 1 << 20, true, Offset(1)).await.unwrap().into_bytes();
    let batch = ottla_records::batches(&read).next().unwrap().unwrap();
    assert_eq!(batch.header().max_timestamp_ms, 1_800_000_000_000);
    assert_eq!(batch.header().leader_epoch, LeaderEpoch(3));
}
