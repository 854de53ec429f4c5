//! Files that appends leave open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::future::ready;
use std::path::Path;

use common::*;
use ottla_log::{LogConfig, LogDirs, NewLog};
use ottla_types::{LeaderEpoch, Offset};

/// How many descriptors of this process lead to files below `dir`.
fn open_files(dir: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    targets
        .filter(|target| target.starts_with(dir) && target.extension().is_some_and(|is| is == "log"))
        .count()
}

async fn asks_for_a_look(dirs: &LogDirs) -> bool {
    tokio::select! {
        biased;
        () = dirs.many_opened() => true,
        () = ready(()) => false,
    }
}

#[tokio::test]
async fn a_burst_of_appends_to_many_logs_has_their_files_closed_before_the_next_tending() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = open(&[dir.path()], &LogConfig::default()).await;
    let wanted = (0..1001).map(|index| NewLog {
        partition: partition_of("t", index),
        topic_id: topic_id(),
        config: std::sync::Arc::default(),
    });
    dirs.create_all(wanted.collect(), NOW_MS).await;
    for (count, log) in dirs.list().into_iter().enumerate() {
        // Twice into each: only the first one opens the file.
        for _ in 0..2 {
            log.append(prepared(batch(1, 1)), LeaderEpoch(0), NOW_MS).await.unwrap();
        }
        assert_eq!(asks_for_a_look(&dirs).await, count == 999, "{count}");
    }
    assert_eq!(open_files(dir.path()), 1001);
    // The first look sees that something was appended, the second that nothing was since.
    dirs.close_idle().await;
    assert_eq!(open_files(dir.path()), 1001);
    let busy = dirs.get(&partition_of("t", 7)).unwrap();
    busy.append(prepared(batch(1, 1)), LeaderEpoch(0), NOW_MS).await.unwrap();
    dirs.close_idle().await;
    assert_eq!(open_files(dir.path()), 1, "all but the busy one");
    let durable = |log: &ottla_log::Log| log.flushed_offset() == log.end_offset();
    assert_eq!(dirs.list().iter().filter(|log| durable(log)).count(), 1000);
    assert_eq!((busy.flushed_offset(), busy.end_offset()), (Offset(0), Offset(3)));
}
