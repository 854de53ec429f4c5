//! A recovery that takes its time: what it tells meanwhile, and what it does at the same time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::disk::{Call, Fault, FaultDisk};
use common::lines::Lines;
use common::*;
use ottla_env::{Clock, Env, Timestamp};
use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_types::Offset;
use tokio::sync::Semaphore;

/// Each look at it takes two seconds.
#[derive(Debug, Default)]
struct SlowClock(AtomicU64);

impl Clock for SlowClock {
    fn wall_ms(&self) -> Timestamp {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(2, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_long_recovery_tells_how_far_it_is_every_few_seconds() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 4 << 20, ..LogConfig::default() }).await;
    for _ in 0..100 {
        bench.append(batch(1, 100_000)).await;
    }
    bench.crash();
    let env = Env { clock: Arc::new(SlowClock::default()), ..Env::real() };
    let lines = Lines::capture();
    let told = lines
        .of(async {
            let config_of = |_: &_| Arc::default();
            let opened =
                LogDirs::open(&env, &dirs_config(&[bench.dir.path()]), config_of, NOW_MS).await.unwrap();
            assert_eq!(opened.dirs.get(&partition()).unwrap().end_offset(), Offset(100));
        })
        .await;
    let percents: Vec<u32> = told
        .lines()
        .filter_map(|line| line.split_once("topic-0: recovery has read "))
        .map(|(_, rest)| rest.split_once(" % of ").unwrap().0.parse().unwrap())
        .collect();
    // Ten megabytes, a look for each, and three looks before five seconds are over.
    assert!((2..=4).contains(&percents.len()), "{told}");
    assert!(percents.is_sorted() && percents[0] > 10 && percents[0] < 50, "{percents:?}");
}

#[tokio::test]
async fn each_directory_recovers_its_logs_whatever_another_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["one", "two"].map(|name| dir.path().join(name)).into();
    let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let first = open(&paths, &LogConfig::default()).await;
    for number in 0..8 {
        let log =
            first.create(&partition_of("topic", number), topic_id(), Arc::default(), NOW_MS).await.unwrap();
        log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap();
    }
    drop(first);
    for dir in &dirs {
        std::fs::remove_file(dir.join(".ottla-running")).unwrap();
    }

    let disk = FaultDisk::new();
    let (read, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (seen, held) = (Arc::clone(&read), Arc::clone(&go_on));
    disk.rule(move |call, path| {
        let path = path.to_str().unwrap();
        if call != Call::Read || !path.ends_with(".log") {
            return Fault::None;
        }
        let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
        let is_slow = path.contains("/one/");
        Fault::Waits(Box::pin(async move {
            if is_slow {
                held.acquire().await.unwrap().forget();
            } else {
                seen.add_permits(1);
            }
            Ok(())
        }))
    });
    let opening = tokio::spawn({
        let (env, dirs) = (disk.env(), dirs.clone());
        async move {
            let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
            let config = LogDirsConfig { opened_at_a_time: 1, ..dirs_config(&paths) };
            LogDirs::open(&env, &config, |_| Arc::default(), NOW_MS).await.unwrap()
        }
    });
    // All four of the quick directory, while the slow one has read nothing.
    let all = tokio::time::timeout(Duration::from_secs(60), read.acquire_many(4)).await;
    assert!(all.is_ok(), "the quick directory waits for the slow one");
    go_on.add_permits(1000);
    let opened = opening.await.unwrap();
    assert!(opened.failed_logs.is_empty(), "{:?}", opened.failed_logs);
    assert_eq!(opened.dirs.list().len(), 8);
}
