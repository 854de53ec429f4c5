//! Copies that follow their logs through whatever happens to these.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Env;
use ottla_log::{LogConfig, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_types::{BrokerId, LeaderEpoch, TopicId, TopicName, TopicPartition};

use super::*;

const NOW_MS: i64 = 1_800_000_000_000;

struct Two {
    _root: tempfile::TempDir,
    dirs: LogDirs,
    log: Arc<Log>,
    copy: Arc<Log>,
}

impl Two {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = LogDirsConfig {
            dirs: ["a", "b"].map(|name| root.path().join(name)).to_vec(),
            cluster_id: None,
            node_id: BrokerId(1),
            opened_at_a_time: 1,
        };
        let settings = Arc::new(LogConfig { segment_bytes: 2000, ..LogConfig::default() });
        let dirs =
            LogDirs::open(&Env::real(), &config, |_| Arc::clone(&settings), NOW_MS).await.unwrap().dirs;
        let id = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let log = dirs.create(&id, TopicId([1; 16]), settings, NOW_MS).await.unwrap();
        let other = dirs.dirs().await.iter().find(|dir| dir.id != log.directory_id()).unwrap().id;
        let copy = dirs.create_future(&id, other, NOW_MS).await.unwrap();
        Self { _root: root, dirs, log, copy }
    }

    /// So many records, one a batch, by the leader of this epoch.
    async fn append(&self, log: &Log, records: usize, epoch: i32) {
        for _ in 0..records {
            let mut builder = BatchBuilder::new();
            let record = NewRecord { timestamp_ms: NOW_MS, key: None, value: Some(&[7; 50]), headers: &[] };
            builder.push(&record).unwrap();
            let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
            log.append(batch, LeaderEpoch(epoch), NOW_MS).await.unwrap();
        }
    }

    async fn copied(&self) {
        while self.copy.end_offset() != self.log.end_offset()
            || self.copy.latest_epoch() != self.log.latest_epoch()
        {
            settle(&self.log, &self.copy, NOW_MS).await.unwrap();
            let end = self.copy.end_offset();
            if end < self.log.end_offset() {
                let read = self.log.read(end, STEP_BYTES, true, Offset(i64::MAX)).await.unwrap();
                self.copy.append_replicated(read.into_bytes(), NOW_MS).await.unwrap();
            }
        }
        assert_eq!(all(&self.copy).await, all(&self.log).await);
    }

    async fn moved(&self) {
        for _ in 0..100 {
            if step(&self.dirs, &self.log, &self.copy, NOW_MS).await.unwrap() == Step::InPlace {
                return;
            }
        }
        panic!("the copy never takes the place of its log");
    }
}

async fn all(log: &Log) -> (Offset, Bytes) {
    let (mut next, mut bytes) = (log.start_offset(), Vec::new());
    while next < log.end_offset() {
        let read = log.read(next, 1 << 20, true, Offset(i64::MAX)).await.unwrap();
        next = read.next_offset;
        bytes.extend_from_slice(&read.into_bytes());
    }
    (next, bytes.into())
}

#[tokio::test]
async fn a_copy_catches_up_and_takes_the_logs_place() {
    let two = Two::new().await;
    two.append(&two.log, 40, 1).await;
    let (before, from) = (all(&two.log).await, two.log.directory_id());
    two.moved().await;
    assert_eq!(all(&two.log).await, before);
    assert_ne!(two.log.directory_id(), from);
    two.append(&two.log, 3, 1).await;
    assert_eq!(two.log.end_offset(), Offset(43));
}

#[tokio::test]
async fn a_log_without_a_record_moves_too() {
    let two = Two::new().await;
    two.moved().await;
    two.append(&two.log, 1, 1).await;
    assert_eq!(two.log.end_offset(), Offset(1));
}

#[tokio::test]
async fn what_the_log_was_cut_to_the_copy_is_cut_to() {
    let two = Two::new().await;
    two.append(&two.log, 20, 1).await;
    two.append(&two.log, 5, 2).await;
    two.copied().await;
    // Another leader had not the end of epoch 1, and wrote as much and more.
    two.log.truncate_to(Offset(15), NOW_MS).await.unwrap();
    two.append(&two.log, 30, 3).await;
    two.copied().await;
    two.log.truncate_to(Offset(12), NOW_MS).await.unwrap();
    two.copied().await;
}

#[tokio::test]
async fn a_copy_that_has_more_than_a_log_that_lost_its_end_loses_that_too() {
    let two = Two::new().await;
    two.append(&two.log, 10, 1).await;
    two.copied().await;
    two.append(&two.log, 6, 4).await;
    two.copied().await;
    two.log.truncate_to(Offset(8), NOW_MS).await.unwrap();
    // Nothing of epoch 4 is known to the log any more.
    two.copied().await;
    assert_eq!(two.copy.end_offset(), Offset(8));
}

#[tokio::test]
async fn a_copy_begins_anew_where_a_log_does() {
    let two = Two::new().await;
    two.append(&two.log, 10, 1).await;
    two.copied().await;
    for offset in [500, 3] {
        two.log.restart_at(Offset(offset), NOW_MS).await.unwrap();
        two.copied().await;
        two.append(&two.log, 5, 9).await;
        two.copied().await;
    }
    two.log.advance_start(Offset(6), NOW_MS).await.unwrap();
    two.moved().await;
    assert_eq!((two.log.start_offset(), two.log.end_offset()), (Offset(6), Offset(8)));
}
