//! What the tests of the log share: a directory, batches, and short ways to open and read.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod disk;
pub mod lines;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Env;
use ottla_log::{Appended, Log, LogConfig, LogDirs, LogDirsConfig, OpenedDirs, Result};
use ottla_records::{Batch, BatchBuilder, Compression, NewRecord, Prepared, batches};
use ottla_types::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, TopicName, TopicPartition,
};

pub const NOW_MS: i64 = 1_800_000_000_000;
pub const EPOCH: LeaderEpoch = LeaderEpoch(0);

pub fn partition() -> TopicPartition {
    partition_of("topic", 0)
}

pub fn partition_of(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition }
}

pub fn topic_id() -> TopicId {
    TopicId([7; 16])
}

pub fn dirs_config(dirs: &[&Path]) -> LogDirsConfig {
    LogDirsConfig {
        dirs: dirs.iter().map(|dir| dir.to_path_buf()).collect(),
        cluster_id: None,
        node_id: BrokerId(1),
        opened_at_a_time: 4,
    }
}

pub async fn try_open(dirs: &[&Path], config: &LogConfig) -> Result<OpenedDirs> {
    let config = Arc::new(config.clone());
    LogDirs::open(&Env::real(), &dirs_config(dirs), |_| Arc::clone(&config), NOW_MS).await
}

/// Opens directories in which everything must be well.
pub async fn open(dirs: &[&Path], config: &LogConfig) -> LogDirs {
    let opened = try_open(dirs, config).await.unwrap();
    assert!(opened.failed_dirs.is_empty(), "{:?}", opened.failed_dirs);
    assert!(opened.failed_logs.is_empty(), "{:?}", opened.failed_logs);
    opened.dirs
}

/// One log in a directory of its own.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub config: LogConfig,
    pub dirs: Option<LogDirs>,
    log: Option<Arc<Log>>,
}

impl Bench {
    pub async fn new(config: LogConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs = open(&[dir.path()], &config).await;
        let log = dirs.create(&partition(), topic_id(), Arc::new(config.clone()), NOW_MS).await.unwrap();
        Self { dir, config, dirs: Some(dirs), log: Some(log) }
    }

    pub fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    pub fn dirs(&self) -> &LogDirs {
        self.dirs.as_ref().unwrap()
    }

    pub fn partition_dir(&self) -> PathBuf {
        self.dir.path().join("topic-0")
    }

    pub fn segment(&self, base: i64) -> PathBuf {
        self.partition_dir().join(format!("{base:020}.log"))
    }

    /// Stops in order and starts again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub async fn stop(&mut self) {
        self.dirs.as_ref().unwrap().close(BrokerEpoch(5)).await.unwrap();
        self.crash();
    }

    /// The machine dies, and everything happens to have reached the device. A test may take some of it away.
    pub fn crash(&mut self) {
        self.kill();
        let mark = self.dir.path().join(".ottla-running");
        if mark.exists() {
            std::fs::remove_file(mark).unwrap();
        }
    }

    /// The process dies: what was written is in the page cache, and nothing else happens.
    pub fn kill(&mut self) {
        self.log = None;
        self.dirs = None;
    }

    pub async fn start(&mut self) {
        let dirs = open(&[self.dir.path()], &self.config).await;
        self.log = dirs.get(&partition());
        self.dirs = Some(dirs);
    }

    pub async fn append(&self, batch: Bytes) -> Appended {
        self.log().append(prepared(batch), EPOCH, NOW_MS).await.unwrap()
    }
}

/// A small segment and a dense index, so that few records make many of both.
pub fn dense() -> LogConfig {
    LogConfig { segment_bytes: 2000, index_interval_bytes: 200, ..LogConfig::default() }
}

pub fn prepared(batch: Bytes) -> Prepared {
    Prepared::own(batch, 1 << 20).unwrap()
}

pub fn record<'a>(timestamp_ms: i64, value: &'a [u8]) -> NewRecord<'a> {
    NewRecord { timestamp_ms, key: None, value: Some(value), headers: &[] }
}

/// A batch of records with these timestamps, and a value of `len` bytes each.
pub fn batch_at(timestamps: &[i64], len: usize) -> Bytes {
    build(BatchBuilder::new(), timestamps, len)
}

pub fn batch(records: usize, len: usize) -> Bytes {
    batch_at(&vec![NOW_MS; records], len)
}

pub fn compressed(codec: Compression, timestamps: &[i64], len: usize) -> Bytes {
    build(BatchBuilder::new().compression(codec), timestamps, len)
}

pub fn of_producer(id: i64, epoch: i16, sequence: i32, records: usize) -> Bytes {
    let builder = BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(epoch), sequence);
    build(builder, &vec![NOW_MS; records], 10)
}

fn build(mut builder: BatchBuilder, timestamps: &[i64], len: usize) -> Bytes {
    let value = vec![b'v'; len];
    for &timestamp_ms in timestamps {
        builder.push(&record(timestamp_ms, &value)).unwrap();
    }
    builder.build().unwrap()
}

/// Everything from `from` on, read as a consumer reads.
pub async fn read_all(log: &Log, from: Offset) -> Bytes {
    let mut bytes = Vec::new();
    let mut next = from;
    loop {
        let read = log.read(next, 700, true, Offset(i64::MAX)).await.unwrap();
        if read.is_empty() {
            assert_eq!(next, log.end_offset().max(from));
            return bytes.into();
        }
        assert!(read.next_offset > next);
        next = read.next_offset;
        bytes.extend_from_slice(&read.into_bytes());
    }
}

pub fn offsets_of(bytes: &[u8]) -> Vec<(i64, i64)> {
    let header = |batch: Batch<'_>| (batch.header().base_offset.0, batch.header().last_offset().0);
    batches(bytes).map(|batch| header(batch.unwrap())).collect()
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
