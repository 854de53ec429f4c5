//! Several log directories: who owns them, where logs go, how they are deleted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::*;
use ottla_env::Env;
use ottla_log::{Error, LogConfig, LogDirs, LogDirsConfig};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, Offset, TopicId};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn create(dirs: &LogDirs, topic: &str, partition: i32) -> Arc<ottla_log::Log> {
    dirs.create(&partition_of(topic, partition), topic_id(), Arc::default(), NOW_MS).await.unwrap()
}

#[tokio::test]
async fn a_directory_that_is_open_cannot_be_opened_again() {
    let bench = Bench::new(LogConfig::default()).await;
    let error = try_open(&[bench.dir.path()], &LogConfig::default()).await.err().unwrap();
    assert!(matches!(error, Error::DirInUse { .. }), "{error}");
    assert!(error.to_string().contains(bench.dir.path().to_str().unwrap()), "{error}");
    bench.dirs().close(BrokerEpoch(1)).await.unwrap();
    open(&[bench.dir.path()], &LogConfig::default()).await;
}

#[tokio::test]
async fn the_first_start_makes_identity_and_the_next_keep_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let deep = one.path().join("made/on/the/way");
    let dirs = open(&[&deep, two.path()], &LogConfig::default()).await;
    let ids: Vec<_> = dirs.dirs().await.iter().map(|dir| dir.id).collect();
    assert_ne!(ids[0], ids[1]);
    let cluster_id = dirs.cluster_id().to_owned();
    assert_eq!(cluster_id.len(), 22);
    let meta = fs::read_to_string(deep.join("meta.properties")).unwrap();
    assert_eq!(meta, format!("cluster.id={cluster_id}\ndirectory.id={}\nnode.id=1\nversion=1\n", ids[0]));
    dirs.close(BrokerEpoch(1)).await.unwrap();

    let dirs = open(&[&deep, two.path()], &LogConfig::default()).await;
    assert_eq!(dirs.dirs().await.iter().map(|dir| dir.id).collect::<Vec<_>>(), ids);
    assert_eq!(dirs.cluster_id(), cluster_id);
    assert!(dirs.dirs().await.iter().all(|dir| dir.failure.is_none() && dir.space.is_some()));
}

#[tokio::test]
async fn a_directory_of_another_node_or_cluster_is_refused() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.dirs().close(BrokerEpoch(1)).await.unwrap();
    let same = dirs_config(&[bench.dir.path()]);
    let other_node = LogDirsConfig { node_id: BrokerId(2), ..same.clone() };
    let other_cluster = LogDirsConfig { cluster_id: Some("another".into()), ..same };
    for (config, names) in [(other_node, "node.id=1"), (other_cluster, "cluster.id=")] {
        let error = LogDirs::open(&Env::real(), &config, |_| Arc::default(), NOW_MS).await.err().unwrap();
        assert!(matches!(error, Error::ForeignDir { .. }), "{error}");
        assert!(
            error.to_string().contains(names) && error.to_string().contains("meta.properties"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn logs_go_to_the_directory_with_the_fewest() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = open(&[one.path(), two.path()], &LogConfig::default()).await;
    for partition in 0..6 {
        create(&dirs, "t", partition).await;
    }
    let in_dir = |dir: &Path| names(dir).iter().filter(|name| name.starts_with("t-")).count();
    assert_eq!((in_dir(one.path()), in_dir(two.path())), (3, 3));
    assert_eq!(dirs.list().len(), 6);
    // One that is there is given again, one of another topic id is not.
    assert!(Arc::ptr_eq(&create(&dirs, "t", 3).await, &dirs.get(&partition_of("t", 3)).unwrap()));
    let other_id = TopicId([9; 16]);
    let error = dirs.create(&partition_of("t", 3), other_id, Arc::default(), NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");

    dirs.close(BrokerEpoch(1)).await.unwrap();
    let dirs = open(&[one.path(), two.path()], &LogConfig::default()).await;
    assert_eq!(dirs.list().len(), 6);
    assert!(dirs.list().iter().all(|log| log.topic_id() == Some(topic_id())));
}

#[tokio::test]
async fn one_partition_in_two_directories_is_an_error() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.dirs().close(BrokerEpoch(1)).await.unwrap();
    let two = tempfile::tempdir().unwrap();
    copy_dir(&bench.partition_dir(), &two.path().join("topic-0"));
    let error = try_open(&[bench.dir.path(), two.path()], &LogConfig::default()).await.err().unwrap();
    assert!(matches!(error, Error::DuplicateLog { .. }), "{error}");
}

#[tokio::test]
async fn a_deleted_log_is_renamed_at_once_and_removed_after_the_delay() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.append(batch(1, 1)).await;
    bench.log().flush().await.unwrap();
    bench.dirs().write_checkpoints().await.unwrap();
    let log = bench.dirs().get(&partition()).unwrap();
    bench.dirs().delete(&partition(), NOW_MS).await.unwrap();
    assert!(bench.dirs().get(&partition()).is_none());
    let error = log.append(prepared(batch(1, 1)), EPOCH, NOW_MS).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::KafkaStorageError);
    let renamed = names(bench.dir.path()).into_iter().find(|name| name.ends_with("-delete")).unwrap();
    assert!(renamed.starts_with("topic-0.") && renamed.len() == "topic-0.".len() + 32 + "-delete".len());
    let checkpoint = fs::read_to_string(bench.dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n0\n");

    // A new log takes the name, and has nothing of the old one.
    let id = TopicId([8; 16]);
    let fresh = bench.dirs().create(&partition(), id, Arc::default(), NOW_MS).await.unwrap();
    assert_eq!((fresh.end_offset(), fresh.topic_id()), (Offset(0), Some(id)));
    bench.dirs().remove_deleted(NOW_MS + 59_999).await.unwrap();
    assert!(bench.dir.path().join(&renamed).exists());
    bench.dirs().remove_deleted(NOW_MS + 60_000).await.unwrap();
    assert!(!bench.dir.path().join(&renamed).exists());
    bench.dirs().delete(&partition_of("none", 0), NOW_MS).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_of_deletions_is_removed_and_what_is_not_ours_is_left_alone() {
    let mut bench = Bench::new(LogConfig::default()).await;
    bench.dirs().delete(&partition(), NOW_MS).await.unwrap();
    bench.crash();
    for other in ["ottla-metadata", "__cluster_metadata-0", "lost+found"] {
        fs::create_dir(bench.dir.path().join(other)).unwrap();
    }
    let dirs = open(&[bench.dir.path()], &LogConfig::default()).await;
    assert!(dirs.list().is_empty());
    dirs.remove_deleted(NOW_MS).await.unwrap();
    let left = names(bench.dir.path());
    assert!(!left.iter().any(|name| name.ends_with("-delete")), "{left:?}");
    assert!(left.contains(&"ottla-metadata".to_owned()) && left.contains(&"lost+found".to_owned()));
}

#[tokio::test]
async fn a_stray_log_is_put_aside_and_kept() {
    let bench = Bench::new(LogConfig::default()).await;
    bench.append(batch(1, 1)).await;
    bench.dirs().set_aside_stray(&partition()).await.unwrap();
    let stray = names(bench.dir.path()).into_iter().find(|name| name.ends_with("-stray")).unwrap();
    assert!(bench.dir.path().join(stray).join("00000000000000000000.log").exists());
    bench.dirs().close(BrokerEpoch(1)).await.unwrap();
    assert!(open(&[bench.dir.path()], &LogConfig::default()).await.list().is_empty());
}

#[tokio::test]
async fn the_marker_of_an_orderly_stop_is_used_once() {
    let mut bench = Bench::new(LogConfig::default()).await;
    bench.stop().await;
    let marker = bench.dir.path().join(".kafka_cleanshutdown");
    assert_eq!(fs::read_to_string(&marker).unwrap(), r#"{"version":0,"brokerEpoch":5}"#);
    bench.start().await;
    assert!(!marker.exists());
    bench.crash();
    bench.start().await;
    assert_eq!(bench.dirs().clean_broker_epoch(), None);
}

#[tokio::test]
async fn one_bad_log_does_not_keep_the_others_from_opening() {
    let mut bench = Bench::new(LogConfig::default()).await;
    create(bench.dirs(), "other", 0).await.append(prepared(batch(3, 3)), EPOCH, NOW_MS).await.unwrap();
    bench.append(batch(1, 1)).await;
    bench.stop().await;
    fs::write(bench.partition_dir().join("partition.metadata"), "nonsense").unwrap();
    let opened = try_open(&[bench.dir.path()], &LogConfig::default()).await.unwrap();
    assert_eq!(opened.failed_logs.len(), 1);
    assert!(opened.failed_logs[0].error.to_string().contains("partition.metadata"));
    let dirs = opened.dirs;
    let other = dirs.get(&partition_of("other", 0)).unwrap();
    assert_eq!(other.end_offset(), Offset(3));
    // It is not replaced by an empty one, and can be deleted.
    let error = dirs.create(&partition(), topic_id(), Arc::default(), NOW_MS).await.unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }) && error.to_string().contains("topic-0"), "{error}");
    dirs.delete(&partition(), NOW_MS).await.unwrap();
    assert!(!bench.partition_dir().exists());
    create(&dirs, "topic", 0).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_leaves_the_others_working() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let bad = dir.path().join("file/dir");
    let good = dir.path().join("good");
    let opened = try_open(&[&bad, &good], &LogConfig::default()).await.unwrap();
    assert_eq!(opened.failed_dirs[0].0, bad);
    assert!(opened.failed_dirs[0].1.to_string().contains("file/dir"));
    assert!(!opened.dirs.is_whole());
    create(&opened.dirs, "t", 0).await;
    assert!(good.join("t-0").exists());
    assert!(try_open(&[&bad], &LogConfig::default()).await.is_err());
}

#[tokio::test]
async fn retention_removes_old_segments_by_size_and_by_age_below_the_watermark() {
    let config = LogConfig { retention_ms: 1000, ..dense() };
    let mut bench = Bench::new(config).await;
    for i in 0..30 {
        bench.append(batch_at(&[NOW_MS + i * 100], 400)).await;
    }
    let upper = Offset(30);
    assert_eq!(bench.log().apply_retention(upper, NOW_MS).await.unwrap(), 0);
    assert_eq!(
        bench.log().apply_retention(Offset(0), NOW_MS * 2).await.unwrap(),
        0,
        "nothing is replicated yet"
    );
    // Four batches to a segment; the first segments end with times 300, 700 and 1100.
    assert!(bench.log().apply_retention(upper, NOW_MS + 1701).await.unwrap() > 0);
    assert_eq!(bench.log().start_offset(), Offset(8));
    assert!(!bench.segment(0).exists() && !bench.segment(4).exists() && bench.segment(8).exists());
    assert!(matches!(bench.log().read(Offset(7), 1, true, upper).await, Err(Error::OutOfRange { .. })));
    bench.restart().await;
    assert_eq!(bench.log().start_offset(), Offset(8));
    assert_eq!(bench.dirs().apply_retention(|log| log.end_offset(), NOW_MS).await, 0);

    let by_size = LogConfig { retention_bytes: 4000, ..dense() };
    bench.log().set_config(Arc::new(by_size));
    assert!(bench.log().apply_retention(upper, NOW_MS).await.unwrap() > 0);
    assert!(bench.log().size_bytes() >= 4000 && bench.log().size_bytes() < 6000);

    // Everything too old: the log is empty and goes on where it was.
    bench.log().set_config(Arc::new(LogConfig { retention_ms: 0, ..dense() }));
    bench.log().apply_retention(upper, NOW_MS * 2).await.unwrap();
    assert_eq!((bench.log().start_offset(), bench.log().size_bytes()), (upper, 0));
    bench.restart().await;
    assert_eq!(bench.append(batch(1, 1)).await.base_offset, upper);
}

#[tokio::test]
async fn files_of_deleted_segments_are_renamed_at_once_and_removed_after_the_delay_or_by_the_next_start() {
    let mut bench = Bench::new(LogConfig { retention_bytes: 4000, ..dense() }).await;
    for _ in 0..20 {
        bench.append(batch(1, 400)).await;
    }
    let whole = fs::read(bench.segment(0)).unwrap();
    let aside = |bench: &Bench| -> Vec<String> {
        names(&bench.partition_dir()).into_iter().filter(|name| name.ends_with(".deleted")).collect()
    };
    bench.log().advance_start(Offset(4), NOW_MS).await.unwrap();
    let first = ["index", "log", "timeindex"].map(|kind| format!("00000000000000000000.{kind}.deleted"));
    assert_eq!(aside(&bench), first);
    assert!(!bench.segment(0).exists());
    assert_eq!(fs::read(bench.partition_dir().join(&first[1])).unwrap(), whole);
    bench.log().apply_retention(Offset(20), NOW_MS + 1).await.unwrap();
    assert!(aside(&bench).len() > 3, "{:?}", aside(&bench));
    assert!(aside(&bench).contains(&"00000000000000000004.snapshot.deleted".to_owned()));
    bench.dirs().remove_deleted(NOW_MS + 59_999).await.unwrap();
    assert_eq!(aside(&bench)[..3], first);
    bench.dirs().remove_deleted(NOW_MS + 60_000).await.unwrap();
    assert!(!aside(&bench).is_empty() && !aside(&bench).contains(&first[0]));
    bench.restart().await;
    assert!(aside(&bench).is_empty());
    assert_eq!(bench.log().end_offset(), Offset(20));
}

#[tokio::test]
async fn segments_without_timestamps_are_as_old_as_their_files() {
    let bench = Bench::new(LogConfig { retention_ms: 1000, ..dense() }).await;
    for _ in 0..12 {
        bench.append(batch_at(&[-1], 400)).await;
    }
    // Four batches to a segment.
    for (base, age_ms) in [(0, 1500), (4, 900), (8, 800)] {
        let written = std::time::UNIX_EPOCH + std::time::Duration::from_millis((NOW_MS - age_ms) as u64);
        fs::File::options().write(true).open(bench.segment(base)).unwrap().set_modified(written).unwrap();
    }
    assert!(bench.log().apply_retention(Offset(12), NOW_MS).await.unwrap() > 0);
    assert_eq!(bench.log().start_offset(), Offset(4));
    assert_eq!(bench.log().apply_retention(Offset(12), NOW_MS + 100).await.unwrap(), 0);
    assert!(bench.log().apply_retention(Offset(12), NOW_MS + 101).await.unwrap() > 0);
    assert_eq!(bench.log().start_offset(), Offset(8));
}

#[tokio::test]
async fn deleted_records_stay_deleted_over_a_crash() {
    let mut bench = Bench::new(dense()).await;
    for _ in 0..20 {
        bench.append(batch(1, 400)).await;
    }
    bench.log().advance_start(Offset(10), NOW_MS).await.unwrap();
    assert!(!bench.segment(4).exists() && bench.segment(8).exists());
    let checkpoint = fs::read_to_string(bench.dir.path().join("log-start-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\ntopic 0 10\n");
    bench.crash();
    bench.start().await;
    assert_eq!((bench.log().start_offset(), bench.log().end_offset()), (Offset(10), Offset(20)));
    assert!(matches!(bench.log().advance_start(Offset(21), NOW_MS).await, Err(Error::OutOfRange { .. })));
}

#[tokio::test]
async fn a_log_is_flushed_when_its_time_or_count_has_come() {
    let config = LogConfig { flush_ms: 1000, flush_messages: 3, ..LogConfig::default() };
    let bench = Bench::new(config).await;
    assert!(!bench.append(batch(2, 1)).await.flush_due);
    let third = bench.append(batch(1, 1)).await;
    assert!(third.flush_due);
    assert_eq!(bench.log().flush_to(third.end_offset()).await.unwrap(), Offset(3));
    assert_eq!(bench.log().flushed_offset(), Offset(3));
    assert!(!bench.append(batch(2, 1)).await.flush_due, "the count begins again");
    bench.dirs().tend(NOW_MS + 999).await;
    assert_eq!(bench.log().flushed_offset(), Offset(3));
    bench.dirs().tend(NOW_MS + 1000).await;
    assert_eq!(bench.log().flushed_offset(), Offset(5));
}

#[tokio::test]
async fn a_log_at_rest_is_not_looked_at_until_it_does_something() {
    let bench = Bench::new(LogConfig { flush_ms: 1000, ..LogConfig::default() }).await;
    let restless = || bench.dirs().restless().len();
    bench.append(batch(1, 1)).await;
    assert_eq!(restless(), 1);
    bench.dirs().tend(NOW_MS + 999).await;
    assert_eq!(restless(), 1, "its records are to be flushed");
    bench.dirs().tend(NOW_MS + 1000).await;
    bench.dirs().tend(NOW_MS + 1001).await;
    assert_eq!(restless(), 0);
    bench.dirs().set_tail_cache_bytes(0);
    let log = bench.log();
    log.read(Offset(0), 1, true, Offset(1)).await.unwrap();
    assert_eq!(restless(), 1, "a file is open");
    bench.dirs().tend(NOW_MS + 1002).await;
    assert_eq!(restless(), 0);
    log.offset_for_timestamp(0).await.unwrap();
    assert_eq!(restless(), 1, "a file is open");
    bench.dirs().tend(NOW_MS + 1003).await;
    bench.append(batch(1, 1)).await;
    bench.dirs().tend(NOW_MS + 3000).await;
    assert_eq!(log.flushed_offset(), Offset(2), "what comes after the rest is flushed in time");
}

#[tokio::test]
async fn many_flushes_at_once_share_their_work() {
    let bench = Bench::new(LogConfig::default()).await;
    for _ in 0..10 {
        bench.append(batch(1, 1)).await;
    }
    let flushes = (1..=10).map(|offset| bench.log().flush_to(Offset(offset)));
    // All are answered by the first one's fsync.
    for flush in flushes {
        assert_eq!(flush.await.unwrap(), Offset(10));
    }
}
