//! More logs than are synced file by file: they are closed with two syncs of the file system, crashed at every other change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::Arc;

use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_sim::disk::{Crash, Faults, SimDisk};
use ottla_sim::rng::SimRng;
use ottla_sim::world::{self, EPOCH_MS};
use ottla_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId, TopicName, TopicPartition};

const LOGS: i32 = 260;

fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new("topic").unwrap(), partition: number }
}

async fn open(disk: &SimDisk) -> LogDirs {
    let config = LogDirsConfig {
        dirs: vec![PathBuf::from("/data")],
        cluster_id: None,
        node_id: BrokerId(1),
        opened_at_a_time: 4,
    };
    let env = world::env(disk.port(), SimRng::new(disk.mutations()));
    let opened = LogDirs::open(&env, &config, |_| Arc::new(LogConfig::default()), EPOCH_MS).await.unwrap();
    assert!(opened.failed_logs.is_empty(), "{:?}", opened.failed_logs);
    opened.dirs
}

/// Appends a record to each log. Returns the ends.
async fn append_to_all(dirs: &LogDirs, epoch: i32) {
    for number in 0..LOGS {
        let log = dirs.create(&partition(number), TopicId([1; 16]), Arc::default(), EPOCH_MS).await.unwrap();
        let mut builder = BatchBuilder::new();
        let record = NewRecord { timestamp_ms: EPOCH_MS, key: None, value: Some(&[7; 50]), headers: &[] };
        builder.push(&record).unwrap();
        let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
        log.append(batch, LeaderEpoch(epoch), EPOCH_MS).await.unwrap();
    }
}

/// All logs hold this many records at least, and what they hold can be read, of the right epochs.
async fn check(dirs: &LogDirs, least: i64, what: &str) {
    for number in 0..LOGS {
        let Some(log) = dirs.get(&partition(number)) else {
            assert_eq!(least, 0, "{what}: log {number} is not there");
            continue;
        };
        let end = log.end_offset();
        assert!((least..=2).contains(&end.0), "{what}: log {number} ends at {end}");
        for offset in 0..end.0 {
            let read = log.read(Offset(offset), 1, true, Offset(i64::MAX)).await.unwrap();
            assert_eq!(read.next_offset, Offset(offset + 1));
            assert_eq!(log.epoch_for_offset(Offset(offset)), Some(LeaderEpoch(offset as i32)), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn logs_that_are_closed_together_are_there_at_every_crash_that_finds_the_marker() {
    let disk = SimDisk::new(1);
    let dirs = open(&disk).await;
    append_to_all(&dirs, 0).await;
    dirs.close(BrokerEpoch(1)).await.unwrap();
    drop(dirs);
    let dirs = open(&disk).await;
    append_to_all(&dirs, 1).await;
    disk.collect_crash_points();
    dirs.close(BrokerEpoch(2)).await.unwrap();
    let points = disk.take_crash_points();
    // The last ones are those of the syncs and of the marker.
    let last = points.len() - 25;
    let chosen = points.iter().enumerate().filter(|(i, _)| *i >= last || i % 97 == 0);
    let mut marked = 0;
    for (i, point) in chosen {
        for crash in [Crash::Kill, Crash::PowerLoss] {
            let left = open(&point.restart(crash, i as u64)).await;
            let is_marked = left.clean_broker_epoch() == Some(BrokerEpoch(2));
            marked += usize::from(is_marked);
            // The first record of each was durable before, and a kill takes nothing.
            let least = if is_marked || crash == Crash::Kill { 2 } else { 1 };
            check(&left, least, &format!("{crash:?} after change {}", point.mutation)).await;
        }
    }
    assert!(marked > 1, "{marked}");
    check(&open(&disk.restart(Crash::PowerLoss, 7)).await, 2, "after the stop").await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_of_the_file_system_that_fails_is_no_stop_in_order_and_loses_nothing_that_is_flushed_later() {
    for seed in 0..6 {
        let disk = SimDisk::new(seed);
        let dirs = open(&disk).await;
        append_to_all(&dirs, 0).await;
        disk.set_faults(Faults { sync_errors_per_mille: 1000, ..Faults::default() });
        dirs.close(BrokerEpoch(1)).await.unwrap_err();
        drop(dirs);
        let disk = disk.restart(Crash::Kill, seed);
        let dirs = open(&disk).await;
        assert_eq!(dirs.clean_broker_epoch(), None);
        let mut flushed = Vec::new();
        for log in dirs.list() {
            flushed.push((log.partition().clone(), log.flush().await.unwrap()));
        }
        let left = open(&disk.restart(Crash::PowerLoss, seed)).await;
        for (partition, end) in flushed {
            let now = left.get(&partition).map_or(Offset(0), |log| log.end_offset());
            assert_eq!(now, end, "{partition}");
        }
    }
}
