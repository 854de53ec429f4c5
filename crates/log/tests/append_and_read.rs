//! Appending and reading one log: bounds, rolls, timestamps, producers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use common::*;
use ottla_log::{Error, FoundRecord, LogConfig};
use ottla_records::{BatchBuilder, Codec, Compression};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};

const MAX: Offset = Offset(i64::MAX);

#[tokio::test]
async fn appended_batches_get_the_next_offsets_and_are_read_back_as_written() {
    let bench = Bench::new(LogConfig::default()).await;
    let first = bench.append(batch(3, 10)).await;
    assert_eq!(
        (first.base_offset, first.last_offset, first.log_start_offset),
        (Offset(0), Offset(2), Offset(0))
    );
    let second = bench.log().append(prepared(batch(2, 10)), LeaderEpoch(4), NOW_MS).await.unwrap();
    assert_eq!((second.base_offset, second.end_offset(), second.duplicate), (Offset(3), Offset(5), false));
    assert_eq!(second.max_timestamp_ms, NOW_MS);

    let mut expected = batch(3, 10).to_vec();
    ottla_records::patch::assign_batch(&mut expected, Offset(0), LeaderEpoch(0)).unwrap();
    let mut tail = batch(2, 10).to_vec();
    ottla_records::patch::assign_batch(&mut tail, Offset(3), LeaderEpoch(4)).unwrap();
    expected.extend_from_slice(&tail);
    assert_eq!(read_all(bench.log(), Offset(0)).await, expected);
    assert_eq!(bench.log().size_bytes(), expected.len() as u64);
}

#[tokio::test]
async fn a_read_begins_with_the_batch_that_contains_the_offset() {
    let bench = Bench::new(LogConfig::default()).await;
    for _ in 0..3 {
        bench.append(batch(10, 1)).await;
    }
    let read = bench.log().read(Offset(15), 1 << 20, false, MAX).await.unwrap();
    assert_eq!(read.next_offset, Offset(30));
    assert_eq!(offsets_of(&read.into_bytes()), [(10, 19), (20, 29)]);
}

#[tokio::test]
async fn a_read_keeps_its_limit_except_for_the_first_batch_when_asked() {
    let bench = Bench::new(LogConfig::default()).await;
    let size = batch(1, 1000).len();
    for _ in 0..3 {
        bench.append(batch(1, 1000)).await;
    }
    for (max_bytes, at_least_one, batches) in [
        (0, false, 0),
        (0, true, 1),
        (size - 1, false, 0),
        (size - 1, true, 1),
        (size, false, 1),
        (2 * size - 1, true, 1),
        (2 * size, false, 2),
        (usize::MAX, true, 3),
    ] {
        let read = bench.log().read(Offset(0), max_bytes, at_least_one, MAX).await.unwrap();
        assert_eq!(read.size_bytes, batches * size, "{max_bytes} {at_least_one}");
        assert_eq!(read.next_offset, Offset(batches as i64));
    }
}

#[tokio::test]
async fn batches_that_reach_the_upper_bound_are_left_out() {
    let bench = Bench::new(LogConfig::default()).await;
    for _ in 0..3 {
        bench.append(batch(10, 1)).await;
    }
    for (upper, next) in [(0, 0), (9, 0), (10, 10), (19, 10), (20, 20), (31, 30)] {
        let read = bench.log().read(Offset(0), 1 << 20, true, Offset(upper)).await.unwrap();
        assert_eq!(read.next_offset, Offset(next), "{upper}");
    }
    assert!(bench.log().read(Offset(30), 1 << 20, true, MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_offset_outside_the_log_is_answered_with_its_bounds() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.append(batch(10, 1)).await;
    bench.log().advance_start(Offset(4), NOW_MS).await.unwrap();
    for offset in [3, 11] {
        let error = bench.log().read(Offset(offset), 100, true, MAX).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
        assert!(error.to_string().contains("from 4 up to 10"), "{error}");
    }
    assert_eq!(bench.log().read(Offset(4), 100, true, MAX).await.unwrap().next_offset, Offset(10));
}

#[tokio::test]
async fn segments_roll_by_size_and_reads_go_on_in_the_next() {
    let bench = Bench::new(dense()).await;
    let size = batch(1, 500).len();
    for _ in 0..10 {
        bench.append(batch(1, 500)).await;
    }
    // Three batches fit into 2000 bytes.
    assert!(3 * size <= 2000 && 4 * size > 2000);
    for base in [0, 3, 6, 9] {
        assert!(bench.segment(base).exists(), "{base}");
    }
    assert_eq!(bench.log().read(Offset(1), 1 << 20, true, MAX).await.unwrap().next_offset, Offset(3));
    assert_eq!(offsets_of(&read_all(bench.log(), Offset(0)).await).len(), 10);
    let error = bench.log().append(prepared(batch(1, 2000)), EPOCH, NOW_MS).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RecordListTooLarge);
}

#[tokio::test]
async fn segments_roll_by_the_span_of_timestamps_less_their_jitter() {
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let bench = Bench::new(config.clone()).await;
    bench.append(batch_at(&[5000], 1)).await;
    bench.append(batch_at(&[6000], 1)).await;
    assert!(!bench.segment(1).exists());
    bench.append(batch_at(&[6001], 1)).await;
    assert!(bench.segment(2).exists());
    // Without timestamps, by the time since the segment was made.
    let bench = Bench::new(config).await;
    bench.append(batch_at(&[-1], 1)).await;
    bench.log().append(prepared(batch_at(&[-1], 1)), EPOCH, NOW_MS + 1001).await.unwrap();
    assert!(bench.segment(1).exists());

    // The jitter is below its bound, so at the bound and beyond nothing is left to wait.
    let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 1_000_000, ..LogConfig::default() };
    let bench = Bench::new(config).await;
    bench.append(batch_at(&[5000], 1)).await;
    bench.append(batch_at(&[5001], 1)).await;
    bench.append(batch_at(&[6000], 1)).await;
    assert!(bench.segment(2).exists() || bench.segment(1).exists());
}

#[tokio::test]
async fn segments_roll_when_an_index_is_full() {
    let config = LogConfig { segment_index_bytes: 40, index_interval_bytes: 0, ..LogConfig::default() };
    let bench = Bench::new(config).await;
    for i in 0..20 {
        bench.append(batch_at(&[NOW_MS + i], 10)).await;
    }
    // 40 bytes hold 5 entries of the offset index and 3 of the time index, the last kept for closing the segment. The
    // first batch needs none, so the third fills it.
    let index = std::fs::metadata(bench.partition_dir().join("00000000000000000000.index")).unwrap();
    let times = std::fs::metadata(bench.partition_dir().join("00000000000000000000.timeindex")).unwrap();
    assert_eq!((index.len(), times.len()), (16, 24));
    assert!(bench.segment(3).exists());
}

#[tokio::test]
async fn segments_roll_before_offsets_outgrow_the_index() {
    let bench = Bench::new(LogConfig::default()).await;
    let far = |offset| {
        let mut builder = BatchBuilder::new();
        builder.push_at(Offset(0), &record(NOW_MS, b"a")).unwrap();
        builder.push_at(Offset(offset), &record(NOW_MS, b"b")).unwrap();
        builder.build().unwrap()
    };
    bench.append(far(2_000_000_000)).await;
    bench.append(far(147_483_646)).await;
    assert!(!bench.segment(2_000_000_001).exists(), "the last offset is 2^31 - 1 from the base");
    bench.append(batch(1, 1)).await;
    assert!(bench.segment(2_147_483_648).exists());
    assert_eq!(offsets_of(&read_all(bench.log(), Offset(2_000_000_000)).await).len(), 3);
}

#[tokio::test]
async fn the_first_record_at_or_after_a_timestamp_is_found_in_every_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bench = Bench::new(dense()).await;
        // Out of order within and between batches.
        let times = [[100, 300, 200], [250, 150, 400], [400, 100, 350], [500, 600, 550]];
        for times in times {
            bench.append(compressed(Compression::new(codec), &times, 300)).await;
        }
        let all: Vec<i64> = times.concat();
        for wanted in 0..=601 {
            let expected = all.iter().position(|&t| t >= wanted).map(|i| (Offset(i as i64), all[i]));
            let found = bench.log().offset_for_timestamp(wanted).await.unwrap();
            assert_eq!(found.map(|f| (f.offset, f.timestamp_ms)), expected, "{codec} {wanted}");
        }
        let newest = FoundRecord { offset: Offset(10), timestamp_ms: 600, leader_epoch: EPOCH };
        assert_eq!(bench.log().max_timestamp_record().await.unwrap(), Some(newest));
        // Records below the start are gone, whatever their timestamps.
        bench.log().advance_start(Offset(5), NOW_MS).await.unwrap();
        let found = bench.log().offset_for_timestamp(100).await.unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp_ms), (Offset(5), 400));
    }
}

#[tokio::test]
async fn a_log_without_timestamps_has_no_offset_for_one() {
    let bench = Bench::new(LogConfig::default()).await;
    assert_eq!(bench.log().max_timestamp_record().await.unwrap(), None);
    bench.append(batch_at(&[-1, -1], 1)).await;
    assert_eq!(bench.log().offset_for_timestamp(0).await.unwrap(), None);
    assert_eq!(bench.log().max_timestamp_record().await.unwrap(), None);
}

#[tokio::test]
async fn a_duplicate_gets_the_offsets_of_the_original_and_is_not_written_again() {
    let mut bench = Bench::new(LogConfig::default()).await;
    for i in 0..6 {
        bench.append(of_producer(9, 0, i * 2, 2)).await;
    }
    let size = bench.log().size_bytes();
    let again = bench.append(of_producer(9, 0, 4, 2)).await;
    assert!(again.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (Offset(4), Offset(5)));
    assert_eq!((bench.log().size_bytes(), bench.log().end_offset()), (size, Offset(12)));

    let gap = bench.log().append(prepared(of_producer(9, 0, 13, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert_eq!(gap.code(), ErrorCode::OutOfOrderSequenceNumber);
    // After a stop in order the last batch is known from the snapshot, after a crash five are from the log.
    bench.restart().await;
    assert!(bench.append(of_producer(9, 0, 10, 2)).await.duplicate);
    bench.crash();
    std::fs::remove_file(bench.partition_dir().join(format!("{:020}.snapshot", 12))).unwrap();
    bench.start().await;
    assert!(bench.append(of_producer(9, 0, 2, 2)).await.duplicate);
    bench.append(of_producer(9, 0, 12, 1)).await;
    let fenced = bench.log().append(prepared(of_producer(9, -1, 13, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert_eq!(fenced.code(), ErrorCode::InvalidProducerEpoch);
}

#[tokio::test]
async fn an_append_below_the_latest_leader_epoch_is_refused() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.log().append(prepared(batch(1, 1)), LeaderEpoch(3), NOW_MS).await.unwrap();
    let error = bench.log().append(prepared(batch(1, 1)), LeaderEpoch(2), NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::StaleLeaderEpoch { latest: LeaderEpoch(3), .. }), "{error}");
    assert_eq!(bench.log().end_offset(), Offset(1));
}

#[tokio::test]
async fn epochs_tell_where_each_leadership_ended() {
    let mut bench = Bench::new(dense()).await;
    for (epoch, batches) in [(0, 3), (2, 4), (5, 2)] {
        for _ in 0..batches {
            bench.log().append(prepared(batch(1, 300)), LeaderEpoch(epoch), NOW_MS).await.unwrap();
        }
    }
    for _ in 0..2 {
        assert_eq!(bench.log().latest_epoch(), Some(LeaderEpoch(5)));
        assert_eq!(bench.log().epoch_end_offset(LeaderEpoch(0)), Some((LeaderEpoch(0), Offset(3))));
        assert_eq!(bench.log().epoch_end_offset(LeaderEpoch(4)), Some((LeaderEpoch(2), Offset(7))));
        assert_eq!(bench.log().epoch_end_offset(LeaderEpoch(5)), Some((LeaderEpoch(5), Offset(9))));
        assert_eq!(bench.log().epoch_end_offset(LeaderEpoch(6)), None);
        assert_eq!(bench.log().epoch_for_offset(Offset(6)), Some(LeaderEpoch(2)));
        bench.crash();
        bench.start().await;
    }
    bench.restart().await;
    assert_eq!(bench.log().epochs().len(), 3);
}

#[tokio::test]
async fn bytes_to_the_end_are_told_without_reading() {
    let bench = Bench::new(LogConfig { index_interval_bytes: 100, ..LogConfig::default() }).await;
    let size = batch(1, 200).len() as u64;
    for _ in 0..50 {
        bench.append(batch(1, 200)).await;
    }
    assert_eq!(bench.log().bytes_from(Offset(50)), 0);
    for offset in 1..50 {
        assert_eq!(bench.log().bytes_from(Offset(offset)), (50 - offset as u64) * size, "{offset}");
    }
    assert_eq!(bench.log().bytes_from(Offset(0)), 50 * size);
}

#[tokio::test]
async fn settings_change_while_the_log_is_open() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.append(batch(1, 500)).await;
    bench.log().set_config(Arc::new(dense()));
    for _ in 0..3 {
        bench.append(batch(1, 500)).await;
    }
    assert!(bench.segment(3).exists());
}

#[tokio::test]
async fn readers_and_appenders_do_not_disturb_each_other() {
    let bench = Bench::new(dense()).await;
    let writer = async {
        for i in 0..400 {
            bench.append(batch(1 + i % 3, 50)).await;
            tokio::task::yield_now().await;
        }
    };
    let reader = async {
        let mut next = Offset(0);
        while next < Offset(799) {
            let read = bench.log().read(next, 1000, true, MAX).await.unwrap();
            let offsets = offsets_of(&read.clone().into_bytes());
            assert!(offsets.first().is_none_or(|first| first.0 == next.0));
            assert!(offsets.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            next = read.next_offset;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writer, reader);
}
