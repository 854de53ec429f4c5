//! A log that is emptied to go on elsewhere: what a follower does that has fallen below its leader's start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::sync::Arc;

use common::disk::{Call, Fault, FaultDisk};
use common::*;
use ottla_log::{Error, LogDirs};
use ottla_types::{BrokerEpoch, LeaderEpoch, Offset, ProducerId};

async fn filled() -> Bench {
    let bench = Bench::new(dense()).await;
    bench.log().begin_epoch(LeaderEpoch(3)).await;
    for n in 0..30 {
        let plain = if n % 2 == 0 { of_producer(7, 0, n, 2) } else { batch(1, 100) };
        bench.log().append(prepared(plain), LeaderEpoch(3), NOW_MS).await.unwrap();
        if n == 15 {
            bench.log().flush().await.unwrap();
        }
    }
    assert!(bench.log().segment_count() > 2);
    bench
}

fn files(bench: &Bench) -> Vec<String> {
    let names = fs::read_dir(bench.partition_dir()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn nothing_of_what_was_there_is_left() {
    for offset in [1000, 45, 20, 0] {
        let mut bench = filled().await;
        bench.log().note_reader_at_end();
        bench.log().restart_at(Offset(offset), NOW_MS).await.unwrap();
        for end in 0..3 {
            let log = bench.log();
            assert_eq!((log.start_offset(), log.end_offset()), (Offset(offset), Offset(offset)), "end {end}");
            // After a kill that is what the last checkpoint said.
            assert!(log.flushed_offset() == Offset(offset) || end == 1, "nothing waits to be durable");
            assert_eq!((log.epochs(), log.latest_epoch()), (vec![], None));
            assert_eq!(log.producers(), []);
            assert_eq!((log.segment_count(), log.size_bytes()), (1, 0));
            assert!(log.read(Offset(offset), 100, true, Offset(i64::MAX)).await.unwrap().is_empty());
            match end {
                0 => {
                    bench.kill();
                    bench.start().await;
                }
                1 => bench.restart().await,
                _ => {}
            }
        }
        // What comes next is a log like any other.
        let appended = bench.append(of_producer(7, 0, 9, 2)).await;
        assert_eq!(appended.base_offset, Offset(offset));
        bench.crash();
        bench.start().await;
        assert_eq!(bench.log().end_offset(), Offset(offset + 2));
        assert_eq!(bench.log().producers()[0].producer_id, ProducerId(7));
    }
}

#[tokio::test]
async fn a_crash_on_the_way_leaves_the_old_log_or_the_new_beginning() {
    // Each change of the disk in turn is the last one.
    for offset in [1000, 20] {
        let mut steps = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let disk = FaultDisk::new();
            let config = Arc::new(dense());
            let config_of = |_: &_| Arc::clone(&config);
            let opened =
                LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
            let log = opened.dirs.create(&partition(), topic_id(), config.clone(), NOW_MS).await.unwrap();
            for n in 0..30 {
                let plain = if n % 2 == 0 { of_producer(7, 0, n / 2, 1) } else { batch(1, 200) };
                log.append(prepared(plain), LeaderEpoch(3), NOW_MS).await.unwrap();
            }
            log.flush().await.unwrap();
            let left = std::sync::atomic::AtomicUsize::new(steps);
            disk.rule(move |call, _| {
                if !call.changes() {
                    return Fault::None;
                }
                let more = left.fetch_update(
                    std::sync::atomic::Ordering::SeqCst,
                    std::sync::atomic::Ordering::SeqCst,
                    |left| left.checked_sub(1),
                );
                if more.is_ok() { Fault::None } else { Fault::Fails(std::io::ErrorKind::Other) }
            });
            let done = log.restart_at(Offset(offset), NOW_MS).await;
            if done.is_err() {
                let error = log.append(prepared(batch(1, 1)), LeaderEpoch(4), NOW_MS).await.unwrap_err();
                assert!(matches!(error, Error::Offline { .. }), "{error}");
            }
            drop((log, opened));
            let dirs = open(&[dir.path()], &config).await;
            let log = dirs.get(&partition()).unwrap();
            let range = (log.start_offset().0, log.end_offset().0);
            match done {
                Ok(()) => assert_eq!(range, (offset, offset)),
                Err(_) => assert!(
                    range == (0, 30)
                        || range.0 == offset && (range.1 == offset || range.1 <= 30)
                        || range.0 == 0 && range.1 <= 30,
                    "{range:?} after {steps} steps"
                ),
            }
            if range.0 == range.1 {
                assert_eq!((log.epochs(), log.producers()), (vec![], vec![]), "after {steps} steps");
            }
            read_all(&log, log.start_offset()).await;
            if done.is_ok() {
                assert!(steps > 5);
                break;
            }
            steps += 1;
        }
    }
}

#[tokio::test]
async fn a_segment_that_was_begun_and_not_ended_does_not_come_back() {
    let bench = filled().await;
    bench.log().restart_at(Offset(70), NOW_MS).await.unwrap();
    let logs: Vec<String> = files(&bench).into_iter().filter(|name| name.ends_with(".log")).collect();
    assert_eq!(logs, ["00000000000000000070.log"]);
    assert!(!files(&bench).iter().any(|name| name.ends_with(".snapshot")));
}

#[tokio::test]
async fn a_truncation_that_is_dropped_in_the_middle_is_left_to_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::new();
    let config = Arc::new(dense());
    let config_of = |_: &_| Arc::clone(&config);
    let opened = LogDirs::open(&disk.env(), &dirs_config(&[dir.path()]), config_of, NOW_MS).await.unwrap();
    let log = opened.dirs.create(&partition(), topic_id(), config.clone(), NOW_MS).await.unwrap();
    for _ in 0..30 {
        log.append(prepared(batch(1, 100)), LeaderEpoch(3), NOW_MS).await.unwrap();
    }
    let reached = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&reached);
    disk.fault(Call::SetLen, "0.log", move || {
        tell.notify_one();
        Fault::Hangs
    });
    tokio::select! {
        _ = log.truncate_to(Offset(7), NOW_MS) => panic!("it hangs"),
        () = reached.notified() => {}
    }
    disk.heal();
    let error = log.append(prepared(batch(1, 100)), LeaderEpoch(4), NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    opened.dirs.close(BrokerEpoch(1)).await.unwrap_err();
    drop((log, opened));
    let dirs = open(&[dir.path()], &config).await;
    assert_eq!(dirs.clean_broker_epoch(), None);
    let log = dirs.get(&partition()).unwrap();
    assert!((7..=30).contains(&log.end_offset().0), "{log:?}");
    read_all(&log, Offset(0)).await;
}
