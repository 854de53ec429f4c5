//! DescribeLogDirs, in all its versions.

use std::collections::BTreeMap;

use ottla_types::ErrorCode;
use ottla_wire::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};

use crate::common::{TestBroker, error};

fn topic(name: &str, partitions: &[i32]) -> DescribableLogDirTopic {
    DescribableLogDirTopic { topic: name.into(), partitions: partitions.to_vec(), ..Default::default() }
}

fn request(topics: Option<Vec<DescribableLogDirTopic>>) -> DescribeLogDirsRequest {
    DescribeLogDirsRequest { topics, ..DescribeLogDirsRequest::default() }
}

/// The partitions of all directories, with their sizes.
fn sizes(response: &DescribeLogDirsResponse) -> BTreeMap<(String, i32), i64> {
    let topics = response.results.iter().flat_map(|dir| &dir.topics);
    let partitions = topics.flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
            ((topic.name.to_string(), partition.partition_index), partition.partition_size)
        })
    });
    partitions.collect()
}

#[tokio::test]
async fn every_version_lists_the_directory_and_what_is_in_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    client.create_topic("u", 1, &[]).await;
    client.produce("t", 1, &[100, 200]).await;
    for version in 1..=5 {
        let response = client.call(version, request(None)).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        let [dir] = &response.results[..] else { panic!("{response:?}") };
        assert_eq!(error(dir.error_code), ErrorCode::None);
        assert_eq!(dir.log_dir, broker.dir().join("data").to_str().unwrap());
        assert!(!dir.is_cordoned);
        if version >= 4 {
            assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes, "{dir:?}");
        } else {
            assert_eq!((dir.usable_bytes, dir.total_bytes), (-1, -1));
        }
        let sizes = sizes(&response);
        assert_eq!(sizes.len(), 3);
        assert_eq!((sizes[&("t".into(), 0)], sizes[&("u".into(), 0)]), (0, 0));
        assert!(sizes[&("t".into(), 1)] > 61, "a batch is longer than its header");
    }
}

#[tokio::test]
async fn only_the_partitions_asked_for_are_described() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 3, &[]).await;
    client.create_topic("u", 1, &[]).await;
    let wanted = request(Some(vec![topic("t", &[0, 2, 9]), topic("v", &[0]), topic("t", &[2])]));
    let described = sizes(&client.call(5, wanted).await);
    assert_eq!(described.into_keys().collect::<Vec<_>>(), [("t".into(), 0), ("t".into(), 2)]);

    let nothing = client.call(5, request(Some(Vec::new()))).await;
    assert_eq!(nothing.results.len(), 1, "the directory is there, whatever is asked for");
    assert!(nothing.results[0].topics.is_empty());
}

#[tokio::test]
async fn logs_are_told_by_the_directory_that_holds_them() {
    let broker = TestBroker::start_with("log.dirs={dir}/a,{dir}/b").await;
    let mut client = broker.connect().await;
    client.create_topic("t", 4, &[]).await;
    let response = client.call(5, request(None)).await;
    let dirs: Vec<_> = response.results.iter().map(|dir| dir.log_dir.to_string()).collect();
    assert_eq!(dirs, ["a", "b"].map(|name| broker.dir().join(name).to_str().unwrap().to_owned()));
    for (dir, path) in response.results.iter().zip(dirs) {
        let [topic] = &dir.topics[..] else { panic!("{dir:?}") };
        assert_eq!(topic.partitions.len(), 2);
        for partition in &topic.partitions {
            let log = std::path::Path::new(&path).join(format!("t-{}", partition.partition_index));
            assert!(log.is_dir(), "{}", log.display());
        }
    }
    assert_eq!(sizes(&response).len(), 4);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_told_with_an_error() {
    // A file is where the second directory should be.
    let occupied = tempfile::NamedTempFile::new().unwrap();
    let path = occupied.path().to_str().unwrap();
    let broker = TestBroker::start_with(&format!("log.dirs={{dir}}/a,{path}")).await;
    let response = broker.connect().await.call(5, request(None)).await;
    let told: Vec<_> =
        response.results.iter().map(|dir| (dir.log_dir.as_str(), error(dir.error_code))).collect();
    let usable = broker.dir().join("a");
    assert_eq!(told, [(usable.to_str().unwrap(), ErrorCode::None), (path, ErrorCode::KafkaStorageError)]);
    assert_eq!((response.results[1].total_bytes, response.results[1].usable_bytes), (-1, -1));
}
