//! A log that moves to another directory through a copy: nobody who holds it notices, and no crash leaves two or none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::disk::{Fault, FaultDisk};
use common::*;
use ottla_log::{Error, Log, LogConfig, LogDirs};
use ottla_types::{BrokerEpoch, DirectoryId, LeaderEpoch, Offset, TopicPartition};

struct Two {
    one: tempfile::TempDir,
    two: tempfile::TempDir,
    disk: FaultDisk,
    config: Arc<LogConfig>,
    dirs: Option<LogDirs>,
}

impl Two {
    async fn new() -> Self {
        let mut two = Self {
            one: tempfile::tempdir().unwrap(),
            two: tempfile::tempdir().unwrap(),
            disk: FaultDisk::new(),
            config: Arc::new(LogConfig { file_delete_delay_ms: 1000, ..dense() }),
            dirs: None,
        };
        two.disk.set_page_cache("one");
        two.start().await;
        two.dirs().create(&partition(), topic_id(), Arc::clone(&two.config), NOW_MS).await.unwrap();
        two
    }

    async fn start(&mut self) {
        self.dirs = None;
        let config_of = |_: &_| Arc::clone(&self.config);
        let dirs = dirs_config(&[self.one.path(), self.two.path()]);
        let opened = LogDirs::open(&self.disk.env(), &dirs, config_of, NOW_MS).await.unwrap();
        assert!(opened.failed_logs.is_empty() && opened.failed_dirs.is_empty(), "{:?}", opened.failed_logs);
        self.dirs = Some(opened.dirs);
    }

    fn dirs(&self) -> &LogDirs {
        self.dirs.as_ref().unwrap()
    }

    fn log(&self) -> Arc<Log> {
        self.dirs().get(&partition()).unwrap()
    }

    async fn fill(&self, batches: usize) {
        for n in 0..batches {
            let epoch = LeaderEpoch(self.log().end_offset().0 as i32 / 10);
            let sequence = self.log().producers().first().map_or(0, |known| known.last_sequence + 1);
            let plain = if n % 2 == 0 { of_producer(7, 0, sequence, 1) } else { batch(2, 100) };
            self.log().append(prepared(plain), epoch, NOW_MS).await.unwrap();
        }
    }

    /// The directory that the log is not in.
    async fn elsewhere(&self) -> DirectoryId {
        let here = self.log().directory_id();
        self.dirs().dirs().await.iter().find(|dir| dir.id != here).unwrap().id
    }

    async fn begin(&self) -> Arc<Log> {
        self.dirs().create_future(&partition(), self.elsewhere().await, NOW_MS).await.unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = |dir: &Path| -> Vec<String> {
            fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        let mut all = [names(self.one.path()), names(self.two.path())].concat();
        all.sort();
        all
    }
}

async fn copy(log: &Log, future: &Log) {
    while future.end_offset() < log.end_offset() {
        let read =
            log.read(future.end_offset().max(log.start_offset()), 900, true, Offset(i64::MAX)).await.unwrap();
        future.append_replicated(read.into_bytes(), NOW_MS).await.unwrap();
    }
}

async fn everything(log: &Log) -> (Bytes, Vec<(i32, i64)>, (Offset, Offset)) {
    let epochs = log.epochs().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect();
    (read_all(log, log.start_offset()).await, epochs, (log.start_offset(), log.end_offset()))
}

#[tokio::test]
async fn whoever_holds_a_log_goes_on_with_it_in_another_directory() {
    let mut two = Two::new().await;
    two.fill(60).await;
    let log = two.log();
    log.advance_start(Offset(12), NOW_MS).await.unwrap();
    two.dirs().write_high_watermarks([(partition(), Offset(70))]).await.unwrap();
    let (before, from) = (everything(&log).await, log.directory_id());
    let future = two.begin().await;
    future.restart_at(log.start_offset(), NOW_MS).await.unwrap();
    // What was appended since the copier looked last comes too.
    let piece = log.read(log.start_offset(), 900, true, Offset(i64::MAX)).await.unwrap();
    future.append_replicated(piece.into_bytes(), NOW_MS).await.unwrap();
    assert!(future.end_offset() < log.end_offset());
    assert!(two.dirs().replace_with_future(&partition(), NOW_MS).await.unwrap());

    assert!(Arc::ptr_eq(&log, &two.log()) && two.dirs().futures().is_empty());
    assert_ne!(log.directory_id(), from);
    assert_eq!(everything(&log).await, before);
    assert_eq!((log.flushed_offset(), log.checkpointed_high_watermark()), (log.end_offset(), Offset(70)));
    let closed = future.read(Offset(12), 100, true, Offset(i64::MAX)).await.unwrap_err();
    assert!(matches!(closed, Error::Closed { .. }), "{closed}");
    assert_eq!(two.names().len(), 2, "the old one waits to be removed: {:?}", two.names());
    two.dirs().remove_deleted(NOW_MS + 1000).await.unwrap();
    assert_eq!(two.names(), ["topic-0"]);

    two.fill(30).await;
    log.flush().await.unwrap();
    log.truncate_to(Offset(100), NOW_MS).await.unwrap();
    let after = everything(&log).await;
    let producers = log.producers();
    drop((log, future));
    for end in 0..2 {
        if end == 0 {
            two.dirs().close(BrokerEpoch(3)).await.unwrap();
        }
        two.start().await;
        assert_eq!(everything(&two.log()).await, after);
        assert_eq!(two.log().producers(), producers);
        assert_eq!(two.log().checkpointed_high_watermark(), Offset(70));
        assert_ne!(two.log().directory_id(), from);
    }
    // And back again.
    let future = two.begin().await;
    assert_eq!((future.start_offset(), future.end_offset(), future.epochs()), (Offset(0), Offset(0), vec![]));
    future.restart_at(two.log().start_offset(), NOW_MS).await.unwrap();
    copy(&two.log(), &future).await;
    assert!(two.dirs().replace_with_future(&partition(), NOW_MS).await.unwrap());
    assert_eq!(two.log().directory_id(), from);
    assert_eq!(everything(&two.log()).await, after);
}

#[tokio::test]
async fn a_copy_goes_on_after_a_restart_and_one_that_is_given_up_is_removed() {
    let mut two = Two::new().await;
    two.fill(30).await;
    let future = two.begin().await;
    let piece = two.log().read(Offset(0), 900, true, Offset(i64::MAX)).await.unwrap();
    future.append_replicated(piece.into_bytes(), NOW_MS).await.unwrap();
    let end = future.end_offset();
    assert!(Offset(0) < end && end < two.log().end_offset());
    assert!(Arc::ptr_eq(&future, &two.begin().await), "there is one already");
    drop(future);
    for is_clean in [true, false] {
        if is_clean {
            two.dirs().close(BrokerEpoch(3)).await.unwrap();
        }
        two.start().await;
        assert_eq!(two.dirs().future(&partition()).unwrap().end_offset(), end);
        assert_eq!(two.dirs().list().len(), 1);
    }
    two.dirs().remove_future(&partition(), NOW_MS).await.unwrap();
    two.dirs().remove_deleted(NOW_MS).await.unwrap();
    assert_eq!(two.names(), ["topic-0"]);
    two.begin().await;
    two.dirs().delete(&partition(), NOW_MS).await.unwrap();
    assert!(two.dirs().futures().is_empty());
    two.dirs().remove_deleted(NOW_MS + 1000).await.unwrap();
    assert_eq!(two.names(), [""; 0]);
}

#[tokio::test]
async fn a_copy_that_parts_from_the_log_does_not_take_its_place() {
    let two = Two::new().await;
    two.fill(10).await;
    let future = two.begin().await;
    copy(&two.log(), &future).await;
    let end = two.log().end_offset();
    two.log().truncate_to(Offset(end.0 - 1), NOW_MS).await.unwrap();
    two.log()
        .append(prepared(batch((end.0 - two.log().end_offset().0) as usize, 1)), LeaderEpoch(9), NOW_MS)
        .await
        .unwrap();
    assert_eq!(two.log().end_offset(), future.end_offset());
    assert!(!two.dirs().replace_with_future(&partition(), NOW_MS).await.unwrap());
    assert!(two.dirs().future(&partition()).is_some());
}

#[tokio::test]
async fn what_cannot_be_moved_there_is_refused() {
    let two = Two::new().await;
    let here = two.log().directory_id();
    let refused = async |partition: &TopicPartition, directory| {
        two.dirs().create_future(partition, directory, NOW_MS).await.unwrap_err()
    };
    let error = refused(&partition(), here).await;
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    let error = refused(&partition_of("none", 0), two.elsewhere().await).await;
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    let error = refused(&partition(), DirectoryId::from_random([9; 16])).await;
    assert!(matches!(error, Error::NoDirOnline), "{error}");
    let long = partition_of(&"t".repeat(249), 0);
    two.dirs().create(&long, topic_id(), Arc::clone(&two.config), NOW_MS).await.unwrap();
    let here = two.dirs().get(&long).unwrap().directory_id();
    let there = two.dirs().dirs().await.iter().find(|dir| dir.id != here).unwrap().id;
    let error = refused(&long, there).await;
    assert!(matches!(error, Error::NameTooLong { .. }), "{error}");
}

#[tokio::test]
async fn no_end_on_the_way_leaves_two_logs_or_none() {
    let mut steps = 0;
    loop {
        let mut two = Two::new().await;
        two.fill(25).await;
        let future = two.begin().await;
        copy(&two.log(), &future).await;
        let before = everything(&two.log()).await;
        let left = AtomicUsize::new(steps);
        two.disk.rule(move |call, _| {
            let takes_one = |left: usize| left.checked_sub(1);
            let is_over =
                call.changes() && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes_one).is_err();
            if is_over { Fault::Fails(std::io::ErrorKind::Other) } else { Fault::None }
        });
        let moved = two.dirs().replace_with_future(&partition(), NOW_MS).await;
        two.disk.heal();
        drop(future);
        two.start().await;
        assert_eq!(everything(&two.log()).await, before, "after {steps} steps");
        assert_eq!(two.dirs().list().len(), 1);
        two.fill(3).await;
        let names = two.names();
        assert_eq!(names.iter().filter(|name| *name == "topic-0").count(), 1, "{names:?}");
        if moved.is_ok_and(|moved| moved) && two.dirs().offline().is_empty() && steps > 30 {
            break;
        }
        steps += 1;
    }
}
