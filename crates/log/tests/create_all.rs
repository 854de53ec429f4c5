//! Many logs made at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use ottla_log::{Error, LogConfig, NewLog};
use ottla_types::{BrokerEpoch, TopicId};

fn wanted(topic: &str, partition: i32) -> NewLog {
    NewLog { partition: partition_of(topic, partition), topic_id: topic_id(), config: Arc::default() }
}

#[tokio::test]
async fn logs_made_together_are_spread_over_the_directories_and_found_by_the_next_start() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = open(&[one.path(), two.path()], &LogConfig::default()).await;
    dirs.create(&partition_of("t", 0), topic_id(), Arc::default(), NOW_MS).await.unwrap();
    let made = dirs.create_all((0..101).map(|index| wanted("t", index)).collect(), NOW_MS).await;
    assert_eq!(made.len(), 101);
    for (partition, log) in &made {
        assert!(Arc::ptr_eq(log.as_ref().unwrap(), &dirs.get(partition).unwrap()), "{partition}");
    }
    let in_dir = |dir: &std::path::Path| {
        std::fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    let counts = BTreeSet::from([in_dir(one.path()), in_dir(two.path())]);
    assert_eq!(counts, BTreeSet::from([50, 51]));

    dirs.close(BrokerEpoch(1)).await.unwrap();
    let dirs = open(&[one.path(), two.path()], &LogConfig::default()).await;
    assert_eq!(dirs.list().len(), 101);
    assert!(dirs.list().iter().all(|log| log.topic_id() == Some(topic_id())));
}

#[tokio::test]
async fn a_log_that_cannot_be_made_does_not_keep_the_others_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let other_id = TopicId([9; 16]);
    dirs.create(&partition_of("t", 1), other_id, Arc::default(), NOW_MS).await.unwrap();
    // A file stands where the directory is to be.
    std::fs::write(dir.path().join("t-2"), b"").unwrap();

    let made = dirs.create_all((0..4).map(|index| wanted("t", index)).collect(), NOW_MS).await;
    assert!(matches!(made[&partition_of("t", 1)], Err(Error::AlreadyExists { .. })));
    let refused = made[&partition_of("t", 2)].as_ref().err().unwrap();
    assert!(refused.to_string().contains("t-2"), "{refused}");
    assert!(dirs.get(&partition_of("t", 2)).is_none());
    for index in [0, 3] {
        assert!(made[&partition_of("t", index)].is_ok() && dirs.get(&partition_of("t", index)).is_some());
    }
}

#[tokio::test]
async fn a_partition_that_is_named_twice_has_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let made = dirs.create_all(vec![wanted("t", 0), wanted("t", 0)], NOW_MS).await;
    assert_eq!((made.len(), dirs.list().len()), (1, 1));
    let log = made[&partition_of("t", 0)].as_ref().unwrap();
    assert!(Arc::ptr_eq(log, &dirs.get(&partition_of("t", 0)).unwrap()));
}
