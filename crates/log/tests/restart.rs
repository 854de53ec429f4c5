//! Stops in order, crashes, and what the next start makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::lines::Lines;
use common::*;
use ottla_log::{Error, LogConfig};
use ottla_types::{BrokerEpoch, ErrorCode, LeaderEpoch, Offset};

const MAX: Offset = Offset(i64::MAX);

async fn with_batches(count: usize) -> Bench {
    let bench = Bench::new(dense()).await;
    for i in 0..count {
        bench.append(batch_at(&[NOW_MS + i as i64; 2], 100)).await;
    }
    bench
}

#[tokio::test]
async fn a_stop_in_order_leaves_everything_as_it_was() {
    let mut bench = with_batches(40).await;
    let before = read_all(bench.log(), Offset(0)).await;
    bench.restart().await;
    assert_eq!(bench.dirs().clean_broker_epoch(), Some(BrokerEpoch(5)));
    assert_eq!(read_all(bench.log(), Offset(0)).await, before);
    assert_eq!(bench.log().flushed_offset(), Offset(80));
    // It goes on as if nothing had been.
    assert_eq!(bench.append(batch(1, 1)).await.base_offset, Offset(80));
    bench.restart().await;
    assert_eq!(bench.log().end_offset(), Offset(81));
    assert_eq!(bench.log().max_timestamp_record().await.unwrap().unwrap().offset, Offset(78));
}

#[tokio::test]
async fn a_crash_of_the_process_loses_nothing_that_was_written() {
    let mut bench = with_batches(40).await;
    let before = read_all(bench.log(), Offset(0)).await;
    bench.kill();
    bench.start().await;
    assert_eq!(bench.dirs().clean_broker_epoch(), None);
    assert_eq!(read_all(bench.log(), Offset(0)).await, before);
    assert_eq!(bench.log().flushed_offset(), Offset(0), "what was not flushed is still not");
    assert_eq!(bench.log().topic_id(), Some(topic_id()));
}

#[tokio::test]
async fn a_log_without_a_record_survives_both() {
    let mut bench = Bench::new(LogConfig::default()).await;
    bench.restart().await;
    assert_eq!((bench.log().start_offset(), bench.log().end_offset()), (Offset(0), Offset(0)));
    bench.crash();
    bench.start().await;
    assert_eq!(bench.append(batch(1, 1)).await.base_offset, Offset(0));
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_the_last_whole_batch_wherever_it_is_torn() {
    let mut bench = with_batches(5).await;
    bench.crash();
    let path = bench.segment(0);
    let whole = fs::read(&path).unwrap();
    let size = whole.len() / 5;
    for len in (3 * size..5 * size).step_by(7) {
        fs::write(&path, &whole[..len]).unwrap();
        bench.start().await;
        let batches = len / size;
        assert_eq!(bench.log().end_offset(), Offset(2 * batches as i64), "{len}");
        assert_eq!(read_all(bench.log(), Offset(0)).await, whole[..batches * size]);
        assert_eq!(fs::metadata(&path).unwrap().len(), (batches * size) as u64);
        assert_eq!(bench.append(batch(1, 1)).await.base_offset, Offset(2 * batches as i64));
        bench.crash();
    }
}

#[tokio::test]
async fn garbage_and_zeros_behind_the_last_batch_are_cut() {
    for tail in [vec![0; 5000], vec![0xff; 500], b"\0\0\0\0\0\0\0\x0a\x7f\xff\xff\xff".to_vec()] {
        let mut bench = with_batches(5).await;
        bench.crash();
        let path = bench.segment(0);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &tail].concat()).unwrap();
        bench.start().await;
        assert_eq!(bench.log().end_offset(), Offset(10));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[tokio::test]
async fn segments_beyond_a_torn_one_are_removed() {
    let mut bench = with_batches(30).await;
    bench.crash();
    let bases: Vec<i64> = (0..60).filter(|&base| bench.segment(base).exists()).collect();
    assert!(bases.len() > 3, "{bases:?}");
    let torn = bench.segment(bases[1]);
    let len = fs::metadata(&torn).unwrap().len();
    fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(len - 1).unwrap();
    bench.start().await;
    assert_eq!(bench.log().end_offset(), Offset(bases[2] - 2));
    assert!(!bench.segment(bases[2]).exists() && !bench.segment(bases[3]).exists());
    bench.append(batch(1, 1)).await;
    bench.restart().await;
    assert_eq!(bench.log().end_offset(), Offset(bases[2] - 1));
}

#[tokio::test]
async fn old_bytes_that_come_to_light_behind_newer_ones_are_no_records() {
    let mut bench = Bench::new(LogConfig::default()).await;
    for epoch in [1, 3] {
        bench.log().append(prepared(batch(1, 10)), LeaderEpoch(epoch), NOW_MS).await.unwrap();
    }
    bench.crash();
    // A whole batch of epoch 2 with the next offset, as a truncation that was not durable would leave it.
    let mut old = batch(1, 10).to_vec();
    ottla_records::patch::assign_batch(&mut old, Offset(2), LeaderEpoch(2)).unwrap();
    let path = bench.segment(0);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &old].concat()).unwrap();
    bench.start().await;
    assert_eq!(bench.log().end_offset(), Offset(2));
    assert_eq!(bench.log().latest_epoch(), Some(LeaderEpoch(3)));
}

fn flip(path: &std::path::Path, position: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 1], position).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_is_never_served_and_names_file_and_place() {
    let bench = with_batches(5).await;
    let path = bench.segment(0);
    let size = fs::metadata(&path).unwrap().len() / 5;
    flip(&path, 2 * size + 100);
    let read = bench.log().read(Offset(0), 1 << 20, true, MAX).await.unwrap();
    assert_eq!(read.next_offset, Offset(4), "what comes before it is served");
    let error = bench.log().read(Offset(4), 1 << 20, true, MAX).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptMessage);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains(&format!("byte {}", 2 * size)), "{text}");
    assert!(text.contains("offset 4") && text.contains("CRC"), "{text}");
    let after = bench.log().read(Offset(6), 1 << 20, true, MAX).await.unwrap();
    assert_eq!(after.next_offset, Offset(10), "what comes after it is served too");
}

#[tokio::test]
async fn damage_below_the_recovery_point_is_reported_and_not_cut_away() {
    let mut bench = with_batches(5).await;
    bench.log().flush().await.unwrap();
    bench.dirs().write_checkpoints().await.unwrap();
    bench.append(batch(1, 1)).await;
    bench.crash();
    let path = bench.segment(0);
    let before = fs::metadata(&path).unwrap().len();
    flip(&path, 100);
    let opened = try_open(&[bench.dir.path()], &bench.config).await.unwrap();
    let failed = &opened.failed_logs[0];
    assert_eq!(failed.partition, partition());
    assert!(matches!(failed.error, Error::Corrupt { .. }), "{}", failed.error);
    assert!(failed.error.to_string().contains("offset 0"), "{}", failed.error);
    assert_eq!(fs::metadata(&path).unwrap().len(), before);
}

#[tokio::test]
async fn flushed_records_and_epochs_survive_the_loss_of_everything_else() {
    let mut bench = with_batches(10).await;
    bench.log().append(prepared(batch(1, 1)), LeaderEpoch(4), NOW_MS).await.unwrap();
    assert_eq!(bench.log().flush().await.unwrap(), Offset(21));
    bench.dirs().write_checkpoints().await.unwrap();
    let checkpoint = fs::read_to_string(bench.dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\ntopic 0 21\n");
    let epochs = fs::read_to_string(bench.partition_dir().join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, "0\n2\n0 0\n4 20\n");
    bench.crash();
    bench.start().await;
    assert_eq!((bench.log().end_offset(), bench.log().flushed_offset()), (Offset(21), Offset(21)));
}

#[tokio::test]
async fn indexes_that_are_missing_too_long_or_lying_do_not_change_what_is_read() {
    let mut bench = with_batches(40).await;
    let content = read_all(bench.log(), Offset(0)).await;
    bench.stop().await;
    let index = bench.partition_dir().join("00000000000000000000.index");
    let good = fs::read(&index).unwrap();
    assert!(good.len() >= 24);
    let lying: Vec<u8> = good.iter().map(|byte| byte.wrapping_add(3)).collect();
    for bad in [None, Some(vec![]), Some(good[..good.len() - 3].to_vec()), Some(lying), Some(vec![0; 64])] {
        match bad {
            Some(bytes) => fs::write(&index, bytes).unwrap(),
            None => fs::remove_file(&index).unwrap(),
        }
        bench.start().await;
        for offset in 0..80 {
            let from = bench.log().read(Offset(offset), 1, true, MAX).await.unwrap();
            assert_eq!(offsets_of(&from.into_bytes()), [(offset / 2 * 2, offset / 2 * 2 + 1)]);
        }
        assert_eq!(read_all(bench.log(), Offset(0)).await, content);
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_lying_index_of_the_last_segment_is_made_again() {
    let mut bench = Bench::new(LogConfig { index_interval_bytes: 200, ..LogConfig::default() }).await;
    for _ in 0..20 {
        bench.append(batch(2, 100)).await;
    }
    bench.stop().await;
    let index = bench.partition_dir().join("00000000000000000000.index");
    let good = fs::read(&index).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&index, &bad).unwrap();
    bench.start().await;
    assert_eq!(bench.log().end_offset(), Offset(40));
    bench.stop().await;
    assert_eq!(fs::read(&index).unwrap(), good);
}

/// What reads and lookups give of a log.
async fn content(bench: &Bench) -> (Offset, Vec<u8>, Option<Offset>) {
    let newest = bench.log().max_timestamp_record().await.unwrap();
    let batches = read_all(bench.log(), Offset(0)).await.to_vec();
    (bench.log().end_offset(), batches, newest.map(|record| record.offset))
}

/// The files under a directory.
fn files_in(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files
}

/// Makes the directory of a stopped bench as it was.
fn put_back(bench: &Bench, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(bench.dir.path()).unwrap();
    fs::create_dir_all(bench.partition_dir()).unwrap();
    files.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
}

/// A bench whose newest timestamp is in the batch with this number, of twelve.
async fn with_newest_at(newest_at: i64) -> Bench {
    let bench = Bench::new(LogConfig { index_interval_bytes: 1200, ..LogConfig::default() }).await;
    for i in 0..12 {
        let newest = if i == newest_at { 1000 } else { 0 };
        bench.append(batch_at(&[NOW_MS + i + newest; 2], 100)).await;
    }
    bench
}

/// Opens a log again and again, each time with another bit of an index flipped.
async fn flip_every_index_bit(bench: &mut Bench, expected: (Offset, Vec<u8>, Option<Offset>)) {
    let files = files_in(bench.dir.path());
    let indexes: Vec<&(PathBuf, Vec<u8>)> =
        files.iter().filter(|(path, _)| path.to_str().unwrap().ends_with("index")).collect();
    assert_eq!(indexes.len(), 2);
    for (path, good) in indexes {
        assert!(!good.is_empty(), "{}", path.display());
        for bit in 0..good.len() * 8 {
            put_back(bench, &files);
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, bad).unwrap();
            bench.start().await;
            assert_eq!(content(bench).await, expected, "bit {bit} of {}", path.display());
            bench.kill();
        }
    }
}

#[tokio::test]
async fn no_flipped_bit_of_an_index_changes_a_log_that_was_closed() {
    // The newest record is the last one, or lies ahead of what is read behind the last entry of the offset index.
    for newest_at in [11, 2] {
        let mut bench = with_newest_at(newest_at).await;
        let expected = content(&bench).await;
        bench.stop().await;
        flip_every_index_bit(&mut bench, expected).await;
    }
}

#[tokio::test]
async fn no_flipped_bit_of_an_index_changes_a_log_whose_process_was_killed() {
    let mut bench = with_newest_at(11).await;
    let expected = content(&bench).await;
    bench.restart().await;
    bench.kill();
    flip_every_index_bit(&mut bench, expected).await;
}

#[tokio::test]
async fn missing_or_damaged_epochs_are_found_in_the_records() {
    let mut bench = Bench::new(dense()).await;
    for epoch in 0..10 {
        bench.log().append(prepared(batch(3, 200)), LeaderEpoch(epoch), NOW_MS).await.unwrap();
    }
    let epochs = bench.log().epochs();
    let file = bench.partition_dir().join("leader-epoch-checkpoint");
    for damage in [None, Some(""), Some("0\n7\n"), Some("what?")] {
        bench.stop().await;
        match damage {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        bench.start().await;
        assert_eq!(bench.log().epochs(), epochs, "{damage:?}");
    }
}

#[tokio::test]
async fn a_closed_log_takes_and_flushes_nothing() {
    let mut bench = with_batches(1).await;
    let log = bench.dirs().get(&partition()).unwrap();
    bench.stop().await;
    let error = log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_truncation_in_the_middle_of_a_batch_lowers_the_recovery_point_to_where_the_log_then_ends_or_below()
{
    let mut bench = Bench::new(dense()).await;
    bench.append(batch(14, 1)).await;
    bench.log().append(prepared(batch(4, 1)), LeaderEpoch(1), NOW_MS).await.unwrap();
    bench.log().flush().await.unwrap();
    assert_eq!(bench.log().truncate_to(Offset(15), NOW_MS).await.unwrap(), Offset(14));
    // The record that takes the place of the batch ends where the old recovery point would have been.
    bench.log().append(prepared(batch(1, 1)), LeaderEpoch(1), NOW_MS).await.unwrap();
    bench.log().append(prepared(batch(1, 1800)), LeaderEpoch(1), NOW_MS).await.unwrap();
    assert!(bench.segment(15).exists());
    bench.crash();
    bench.start().await;
    assert!(bench.log().flushed_offset() <= Offset(14));
    assert_eq!(bench.log().epoch_for_offset(Offset(14)), Some(LeaderEpoch(1)));
}

#[tokio::test]
async fn an_end_that_is_missing_after_a_stop_in_order_is_told() {
    let mut bench = with_batches(5).await;
    bench.stop().await;
    let path = bench.segment(0);
    let whole = fs::read(&path).unwrap();
    let lines = Lines::capture();
    // At the end of a batch, where nothing looks torn.
    for batches in [4, 1, 0] {
        let marker = bench.dir.path().join(".kafka_cleanshutdown");
        fs::write(&marker, r#"{"version":0,"brokerEpoch":5}"#).unwrap();
        fs::write(&path, &whole[..whole.len() / 5 * batches]).unwrap();
        let end = 2 * batches;
        let told = lines.of(async { bench.start().await }).await;
        assert_eq!(bench.log().end_offset(), Offset(end as i64));
        for words in [
            format!("topic-0: the log in {}", bench.partition_dir().display()),
            format!("ends at offset {end} after a stop in order"),
            "the recovery point is offset 10".to_owned(),
        ] {
            assert!(told.contains(&words), "{words:?} is not told in {told}");
        }
        bench.kill();
        fs::remove_file(bench.dir.path().join(".ottla-running")).unwrap();
    }
}

#[tokio::test]
async fn a_stop_in_order_with_all_that_it_promised_is_told_without_an_error() {
    let mut bench = with_batches(5).await;
    bench.stop().await;
    let lines = Lines::capture();
    let told = lines.of(async { bench.start().await }).await;
    assert!(!told.contains("ERROR"), "{told}");
}
