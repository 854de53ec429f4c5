//! AlterReplicaLogDirs, in all its versions: replicas that move between the log directories of a broker (KIP-113).

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_types::ErrorCode;
use ottla_wire::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ottla_wire::describe_log_dirs::DescribeLogDirsRequest;

use crate::common::configs::BROKER;
use crate::common::{Client, TestBroker, error};

const TWO_DIRS: &str = "metadata.log.dir={dir}/meta\nlog.dirs={dir}/a,{dir}/b\n";
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Asks for moves of partitions of one topic to a directory, and tells what each came to.
async fn alter(
    client: &mut Client,
    version: i16,
    path: &str,
    topic: &str,
    partitions: &[i32],
) -> Vec<(i32, ErrorCode)> {
    let topics = vec![AlterReplicaLogDirTopic {
        name: topic.into(),
        partitions: partitions.to_vec(),
        ..Default::default()
    }];
    let dirs = vec![AlterReplicaLogDir { path: path.into(), topics, ..Default::default() }];
    let response = client.call(version, AlterReplicaLogDirsRequest { dirs, ..Default::default() }).await;
    let [result] = &response.results[..] else { panic!("{response:?}") };
    assert_eq!(result.topic_name, topic);
    result.partitions.iter().map(|answer| (answer.partition_index, error(answer.error_code))).collect()
}

fn path(broker: &TestBroker, dir: &str) -> String {
    broker.dir().join(dir).to_str().unwrap().to_owned()
}

/// Where the replicas of a topic lie: the directory, whether it is a copy in the making, and how far it lags.
async fn places(broker: &TestBroker, client: &mut Client) -> BTreeMap<(i32, bool), (String, i64)> {
    let response = client.call(5, DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
    let mut places = BTreeMap::new();
    for dir in response.results {
        let name = dir.log_dir.strip_prefix(broker.dir().to_str().unwrap()).unwrap();
        for partition in dir.topics.into_iter().flat_map(|topic| topic.partitions) {
            let key = (partition.partition_index, partition.is_future_key);
            let before = places.insert(key, (name.trim_start_matches('/').to_owned(), partition.offset_lag));
            assert_eq!(before, None, "{key:?} is there twice");
        }
    }
    places
}

/// Waits until the replica lies in the directory, and nothing is left of the move.
async fn await_moved(broker: &TestBroker, client: &mut Client, partition: i32, dir: &str) {
    loop {
        let places = places(broker, client).await;
        if places[&(partition, false)].0 == dir && !places.contains_key(&(partition, true)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn other(dir: &str) -> &'static str {
    if dir == "a" { "b" } else { "a" }
}

#[tokio::test]
async fn a_replica_moves_there_and_back_under_its_clients() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[("segment.bytes", "1048576")]).await;
    for n in 0..50 {
        assert_eq!(client.produce("t", 0, &[1, 2]).await, n * 2);
    }
    for version in 1..=2 {
        let from = places(&broker, &mut client).await[&(0, false)].0.clone();
        let to = other(&from);
        let answer = alter(&mut client, version, &path(&broker, to), "t", &[0]).await;
        assert_eq!(answer, [(0, ErrorCode::None)]);
        let mut next = 100 * i64::from(version);
        loop {
            // Whoever produces meanwhile notices nothing.
            assert_eq!(client.produce("t", 0, &[1, 2]).await, next);
            next += 2;
            let now = places(&broker, &mut client).await;
            if now[&(0, false)].0 == to && !now.contains_key(&(0, true)) {
                break;
            }
        }
        while next < 100 * (i64::from(version) + 1) {
            assert_eq!(client.produce("t", 0, &[1, 2]).await, next);
            next += 2;
        }
        assert!(broker.dir().join(to).join("t-0").is_dir());
        assert!(!broker.dir().join(&from).join("t-0").exists());
    }
    let place = places(&broker, &mut client).await[&(0, false)].0.clone();
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(places(&broker, &mut client).await[&(0, false)].0, place);
    assert_eq!(client.produce("t", 0, &[1]).await, 300);
}

#[tokio::test]
async fn a_move_that_is_held_back_is_shown_and_goes_on_after_a_restart() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1, 2, 3]).await;
    let from = places(&broker, &mut client).await[&(0, false)].0.clone();
    client.configure(BROKER, "", RATE, "0").await;
    assert_eq!(alter(&mut client, 2, &path(&broker, other(&from)), "t", &[0]).await, [(0, ErrorCode::None)]);
    for _ in 0..2 {
        let held = places(&broker, &mut client).await;
        assert_eq!(held[&(0, true)], (other(&from).to_owned(), 3));
        assert_eq!(held[&(0, false)], (from.clone(), 0));
    }
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(places(&broker, &mut client).await[&(0, true)].1, 3);
    client.configure(BROKER, "", RATE, "1000000").await;
    await_moved(&broker, &mut client, 0, other(&from)).await;
    assert_eq!(client.produce("t", 0, &[4]).await, 3);
}

#[tokio::test]
async fn a_replica_that_is_to_stay_after_all_stays() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1]).await;
    client.configure(BROKER, "", RATE, "0").await;
    let from = places(&broker, &mut client).await[&(0, false)].0.clone();
    for dir in [other(&from), &from] {
        assert_eq!(alter(&mut client, 2, &path(&broker, dir), "t", &[0]).await, [(0, ErrorCode::None)]);
    }
    let stays = places(&broker, &mut client).await;
    assert_eq!(stays.keys().collect::<Vec<_>>(), [&(0, false)]);
    assert_eq!(stays[&(0, false)].0, from);
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_by_its_error() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    let long = "l".repeat(249);
    client.create_topic("t", 1, &[]).await;
    client.create_topic(&long, 1, &[]).await;
    for elsewhere in ["/nowhere", "a", "", &path(&broker, "meta")] {
        let answer = alter(&mut client, 2, elsewhere, "t", &[0, 9]).await;
        assert_eq!(answer, [0, 9].map(|index| (index, ErrorCode::LogDirNotFound)), "{elsewhere}");
    }
    for dir in ["a", "b"].map(|dir| path(&broker, dir)) {
        for (topic, index) in [("unknown", 0), ("t", 1), ("t", -1)] {
            let answer = alter(&mut client, 1, &dir, topic, &[index]).await;
            assert_eq!(answer, [(index, ErrorCode::UnknownTopicOrPartition)], "{topic}-{index}");
        }
        let answer = alter(&mut client, 1, &dir, "no topic", &[0]).await;
        assert_eq!(answer, [(0, ErrorCode::InvalidTopicException)]);
    }
    let answers = [
        alter(&mut client, 1, &path(&broker, "a"), &long, &[0]).await,
        alter(&mut client, 1, &path(&broker, "b"), &long, &[0]).await,
    ];
    assert!(answers.contains(&vec![(0, ErrorCode::InvalidTopicException)]), "{answers:?}");
}

#[tokio::test]
async fn a_replica_that_is_not_there_yet_is_made_where_it_was_wished() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    let answer = alter(&mut client, 2, &path(&broker, "b"), "t", &[0, 1, 2]).await;
    assert_eq!(answer, [0, 1, 2].map(|index| (index, ErrorCode::UnknownTopicOrPartition)));
    client.create_topic("t", 4, &[]).await;
    let places = places(&broker, &mut client).await;
    let dirs: Vec<&str> = (0..4).map(|index| places[&(index, false)].0.as_str()).collect();
    assert_eq!(dirs, ["b", "b", "b", "a"]);
}

#[tokio::test]
async fn nothing_is_moved_while_a_directory_is_missing() {
    let occupied = tempfile::NamedTempFile::new().unwrap();
    let missing = occupied.path().to_str().unwrap();
    let broker = TestBroker::start_with(&format!(
        "metadata.log.dir={{dir}}/meta\nlog.dirs={{dir}}/a,{{dir}}/b,{missing}"
    ))
    .await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for dir in [path(&broker, "a"), path(&broker, "b"), missing.to_owned()] {
        assert_eq!(alter(&mut client, 2, &dir, "t", &[0]).await, [(0, ErrorCode::KafkaStorageError)]);
    }
}
