//! A follower's appends: the leader's bytes, verified and kept as they are, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{EpochEntry, Error, Log, LogConfig, LogDirs, Replicated};
use ottla_records::{BatchBuilder, BatchHeader, HEADER_LEN, batches, patch};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// A batch with its place, as a leader of `epoch` has it in its log.
fn led(batch: &Bytes, base: i64, epoch: i32) -> Bytes {
    let mut bytes = batch.to_vec();
    patch::assign_batch(&mut bytes, Offset(base), LeaderEpoch(epoch)).unwrap();
    bytes.into()
}

fn joined(batches: &[Bytes]) -> Bytes {
    batches.concat().into()
}

async fn take(log: &Log, bytes: &Bytes) -> Replicated {
    log.append_replicated(bytes.clone(), NOW_MS).await.unwrap()
}

async fn refusal(log: &Log, bytes: &Bytes) -> Error {
    let before = (log.start_offset(), log.end_offset(), log.epochs(), log.size_bytes());
    let error = log.append_replicated(bytes.clone(), NOW_MS).await.unwrap_err();
    assert_eq!((log.start_offset(), log.end_offset(), log.epochs(), log.size_bytes()), before);
    error
}

fn entries(log: &Log) -> Vec<(i32, i64)> {
    log.epochs().iter().map(|&EpochEntry { epoch, start_offset }| (epoch.0, start_offset.0)).collect()
}

#[tokio::test]
async fn a_follower_holds_its_leaders_bytes_offsets_epochs_and_producers() {
    let leader = Bench::new(dense()).await;
    let mut follower = Bench::new(LogConfig { segment_bytes: 1500, ..dense() }).await;
    for n in 0..40_i32 {
        if n % 10 == 0 {
            leader.log().begin_epoch(LeaderEpoch(n)).await;
        }
        let plain = if n % 3 == 0 { of_producer(7, 0, n / 3 * 2, 2) } else { batch(1 + n as usize % 3, 50) };
        leader.log().append(prepared(plain), LeaderEpoch(n / 10 * 10), NOW_MS).await.unwrap();
    }
    let bytes = read_all(leader.log(), Offset(0)).await;
    // In pieces as a leader answers fetches, each cut where it happens to end.
    let mut sent = 0;
    while sent < bytes.len() {
        let piece = bytes.slice(sent..bytes.len().min(sent + 1700));
        let before = follower.log().end_offset();
        let replicated = take(follower.log(), &piece).await;
        assert_eq!((replicated.first, replicated.end), (before, follower.log().end_offset()));
        assert!(replicated.appended_bytes > 0 && !replicated.flush_due);
        sent += replicated.appended_bytes;
    }
    for _ in 0..2 {
        let log = follower.log();
        assert_eq!(read_all(log, Offset(0)).await, bytes);
        assert_eq!(entries(log), entries(leader.log()));
        assert_eq!(log.producers(), leader.log().producers());
        assert_eq!(
            log.offset_for_timestamp(NOW_MS).await.unwrap(),
            leader.log().offset_for_timestamp(NOW_MS).await.unwrap()
        );
        assert!(log.segment_count() > leader.log().segment_count());
        follower.restart().await;
    }
}

#[tokio::test]
async fn many_batches_of_one_answer_are_one_write_for_each_segment() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let writes = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&writes);
    disk.fault(Call::Write, ".log", move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Fault::None
    });
    let config = std::sync::Arc::new(LogConfig { segment_bytes: 2000, ..LogConfig::default() });
    let opened =
        LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), |_| config.clone(), NOW_MS).await.unwrap();
    let log = opened.dirs.create(&partition(), topic_id(), config.clone(), NOW_MS).await.unwrap();
    let sent: Vec<Bytes> = (0..45).map(|n| led(&batch(1, 25), n, 0)).collect();
    let size = sent[0].len();
    take(&log, &joined(&sent)).await;
    assert_eq!(log.end_offset(), Offset(45));
    let segments = 45_usize.div_ceil(2000 / size);
    assert!(segments > 1);
    assert_eq!(log.segment_count(), segments);
    assert_eq!(writes.load(std::sync::atomic::Ordering::SeqCst), segments);
}

#[tokio::test]
async fn what_is_here_already_is_passed_over() {
    let bench = Bench::new(LogConfig::default()).await;
    let sent: Vec<Bytes> = (0..4).map(|n| led(&batch(2, 10), n * 2, 0)).collect();
    take(bench.log(), &joined(&sent[..2])).await;
    let replicated = take(bench.log(), &joined(&sent[..2])).await;
    assert_eq!((replicated.first, replicated.end, replicated.appended_bytes), (Offset(4), Offset(4), 0));
    let replicated = take(bench.log(), &joined(&sent)).await;
    assert_eq!((replicated.first, replicated.end), (Offset(4), Offset(8)));
    assert_eq!(read_all(bench.log(), Offset(0)).await, joined(&sent));
    assert_eq!(take(bench.log(), &Bytes::new()).await.appended_bytes, 0);
}

#[tokio::test]
async fn nothing_is_taken_of_what_is_not_the_leaders_bytes() {
    let bench = Bench::new(LogConfig::default()).await;
    let (one, two) = (led(&batch(2, 10), 0, 3), led(&batch(2, 10), 2, 3));
    let flipped = |at: usize| {
        let mut bytes = joined(&[one.clone(), two.clone()]).to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    // In the records of the second batch; in the first one's checksum, magic, and number of records.
    for at in [one.len() + HEADER_LEN + 3, 17, 16, 60] {
        let error = refusal(bench.log(), &flipped(at)).await;
        assert!(matches!(error, Error::BadReplicated { .. }), "{at}: {error}");
        assert_eq!(error.code(), ErrorCode::CorruptMessage);
    }
    // Not even one batch is whole: a leader sends at least one.
    for len in [1, HEADER_LEN, one.len() - 1] {
        let error = refusal(bench.log(), &one.slice(..len)).await;
        assert!(matches!(error, Error::BadReplicated { .. }), "{len}: {error}");
    }
    // A sound checksum over numbers that contradict each other.
    let mut header = BatchHeader::parse(&one).unwrap();
    header.records_count = 9;
    let mut head = [0; HEADER_LEN];
    header.write_to(&mut head);
    header.crc = ottla_records::crc::batch_crc(&head, &one[HEADER_LEN..]);
    header.write_to(&mut head);
    let contradicting = Bytes::from([&head[..], &one[HEADER_LEN..]].concat());
    assert!(matches!(refusal(bench.log(), &contradicting).await, Error::BadReplicated { .. }));
    assert_eq!(take(bench.log(), &joined(&[one, two])).await.end, Offset(4));
}

#[tokio::test]
async fn offsets_that_do_not_follow_are_refused() {
    let bench = Bench::new(LogConfig::default()).await;
    take(bench.log(), &led(&batch(4, 10), 0, 0)).await;
    for wrong in [
        led(&batch(2, 10), 5, 0),
        led(&batch(4, 10), 2, 0),
        joined(&[led(&batch(2, 10), 4, 0), led(&batch(2, 10), 7, 0)]),
        joined(&[led(&batch(2, 10), 4, 0), led(&batch(2, 10), 5, 0)]),
    ] {
        let error = refusal(bench.log(), &wrong).await;
        assert!(matches!(error, Error::NotNext { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_compacted_topic_may_lack_records_in_the_middle() {
    let bench = Bench::new(LogConfig { cleanup_compact: true, ..LogConfig::default() }).await;
    let sent = joined(&[led(&batch(2, 10), 3, 0), led(&batch(2, 10), 9, 1)]);
    assert_eq!(take(bench.log(), &sent).await.end, Offset(11));
    assert_eq!(read_all(bench.log(), Offset(0)).await, sent);
    assert_eq!(entries(bench.log()), [(0, 3), (1, 9)]);
    let back = refusal(bench.log(), &led(&batch(4, 10), 9, 1)).await;
    assert!(matches!(back, Error::NotNext { .. }), "{back}");
    let beyond = led(&batch(1, 10), 11 + i64::from(i32::MAX), 1);
    assert!(matches!(refusal(bench.log(), &beyond).await, Error::NotNext { .. }), "no index reaches there");
}

#[tokio::test]
async fn leader_epochs_never_fall_along_a_log() {
    let bench = Bench::new(LogConfig::default()).await;
    take(bench.log(), &led(&batch(1, 10), 0, 4)).await;
    for wrong in [led(&batch(1, 10), 1, 3), joined(&[led(&batch(1, 10), 1, 6), led(&batch(1, 10), 2, 5)])] {
        let error = refusal(bench.log(), &wrong).await;
        assert!(matches!(error, Error::StaleLeaderEpoch { .. }), "{error}");
    }
    take(bench.log(), &joined(&[led(&batch(1, 10), 1, 4), led(&batch(1, 10), 2, 7)])).await;
    assert_eq!(entries(bench.log()), [(4, 0), (7, 2)]);
}

#[tokio::test]
async fn an_epoch_begun_here_without_a_record_gives_way_to_the_next_leaders_records() {
    let bench = Bench::new(LogConfig::default()).await;
    take(bench.log(), &led(&batch(10, 10), 0, 4)).await;
    bench.log().begin_epoch(LeaderEpoch(5)).await;
    // KIP-279: the next leader has more records of epoch 4, and says that epoch 5 ended there before it began.
    assert_eq!(bench.log().truncate_to(Offset(10), NOW_MS).await.unwrap(), Offset(10));
    assert_eq!(entries(bench.log()), [(4, 0)]);
    bench.log().begin_epoch(LeaderEpoch(5)).await;
    take(bench.log(), &joined(&[led(&batch(2, 10), 10, 4), led(&batch(1, 10), 12, 6)])).await;
    assert_eq!(entries(bench.log()), [(4, 0), (6, 12)]);
}

#[tokio::test]
async fn gaps_and_repetitions_of_producers_are_the_leaders_to_judge() {
    let bench = Bench::new(LogConfig::default()).await;
    for (base, batch) in
        [(0, of_producer(7, 1, 5, 2)), (2, of_producer(7, 1, 50, 2)), (4, of_producer(7, 1, 50, 2))]
    {
        take(bench.log(), &led(&batch, base, 0)).await;
    }
    assert_eq!(bench.log().producers()[0].last_sequence, 51);
    // As a leader it knows what it replicated.
    let again = bench.append(of_producer(7, 1, 50, 2)).await;
    assert!(again.duplicate);
    let gap = bench.log().append(prepared(of_producer(7, 1, 60, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert!(matches!(gap, Error::OutOfOrderSequence { expected: 52, .. }), "{gap}");
}

fn transactional(records: usize) -> Bytes {
    let mut builder = BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(1), 0).transactional(true);
    for _ in 0..records {
        builder.push(&record(NOW_MS, b"v")).unwrap();
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_batch_above_segment_bytes_lies_in_a_segment_of_its_own() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 500, ..LogConfig::default() }).await;
    let sent = joined(&[
        led(&batch(1, 10), 0, 0),
        led(&batch(1, 3000), 1, 0),
        led(&batch(1, 10), 2, 0),
        led(&batch(1, 2000), 3, 0),
    ]);
    take(bench.log(), &sent).await;
    assert_eq!(bench.log().segment_count(), 4);
    bench.restart().await;
    assert_eq!(read_all(bench.log(), Offset(0)).await, sent);
    bench.crash();
    bench.start().await;
    assert_eq!(read_all(bench.log(), Offset(0)).await, sent);
}

#[tokio::test]
async fn a_first_batch_that_begins_below_the_start_of_an_empty_log_is_kept_whole() {
    let mut bench = Bench::new(LogConfig::default()).await;
    // What is here is older than anything that the leader has left, whose DeleteRecords cut the batch of 90 to 109.
    take(bench.log(), &led(&batch(95, 1), 0, 0)).await;
    bench.log().restart_at(Offset(100), NOW_MS).await.unwrap();
    let sent = joined(&[led(&batch(20, 10), 90, 3), led(&batch(1, 10), 110, 3)]);
    let replicated = take(bench.log(), &sent).await;
    assert_eq!(replicated.end, Offset(111));
    for _ in 0..2 {
        assert_eq!((bench.log().start_offset(), bench.log().end_offset()), (Offset(100), Offset(111)));
        assert_eq!(read_all(bench.log(), Offset(100)).await, sent);
        assert_eq!(entries(bench.log()), [(3, 100)]);
        bench.restart().await;
    }
    let overlapping = led(&batch(20, 10), 105, 3);
    assert!(matches!(refusal(bench.log(), &overlapping).await, Error::NotNext { .. }));
}

#[tokio::test]
async fn flush_messages_holds_for_what_a_follower_appends() {
    let bench = Bench::new(LogConfig { flush_messages: 3, ..LogConfig::default() }).await;
    assert!(!take(bench.log(), &led(&batch(2, 10), 0, 0)).await.flush_due);
    assert!(take(bench.log(), &led(&batch(1, 10), 2, 0)).await.flush_due);
    assert_eq!(bench.log().flushed_offset(), Offset(0));
    bench.log().flush().await.unwrap();
    assert_eq!(bench.log().flushed_offset(), Offset(3));
    assert!(!take(bench.log(), &led(&batch(1, 10), 2, 0)).await.flush_due);
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_more_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let config = std::sync::Arc::new(LogConfig::default());
    let opened =
        LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), |_| config.clone(), NOW_MS).await.unwrap();
    let log = opened.dirs.create(&partition(), topic_id(), config.clone(), NOW_MS).await.unwrap();
    take(&log, &led(&batch(2, 10), 0, 0)).await;
    disk.fault(Call::Sync, ".log", || Fault::Fails(std::io::ErrorKind::Other));
    log.flush().await.unwrap_err();
    let error = log.append_replicated(led(&batch(2, 10), 2, 0), NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert_eq!((log.flushed_offset(), log.end_offset()), (Offset(0), Offset(2)));
}

#[tokio::test]
async fn a_transaction_is_open_on_a_follower_until_its_marker_comes() {
    let bench = Bench::new(LogConfig::default()).await;
    take(bench.log(), &led(&transactional(3), 0, 0)).await;
    assert_eq!(bench.log().first_unstable_offset(), Some(Offset(0)));
    take(bench.log(), &led(&marker(), 3, 0)).await;
    assert_eq!(bench.log().first_unstable_offset(), None);
    assert_eq!(batches(&read_all(bench.log(), Offset(0)).await).count(), 2);
}

/// The commit of a transaction, as a coordinator writes it.
fn marker() -> Bytes {
    let mut builder =
        BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(1), -1).transactional(true).control(true);
    let (key, value) = ([0, 0, 0, 1], [0, 0, 0, 0, 0, 3]);
    builder
        .push(&ottla_records::NewRecord {
            timestamp_ms: NOW_MS,
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        })
        .unwrap();
    builder.build().unwrap()
}
