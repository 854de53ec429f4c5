//! Snapshots of the metadata log: what a start replays stays small, and is the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::TestBroker;
use ottla_wire::metadata::MetadataRequest;

#[tokio::test]
async fn after_snapshots_a_restart_finds_every_topic() {
    let broker = TestBroker::start_with("metadata.log.max.record.bytes.between.snapshots=2000\n").await;
    let mut client = broker.connect().await;
    for n in 0..40 {
        client.create_topic(&format!("topic-{n}"), 2, &[("retention.ms", "12345")]).await;
    }
    let before = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
    let log: Vec<_> = std::fs::read_dir(broker.dir().join("data/ottla-metadata")).unwrap().collect();
    assert!(
        log.iter()
            .any(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().contains("snapshot") }),
        "{log:?}"
    );
    let broker = broker.restart().await;
    let after =
        broker.connect().await.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
    assert_eq!(after.topics.len(), 40);
    for (old, new) in before.topics.iter().zip(&after.topics) {
        assert_eq!(
            (&old.name, old.topic_id, old.partitions.len()),
            (&new.name, new.topic_id, new.partitions.len())
        );
    }
    broker.stop().await;
}
