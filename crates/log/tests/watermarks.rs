//! High watermarks over restarts: `replication-offset-checkpoint` of each log directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{LogConfig, LogDirs};
use ottla_types::{Offset, TopicId};

const FILE: &str = "replication-offset-checkpoint";

async fn filled(records: usize) -> Bench {
    let bench = Bench::new(LogConfig::default()).await;
    for _ in 0..records {
        bench.append(batch(1, 10)).await;
    }
    bench
}

impl Bench {
    async fn mark(&self, offset: i64) {
        self.dirs().write_high_watermarks([(partition(), Offset(offset))]).await.unwrap();
    }

    fn marked(&self) -> Offset {
        self.log().checkpointed_high_watermark()
    }

    fn mark_file(&self) -> String {
        fs::read_to_string(self.dir.path().join(FILE)).unwrap()
    }
}

#[tokio::test]
async fn a_watermark_is_written_in_kafkas_form_and_is_there_after_any_end() {
    let mut bench = filled(9).await;
    assert_eq!(bench.marked(), Offset(0));
    bench.mark(7).await;
    assert_eq!(bench.mark_file(), "0\n1\ntopic 0 7\n");
    bench.restart().await;
    assert_eq!(bench.marked(), Offset(7));
    bench.kill();
    bench.start().await;
    assert_eq!(bench.marked(), Offset(7));
}

#[tokio::test]
async fn a_missing_or_damaged_file_says_nothing() {
    let mut bench = filled(5).await;
    bench.mark(4).await;
    for damage in [None, Some(&b"0\n2\ntopic 0 4\n"[..]), Some(b"\xff\xfe")] {
        bench.stop().await;
        let path = bench.dir.path().join(FILE);
        match damage {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        bench.start().await;
        assert_eq!(bench.marked(), Offset(0));
        bench.mark(3).await;
        assert_eq!(bench.marked(), Offset(3));
    }
}

#[tokio::test]
async fn a_watermark_lies_within_its_log() {
    let mut bench = filled(5).await;
    bench.mark(5).await;
    bench.stop().await;
    fs::write(bench.dir.path().join(FILE), "0\n1\ntopic 0 900\n").unwrap();
    bench.start().await;
    assert_eq!(bench.marked(), Offset(5));
    bench.log().advance_start(Offset(4), NOW_MS).await.unwrap();
    bench.mark(1).await;
    assert_eq!(bench.marked(), Offset(4));
}

#[tokio::test]
async fn a_truncation_takes_the_watermark_with_it_before_others_take_the_records_place() {
    let mut bench = filled(9).await;
    bench.mark(8).await;
    bench.log().truncate_to(Offset(3), NOW_MS).await.unwrap();
    for _ in 0..9 {
        bench.append(batch(1, 10)).await;
    }
    bench.kill();
    bench.start().await;
    assert_eq!((bench.marked(), bench.log().end_offset()), (Offset(3), Offset(12)));
    bench.log().restart_at(Offset(1), NOW_MS).await.unwrap();
    bench.append(batch(5, 10)).await;
    bench.kill();
    bench.start().await;
    assert_eq!((bench.marked(), bench.log().end_offset()), (Offset(1), Offset(6)));
}

#[tokio::test]
async fn what_a_power_loss_took_is_not_committed_by_what_comes_in_its_place() {
    let mut bench = filled(5).await;
    bench.mark(5).await;
    bench.crash();
    let size = fs::metadata(bench.segment(0)).unwrap().len();
    fs::File::options().write(true).open(bench.segment(0)).unwrap().set_len(size / 5 * 2).unwrap();
    bench.start().await;
    assert_eq!((bench.marked(), bench.log().end_offset()), (Offset(2), Offset(2)));
    bench.append(batch(6, 10)).await;
    bench.kill();
    bench.start().await;
    assert_eq!((bench.marked(), bench.log().end_offset()), (Offset(2), Offset(8)));
}

#[tokio::test]
async fn the_next_log_of_a_name_has_no_watermark() {
    let mut bench = filled(9).await;
    bench.mark(8).await;
    bench.dirs().delete(&partition(), NOW_MS).await.unwrap();
    assert_eq!(bench.mark_file(), "0\n0\n");
    bench.dirs().create(&partition(), TopicId([8; 16]), std::sync::Arc::default(), NOW_MS).await.unwrap();
    bench.kill();
    bench.start().await;
    bench.append(batch(9, 10)).await;
    assert_eq!(bench.marked(), Offset(0));
    // Of a partition that is not here nothing is noted.
    bench.dirs().write_high_watermarks([(partition_of("other", 1), Offset(5))]).await.unwrap();
    assert_eq!(bench.mark_file(), "0\n0\n");
}

#[tokio::test]
async fn what_has_not_changed_is_not_written_and_what_cannot_be_takes_the_directory_offline() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let config_of = |_: &_| std::sync::Arc::new(LogConfig::default());
    let opened = LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
    let log = opened.dirs.create(&partition(), topic_id(), config_of(&partition()), NOW_MS).await.unwrap();
    log.append(prepared(batch(3, 10)), EPOCH, NOW_MS).await.unwrap();
    let mark = |offset| opened.dirs.write_high_watermarks([(partition(), Offset(offset))]);
    mark(2).await.unwrap();
    disk.fault(Call::Sync, FILE, || Fault::Fails(std::io::ErrorKind::Other));
    mark(2).await.unwrap();
    mark(3).await.unwrap_err();
    assert_eq!(opened.dirs.offline().len(), 1);
}
