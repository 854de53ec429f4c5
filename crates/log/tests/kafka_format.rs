//! What Apache Kafka wrote is read, and what is written is what Kafka writes, byte for byte.
//!
//! `fixtures/kafka-4.3.1` is the log directory of a broker that nine idempotent producers wrote to, with three codecs,
//! and that was stopped in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use ottla_log::LogConfig;
use ottla_records::batches;
use ottla_types::{BrokerEpoch, LeaderEpoch, Offset, ProducerId, TopicId};

const END: Offset = Offset(540);
const SEGMENT: &str = "00000000000000000000.log";
const OFFSET_INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";
const SNAPSHOT: &str = "00000000000000000540.snapshot";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4.3.1")
}

fn by_kafka(name: &str) -> Vec<u8> {
    std::fs::read(fixture().join("fixture-0").join(name)).unwrap()
}

fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&fixture(), dir.path());
    dir
}

#[tokio::test]
async fn a_directory_that_kafka_closed_is_opened_with_all_that_is_in_it() {
    let dir = copy();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    assert_eq!(dirs.cluster_id(), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(dirs.clean_broker_epoch(), Some(BrokerEpoch(12)));
    assert_eq!(dirs.dirs().await[0].id.to_string(), "MTMtseKcijLTAtRFEUWefw");
    let log = dirs.get(&partition_of("fixture", 0)).unwrap();
    assert_eq!(log.topic_id(), Some("syziwIFWRjGw_P8e1Tu73A".parse::<TopicId>().unwrap()));
    assert_eq!((log.start_offset(), log.end_offset(), log.flushed_offset()), (Offset(0), END, END));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    assert_eq!(read_all(&log, Offset(0)).await, by_kafka(SEGMENT));

    let producers = log.producers();
    assert_eq!(producers.len(), 9);
    assert!(
        producers
            .iter()
            .all(|producer| producer.last_sequence == 59 && producer.producer_id > ProducerId(-1))
    );
}

#[tokio::test]
async fn every_timestamp_of_a_compressed_log_leads_to_its_first_record() {
    let dir = copy();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let log = dirs.get(&partition_of("fixture", 0)).unwrap();
    let segment = by_kafka(SEGMENT);
    let mut records = Vec::new();
    for batch in batches(&segment) {
        let batch = batch.unwrap();
        let body = batch.decompress(1 << 20).unwrap();
        let header = batch.header();
        records.extend(
            ottla_records::Records::new(header, &body)
                .map(|r| r.unwrap())
                .map(|r| (r.offset, r.timestamp_ms)),
        );
    }
    assert_eq!(records.len(), 540);
    for &(_, timestamp_ms) in &records {
        for wanted in [timestamp_ms, timestamp_ms + 1] {
            let expected = records.iter().find(|(_, t)| *t >= wanted).copied();
            let found = log.offset_for_timestamp(wanted).await.unwrap();
            assert_eq!(found.map(|found| (found.offset, found.timestamp_ms)), expected, "{wanted}");
        }
    }
    let newest = records.iter().map(|(_, t)| *t).max().unwrap();
    let first_newest = records.iter().find(|(_, t)| *t == newest).copied();
    let found = log.max_timestamp_record().await.unwrap();
    assert_eq!(found.map(|found| (found.offset, found.timestamp_ms)), first_newest);
}

#[tokio::test]
async fn indexes_and_snapshot_that_are_made_again_are_those_that_kafka_made() {
    let dir = copy();
    for name in [OFFSET_INDEX, TIME_INDEX, SNAPSHOT, "leader-epoch-checkpoint"] {
        std::fs::remove_file(dir.path().join("fixture-0").join(name)).unwrap();
    }
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    assert_eq!(dirs.get(&partition_of("fixture", 0)).unwrap().end_offset(), END);
    dirs.close(BrokerEpoch(12)).await.unwrap();
    for name in [SEGMENT, OFFSET_INDEX, TIME_INDEX, SNAPSHOT, "leader-epoch-checkpoint", "partition.metadata"]
    {
        let ours = std::fs::read(dir.path().join("fixture-0").join(name)).unwrap();
        assert_eq!(ours, by_kafka(name), "{name}");
    }
    for name in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint", "log-start-offset-checkpoint"] {
        let ours = std::fs::read(dir.path().join(name)).unwrap();
        assert_eq!(ours, std::fs::read(fixture().join(name)).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn the_same_batches_make_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let id = "syziwIFWRjGw_P8e1Tu73A".parse().unwrap();
    let log = dirs.create(&partition_of("fixture", 0), id, Arc::default(), NOW_MS).await.unwrap();
    let segment = bytes::Bytes::from(by_kafka(SEGMENT));
    for batch in batches(&segment) {
        let prepared = prepared(segment.slice_ref(batch.unwrap().bytes()));
        log.append(prepared, EPOCH, NOW_MS).await.unwrap();
    }
    dirs.close(BrokerEpoch(12)).await.unwrap();
    for name in [SEGMENT, OFFSET_INDEX, TIME_INDEX, SNAPSHOT, "leader-epoch-checkpoint", "partition.metadata"]
    {
        let ours = std::fs::read(dir.path().join("fixture-0").join(name)).unwrap();
        assert_eq!(ours, by_kafka(name), "{name}");
    }
}
