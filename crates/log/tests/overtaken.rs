//! Reads that something overtakes while they wait for the disk: a truncation, or a deletion of the log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{Error, Log, LogConfig, LogDirs};
use ottla_types::{LeaderEpoch, Offset, TopicId};
use tokio::sync::Semaphore;

const MAX: Offset = Offset(i64::MAX);

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lets a call of a kind on a segment wait until it is told to go on.
struct Held {
    reached: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Held {
    /// The first one waits before it is done.
    fn first(disk: &FaultDisk, call: Call) -> Self {
        Self::nth(disk, call, 0, |wait| {
            Fault::Waits(Box::pin(async move {
                wait.await;
                Ok(())
            }))
        })
    }

    fn nth(
        disk: &FaultDisk,
        call: Call,
        nth: usize,
        fault: impl Fn(Wait) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let held = Self { reached: Arc::new(Semaphore::new(0)), go_on: Arc::new(Semaphore::new(0)) };
        let (reached, go_on) = (Arc::clone(&held.reached), Arc::clone(&held.go_on));
        let calls = AtomicUsize::new(0);
        disk.fault(call, "topic-0/00000000000000000000.log", move || {
            if calls.fetch_add(1, Ordering::SeqCst) != nth {
                return Fault::None;
            }
            let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
            fault(Box::pin(async move {
                reached.add_permits(1);
                go_on.acquire().await.unwrap().forget();
            }))
        });
        held
    }

    async fn is_reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }
}

struct Setup {
    _dir: tempfile::TempDir,
    disk: FaultDisk,
    dirs: LogDirs,
    log: Arc<Log>,
}

/// A log of five batches.
async fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let config_of = |_: &_| Arc::new(LogConfig::default());
    let opened = LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
    let dirs = opened.dirs;
    let log = dirs.create(&partition(), topic_id(), Arc::default(), NOW_MS).await.unwrap();
    for _ in 0..5 {
        log.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap();
    }
    Setup { _dir: dir, disk, dirs, log }
}

#[tokio::test]
async fn where_a_read_ended_that_a_truncation_overtook_is_no_place_to_read_on() {
    let Setup { disk, log, .. } = &setup().await;
    // The first finds the place; the second has read what is there, and is late to say so.
    let held = Held::nth(disk, Call::Read, 1, Fault::Late);
    let reading = tokio::spawn({
        let log = Arc::clone(log);
        async move { log.read(Offset(0), 3 * 600, true, MAX).await }
    });
    held.is_reached().await;
    log.truncate_to(Offset(1), NOW_MS).await.unwrap();
    // Of other lengths, so that where the fourth batch stood there is the middle of another one.
    for len in [900, 900, 700, 300] {
        log.append(prepared(batch(1, len)), EPOCH, NOW_MS).await.unwrap();
    }
    held.go_on.add_permits(1);
    assert!(reading.await.unwrap().unwrap().next_offset > Offset(0));
    // There first: each read notes where it ended, and only the last few places are kept.
    for offset in [3, 0, 1, 2, 4] {
        disk.take_read_bytes();
        let read = log.read(Offset(offset), 1, true, MAX).await.unwrap();
        assert_eq!(read.next_offset, Offset(offset + 1));
        assert!(disk.take_read_bytes() > 0, "memory has no such places");
    }
}

#[tokio::test]
async fn a_read_of_a_log_that_is_deleted_meanwhile_finds_nothing_of_the_one_that_takes_its_name() {
    for lookup in [false, true] {
        let Setup { disk, dirs, log, .. } = &setup().await;
        log.flush().await.unwrap();
        log.release_idle_files();
        let held = Held::first(disk, Call::Open);
        let reading = tokio::spawn({
            let log = Arc::clone(log);
            async move {
                if lookup {
                    return log.offset_for_timestamp(NOW_MS).await.map(|found| format!("{found:?}"));
                }
                log.read(Offset(0), 1 << 20, true, MAX).await.map(|read| format!("{read:?}"))
            }
        });
        held.is_reached().await;
        dirs.delete(&partition(), NOW_MS).await.unwrap();
        let fresh = dirs.create(&partition(), TopicId([9; 16]), Arc::default(), NOW_MS).await.unwrap();
        for _ in 0..8 {
            fresh.append(prepared(batch(1, 500)), EPOCH, NOW_MS).await.unwrap();
        }
        held.go_on.add_permits(1);
        let result = reading.await.unwrap();
        assert!(matches!(result, Err(Error::Closed { .. })), "{result:?}");
        assert_eq!(offsets_of(&read_all(&fresh, Offset(0)).await).len(), 8);
    }
}

#[tokio::test]
async fn a_leadership_that_begins_during_an_append_begins_behind_it() {
    let Setup { disk, log, .. } = &setup().await;
    let held = Held::first(disk, Call::Write);
    let appending = tokio::spawn({
        let log = Arc::clone(log);
        async move { log.append(prepared(batch(2, 10)), EPOCH, NOW_MS).await }
    });
    held.is_reached().await;
    let beginning = tokio::spawn({
        let log = Arc::clone(log);
        async move { log.begin_epoch(LeaderEpoch(4)).await }
    });
    // It gets its turn to overtake the append.
    tokio::task::yield_now().await;
    held.go_on.add_permits(1);
    assert_eq!(appending.await.unwrap().unwrap().base_offset, Offset(5));
    beginning.await.unwrap();
    assert_eq!(log.epoch_for_offset(Offset(6)), Some(EPOCH));
    assert_eq!(log.epoch_end_offset(EPOCH), Some((EPOCH, Offset(7))));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
}
