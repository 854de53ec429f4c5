//! Reads with the cache of recent batches equal reads without it, whatever happens to the log in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use ottla_log::{Log, LogConfig, LogDirs};
use ottla_types::Offset;
use proptest::prelude::*;

/// Two logs that get the same changes, and of which one has no cache.
struct Twins {
    with: Bench,
    without: Bench,
    /// Takes memory away from `with`: it shares the bound.
    other: Arc<Log>,
}

#[derive(Debug, Clone)]
enum Op {
    Append { records: usize, len: usize },
    AppendElsewhere { len: usize },
    Read { back: i64, max_bytes: usize, at_least_one: bool, upper_back: i64 },
    Truncate { back: i64 },
    AdvanceStart { back: i64 },
    RetainLess { bytes: i64 },
    Bound { bytes: usize },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..5_usize, prop_oneof![1..50_usize, 50..1500_usize]).prop_map(|(records, len)| Op::Append { records, len }),
        2 => (1..3000_usize).prop_map(|len| Op::AppendElsewhere { len }),
        8 => (0..40_i64, prop_oneof![0..200_usize, 200..6000_usize], any::<bool>(), prop_oneof![3 => Just(0_i64), 1 => 1..10_i64])
            .prop_map(|(back, max_bytes, at_least_one, upper_back)| Op::Read { back, max_bytes, at_least_one, upper_back }),
        1 => (0..20_i64).prop_map(|back| Op::Truncate { back }),
        1 => (0..20_i64).prop_map(|back| Op::AdvanceStart { back }),
        1 => (0..9000_i64).prop_map(|bytes| Op::RetainLess { bytes }),
        1 => prop_oneof![Just(0_usize), 4096..40_000_usize].prop_map(|bytes| Op::Bound { bytes }),
        1 => Just(Op::Restart),
    ]
}

async fn twins() -> Twins {
    let config = LogConfig { segment_bytes: 12_000, index_interval_bytes: 300, ..LogConfig::default() };
    let with = Bench::new(config.clone()).await;
    let without = Bench::new(config).await;
    without.dirs().set_tail_cache_bytes(0);
    with.dirs().set_tail_cache_bytes(40_000);
    let other = elsewhere(with.dirs()).await;
    Twins { with, without, other }
}

async fn elsewhere(dirs: &LogDirs) -> Arc<Log> {
    let config = Arc::new(LogConfig::default());
    dirs.create(&partition_of("other", 0), ottla_types::TopicId([8; 16]), config, NOW_MS).await.unwrap()
}

impl Twins {
    fn logs(&self) -> [&Log; 2] {
        [self.with.log(), self.without.log()]
    }

    async fn step(&mut self, op: &Op) {
        let end = self.with.log().end_offset().0;
        match *op {
            Op::Append { records, len } => {
                for bench in [&self.with, &self.without] {
                    bench.append(batch(records, len)).await;
                }
            }
            Op::AppendElsewhere { len } => {
                let _followed = self.other.read(self.other.end_offset(), 1, true, Offset(i64::MAX)).await;
                self.other.append(prepared(batch(1, len)), EPOCH, NOW_MS).await.unwrap();
            }
            Op::Read { back, max_bytes, at_least_one, upper_back } => {
                self.read(end - back, max_bytes, at_least_one, end - upper_back).await;
            }
            Op::Truncate { back } => {
                for log in self.logs() {
                    log.truncate_to(Offset((end - back).max(0)), NOW_MS).await.unwrap();
                }
            }
            Op::AdvanceStart { back } => {
                for log in self.logs() {
                    log.advance_start(Offset((end - back).max(0)), NOW_MS).await.unwrap();
                }
            }
            Op::RetainLess { bytes } => {
                for log in self.logs() {
                    let before = log.config();
                    log.set_config(Arc::new(LogConfig { retention_bytes: bytes, ..(*before).clone() }));
                    log.apply_retention(Offset(i64::MAX), NOW_MS).await.unwrap();
                    log.set_config(before);
                }
            }
            Op::Bound { bytes } => self.with.dirs().set_tail_cache_bytes(bytes),
            Op::Restart => {
                self.with.restart().await;
                self.without.restart().await;
                self.without.dirs().set_tail_cache_bytes(0);
                self.other = elsewhere(self.with.dirs()).await;
            }
        }
        let [with, without] = self.logs();
        assert_eq!((with.start_offset(), with.end_offset()), (without.start_offset(), without.end_offset()));
    }

    /// One is the front of the other, since without memory a read ends with its segment; and who reads on from there
    /// gets the same.
    async fn read(&self, from: i64, max_bytes: usize, at_least_one: bool, upper: i64) {
        let mut results = Vec::new();
        for log in self.logs() {
            results.push(log.read(Offset(from), max_bytes, at_least_one, Offset(upper)).await);
        }
        match (&results[0], &results[1]) {
            (Ok(with), Ok(without)) => {
                let (with, without) = (with.clone(), without.clone());
                let ends = (with.next_offset, without.next_offset);
                assert_eq!(with.size_bytes, with.chunks.iter().map(bytes::Bytes::len).sum::<usize>());
                let (with, without) = (with.into_bytes(), without.into_bytes());
                assert!(with.starts_with(&without), "{:?} {:?}", offsets_of(&with), offsets_of(&without));
                assert!(with.is_empty() == without.is_empty() && ends.0 >= ends.1);
                assert!(
                    ends.0.0 <= upper.max(from) && (with.len() <= max_bytes || offsets_of(&with).len() == 1)
                );
            }
            (Err(with), Err(without)) => assert_eq!(with.code(), without.code()),
            differ => panic!("{differ:?}"),
        }
        let [with, without] = self.logs();
        let from = Offset(from.clamp(with.start_offset().0, with.end_offset().0));
        assert_eq!(read_all(with, from).await, read_all(without, from).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_with_the_cache_equal_reads_without_it(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut twins = twins().await;
            for op in &ops {
                twins.step(op).await;
            }
        });
    }
}

/// Damages the file, so that only memory can have the batches.
fn damage(bench: &Bench) {
    let path = bench.segment(0);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0xff; usize::try_from(len).unwrap()]).unwrap();
}

#[tokio::test]
async fn a_tailing_reader_needs_no_file() {
    let bench = Bench::new(LogConfig::default()).await;
    let log = bench.log();
    assert!(log.read(Offset(0), 100, true, Offset(i64::MAX)).await.unwrap().is_empty());
    for _ in 0..3 {
        bench.append(batch(2, 100)).await;
    }
    damage(&bench);
    assert_eq!(offsets_of(&read_all(log, Offset(0)).await), [(0, 1), (2, 3), (4, 5)]);
    log.read(Offset(6), 100, true, Offset(i64::MAX)).await.unwrap();
}

#[tokio::test]
async fn truncated_batches_are_not_read_from_memory() {
    let bench = Bench::new(LogConfig::default()).await;
    let log = bench.log();
    assert!(log.read(Offset(0), 100, true, Offset(i64::MAX)).await.unwrap().is_empty());
    for len in [10, 20, 30] {
        bench.append(batch(1, len)).await;
    }
    log.truncate_to(Offset(1), NOW_MS).await.unwrap();
    let other = batch(1, 40);
    bench.append(other.clone()).await;
    let read = log.read(Offset(1), 10_000, true, Offset(i64::MAX)).await.unwrap().into_bytes();
    assert_eq!(read.len(), other.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_appends_see_every_batch_once_and_nothing_above_the_end() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 20_000, ..LogConfig::default() }).await;
    bench.dirs().set_tail_cache_bytes(16_000);
    let dirs = Arc::new(bench.dirs.take().unwrap());
    let log = dirs.get(&partition()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [100_usize, 3_000, 100_000]
        .into_iter()
        .map(|max_bytes| {
            let (log, done) = (Arc::clone(&log), Arc::clone(&done));
            tokio::spawn(async move {
                let mut next = Offset(0);
                loop {
                    let last_look = done.load(Ordering::Acquire);
                    let read = log.read(next, max_bytes, true, Offset(i64::MAX)).await.unwrap();
                    assert!(read.next_offset <= log.end_offset());
                    let (after, found) = (read.next_offset, offsets_of(&read.into_bytes()));
                    for (base, last) in found {
                        assert_eq!(base, next.0);
                        next = Offset(last + 1);
                    }
                    assert_eq!(after, next);
                    if last_look && next == log.end_offset() {
                        return next;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for i in 0..2_000_usize {
        log.append(prepared(batch(1 + i % 3, i % 700)), EPOCH, NOW_MS).await.unwrap();
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), log.end_offset());
    }
}
