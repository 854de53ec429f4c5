//! What the leader of several replicas answers: producers that ask for all of them, followers, and consumers of what is not
//! committed yet. The replicas are brokers, or the test in the place of brokers that are dead.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::cluster::Cluster;
use common::records::{sequenced, values};
use common::requests::{Topic, fetch_request, from_offset, produce_request};
use common::{Client, PATIENCE, batch, error};
use ottla_env::Env;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ottla_wire::fetch::{FetchPartition, FetchRequest, PartitionData, ReplicaState};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponsePartition};
use ottla_wire::produce::{PartitionProduceResponse, ProduceRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A topic of one partition with three replicas, as one of its brokers has it.
struct Replicated {
    cluster: Cluster,
    topic: Topic,
    leader: usize,
}

impl Replicated {
    /// All replicas are in sync.
    async fn start(more: &str) -> Self {
        let cluster = Cluster::start_with(more, vec![Env::real(); 3]).await;
        assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
        let mut this = Self { cluster, topic: Topic::named("t"), leader: 0 };
        this.await_partition(|partition| partition.isr_nodes.len() == 3).await;
        this
    }

    /// What is known of the partition on each broker that lives, once that is so on all; notes the leader.
    async fn await_partition(&mut self, is_so: impl Fn(&MetadataResponsePartition) -> bool) {
        let patience = tokio::time::Instant::now() + PATIENCE;
        for id in (1..=3).filter(|id| self.cluster.brokers[id - 1].is_some()) {
            let mut client = self.cluster.connect(id).await;
            loop {
                let wanted = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
                let request = MetadataRequest { topics: Some(vec![wanted]), ..MetadataRequest::default() };
                let topic = client.call(12, request).await.topics.remove(0);
                let leads = |partition: &&MetadataResponsePartition| {
                    let leader = usize::try_from(partition.leader_id).unwrap_or(0);
                    leader > 0 && self.cluster.brokers[leader - 1].is_some()
                };
                if let Some(partition) = topic.partitions.first().filter(leads)
                    && is_so(partition)
                {
                    self.leader = usize::try_from(partition.leader_id).unwrap();
                    self.topic.id = topic.topic_id;
                    break;
                }
                assert!(tokio::time::Instant::now() < patience, "broker {id} does not come to it: {topic:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Those who follow.
    fn followers(&self) -> Vec<usize> {
        (1..=3).filter(|id| *id != self.leader).collect()
    }

    /// Kills both followers at once: the quorum goes with them, and nobody takes them out of the ISR.
    fn kill_followers(&mut self) {
        for id in self.followers() {
            self.cluster.abandon(id);
        }
    }

    async fn connect(&self) -> Client {
        self.cluster.connect(self.leader).await
    }

    /// Waits until the leader's log ends there, as tools see it.
    async fn await_end(&self, client: &mut Client, end: i64) {
        let patience = tokio::time::Instant::now() + PATIENCE;
        while list_offset_as(client, -2, -1).await != (ErrorCode::None, end) {
            assert!(tokio::time::Instant::now() < patience, "the log does not come to end at {end}");
            tokio::task::yield_now().await;
        }
    }

    fn produce(&self, acks: i16, timeout_ms: i32) -> ProduceRequest {
        let records = self.topic.records(0, batch(BatchBuilder::new(), &[1_000]));
        ProduceRequest { timeout_ms, ..produce_request(acks, vec![records]) }
    }

    /// A fetch as a follower sends it.
    fn fetch(&self, replica: usize, offset: i64) -> FetchRequest {
        self.fetch_with(replica, offset, |_| ())
    }

    fn fetch_with(
        &self,
        replica: usize,
        offset: i64,
        change: impl FnOnce(&mut FetchPartition),
    ) -> FetchRequest {
        let mut partition = FetchPartition { log_start_offset: 0, ..from_offset(0, offset) };
        change(&mut partition);
        let replica_id = i32::try_from(replica).unwrap();
        FetchRequest {
            replica_state: ReplicaState { replica_id, ..ReplicaState::default() },
            ..fetch_request(vec![self.topic.fetch(vec![partition])])
        }
    }
}

async fn fetched(client: &mut Client, request: FetchRequest) -> PartitionData {
    let mut response = client.call(16, request).await;
    assert_eq!(response.error_code, 0);
    response.responses.remove(0).partitions.remove(0)
}

async fn produced(client: &mut Client) -> PartitionProduceResponse {
    client.receive::<ProduceRequest>(9).await.responses.remove(0).partition_responses.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_asks_for_all_is_answered_when_all_in_sync_have_its_batch_and_others_at_once() {
    let mut replicated = Replicated::start("").await;
    replicated.kill_followers();
    let mut producer = replicated.connect().await;
    producer.send(9, replicated.produce(-1, 60_000)).await;
    let mut other = replicated.connect().await;
    replicated.await_end(&mut other, 1).await;
    other.send(9, replicated.produce(1, 60_000)).await;
    let leaders = produced(&mut other).await;
    assert_eq!((leaders.error_code, leaders.base_offset), (0, 1));
    let mut consumer = replicated.connect().await;
    let seen = consumer.fetch_from(12, &replicated.topic, 0).await;
    assert_eq!((seen.high_watermark, seen.records.map_or(0, |records| records.len())), (0, 0));

    let mut follower = replicated.connect().await;
    for (nth, id) in replicated.followers().into_iter().enumerate() {
        let told = fetched(&mut follower, replicated.fetch(id, 0)).await;
        assert_eq!((told.error_code, told.high_watermark), (0, 0), "it has nothing yet");
        assert_eq!(values(told.records.as_ref().unwrap()).len(), 2, "and is given what is not committed");
        let told = fetched(&mut follower, replicated.fetch(id, 1)).await;
        assert_eq!((told.error_code, told.high_watermark), (0, i64::try_from(nth).unwrap()));
    }
    let answer = produced(&mut producer).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    let seen = consumer.fetch_from(12, &replicated.topic, 0).await;
    assert_eq!((seen.high_watermark, values(seen.records.as_ref().unwrap()).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_waits_is_answered_by_the_append_and_a_consumer_by_the_watermark() {
    let mut replicated = Replicated::start("").await;
    replicated.kill_followers();
    let waits = |request| FetchRequest { max_wait_ms: 60_000, ..request };
    let mut follower = replicated.connect().await;
    let [one, two] = replicated.followers()[..] else { panic!() };
    follower.send(16, waits(replicated.fetch(one, 0))).await;
    let mut consumer = replicated.connect().await;
    let from_start = fetch_request(vec![replicated.topic.fetch(vec![from_offset(0, 0)])]);
    consumer.send(12, waits(from_start)).await;
    let mut producer = replicated.connect().await;
    producer.send(9, replicated.produce(1, 60_000)).await;
    let told = follower.receive::<FetchRequest>(16).await;
    assert_eq!(values(told.responses[0].partitions[0].records.as_ref().unwrap()).len(), 1);
    for id in [one, two] {
        fetched(&mut follower, replicated.fetch(id, 1)).await;
    }
    let told = consumer.receive::<FetchRequest>(12).await;
    assert_eq!(told.responses[0].partitions[0].high_watermark, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_not_all_have_in_time_stays_and_its_duplicate_waits_like_it() {
    let mut replicated = Replicated::start("").await;
    replicated.kill_followers();
    let mut producer = replicated.connect().await;
    let send = |timeout_ms| ProduceRequest {
        timeout_ms,
        ..produce_request(-1, vec![replicated.topic.records(0, sequenced(7, 0, 0, 1))])
    };
    for _ in 0..2 {
        // The second is a duplicate: it is in the log, and nobody else has it.
        producer.send(9, send(1)).await;
        let answer = produced(&mut producer).await;
        assert_eq!(error(answer.error_code), ErrorCode::RequestTimedOut);
        assert!(answer.error_message.is_some());
    }
    producer.send(9, send(60_000)).await;
    let mut follower = replicated.connect().await;
    for id in replicated.followers() {
        let told = fetched(&mut follower, replicated.fetch(id, 1)).await;
        assert_eq!(told.error_code, 0);
    }
    let answer = produced(&mut producer).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    let seen = producer.fetch_from(12, &replicated.topic, 0).await;
    assert_eq!(seen.high_watermark, 1, "it is there once");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fewer_in_sync_than_are_asked_for_nothing_is_taken_that_all_are_to_have() {
    let mut replicated = Replicated::start("min.insync.replicas=3\n").await;
    let mut producer = replicated.connect().await;
    producer.send(9, replicated.produce(-1, 60_000)).await;
    assert_eq!(produced(&mut producer).await.error_code, 0);
    let dead = replicated.followers()[0];
    replicated.cluster.abandon(dead);
    // Its tasks end when they are run next, and may have copied something before. Then a batch is appended before the broker
    // is known to be dead, or refused after.
    let mut acknowledged = 1;
    let refused = loop {
        producer.send(9, replicated.produce(-1, 60_000)).await;
        match error(produced(&mut producer).await.error_code) {
            ErrorCode::None => acknowledged += 1,
            error => break error,
        }
    };
    assert!(
        matches!(refused, ErrorCode::NotEnoughReplicasAfterAppend | ErrorCode::NotEnoughReplicas),
        "{refused}"
    );
    replicated.await_partition(|partition| partition.isr_nodes.len() == 2).await;
    producer.send(9, replicated.produce(-1, 60_000)).await;
    let refused = produced(&mut producer).await;
    assert_eq!(error(refused.error_code), ErrorCode::NotEnoughReplicas);
    assert!(refused.error_message.unwrap().contains("min.insync.replicas"));
    producer.send(9, replicated.produce(1, 60_000)).await;
    assert_eq!(produced(&mut producer).await.error_code, 0, "the leader alone is asked for");
    let seen = producer.fetch_from(12, &replicated.topic, 0).await;
    assert_eq!(seen.high_watermark, acknowledged, "and nobody reads it: KAFKA-15583");

    replicated.cluster.restart(dead).await;
    replicated.await_partition(|partition| partition.isr_nodes.len() == 3).await;
    producer.send(9, replicated.produce(-1, 60_000)).await;
    assert_eq!(produced(&mut producer).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_by_no_replica_or_from_where_the_log_is_not_is_refused_as_kafka_does() {
    let mut replicated = Replicated::start("").await;
    replicated.kill_followers();
    let mut client = replicated.connect().await;
    client.send(9, replicated.produce(1, 60_000)).await;
    produced(&mut client).await;
    let one = replicated.followers()[0];
    let at_epoch = |epoch| move |partition: &mut FetchPartition| partition.current_leader_epoch = epoch;
    let diverging = |partition: &mut FetchPartition| partition.last_fetched_epoch = 3;
    // The epoch of the leader is at most that of two elections.
    let epoch = {
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        client.call(12, request).await.topics.remove(0).partitions[0].leader_epoch
    };
    for (request, expected) in [
        (replicated.fetch(9, 0), ErrorCode::NotLeaderOrFollower),
        (replicated.fetch_with(9, 0, at_epoch(epoch)), ErrorCode::UnknownLeaderEpoch),
        (replicated.fetch_with(one, 0, at_epoch(epoch + 1)), ErrorCode::UnknownLeaderEpoch),
        (replicated.fetch_with(one, 0, at_epoch(epoch - 1)), ErrorCode::FencedLeaderEpoch),
        (replicated.fetch(one, 2), ErrorCode::OffsetOutOfRange),
        (replicated.fetch_with(one, 1, diverging), ErrorCode::OffsetOutOfRange),
        (replicated.fetch_with(one, 0, at_epoch(epoch)), ErrorCode::None),
    ] {
        let is_out_of_range = expected == ErrorCode::OffsetOutOfRange;
        let told = fetched(&mut client, request.clone()).await;
        if epoch == 0 && expected == ErrorCode::FencedLeaderEpoch {
            // There is no epoch before it, and -1 names none.
            continue;
        }
        assert_eq!(error(told.error_code), expected, "{request:?}");
        assert_eq!(told.log_start_offset >= 0, is_out_of_range || !expected.is_error(), "{expected}");
    }
}

async fn list_offset(client: &mut Client, timestamp: i64) -> (ErrorCode, i64) {
    list_offset_as(client, -1, timestamp).await
}

async fn list_offset_as(client: &mut Client, replica_id: i32, timestamp: i64) -> (ErrorCode, i64) {
    let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id, topics: vec![topic], ..ListOffsetsRequest::default() };
    let told = client.call(7, request).await.topics.remove(0).partitions.remove(0);
    (error(told.error_code), told.offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_offset_is_that_of_what_is_committed() {
    let mut replicated = Replicated::start("").await;
    replicated.kill_followers();
    let mut client = replicated.connect().await;
    client.send(9, replicated.produce(1, 60_000)).await;
    produced(&mut client).await;
    assert_eq!(list_offset(&mut client, -1).await, (ErrorCode::None, 0));
    for id in replicated.followers() {
        fetched(&mut client, replicated.fetch(id, 1)).await;
    }
    assert_eq!(list_offset(&mut client, -1).await, (ErrorCode::None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_on_all_replicas_before_that_is_answered() {
    let mut replicated = Replicated::start("").await;
    let mut client = replicated.connect().await;
    for _ in 0..3 {
        client.send(9, replicated.produce(-1, 60_000)).await;
        assert_eq!(produced(&mut client).await.error_code, 0);
    }
    let delete = |timeout_ms| {
        let partitions = vec![DeleteRecordsPartition { offset: 2, ..DeleteRecordsPartition::default() }];
        let topic = DeleteRecordsTopic { name: "t".into(), partitions, ..DeleteRecordsTopic::default() };
        DeleteRecordsRequest { topics: vec![topic], timeout_ms, ..DeleteRecordsRequest::default() }
    };
    let told = client.call(2, delete(60_000)).await.topics.remove(0).partitions.remove(0);
    assert_eq!((error(told.error_code), told.low_watermark), (ErrorCode::None, 2));
    let old = replicated.leader;
    replicated.cluster.abandon(old);
    replicated.await_partition(|partition| usize::try_from(partition.leader_id) != Ok(old)).await;
    let mut client = replicated.connect().await;
    assert_eq!(list_offset(&mut client, -2).await, (ErrorCode::None, 2), "another one leads now");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_not_all_replicas_have_deleted_in_time_are_deleted_later() {
    let mut replicated = Replicated::start("").await;
    let mut client = replicated.connect().await;
    client.send(9, replicated.produce(-1, 60_000)).await;
    assert_eq!(produced(&mut client).await.error_code, 0);
    replicated.kill_followers();
    let partitions = vec![DeleteRecordsPartition { offset: 1, ..DeleteRecordsPartition::default() }];
    let topic = DeleteRecordsTopic { name: "t".into(), partitions, ..DeleteRecordsTopic::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1, ..Default::default() };
    let told = client.call(2, request).await.topics.remove(0).partitions.remove(0);
    assert_eq!((error(told.error_code), told.low_watermark), (ErrorCode::RequestTimedOut, -1));
    assert_eq!(list_offset(&mut client, -2).await, (ErrorCode::None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_goes_on_with_the_next_leader_without_a_duplicate_or_a_gap() {
    let mut replicated = Replicated::start("min.insync.replicas=2\n").await;
    let send =
        |sequence| produce_request(-1, vec![Topic::named("t").records(0, sequenced(7, 0, sequence, 2))]);
    let mut client = replicated.connect().await;
    for sequence in [0, 2] {
        client.send(9, send(sequence)).await;
        assert_eq!(produced(&mut client).await.error_code, 0);
    }
    let old = replicated.leader;
    replicated.cluster.abandon(old);
    replicated.await_partition(|partition| usize::try_from(partition.leader_id) != Ok(old)).await;
    let mut client = replicated.connect().await;
    for (sequence, expected) in
        [(2, (0, 2)), (4, (0, 4)), (8, (ErrorCode::OutOfOrderSequenceNumber.code(), -1))]
    {
        client.send(9, send(sequence)).await;
        let answer = produced(&mut client).await;
        assert_eq!((answer.error_code, answer.base_offset), expected, "sequence {sequence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_keep_the_same_bytes() {
    let mut replicated = Replicated::start("").await;
    let mut client = replicated.connect().await;
    for (acks, sequence) in [(1, 0), (-1, 2), (1, 4), (-1, 6)] {
        let records = Topic::named("t").records(0, sequenced(7, 0, sequence, 2));
        client.send(9, produce_request(acks, vec![records])).await;
        assert_eq!(produced(&mut client).await.error_code, 0);
    }
    // The last one was for all of them.
    let mut logs = Vec::new();
    for id in 1..=3_usize {
        replicated.cluster.brokers[id - 1].take().unwrap().stop().await.unwrap();
        let file = format!("node-{id}/t-0/00000000000000000000.log");
        logs.push(std::fs::read(replicated.cluster.dir.path().join(file)).unwrap());
    }
    assert_eq!(ottla_records::batches(&logs[0]).filter(Result::is_ok).count(), 4);
    assert!(logs[1] == logs[0] && logs[2] == logs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_in_order_leaves_another_one_with_all_that_was_acknowledged() {
    let mut replicated = Replicated::start("min.insync.replicas=2\n").await;
    let mut client = replicated.connect().await;
    for _ in 0..5 {
        client.send(9, replicated.produce(-1, 60_000)).await;
        assert_eq!(produced(&mut client).await.error_code, 0);
    }
    let old = replicated.leader;
    replicated.cluster.brokers[old - 1].take().unwrap().stop().await.unwrap();
    replicated.await_partition(|partition| usize::try_from(partition.leader_id) != Ok(old)).await;
    let mut client = replicated.connect().await;
    client.send(9, replicated.produce(-1, 60_000)).await;
    let answer = produced(&mut client).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 5));
}

/// What `/metrics` of a broker says of a sample.
async fn sample(cluster: &Cluster, id: usize, name: &str) -> Option<f64> {
    let address = cluster.brokers[id - 1].as_ref().unwrap().metrics_address().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_lack_is_counted_by_their_leader() {
    let mut replicated = Replicated::start("min.insync.replicas=2\nmetrics.listener=127.0.0.1:0\n").await;
    let of_manager = |name: &str| format!("kafka_server_replicamanager_{name}");
    let of_partition = |name: &str| format!("kafka_cluster_partition_{name}{{topic=\"t\",partition=\"0\"}}");
    let leader = replicated.leader;
    let expected = [
        (of_manager("underreplicatedpartitions"), 0.0, 1.0),
        (of_manager("underminisrpartitioncount"), 0.0, 0.0),
        (of_manager("atminisrpartitioncount"), 0.0, 1.0),
        (of_manager("offlinereplicacount"), 0.0, 0.0),
        (of_partition("replicascount"), 3.0, 3.0),
        (of_partition("insyncreplicascount"), 3.0, 2.0),
        (of_partition("underreplicated"), 0.0, 1.0),
        (of_partition("underminisr"), 0.0, 0.0),
        (of_partition("atminisr"), 0.0, 1.0),
    ];
    for (name, whole, _) in &expected {
        assert_eq!(sample(&replicated.cluster, leader, name).await, Some(*whole), "{name}");
    }
    let shrinks = "kafka_server_replicamanager_isrshrinks_total";
    let before = sample(&replicated.cluster, leader, shrinks).await.unwrap();
    let mut client = replicated.connect().await;
    client.send(9, replicated.produce(-1, 60_000)).await;
    assert_eq!(produced(&mut client).await.error_code, 0);
    let out = "kafka_server_brokertopicmetrics_replicationbytesout_total";
    assert!(sample(&replicated.cluster, leader, out).await.unwrap() > 0.0, "followers were given the batch");
    let [dead, lives] = replicated.followers()[..] else { panic!() };
    let lag =
        |id| format!("ottla_partition_follower_lag_records{{topic=\"t\",partition=\"0\",replica=\"{id}\"}}");
    assert_eq!(sample(&replicated.cluster, leader, &lag(lives)).await, Some(0.0));
    replicated.cluster.abandon(dead);
    replicated.await_partition(|partition| partition.isr_nodes.len() == 2).await;
    assert_eq!(replicated.leader, leader);
    for (name, _, lacking) in &expected {
        assert_eq!(sample(&replicated.cluster, leader, name).await, Some(*lacking), "{name}");
    }
    assert_eq!(sample(&replicated.cluster, leader, shrinks).await, Some(before + 1.0));
    client.send(9, replicated.produce(-1, 60_000)).await;
    assert_eq!(produced(&mut client).await.error_code, 0);
    assert_eq!(
        sample(&replicated.cluster, leader, &lag(dead)).await,
        Some(1.0),
        "it has yet to copy the second"
    );
}
