//! Many appends, one fsync: who asks for a flush, who waits for it, and what a failed one does to all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{Error, Log, LogConfig, LogDirs};
use ottla_types::{Offset, TopicId};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

/// Holds every fsync of a segment until a permit is given for it, and counts them.
struct Gate {
    permits: Semaphore,
    begun: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    fails: AtomicBool,
}

impl Gate {
    fn new() -> Arc<Self> {
        let count = || AtomicUsize::new(0);
        Arc::new(Self {
            permits: Semaphore::new(0),
            begun: count(),
            at_once: count(),
            most_at_once: count(),
            fails: AtomicBool::new(false),
        })
    }

    async fn pass(&self) -> io::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) { Err(io::Error::other("no fsync today")) } else { Ok(()) }
    }

    /// Waits until so many fsyncs were begun.
    async fn begun(&self, count: usize) {
        while self.begun.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

struct Gated {
    gate: Arc<Gate>,
    dirs: LogDirs,
    _dir: tempfile::TempDir,
}

impl Gated {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gate = Gate::new();
        let disk = FaultDisk::new();
        let passed = Arc::clone(&gate);
        disk.fault(Call::Sync, ".log", move || {
            let gate = Arc::clone(&passed);
            Fault::Waits(Box::pin(async move { gate.pass().await }))
        });
        let env = disk.env();
        let config_of = |_: &_| Arc::new(LogConfig::default());
        let opened = LogDirs::open(&env, &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
        Self { gate, dirs: opened.dirs, _dir: dir }
    }

    async fn log(&self, index: i32) -> Arc<Log> {
        let config = LogConfig { flush_messages: 1, ..LogConfig::default() };
        let id = TopicId([u8::try_from(index).unwrap() + 1; 16]);
        self.dirs.create(&partition_of("topic", index), id, Arc::new(config), NOW_MS).await.unwrap()
    }
}

async fn append(log: &Log) -> Offset {
    let appended = log.append(prepared(batch(1, 10)), EPOCH, NOW_MS).await.unwrap();
    assert!(appended.flush_due);
    appended.end_offset()
}

#[tokio::test]
async fn all_that_is_appended_during_one_fsync_shares_the_next() {
    let gated = Gated::new().await;
    let log = gated.log(0).await;
    let mut waiting = JoinSet::new();
    for round in 0..2 {
        for _ in 0..32 {
            let end = append(&log).await;
            let log = Arc::clone(&log);
            waiting.spawn(async move { (end, log.flushed_to(end).await.unwrap()) });
        }
        if round == 0 {
            gated.gate.begun(1).await;
        }
    }
    gated.gate.permits.add_permits(2);
    while let Some(waited) = waiting.join_next().await {
        let (end, flushed) = waited.unwrap();
        assert!(flushed >= end);
    }
    assert_eq!((gated.gate.begun.load(Ordering::SeqCst), log.flushed_offset()), (2, Offset(64)));
}

#[tokio::test]
async fn a_flush_is_carried_out_though_nobody_waits_for_it() {
    let gated = Gated::new().await;
    let log = gated.log(0).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&told);
    log.observe_flushes(Arc::new(move |flushed| observer.try_lock().unwrap().push(flushed)));
    let end = append(&log).await;
    let given_up = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.flushed_to(end).await })
    };
    gated.gate.begun(1).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    assert!(told.lock().await.is_empty());
    gated.gate.permits.add_permits(1);
    while log.flushed_offset() < end {
        tokio::task::yield_now().await;
    }
    assert_eq!(*told.lock().await, [end]);
}

#[tokio::test]
async fn many_dirty_logs_have_a_bounded_number_of_fsyncs_under_way() {
    let gated = Gated::new().await;
    let mut waiting = JoinSet::new();
    for index in 0..40 {
        let log = gated.log(index).await;
        let end = append(&log).await;
        waiting.spawn(async move { log.flushed_to(end).await.unwrap() });
    }
    gated.gate.begun(8).await;
    gated.gate.permits.add_permits(40);
    while let Some(waited) = waiting.join_next().await {
        assert_eq!(waited.unwrap(), Offset(1));
    }
    assert_eq!(gated.gate.begun.load(Ordering::SeqCst), 40);
    assert_eq!(gated.gate.most_at_once.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_failed_fsync_fails_all_who_wait_in_its_directory() {
    let gated = Gated::new().await;
    let mut waiting = JoinSet::new();
    for index in 0..20 {
        let log = gated.log(index).await;
        let end = append(&log).await;
        waiting.spawn(async move { (log.flushed_to(end).await, log.flushed_offset()) });
    }
    gated.gate.fails.store(true, Ordering::SeqCst);
    gated.gate.permits.add_permits(20);
    while let Some(waited) = waiting.join_next().await {
        let (result, flushed) = waited.unwrap();
        assert!(matches!(result, Err(Error::Offline { .. })), "{result:?}");
        assert_eq!(flushed, Offset(0));
    }
    // None was tried again, and those that were still queued were not tried at all.
    assert!(gated.gate.begun.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn who_waits_for_what_a_truncation_takes_away_does_not_wait_for_ever() {
    let gated = Gated::new().await;
    let log = gated.log(0).await;
    gated.gate.permits.add_permits(1_000);
    append(&log).await;
    let end = append(&log).await;
    log.truncate_to(Offset(1), NOW_MS).await.unwrap();
    assert!(log.flushed_to(end).await.unwrap() <= Offset(1));
}
