//! A disk that fails, and calls that are given up half-way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{Error, Log, LogConfig, LogDirs, OpenedDirs};
use ottla_types::{BrokerEpoch, ErrorCode, Offset};

struct Setup {
    dir: tempfile::TempDir,
    disk: FaultDisk,
    dirs: LogDirs,
    log: Arc<Log>,
}

async fn reopen(disk: &FaultDisk, dirs: &[&Path], config: &Arc<LogConfig>) -> OpenedDirs {
    let config_of = |_: &_| Arc::clone(config);
    LogDirs::open(&disk.env(), &dirs_config(dirs), config_of, NOW_MS).await.unwrap()
}

/// Two directories, `one` with a log of three batches.
async fn setup(config: LogConfig) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let config = Arc::new(config);
    let dirs = reopen(&disk, &[&one, &two], &config).await.dirs;
    let log = dirs.create(&partition(), topic_id(), config, NOW_MS).await.unwrap();
    assert!(log.dir().starts_with(&one));
    for _ in 0..3 {
        log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap();
    }
    Setup { dir, disk, dirs, log }
}

impl Setup {
    /// The file that the log of `one` is in.
    fn segment(&self) -> PathBuf {
        self.log.dir().join("00000000000000000000.log")
    }

    /// A log in the other directory.
    async fn other(&self) -> Arc<Log> {
        let other = partition_of("other", 0);
        let other = self.dirs.create(&other, topic_id(), Arc::default(), NOW_MS).await.unwrap();
        assert!(other.dir().starts_with(self.dir.path().join("two")));
        other
    }

    /// Begins an append and gives it up while it waits for the disk.
    async fn give_up_append(&self) {
        let append = self.log.append(prepared(batch(1, 700)), EPOCH, NOW_MS);
        tokio::select! {
            biased;
            result = append => panic!("the append was to hang: {result:?}"),
            () = tokio::task::yield_now() => {}
        }
    }

    /// Whatever happened, the log is as long as this, goes on, and is found again by the next start.
    async fn check_and_restart(self, end: i64) {
        assert_eq!(self.log.end_offset(), Offset(end));
        let appended = self.log.append(prepared(batch(2, 30)), EPOCH, NOW_MS).await.unwrap();
        assert_eq!(appended.base_offset, Offset(end));
        let content = read_all(&self.log, Offset(0)).await;
        let Setup { dir, dirs, log, .. } = self;
        drop((dirs, log));
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let dirs = open(&[&one, &two], &dense()).await;
        let log = dirs.get(&partition()).unwrap();
        assert_eq!(log.end_offset(), Offset(end + 2));
        assert_eq!(read_all(&log, Offset(0)).await, content);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_batch_and_the_log_goes_on_when_there_is_room() {
    let setup = setup(LogConfig::default()).await;
    let other = setup.other().await;
    setup.disk.fault(Call::Write, "one/topic-0/00000000000000000000.log", || Fault::Half);
    for _ in 0..2 {
        let at = setup.log.size_bytes();
        let error = setup.log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap_err();
        assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::StorageFull), "{error}");
        let place = format!("at byte {at} of {}", setup.segment().display());
        assert!(error.to_string().contains(&place), "{error}");
        assert_eq!(error.code(), ErrorCode::KafkaStorageError);
    }
    other.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap();
    other.flush().await.unwrap();
    drop(other);
    // What is there can be read, and made durable.
    assert_eq!(offsets_of(&read_all(&setup.log, Offset(0)).await).len(), 3);
    assert_eq!(setup.log.flush().await.unwrap(), Offset(3));
    setup.disk.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn a_disk_that_is_full_when_a_segment_begins_leaves_no_gap() {
    let setup = setup(dense()).await;
    setup.disk.fault(Call::Write, ".snapshot", || Fault::Half);
    assert!(setup.log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.is_err());
    setup.disk.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn an_append_that_is_given_up_in_its_write_leaves_nothing_behind() {
    let setup = setup(LogConfig::default()).await;
    setup.disk.fault(Call::Write, ".log", || Fault::Hangs);
    setup.give_up_append().await;
    setup.disk.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn an_append_that_is_given_up_while_it_rolls_leaves_a_log_that_goes_on() {
    for place in [".snapshot", "3.log", ".index"] {
        let setup = setup(dense()).await;
        setup.disk.rule(move |call, path| {
            let opens = matches!(call, Call::Open | Call::Create);
            let hit = opens && path.to_str().unwrap().contains(place);
            if hit { Fault::Hangs } else { Fault::None }
        });
        setup.give_up_append().await;
        setup.disk.heal();
        // With room again in the old segment, the next append still goes to the new one.
        setup.log.set_config(Arc::new(LogConfig::default()));
        setup.check_and_restart(3).await;
    }
}

#[tokio::test]
async fn a_failed_fsync_takes_its_directory_offline_and_no_other() {
    let setup = setup(LogConfig::default()).await;
    let other = setup.other().await;
    setup.disk.fault(Call::Sync, ".log", || Fault::Fails(io::ErrorKind::Other));
    assert!(setup.log.flush().await.is_err());
    setup.disk.heal();
    // Never tried again as if it might still work: the kernel may have dropped what it could not write.
    let error = setup.log.flush().await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert_eq!(setup.log.flushed_offset(), Offset(0));
    assert!(setup.log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.is_err());
    assert_eq!(setup.log.read(Offset(0), 1, true, Offset(9)).await.unwrap().next_offset, Offset(1));

    other.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap();
    other.flush().await.unwrap();
    let states: Vec<bool> = setup.dirs.dirs().await.iter().map(|dir| dir.failure.is_some()).collect();
    assert_eq!(states, [true, false]);
    // New logs go to the one that works, and only that one is closed in order.
    let third =
        setup.dirs.create(&partition_of("third", 0), topic_id(), Arc::default(), NOW_MS).await.unwrap();
    assert!(third.dir().starts_with(setup.dir.path().join("two")));
    assert!(setup.dirs.close(BrokerEpoch(1)).await.is_err());
    assert!(!setup.dir.path().join("one/.kafka_cleanshutdown").exists());
    assert!(setup.dir.path().join("two/.kafka_cleanshutdown").exists());
}

#[tokio::test]
async fn a_directory_that_becomes_read_only_refuses_batches_and_then_flushes_and_the_other_goes_on() {
    let setup = setup(LogConfig::default()).await;
    let other = setup.other().await;
    setup.disk.read_only("/one");
    let error = setup.log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem), "{error}");
    assert!(error.to_string().contains(setup.segment().to_str().unwrap()), "{error}");
    assert_eq!(offsets_of(&read_all(&setup.log, Offset(0)).await).len(), 3, "what is there can be read");
    let error = setup.log.flush().await.unwrap_err();
    assert!(error.to_string().contains(setup.segment().to_str().unwrap()), "{error}");
    let error = setup.log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");

    other.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap();
    other.flush().await.unwrap();
    assert!(setup.dirs.close(BrokerEpoch(1)).await.is_err());
    assert!(!setup.dir.path().join("one/.kafka_cleanshutdown").exists());
    assert!(setup.dir.path().join("two/.kafka_cleanshutdown").exists());
}

#[tokio::test]
async fn a_directory_that_can_only_be_read_takes_no_part_in_the_next_start_and_the_other_does() {
    let setup = setup(LogConfig::default()).await;
    let other = setup.other().await;
    other.append(prepared(batch(4, 1)), EPOCH, NOW_MS).await.unwrap();
    setup.dirs.close(BrokerEpoch(1)).await.unwrap();
    let Setup { dir, disk, dirs, log } = setup;
    drop((dirs, log, other));
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    disk.read_only("/one");
    let opened = reopen(&disk, &[&one, &two], &Arc::default()).await;
    let [(path, error)] = &opened.failed_dirs[..] else { panic!("{:?}", opened.failed_dirs) };
    assert_eq!(*path, one);
    assert!(error.to_string().contains(one.join(".lock").to_str().unwrap()), "{error}");
    assert!(!opened.dirs.is_whole() && opened.dirs.get(&partition()).is_none());
    let other = opened.dirs.get(&partition_of("other", 0)).unwrap();
    assert_eq!(other.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap().base_offset, Offset(4));
    opened.dirs.close(BrokerEpoch(1)).await.unwrap();
    drop((opened, other));

    // With the directory as it was, everything is there.
    disk.heal();
    let opened = reopen(&disk, &[&one, &two], &Arc::default()).await;
    assert!(opened.failed_dirs.is_empty() && opened.failed_logs.is_empty());
    assert_eq!(opened.dirs.get(&partition()).unwrap().end_offset(), Offset(3));
    assert_eq!(opened.dirs.get(&partition_of("other", 0)).unwrap().end_offset(), Offset(5));
}

#[tokio::test]
async fn a_directory_that_can_only_be_read_alone_is_the_error_of_the_start() {
    let setup = setup(LogConfig::default()).await;
    setup.dirs.close(BrokerEpoch(1)).await.unwrap();
    setup.disk.read_only("/one");
    let one = setup.dir.path().join("one");
    let config_of = |_: &_| Arc::default();
    let error =
        LogDirs::open(&setup.disk.env(), &dirs_config(&[&one]), config_of, NOW_MS).await.err().unwrap();
    assert!(error.to_string().contains(one.join(".lock").to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_directory_that_fails_and_cannot_say_so_is_noted_in_another_one() {
    let setup = setup(LogConfig::default()).await;
    setup.disk.set_page_cache("one and the same");
    let Setup { dir, disk, dirs, log } = setup;
    drop((dirs, log));
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let opened = reopen(&disk, &[&one, &two], &Arc::default()).await;
    let log = opened.dirs.get(&partition()).unwrap();
    for _ in 0..100 {
        log.append(prepared(batch(1, 20_000)), EPOCH, NOW_MS).await.unwrap();
    }
    let size = log.size_bytes();
    disk.read_only("/one");
    assert!(log.flush().await.is_err());
    assert!(one.join(".ottla-running").exists());
    let notes = || -> Vec<String> {
        let names =
            std::fs::read_dir(&two).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".ottla-distrusted-")).collect()
    };
    assert_eq!(notes(), [format!(".ottla-distrusted-{}", opened.dirs.dirs().await[0].id)]);
    drop((opened, log));

    disk.heal();
    disk.take_read_bytes();
    let opened = reopen(&disk, &[&one, &two], &Arc::default()).await;
    assert!(disk.take_read_bytes() >= size, "all of it is looked through");
    assert_eq!(opened.dirs.get(&partition()).unwrap().end_offset(), Offset(103));
    assert!(notes().is_empty());
    drop(opened);
    reopen(&disk, &[&one, &two], &Arc::default()).await;
    assert!(disk.take_read_bytes() < size, "once looked through, it is trusted again");
}
