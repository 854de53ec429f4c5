//! Claims about the high watermark of a partition whose records must be durable before they count.

use ottla_env::Env;
use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_types::{BrokerEpoch, BrokerId, LeaderEpoch, TopicId, TopicName, TopicPartition};

use super::*;
use crate::waiters::Waiter;

const NOW_MS: i64 = 1_800_000_000_000;

/// A log that is flushed by nobody but the test.
struct Bench {
    dir: tempfile::TempDir,
    dirs: LogDirs,
    log: Arc<Log>,
    waiters: Arc<Waiters>,
    committed: Arc<Committed>,
}

impl Bench {
    async fn new(flush_messages: i64) -> Self {
        Self::open(tempfile::tempdir().unwrap(), flush_messages).await
    }

    async fn open(dir: tempfile::TempDir, flush_messages: i64) -> Self {
        let config = Arc::new(LogConfig { flush_messages, ..LogConfig::default() });
        let dirs_config = LogDirsConfig {
            dirs: vec![dir.path().to_owned()],
            cluster_id: None,
            node_id: BrokerId(1),
            opened_at_a_time: 1,
        };
        let opened = LogDirs::open(&Env::real(), &dirs_config, |_| Arc::clone(&config), NOW_MS).await;
        let dirs = opened.unwrap().dirs;
        let id = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let log = dirs.create(&id, TopicId([1; 16]), config, NOW_MS).await.unwrap();
        let waiters = Arc::default();
        let committed = Committed::of(&log, &waiters);
        Self { dir, dirs, log, waiters, committed }
    }

    async fn append(&self) {
        let mut builder = BatchBuilder::new();
        builder.push(&NewRecord { timestamp_ms: NOW_MS, key: None, value: None, headers: &[] }).unwrap();
        let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
        let size = batch.size_bytes();
        let appended = self.log.append(batch, LeaderEpoch(0), NOW_MS).await.unwrap();
        self.committed.appended(&self.log, &appended, size);
    }
}

#[tokio::test]
async fn without_flush_messages_the_end_is_committed_and_the_append_wakes() {
    let bench = Bench::new(i64::MAX).await;
    let waiter = Waiter::new(1);
    let _place = bench.waiters.register(&waiter);
    bench.append().await;
    assert_eq!(bench.committed.offset(), Offset(1));
    waiter.wait().await;
}

#[tokio::test]
async fn what_must_be_durable_first_is_committed_and_wakes_with_the_flush_and_not_with_the_append() {
    let bench = Bench::new(1).await;
    let waiter = Waiter::new(1);
    let _place = bench.waiters.register(&waiter);
    let mut wait = Box::pin(waiter.wait());
    bench.append().await;
    bench.append().await;
    assert_eq!((bench.committed.offset(), bench.log.end_offset()), (Offset(0), Offset(2)));
    assert!(futures_util::poll!(&mut wait).is_pending());
    bench.log.flush().await.unwrap();
    assert_eq!(bench.committed.offset(), Offset(2));
    assert!(futures_util::poll!(&mut wait).is_ready());
}

#[tokio::test]
async fn with_a_larger_flush_messages_only_the_batch_that_is_due_waits() {
    let bench = Bench::new(3).await;
    for committed in [1, 2, 2, 2] {
        bench.append().await;
        assert_eq!(bench.committed.offset(), Offset(committed));
    }
    bench.log.flush().await.unwrap();
    assert_eq!(bench.committed.offset(), Offset(4));
    bench.append().await;
    assert_eq!(bench.committed.offset(), Offset(5));
}

#[tokio::test]
async fn a_batch_that_was_flushed_before_it_was_noted_is_committed() {
    let bench = Bench::new(1).await;
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { timestamp_ms: NOW_MS, key: None, value: None, headers: &[] }).unwrap();
    let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
    let appended = bench.log.append(batch, LeaderEpoch(0), NOW_MS).await.unwrap();
    bench.log.flush().await.unwrap();
    let waiter = Waiter::new(1);
    let _place = bench.waiters.register(&waiter);
    bench.committed.appended(&bench.log, &appended, 70);
    assert_eq!(bench.committed.offset(), Offset(1));
    waiter.wait().await;
}

#[tokio::test]
async fn after_a_restart_everything_is_committed_that_was_closed_in_order() {
    let bench = Bench::new(1).await;
    bench.append().await;
    let Bench { dir, dirs, .. } = bench;
    dirs.close(BrokerEpoch(1)).await.unwrap();
    drop(dirs);
    let bench = Bench::open(dir, 1).await;
    assert_eq!(bench.committed.offset(), Offset(1));
}
