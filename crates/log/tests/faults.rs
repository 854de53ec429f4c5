//! A disk that fails, and calls that are given up half-way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::*;
use ottla_env::disk::{DirEntry, DirLock, DiskSpace, OpenMode, RealDisk};
use ottla_env::{Disk, DiskFuture, Env, File};
use ottla_log::{Error, Log, LogConfig, LogDirs};
use ottla_types::Offset;

/// What is to go wrong with files whose path contains a text.
#[derive(Default)]
struct Faults {
    place: std::sync::Mutex<String>,
    /// Half of a write arrives, and then the disk is full.
    full: AtomicBool,
    sync_fails: AtomicBool,
    /// A write arrives and never says so.
    write_hangs: AtomicBool,
    open_hangs: AtomicBool,
}

impl Faults {
    fn hit(&self, path: &Path, fault: &AtomicBool) -> bool {
        fault.load(Ordering::SeqCst) && path.to_str().unwrap().contains(&*self.place.lock().unwrap())
    }
}

struct FaultyDisk {
    real: RealDisk,
    faults: Arc<Faults>,
}

struct FaultyFile {
    real: Arc<dyn File>,
    faults: Arc<Faults>,
}

fn failed<'a, T>(kind: io::ErrorKind, path: &Path) -> DiskFuture<'a, T> {
    DiskFuture::ready(Err(io::Error::new(kind, format!("a fault was put on {}", path.display()))))
}

impl Disk for FaultyDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        DiskFuture::Pending(Box::pin(async move {
            let real = self.real.open(path, mode).await?;
            if self.faults.hit(path, &self.faults.open_hangs) {
                std::future::pending::<()>().await;
            }
            Ok(Arc::new(FaultyFile { real, faults: Arc::clone(&self.faults) }) as Arc<dyn File>)
        }))
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        self.real.read(path)
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.real.create_dir_all(path)
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        self.real.list(path)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        self.real.rename(from, to)
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.real.remove_file(path)
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.real.remove_dir_all(path)
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.real.sync_dir(path)
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        self.real.lock(path)
    }

    fn space<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, DiskSpace> {
        self.real.space(path)
    }
}

impl File for FaultyFile {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        let half = self.faults.hit(self.path(), &self.faults.full);
        let hangs = self.faults.hit(self.path(), &self.faults.write_hangs);
        DiskFuture::Pending(Box::pin(async move {
            if half {
                let first: Bytes = buffers.concat().into();
                self.real.write_at(offset, &[first.slice(..first.len() / 2)]).await?;
                return failed(io::ErrorKind::StorageFull, self.path()).await;
            }
            self.real.write_at(offset, buffers).await?;
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(())
        }))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        self.real.read_at(offset, len)
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        self.real.size()
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        self.real.set_len(len)
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        if self.faults.hit(self.path(), &self.faults.sync_fails) {
            return failed(io::ErrorKind::Other, self.path());
        }
        self.real.sync()
    }

    fn path(&self) -> &PathBuf {
        self.real.path()
    }
}

struct Setup {
    dir: tempfile::TempDir,
    faults: Arc<Faults>,
    dirs: LogDirs,
    log: Arc<Log>,
}

/// Two directories, `one` with a log of three batches.
async fn setup(config: LogConfig) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let disk = FaultyDisk { real: RealDisk::new(), faults: Arc::clone(&faults) };
    let env = Env { disk: Arc::new(disk), ..Env::real() };
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let config = Arc::new(config);
    let dirs =
        LogDirs::open(&env, &dirs_config(&[&one, &two]), |_| Arc::clone(&config), NOW_MS).await.unwrap().dirs;
    let log = dirs.create(&partition(), topic_id(), config, NOW_MS).await.unwrap();
    assert!(log.dir().starts_with(&one));
    for _ in 0..3 {
        log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap();
    }
    Setup { dir, faults, dirs, log }
}

impl Setup {
    fn fail(&self, fault: impl Fn(&Faults) -> &AtomicBool, place: &str) {
        *self.faults.place.lock().unwrap() = place.to_owned();
        fault(&self.faults).store(true, Ordering::SeqCst);
    }

    fn heal(&self) {
        for fault in
            [&self.faults.full, &self.faults.sync_fails, &self.faults.write_hangs, &self.faults.open_hangs]
        {
            fault.store(false, Ordering::SeqCst);
        }
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
    setup.fail(|faults| &faults.full, ".log");
    let error = setup.log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::StorageFull), "{error}");
    assert!(error.to_string().contains("00000000000000000000.log"), "{error}");
    setup.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn a_disk_that_is_full_when_a_segment_begins_leaves_no_gap() {
    let setup = setup(dense()).await;
    setup.fail(|faults| &faults.full, ".snapshot");
    assert!(setup.log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.is_err());
    setup.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn an_append_that_is_given_up_in_its_write_leaves_nothing_behind() {
    let setup = setup(LogConfig::default()).await;
    setup.fail(|faults| &faults.write_hangs, ".log");
    setup.give_up_append().await;
    setup.heal();
    setup.check_and_restart(3).await;
}

#[tokio::test]
async fn an_append_that_is_given_up_while_it_rolls_leaves_a_log_that_goes_on() {
    for place in [".snapshot", "3.log", ".index"] {
        let setup = setup(dense()).await;
        setup.fail(|faults| &faults.open_hangs, place);
        setup.give_up_append().await;
        setup.heal();
        // With room again in the old segment, the next append still goes to the new one.
        setup.log.set_config(Arc::new(LogConfig::default()));
        setup.check_and_restart(3).await;
    }
}

#[tokio::test]
async fn a_failed_fsync_takes_its_directory_offline_and_no_other() {
    let setup = setup(LogConfig::default()).await;
    let other = partition_of("other", 0);
    let other = setup.dirs.create(&other, topic_id(), Arc::default(), NOW_MS).await.unwrap();
    setup.fail(|faults| &faults.sync_fails, ".log");
    assert!(setup.log.flush().await.is_err());
    setup.heal();
    // Never tried again as if it might still work: the kernel may have dropped what it could not write.
    let error = setup.log.flush().await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert_eq!(setup.log.flushed_offset(), Offset(0));
    assert!(setup.log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.is_err());
    assert_eq!(setup.log.read(Offset(0), 1, true, Offset(9)).await.unwrap().next_offset, Offset(1));

    assert!(other.dir().starts_with(setup.dir.path().join("two")));
    other.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap();
    other.flush().await.unwrap();
    let states: Vec<bool> = setup.dirs.dirs().await.iter().map(|dir| dir.failure.is_some()).collect();
    assert_eq!(states, [true, false]);
    // New logs go to the one that works, and only that one is closed in order.
    let third =
        setup.dirs.create(&partition_of("third", 0), topic_id(), Arc::default(), NOW_MS).await.unwrap();
    assert!(third.dir().starts_with(setup.dir.path().join("two")));
    assert!(setup.dirs.close(ottla_types::BrokerEpoch(1)).await.is_err());
    assert!(!setup.dir.path().join("one/.kafka_cleanshutdown").exists());
    assert!(setup.dir.path().join("two/.kafka_cleanshutdown").exists());
}
