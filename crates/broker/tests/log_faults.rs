//! A broker with two log directories, of which one fails: what clients are told, and that the other goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;
/// The same disk as in the tests of the log.
#[allow(dead_code, unreachable_pub)]
#[path = "../../log/tests/common/disk.rs"]
mod disk;

use std::fs;
use std::io;
use std::path::PathBuf;

use common::requests::{fetch_request, from_offset};
use common::{Client, Home, TestBroker, Topic, batch, produce_request};
use disk::{Call, Fault, FaultDisk};
use ottla_broker::Failure;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::describe_log_dirs::DescribeLogDirsRequest;

const TWO_DIRS: &str = "metadata.log.dir={dir}/data\nlog.dirs={dir}/a,{dir}/b\n";

/// A broker on a disk that may fail, and a partition in each of its directories, with one record.
struct Setup {
    broker: TestBroker,
    disk: FaultDisk,
    client: Client,
    in_a: i32,
    in_b: i32,
}

impl Setup {
    async fn new(configs: &[(&str, &str)]) -> Self {
        let disk = FaultDisk::new();
        let broker = Home::new(TWO_DIRS).start_in(disk.env()).await;
        let mut client = broker.connect().await;
        client.create_topic("orders", 2, configs).await;
        let is_in_a = |index: i32| broker.dir().join(format!("a/orders-{index}")).exists();
        let (in_a, in_b) = if is_in_a(0) { (0, 1) } else { (1, 0) };
        assert!(is_in_a(in_a) && broker.dir().join(format!("b/orders-{in_b}")).exists());
        for partition in [in_a, in_b] {
            assert_eq!(produce(&mut client, partition).await, Ok(0));
        }
        Self { broker, disk, client, in_a, in_b }
    }

    /// The file of the partition in the first directory.
    fn segment(&self) -> PathBuf {
        segment(&self.broker, self.in_a)
    }

    /// The other directory takes records and gives them back, `end` of them before this.
    async fn b_goes_on(&mut self, end: i64) {
        assert_eq!(produce(&mut self.client, self.in_b).await, Ok(end));
        assert_eq!(fetch(&mut self.client, self.in_b, end).await, Ok(1));
    }
}

fn segment(broker: &TestBroker, partition: i32) -> PathBuf {
    broker.dir().join(format!("a/orders-{partition}/00000000000000000000.log"))
}

/// The offset of one more record, or the error with its message.
async fn produce(client: &mut Client, partition: i32) -> Result<i64, (ErrorCode, String)> {
    let records = batch(BatchBuilder::new(), &[1_000]);
    let request = produce_request(-1, vec![Topic::named("orders").records(partition, records)]);
    let mut response = client.call(9, request).await;
    let answer = response.responses.remove(0).partition_responses.remove(0);
    match common::error(answer.error_code) {
        ErrorCode::None => Ok(answer.base_offset),
        error => Err((error, answer.error_message.map(|text| text.to_string()).unwrap_or_default())),
    }
}

/// How many batches come from an offset on, or the error.
async fn fetch(client: &mut Client, partition: i32, offset: i64) -> Result<usize, ErrorCode> {
    let request = fetch_request(vec![Topic::named("orders").fetch(vec![from_offset(partition, offset)])]);
    let mut response = client.call(12, request).await;
    let answer = response.responses.remove(0).partitions.remove(0);
    match common::error(answer.error_code) {
        ErrorCode::None => Ok(answer.records.map_or(0, |records| common::records::headers(&records).len())),
        error => Err(error),
    }
}

/// The directories that clients are told to be offline, by their last names.
async fn offline(client: &mut Client) -> Vec<String> {
    let response = client.call(4, DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
    let failed = response.results.iter().filter(|dir| dir.error_code == ErrorCode::KafkaStorageError.code());
    failed.map(|dir| dir.log_dir.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The error that a client gets: a storage error, which names the file and the words.
fn assert_names(result: Result<i64, (ErrorCode, String)>, words: &[&str]) {
    let (error, message) = result.unwrap_err();
    assert_eq!(error, ErrorCode::KafkaStorageError, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn on_a_full_disk_records_are_refused_and_those_there_are_served_until_there_is_room() {
    let mut setup = Setup::new(&[]).await;
    setup.disk.fault(Call::Write, "/a/", || Fault::Half);
    let (path, size) = (setup.segment(), fs::metadata(setup.segment()).unwrap().len());
    for _ in 0..2 {
        let refused = produce(&mut setup.client, setup.in_a).await;
        assert_names(refused, &[&format!("at byte {size} of {}", path.display()), "the disk is full"]);
    }
    assert_eq!(fetch(&mut setup.client, setup.in_a, 0).await, Ok(1));
    setup.b_goes_on(1).await;
    assert!(offline(&mut setup.client).await.is_empty());

    setup.disk.heal();
    assert_eq!(produce(&mut setup.client, setup.in_a).await, Ok(1));
    let home = setup.broker.stop().await;
    let broker = home.start().await;
    let mut client = broker.connect().await;
    for partition in [0, 1] {
        assert_eq!(fetch(&mut client, partition, 0).await, Ok(2));
        assert_eq!(produce(&mut client, partition).await, Ok(2));
    }
    broker.stop().await;
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_in_the_directory_is_acknowledged_until_a_restart() {
    let mut setup = Setup::new(&[("flush.messages", "1")]).await;
    setup.disk.fault(Call::Sync, "/a/orders", || Fault::Fails(io::ErrorKind::Other));
    let path = setup.segment();
    assert_names(produce(&mut setup.client, setup.in_a).await, &[path.to_str().unwrap()]);
    setup.disk.heal();
    // It might work again, and is not tried.
    assert_names(produce(&mut setup.client, setup.in_a).await, &["offline", path.to_str().unwrap()]);
    assert_eq!(offline(&mut setup.client).await, ["a"]);
    setup.b_goes_on(1).await;

    let broker = setup.broker.abandon_and_start().await;
    let mut client = broker.connect().await;
    assert!(offline(&mut client).await.is_empty());
    // The record that was not acknowledged may be there.
    let next = produce(&mut client, setup.in_a).await.unwrap();
    assert!((1..=2).contains(&next), "{next}");
    assert_eq!(fetch(&mut client, setup.in_a, 0).await, Ok(usize::try_from(next).unwrap() + 1));
    assert_eq!(produce(&mut client, setup.in_b).await, Ok(2));
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_without_any_directory_that_works_says_that_it_cannot_go_on_and_names_each() {
    let mut setup = Setup::new(&[("flush.messages", "1")]).await;
    setup.disk.fault(Call::Sync, "/a/orders", || Fault::Fails(io::ErrorKind::Other));
    assert_names(produce(&mut setup.client, setup.in_a).await, &[]);
    assert_eq!(setup.broker.failure(), None, "the other one works");
    setup.b_goes_on(1).await;

    setup.disk.fault(Call::Sync, "/b/orders", || Fault::Fails(io::ErrorKind::Other));
    assert_names(produce(&mut setup.client, setup.in_b).await, &[]);
    let failure = setup.broker.failure().unwrap();
    assert!(matches!(failure, Failure::LogDirs(_)), "{failure}");
    let said = failure.to_string();
    assert!(said.starts_with("all log directories have failed: "), "{said}");
    for dir in ["a", "b"] {
        assert!(said.contains(&format!("{} (", setup.broker.dir().join(dir).display())), "{said}");
    }
}

#[tokio::test]
async fn a_broker_whose_metadata_log_failed_for_good_says_that_it_cannot_go_on() {
    let mut setup = Setup::new(&[]).await;
    setup.disk.fault(Call::Sync, "/data/", || Fault::Fails(io::ErrorKind::Other));
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "late".into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(setup.broker.failure(), None);
    let response = setup.client.call(5, request).await;
    assert_eq!(common::error(response.topics[0].error_code), ErrorCode::KafkaStorageError);
    let failure = setup.broker.failure().unwrap();
    assert!(failure.to_string().starts_with("the metadata log has failed: "), "{failure}");
    // Until it is stopped it answers.
    setup.b_goes_on(1).await;
}

#[tokio::test]
async fn a_directory_that_becomes_read_only_refuses_records_and_the_other_goes_on() {
    let mut setup = Setup::new(&[]).await;
    setup.disk.read_only("/a/");
    let path = setup.segment();
    assert_names(produce(&mut setup.client, setup.in_a).await, &[path.to_str().unwrap(), "read-only"]);
    assert_eq!(fetch(&mut setup.client, setup.in_a, 0).await, Ok(1), "what is there is served");
    setup.b_goes_on(1).await;
}

#[tokio::test]
async fn a_directory_that_is_read_only_at_the_start_is_offline_and_keeps_its_partitions() {
    let setup = Setup::new(&[]).await;
    let Setup { broker, disk, in_a, in_b, .. } = setup;
    let home = broker.stop().await;
    disk.read_only("/a/");
    let broker = home.start_in(disk.env()).await;
    let mut setup = Setup { client: broker.connect().await, broker, disk, in_a, in_b };
    assert_eq!(offline(&mut setup.client).await, ["a"]);
    assert_names(produce(&mut setup.client, in_a).await, &[]);
    assert_eq!(fetch(&mut setup.client, in_a, 0).await, Err(ErrorCode::KafkaStorageError));
    setup.b_goes_on(1).await;

    let home = setup.broker.stop().await;
    let broker = home.start().await;
    let mut client = broker.connect().await;
    assert_eq!(produce(&mut client, in_a).await, Ok(1));
    assert_eq!(produce(&mut client, in_b).await, Ok(2));
    broker.stop().await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_told_to_who_reads_there_and_nothing_else_suffers() {
    let mut setup = Setup::new(&[]).await;
    for offset in 1..5 {
        assert_eq!(produce(&mut setup.client, setup.in_a).await, Ok(offset));
    }
    let Setup { broker, disk, in_a, in_b, .. } = setup;
    let home = broker.stop().await;
    let path = home.path().join(format!("a/orders-{in_a}/00000000000000000000.log"));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 5 * 2 + bytes.len() / 10 + 30;
    bytes[middle] ^= 0x10;
    fs::write(&path, &bytes).unwrap();

    let broker = home.start_in(disk.env()).await;
    let mut setup = Setup { client: broker.connect().await, broker, disk, in_a, in_b };
    assert_eq!(fetch(&mut setup.client, in_a, 0).await, Ok(2), "up to the damage");
    assert_eq!(fetch(&mut setup.client, in_a, 2).await, Err(ErrorCode::CorruptMessage));
    assert_eq!(fetch(&mut setup.client, in_a, 3).await, Ok(2), "and behind it");
    assert_eq!(produce(&mut setup.client, in_a).await, Ok(5));
    setup.b_goes_on(1).await;
    assert!(offline(&mut setup.client).await.is_empty());
    setup.broker.stop().await;
}

#[tokio::test]
async fn a_directory_that_another_broker_works_in_is_refused_and_that_one_goes_on() {
    let mut setup = Setup::new(&[]).await;
    let others = "log.dirs={dir}/c,{dir}/b\nmetadata.log.dir={dir}/other\n";
    let Err(error) = setup.broker.home().try_start(others).await else {
        panic!("two brokers work in one directory")
    };
    let place = setup.broker.dir().join("b");
    assert!(error.to_string().contains(place.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("is held by another process"), "{error}");
    assert_eq!(produce(&mut setup.client, setup.in_a).await, Ok(1));
    setup.b_goes_on(1).await;
    setup.broker.stop().await;
}
