//! What crashes found once: each in the fewest steps, over many ways in which the power can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::Arc;

use ottla_log::{Log, LogConfig, LogDirs, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_sim::disk::{Crash, Faults, SimDisk};
use ottla_sim::rng::SimRng;
use ottla_sim::world::{self, EPOCH_MS};
use ottla_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId, TopicName, TopicPartition};

const DIR: &str = "/not/there/yet";

fn partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("topic").unwrap(), partition: 0 }
}

async fn open(disk: &SimDisk) -> LogDirs {
    let config = LogDirsConfig {
        dirs: vec![PathBuf::from(DIR)],
        cluster_id: None,
        node_id: BrokerId(1),
        opened_at_a_time: 1,
    };
    let env = world::env(disk.port(), SimRng::new(disk.mutations()));
    let opened = LogDirs::open(&env, &config, |_| Arc::new(settings()), EPOCH_MS).await.unwrap();
    assert!(opened.failed_logs.is_empty(), "{:?}", opened.failed_logs);
    opened.dirs
}

/// Two batches of [`append`] fill a segment.
fn settings() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 1, ..LogConfig::default() }
}

async fn create(dirs: &LogDirs) -> Arc<Log> {
    dirs.create(&partition(), TopicId([1; 16]), Arc::new(settings()), EPOCH_MS).await.unwrap()
}

async fn try_append(log: &Log, epoch: i32) -> ottla_log::Result<Offset> {
    append_value(log, epoch, &[7; 100]).await
}

async fn append_value(log: &Log, epoch: i32, value: &[u8]) -> ottla_log::Result<Offset> {
    let mut builder = BatchBuilder::new();
    let record = NewRecord { timestamp_ms: EPOCH_MS, key: None, value: Some(value), headers: &[] };
    builder.push(&record).unwrap();
    let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
    Ok(log.append(batch, LeaderEpoch(epoch), EPOCH_MS).await?.base_offset)
}

async fn append(log: &Log) {
    try_append(log, 0).await.unwrap();
}

/// What is left of the log after many power losses, each another one.
async fn after_power_losses(disk: &SimDisk) -> Vec<Option<Arc<Log>>> {
    let mut logs = Vec::new();
    for seed in 0..200 {
        logs.push(open(&disk.restart(Crash::PowerLoss, seed)).await.get(&partition()));
    }
    logs
}

#[tokio::test(start_paused = true)]
async fn unflushed_segments_leave_no_hole() {
    let disk = SimDisk::new(1);
    let dirs = open(&disk).await;
    let log = create(&dirs).await;
    for _ in 0..9 {
        append(&log).await;
    }
    let mut ends = std::collections::BTreeSet::new();
    for left in after_power_losses(&disk).await.into_iter().flatten() {
        assert_eq!(left.start_offset(), Offset(0));
        ends.insert(left.end_offset());
        for offset in 0..left.end_offset().0 {
            let read = left.read(Offset(offset), 1, true, Offset(i64::MAX)).await.unwrap();
            assert_eq!(read.next_offset, Offset(offset + 1));
        }
    }
    assert!(ends.len() > 3, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_truncation_to_nothing_lasts() {
    let disk = SimDisk::new(1);
    let dirs = open(&disk).await;
    let log = create(&dirs).await;
    append(&log).await;
    log.flush().await.unwrap();
    log.truncate_to(Offset(0), EPOCH_MS).await.unwrap();
    for left in after_power_losses(&disk).await {
        assert_eq!(left.unwrap().end_offset(), Offset(0));
    }
}

/// A disk with a log that was closed in order before anything was appended to it.
async fn closed_without_a_record() -> SimDisk {
    let disk = SimDisk::new(1);
    let dirs = open(&disk).await;
    create(&dirs).await;
    dirs.close(BrokerEpoch(1)).await.unwrap();
    disk
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_closed_without_a_record_keeps_its_first_flush() {
    let disk = closed_without_a_record().await;
    let dirs = open(&disk).await;
    let log = create(&dirs).await;
    append(&log).await;
    log.flush().await.unwrap();
    for left in after_power_losses(&disk).await {
        let left = left.expect("the directories above it are durable too");
        assert_eq!((left.end_offset(), left.topic_id()), (Offset(1), Some(TopicId([1; 16]))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_torn_of_an_empty_log_after_a_stop_in_order_keeps_nothing_from_opening() {
    after_power_losses(&closed_without_a_record().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_does_not_come_back_behind_a_stop_in_order() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let dirs = open(&disk).await;
        let log = create(&dirs).await;
        append(&log).await;
        log.flush().await.unwrap();
        disk.set_faults(Faults { write_errors_per_mille: 1000, ..Faults::default() });
        try_append(&log, 0).await.unwrap_err();
        disk.set_faults(Faults::default());
        dirs.close(BrokerEpoch(1)).await.unwrap();
        for left in after_power_losses(&disk).await {
            assert_eq!(left.unwrap().end_offset(), Offset(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_does_not_come_back_in_front_of_the_next_segment() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let dirs = open(&disk).await;
        let log = create(&dirs).await;
        append(&log).await;
        log.flush().await.unwrap();
        disk.set_faults(Faults { write_errors_per_mille: 1000, ..Faults::default() });
        try_append(&log, 0).await.unwrap_err();
        disk.set_faults(Faults::default());
        // Too large for what is left of the first segment.
        append_value(&log, 0, &[7; 250]).await.unwrap();
        log.flush().await.unwrap();
        for left in after_power_losses(&disk).await {
            assert_eq!(left.unwrap().end_offset(), Offset(2));
        }
    }
}

/// An fsync fails, the process starts again and finds the page cache as it was, and then the power fails.
#[tokio::test(start_paused = true)]
async fn what_a_process_finds_after_a_failed_fsync_and_flushes_is_durable() {
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let dirs = open(&disk).await;
        let log = create(&dirs).await;
        append(&log).await;
        log.flush().await.unwrap();
        append(&log).await;
        append(&log).await;
        disk.set_faults(Faults { sync_errors_per_mille: 1000, ..Faults::default() });
        log.flush().await.unwrap_err();
        disk.set_faults(Faults::default());

        let disk = disk.restart(Crash::Kill, seed);
        let log = open(&disk).await.get(&partition()).unwrap();
        found.insert(log.end_offset());
        append(&log).await;
        let flushed = log.flush().await.unwrap();
        assert_eq!(flushed, log.end_offset());
        for left in after_power_losses(&disk).await {
            assert_eq!(left.unwrap().end_offset(), flushed, "seed {seed}");
        }
    }
    assert!(
        found.len() > 1 && found.contains(&Offset(3)),
        "the page cache is seen as it was, or not: {found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn epochs_below_the_recovery_point_are_found_without_their_checkpoint_after_a_kill() {
    let disk = SimDisk::new(1);
    let dirs = open(&disk).await;
    let log = create(&dirs).await;
    for epoch in [2, 5] {
        try_append(&log, epoch).await.unwrap();
    }
    log.flush().await.unwrap();
    dirs.write_checkpoints().await.unwrap();
    let killed = disk.restart(Crash::Kill, 0);
    killed.lose(&PathBuf::from(DIR).join("topic-0/leader-epoch-checkpoint"));
    let log = open(&killed).await.get(&partition()).unwrap();
    let epochs = [0, 1].map(|offset| log.epoch_for_offset(Offset(offset)));
    assert_eq!(epochs, [Some(LeaderEpoch(2)), Some(LeaderEpoch(5))]);
}

/// Records of a metadata log as a process finds them.
async fn metadata_records(disk: &SimDisk) -> (ottla_broadcast::MetadataLog, i64) {
    let dir = PathBuf::from(DIR);
    let opened = ottla_broadcast::MetadataLog::open(disk.port(), &dir, &mut |_| Ok(())).await.unwrap();
    (opened.log, opened.next.0)
}

/// A process is killed between the write of a record and its fsync; the next one finds the record, tells of it, and then the
/// power fails. So did a voter take back what it had acknowledged.
#[tokio::test(start_paused = true)]
async fn a_metadata_record_that_was_found_after_a_kill_is_durable() {
    let disk = SimDisk::new(1);
    let (log, _) = metadata_records(&disk).await;
    log.append(vec![bytes::Bytes::from_static(b"first")]).await.unwrap();
    disk.collect_crash_points();
    log.append(vec![bytes::Bytes::from_static(b"second")]).await.unwrap();
    let mut found = std::collections::BTreeSet::new();
    for point in disk.take_crash_points() {
        let killed = point.restart(Crash::Kill, 0);
        let (_log, next) = metadata_records(&killed).await;
        found.insert(next);
        for seed in 0..50 {
            let (_, left) = metadata_records(&killed.restart(Crash::PowerLoss, seed)).await;
            assert!(left >= next, "{next} records were found after the kill, and {left} are left");
        }
    }
    assert_eq!(found, [1, 2].into());
}
