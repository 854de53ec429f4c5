//! More logs than are flushed or kept open one by one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{Log, LogConfig, LogDirs};
use ottla_types::{BrokerEpoch, LeaderEpoch, Offset};

/// Opens a directory and sees to it that there are so many logs, each with one more record.
async fn with_logs(dir: &std::path::Path, count: i32, epoch: i32) -> (LogDirs, Vec<Arc<Log>>) {
    let dirs = open(&[dir], &LogConfig::default()).await;
    let mut logs = Vec::new();
    for partition in 0..count {
        let partition = partition_of("many", partition);
        let log = dirs.create(&partition, topic_id(), Arc::default(), NOW_MS).await.unwrap();
        log.append(prepared(of_producer(7, epoch as i16, 0, 1)), LeaderEpoch(epoch), NOW_MS).await.unwrap();
        logs.push(log);
    }
    (dirs, logs)
}

#[tokio::test]
async fn many_logs_are_closed_together_and_are_as_if_each_had_been_closed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let count = 300;
    for epoch in 0..2 {
        let (dirs, logs) = with_logs(dir.path(), count, epoch).await;
        // One without a record, and one that was closed before.
        let empty = partition_of("empty", 0);
        dirs.create(&empty, topic_id(), Arc::default(), NOW_MS).await.unwrap();
        logs[3].close().await.unwrap();
        dirs.close(BrokerEpoch(i64::from(epoch))).await.unwrap();
        assert!(logs.iter().all(|log| log.flushed_offset() == log.end_offset()));
        assert!(logs[5].append(prepared(batch(1, 1)), LeaderEpoch(9), NOW_MS).await.is_err());
        drop(logs);

        let dirs = open(&[dir.path()], &LogConfig::default()).await;
        assert_eq!(dirs.clean_broker_epoch(), Some(BrokerEpoch(i64::from(epoch))));
        for partition in 0..count {
            let log = dirs.get(&partition_of("many", partition)).unwrap();
            let end = Offset(i64::from(epoch) + 1);
            assert_eq!((log.end_offset(), log.flushed_offset()), (end, end), "{partition}");
            assert_eq!(log.latest_epoch(), Some(LeaderEpoch(epoch)));
            assert_eq!(log.producers().len(), 1);
            for name in
                ["00000000000000000000.index", "00000000000000000000.timeindex", "leader-epoch-checkpoint"]
            {
                assert!(log.dir().join(name).exists(), "{name}");
            }
            assert!(!log.dir().join("leader-epoch-checkpoint.tmp").exists());
        }
        let checkpoint = dir.path().join("recovery-point-offset-checkpoint");
        let lines = std::fs::read_to_string(checkpoint).unwrap();
        assert_eq!(lines.lines().filter(|line| line.starts_with("many ")).count(), 300);
        dirs.close(BrokerEpoch(9)).await.unwrap();
    }
}

#[tokio::test]
async fn idle_logs_are_flushed_when_too_many_hold_a_file_open_and_busy_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (dirs, logs) = with_logs(dir.path(), 1100, 0).await;
    let unflushed = || logs.iter().filter(|log| log.flushed_offset() < log.end_offset()).count();
    let told = Arc::new(AtomicUsize::new(0));
    for log in &logs {
        let told = Arc::clone(&told);
        let observer = move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        };
        log.observe_flushes(Arc::new(observer));
    }
    // The first look only sees where they end.
    dirs.tend(NOW_MS).await;
    assert_eq!(unflushed(), 1100);
    for log in &logs[..50] {
        log.append(prepared(batch(1, 1)), LeaderEpoch(0), NOW_MS).await.unwrap();
    }
    dirs.tend(NOW_MS).await;
    assert_eq!(unflushed(), 50);
    assert_eq!(told.load(Ordering::Relaxed), 1050, "who waits for a flush hears of this one too");
    drop((dirs, logs));
    // What was flushed needs no look after a crash, and the log goes on.
    std::fs::remove_file(dir.path().join(".ottla-running")).unwrap();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let log = dirs.get(&partition_of("many", 1099)).unwrap();
    assert_eq!(
        log.append(prepared(batch(1, 1)), LeaderEpoch(0), NOW_MS).await.unwrap().base_offset,
        Offset(1)
    );
}

#[tokio::test]
async fn a_sync_of_the_file_system_that_fails_takes_the_directory_offline_and_is_not_made_good_file_by_file()
{
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let config_of = |_: &_| Arc::default();
    let opened = LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
    let dirs = opened.dirs;
    for partition in 0..300 {
        let log =
            dirs.create(&partition_of("many", partition), topic_id(), Arc::default(), NOW_MS).await.unwrap();
        log.append(prepared(batch(1, 1)), LeaderEpoch(0), NOW_MS).await.unwrap();
    }
    disk.fault(Call::SyncAll, "", || Fault::Fails(std::io::ErrorKind::Other));
    assert!(dirs.close(BrokerEpoch(1)).await.is_err());
    assert!(dirs.dirs().await[0].failure.is_some());
    assert!(dirs.list().iter().all(|log| log.flushed_offset() == Offset(0)));
    assert!(!dir.path().join(".kafka_cleanshutdown").exists() && !dir.path().join(".ottla-running").exists());
}
