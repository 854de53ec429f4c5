//! The process dies and the kernel does not: what the next start makes of a page cache that survived, and how little of
//! it is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use common::disk::FaultDisk;
use common::*;
use ottla_log::{Error, Log, LogConfig, LogDirs, OpenedDirs, PreviousRun};
use ottla_types::{BrokerEpoch, LeaderEpoch, Offset};

/// A directory over runs of a process that is killed and started again.
struct Machine {
    dir: tempfile::TempDir,
    disk: FaultDisk,
    /// Another one with each reboot.
    boot: u32,
    config: Arc<LogConfig>,
    dirs: Option<LogDirs>,
}

impl Machine {
    async fn new(config: LogConfig) -> Self {
        let mut machine = Self {
            dir: tempfile::tempdir().unwrap(),
            disk: FaultDisk::new(),
            boot: 0,
            config: Arc::new(config),
            dirs: None,
        };
        machine.start().await;
        let config = Arc::clone(&machine.config);
        machine.dirs.as_ref().unwrap().create(&partition(), topic_id(), config, NOW_MS).await.unwrap();
        machine
    }

    /// Starts, and says what was found and how many bytes were read.
    async fn try_start(&self) -> (OpenedDirs, u64) {
        self.disk.set_page_cache(format_args!("boot={}", self.boot));
        let config_of = |_: &_| Arc::clone(&self.config);
        self.disk.take_read_bytes();
        let opened = LogDirs::open(&self.disk.env(), &dirs_config(&[self.dir.path()]), config_of, NOW_MS)
            .await
            .unwrap();
        (opened, self.disk.take_read_bytes())
    }

    async fn start(&mut self) -> u64 {
        let (opened, read_bytes) = self.try_start().await;
        assert!(opened.failed_logs.is_empty(), "{:?}", opened.failed_logs);
        self.dirs = Some(opened.dirs);
        read_bytes
    }

    /// The process is killed, and started again.
    async fn kill(&mut self) -> u64 {
        self.dirs = None;
        self.start().await
    }

    /// The machine starts again, and all happens to be on the device.
    async fn reboot(&mut self) -> u64 {
        self.boot += 1;
        self.kill().await
    }

    fn dirs(&self) -> &LogDirs {
        self.dirs.as_ref().unwrap()
    }

    fn log(&self) -> Arc<Log> {
        self.dirs.as_ref().unwrap().get(&partition()).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("topic-0").join(name)
    }

    async fn append(&self, batch: Bytes, epoch: i32) {
        self.log().append(prepared(batch), LeaderEpoch(epoch), NOW_MS).await.unwrap();
    }
}

const SEGMENT: &str = "00000000000000000000.log";

/// What a log tells of itself, but for what is flushed.
async fn told(log: &Log) -> impl PartialEq + std::fmt::Debug + use<> {
    let newest = log.max_timestamp_record().await.unwrap();
    let content = read_all(log, log.start_offset()).await;
    (content, log.start_offset(), log.end_offset(), log.epochs(), log.producers(), newest, log.size_bytes())
}

#[tokio::test]
async fn a_kill_keeps_everything_and_only_the_ends_of_logs_are_read() {
    let config = LogConfig { segment_bytes: 8 << 20, ..LogConfig::default() };
    let mut machine = Machine::new(config).await;
    for i in 0..400 {
        machine.append(batch_at(&[NOW_MS + i, NOW_MS - i], 30_000), (i / 170) as i32).await;
        machine.append(of_producer(i % 7, 0, (i / 7 * 2) as i32, 2), (i / 170) as i32).await;
    }
    let log = machine.log();
    let size = log.size_bytes();
    let before = told(&log).await;
    assert!(size > 20_000_000, "{size}");
    drop(log);

    let read_bytes = machine.kill().await;
    assert_eq!(told(&machine.log()).await, before);
    assert!(read_bytes < size / 10, "{read_bytes} bytes of {size} were read after a kill");
    assert_eq!(machine.log().flushed_offset(), Offset(0), "in the page cache is not on the device");

    let read_bytes = machine.reboot().await;
    assert_eq!(told(&machine.log()).await, before);
    assert!(read_bytes >= size, "{read_bytes} bytes of {size} were read after a reboot");

    // A flush makes all of it durable, and the next start reads next to nothing whatever happened.
    machine.log().flush().await.unwrap();
    machine.dirs.as_ref().unwrap().write_checkpoints().await.unwrap();
    machine.reboot().await;
    assert_eq!(told(&machine.log()).await, before);
}

#[tokio::test]
async fn a_log_goes_on_the_same_after_a_kill_at_any_length() {
    let mut killed = Machine::new(dense()).await;
    let mut left_alone = Machine::new(dense()).await;
    for i in 0..60 {
        let batch = batch_at(&[NOW_MS + (i * 7) % 31, NOW_MS + i], 20 + (i as usize * 37) % 400);
        killed.append(batch.clone(), i as i32 / 9).await;
        left_alone.append(batch, i as i32 / 9).await;
        killed.kill().await;
        assert_eq!(told(&killed.log()).await, told(&left_alone.log()).await, "batch {i}");
        for offset in 0..killed.log().end_offset().0 {
            assert_eq!(
                killed.log().epoch_for_offset(Offset(offset)),
                left_alone.log().epoch_for_offset(Offset(offset))
            );
        }
    }
    // After a stop in order not even the indexes differ.
    for machine in [&mut killed, &mut left_alone] {
        machine.dirs.take().unwrap().close(BrokerEpoch(1)).await.unwrap();
    }
    let names = |machine: &Machine| -> Vec<_> {
        let entries = fs::read_dir(machine.dir.path().join("topic-0")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "partition.metadata");
        names.sort();
        names
    };
    assert_eq!(names(&killed), names(&left_alone));
    for name in names(&killed) {
        let name = name.to_str().unwrap();
        assert_eq!(fs::read(killed.file(name)).unwrap(), fs::read(left_alone.file(name)).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn a_write_that_the_kill_cut_off_is_cut_away_wherever_it_was() {
    let mut machine = Machine::new(LogConfig { index_interval_bytes: 200, ..LogConfig::default() }).await;
    for _ in 0..5 {
        machine.append(batch(2, 300), 0).await;
    }
    let path = machine.file(SEGMENT);
    let whole = fs::read(&path).unwrap();
    let size = whole.len() / 5;
    machine.dirs = None;
    for len in (4 * size + 1..5 * size).step_by(13) {
        fs::write(&path, &whole[..len]).unwrap();
        machine.kill().await;
        assert_eq!(machine.log().end_offset(), Offset(8), "{len}");
        assert_eq!(fs::read(&path).unwrap(), whole[..4 * size]);
    }
}

#[tokio::test]
async fn damage_is_no_cut_off_write_and_is_reported_with_its_place_after_a_kill() {
    let mut machine = Machine::new(LogConfig::default()).await;
    for _ in 0..5 {
        machine.append(batch(2, 300), 0).await;
    }
    machine.dirs = None;
    let path = machine.file(SEGMENT);
    let whole = fs::read(&path).unwrap();
    let size = whole.len() / 5;
    // In the middle, and in the last batch: a kill tears neither.
    for (position, offset) in [(2 * size, 4), (4 * size, 8)] {
        let mut flipped = whole.clone();
        flipped[position + 100] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let (opened, _) = machine.try_start().await;
        let [failed] = &opened.failed_logs[..] else { panic!("{:?}", opened.failed_logs) };
        assert!(matches!(failed.error, Error::Corrupt { .. }), "{}", failed.error);
        let text = failed.error.to_string();
        assert!(text.contains(&format!("{} is corrupt at byte {position}", path.display())), "{text}");
        assert!(text.contains(&format!("offset {offset}")) && text.contains("CRC"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), flipped, "nothing is cut");
        // It is neither cut nor trusted by the next start, not even after a stop in order.
        opened.dirs.close(BrokerEpoch(1)).await.unwrap();
        drop(opened);
        let (opened, _) = machine.try_start().await;
        assert_eq!(opened.dirs.clean_broker_epoch(), Some(BrokerEpoch(1)));
        assert_eq!(opened.failed_logs.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), flipped);
    }
    // With the file as it was, all is well again.
    fs::write(&path, &whole).unwrap();
    machine.start().await;
    assert_eq!(machine.log().end_offset(), Offset(10));
}

#[tokio::test]
async fn a_directory_that_failed_is_looked_through_after_a_kill() {
    let mut machine = Machine::new(LogConfig::default()).await;
    for _ in 0..300 {
        machine.append(batch(1, 30_000), 0).await;
    }
    let size = machine.log().size_bytes();
    // A checkpoint that cannot be written takes the directory offline.
    fs::create_dir(machine.dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    fs::write(machine.dir.path().join("recovery-point-offset-checkpoint/in-the-way"), "").unwrap();
    assert!(machine.dirs.as_ref().unwrap().write_checkpoints().await.is_err());
    fs::remove_dir_all(machine.dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert!(machine.kill().await >= size);
    assert!(machine.kill().await < size / 5, "once looked through, it is trusted again");
}

#[tokio::test]
async fn the_mark_of_another_page_cache_or_a_damaged_one_means_nothing() {
    let mut machine = Machine::new(LogConfig::default()).await;
    for _ in 0..300 {
        machine.append(batch(1, 30_000), 0).await;
    }
    let size = machine.log().size_bytes();
    let mark = machine.dir.path().join(".ottla-running");
    let good = fs::read(&mark).unwrap();
    for len in [0, good.len() / 2, good.len() - 1] {
        machine.dirs = None;
        fs::write(&mark, &good[..len]).unwrap();
        assert!(machine.start().await >= size, "{len}");
    }
    machine.dirs = None;
    let file = fs::OpenOptions::new().write(true).open(&mark).unwrap();
    file.write_all_at(b"P", 0).unwrap();
    assert!(machine.start().await >= size);
    assert!(machine.kill().await < size / 5);
}

#[tokio::test]
async fn after_a_kill_producers_are_looked_for_behind_the_last_roll_only() {
    let config = LogConfig { segment_bytes: 100_000, ..LogConfig::default() };
    let mut machine = Machine::new(config).await;
    for sequence in 0..7000 {
        machine.append(of_producer(sequence % 7, 0, (sequence / 7) as i32, 1), 0).await;
    }
    let (size, before) = (machine.log().size_bytes(), told(&machine.log()).await);
    assert!(size > 400_000, "{size}");
    let read_bytes = machine.kill().await;
    assert!(read_bytes < 250_000, "{read_bytes} of {size}");
    assert_eq!(told(&machine.log()).await, before);
}

const KILLED_5: PreviousRun = PreviousRun::Killed(BrokerEpoch(5));

#[tokio::test]
async fn the_run_that_was_killed_is_known_by_its_registration_until_the_next_one_is_noted() {
    let mut machine = Machine::new(LogConfig::default()).await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown, "there was none");
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown, "it never registered");
    machine.dirs().note_broker_epoch(BrokerEpoch(5)).await;
    machine.append(batch(1, 10), 0).await;
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), KILLED_5);
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), KILLED_5, "who did not register added nothing");
    machine.dirs().note_broker_epoch(BrokerEpoch(6)).await;
    machine.dirs.take().unwrap().close(BrokerEpoch(6)).await.unwrap();
    machine.start().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Clean(BrokerEpoch(6)));
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Killed(BrokerEpoch(6)));
}

#[tokio::test]
async fn nothing_is_claimed_of_a_run_after_a_power_loss_nor_by_the_runs_that_follow_it() {
    let mut machine = Machine::new(LogConfig::default()).await;
    machine.dirs().note_broker_epoch(BrokerEpoch(5)).await;
    machine.reboot().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown);
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown, "what is missing stays missing");
    machine.dirs().note_broker_epoch(BrokerEpoch(6)).await;
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Killed(BrokerEpoch(6)));
}

#[tokio::test]
async fn nothing_is_claimed_of_a_run_in_which_a_directory_failed_or_by_a_mark_without_its_registration() {
    let mut machine = Machine::new(LogConfig::default()).await;
    machine.dirs().note_broker_epoch(BrokerEpoch(5)).await;
    let checkpoint = machine.dir.path().join("recovery-point-offset-checkpoint");
    fs::create_dir(&checkpoint).unwrap();
    fs::write(checkpoint.join("in-the-way"), "").unwrap();
    assert!(machine.dirs().write_checkpoints().await.is_err());
    // A mark that is written after the failure would outlive it.
    machine.dirs().note_broker_epoch(BrokerEpoch(5)).await;
    fs::remove_dir_all(&checkpoint).unwrap();
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown);

    // As an earlier version leaves it.
    let mark = machine.dir.path().join(".ottla-running");
    let old = fs::read(&mark).unwrap();
    assert!(!String::from_utf8(old.clone()).unwrap().contains("broker.epoch"));
    machine.dirs().note_broker_epoch(BrokerEpoch(6)).await;
    assert_ne!(fs::read(&mark).unwrap(), old);
    fs::write(&mark, old).unwrap();
    machine.kill().await;
    assert_eq!(machine.dirs().previous_run(), PreviousRun::Unknown);
}

#[tokio::test]
async fn what_was_killed_is_whole_only_if_all_directories_are_there() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let both = [one.path(), other.path()];
    let opened = try_open(&both, &LogConfig::default()).await.unwrap();
    opened.dirs.note_broker_epoch(BrokerEpoch(5)).await;
    drop(opened);
    assert_eq!(open(&both, &LogConfig::default()).await.previous_run(), KILLED_5);

    // A file where the directory was: it cannot be opened.
    let moved = one.path().join("moved");
    fs::rename(other.path(), &moved).unwrap();
    fs::write(other.path(), "").unwrap();
    let opened = try_open(&both, &LogConfig::default()).await.unwrap();
    assert_eq!(opened.failed_dirs.len(), 1);
    assert_eq!(opened.dirs.previous_run(), PreviousRun::Unknown);
    drop(opened);
    fs::remove_file(other.path()).unwrap();
    fs::rename(&moved, other.path()).unwrap();
    assert_eq!(
        open(&both, &LogConfig::default()).await.previous_run(),
        PreviousRun::Unknown,
        "the run in between may have added to the one without the other"
    );
}
