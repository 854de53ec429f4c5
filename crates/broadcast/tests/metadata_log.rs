//! Claims about the metadata log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use common::{Dice, Fault, FaultyDisk};
use ottla_broadcast::{AppendError, MAX_BATCH_BYTES, MetadataLog, OpenError, Opened, Replayed};
use ottla_env::Disk;
use ottla_env::disk::{OpenMode, RealDisk};
use ottla_types::Offset;
use proptest::prelude::*;

const FIRST_SEGMENT: &str = "00000000000000000000.segment";

/// An opened log with what was replayed: the snapshot's last offset and records, and the tail.
struct Reopened {
    log: MetadataLog,
    next: Offset,
    warnings: Vec<String>,
    snapshot: Option<(i64, Vec<String>)>,
    records: Vec<(i64, String)>,
}

fn dir() -> PathBuf {
    PathBuf::from("/data/ottla-metadata")
}

async fn try_open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Reopened, OpenError> {
    let (mut snapshot, mut records) = (None::<(i64, Vec<String>)>, Vec::new());
    let text = |record: &[u8]| String::from_utf8(record.to_vec()).unwrap();
    let mut replay = |replayed: Replayed<'_>| {
        match replayed {
            Replayed::FromSnapshot { upto, record } => {
                snapshot.get_or_insert((upto.0, Vec::new())).1.push(text(record));
            }
            Replayed::Committed { offset, record } => records.push((offset.0, text(record))),
        }
        Ok(())
    };
    let Opened { log, next, warnings, .. } = MetadataLog::open(disk, dir, &mut replay).await?;
    Ok(Reopened { log, next, warnings, snapshot, records })
}

async fn open(disk: &FaultyDisk) -> Reopened {
    try_open(Arc::new(disk.clone()), &dir()).await.unwrap()
}

fn batch(records: &[&str]) -> Vec<Bytes> {
    records.iter().map(|record| Bytes::copy_from_slice(record.as_bytes())).collect()
}

fn numbered(records: &[&str]) -> Vec<(i64, String)> {
    (0..).zip(records.iter().map(|record| (*record).to_owned())).collect()
}

#[tokio::test]
async fn what_is_appended_is_replayed_in_order_with_its_offsets() {
    let disk = FaultyDisk::default();
    let opened = open(&disk).await;
    assert_eq!((opened.next, opened.records.len()), (Offset(0), 0));
    assert_eq!(opened.log.append(batch(&["a", "b"])).await.unwrap(), Offset(0));
    assert_eq!(opened.log.append(batch(&["", "d"])).await.unwrap(), Offset(2));
    opened.log.close().await;
    let reopened = open(&disk).await;
    assert_eq!(reopened.records, numbered(&["a", "b", "", "d"]));
    assert_eq!((reopened.next, reopened.warnings.len()), (Offset(4), 0));
    assert_eq!(reopened.log.append(batch(&["e"])).await.unwrap(), Offset(4));
}

#[tokio::test]
async fn the_same_on_a_real_disk_which_one_process_holds_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("ottla-metadata");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let opened = try_open(disk.clone(), &dir).await.unwrap();
    opened.log.append(batch(&["a"])).await.unwrap();
    let second = try_open(disk.clone(), &dir).await.err().expect("the log is open already");
    assert!(second.to_string().contains("held by another process"), "{second}");
    opened.log.close().await;
    assert_eq!(try_open(disk, &dir).await.unwrap().records, numbered(&["a"]));
}

#[tokio::test]
async fn appends_that_come_together_share_an_fsync_and_keep_their_order() {
    let disk = FaultyDisk::default();
    let log = Arc::new(open(&disk).await.log);
    let before = disk.syncs();
    let appends: Vec<_> = (0..100)
        .map(|n| {
            let (log, record) = (log.clone(), n.to_string());
            tokio::spawn(async move { log.append(batch(&[&record])).await.unwrap() })
        })
        .collect();
    for (n, append) in (0..).zip(appends) {
        assert_eq!(append.await.unwrap(), Offset(n));
    }
    assert!(disk.syncs() - before <= 3, "{} fsyncs for 100 appends", disk.syncs() - before);
}

#[tokio::test]
async fn a_batch_that_is_empty_or_too_large_is_rejected_and_the_log_goes_on() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    let large = Bytes::from(vec![b'x'; MAX_BATCH_BYTES - 4]);
    assert!(matches!(log.append(Vec::new()).await, Err(AppendError::Rejected(_))));
    let too_large = log.append(vec![large.clone(), Bytes::new()]).await;
    assert!(matches!(too_large, Err(AppendError::TooLarge { .. })), "{too_large:?}");
    assert_eq!(log.append(vec![large]).await.unwrap(), Offset(0));
    assert_eq!(log.append(batch(&["next"])).await.unwrap(), Offset(1));
    log.close().await;
    assert_eq!(open(&disk).await.next, Offset(2));
}

#[tokio::test]
async fn a_full_disk_rejects_and_takes_records_again_when_there_is_room() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a"])).await.unwrap();
    disk.fail_write(Fault::Full { written: 20 });
    let rejected = log.append(batch(&["lost"])).await.unwrap_err();
    assert!(matches!(rejected, AppendError::Io(_)), "{rejected}");
    assert_eq!(log.append(batch(&["b"])).await.unwrap(), Offset(1));
    log.close().await;
    let reopened = open(&disk).await;
    assert_eq!(reopened.records, numbered(&["a", "b"]));
    assert_eq!(reopened.warnings.len(), 0);
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_until_the_log_is_opened_again() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a"])).await.unwrap();
    disk.fail_sync();
    assert!(matches!(log.append(batch(&["b"])).await, Err(AppendError::Unknown(_))));
    assert!(matches!(log.append(batch(&["c"])).await, Err(AppendError::Unknown(_))));
    log.close().await;
    disk.cut_power(&mut Dice(1));
    let reopened = open(&disk).await;
    assert_eq!(reopened.records[0], (0, "a".to_owned()));
    assert!(!reopened.records.iter().any(|(_, record)| record == "c"));
    reopened.log.append(batch(&["d"])).await.unwrap();
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_with_a_warning() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a"])).await.unwrap();
    let kept = disk.content(&dir().join(FIRST_SEGMENT)).len();
    log.append(batch(&["b"])).await.unwrap();
    let whole = disk.content(&dir().join(FIRST_SEGMENT));
    // The node is killed here, so nothing seals the log.
    std::mem::forget(log);
    for len in kept + 1..whole.len() {
        for tail in [&[][..], &[0; 100]] {
            disk.corrupt(&dir().join(FIRST_SEGMENT), |bytes| *bytes = [&whole[..len], tail].concat());
            let reopened = open(&disk).await;
            assert_eq!(reopened.records, numbered(&["a"]));
            assert_eq!(reopened.warnings.len(), 1, "{len}");
            assert!(reopened.warnings[0].contains(FIRST_SEGMENT), "{:?}", reopened.warnings);
            assert!(reopened.warnings[0].contains(&format!("at byte {kept}")), "{:?}", reopened.warnings);
            std::mem::forget(reopened.log);
            assert_eq!(disk.content(&dir().join(FIRST_SEGMENT)).len(), kept);
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_what_was_answered_for_is_an_error_with_file_and_position() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    let header = disk.content(&dir().join(FIRST_SEGMENT)).len();
    log.append(batch(&["first", "second"])).await.unwrap();
    let last = disk.content(&dir().join(FIRST_SEGMENT)).len();
    log.append(batch(&["third"])).await.unwrap();
    let end = disk.content(&dir().join(FIRST_SEGMENT)).len();
    log.close().await;
    let whole = disk.content(&dir().join(FIRST_SEGMENT));
    assert!(whole.len() > end, "closing has written a frame that vouches for the last one");
    for at in 0..end {
        disk.corrupt(&dir().join(FIRST_SEGMENT), |bytes| {
            *bytes = whole.clone();
            bytes[at] ^= 0x10;
        });
        let error = try_open(Arc::new(disk.clone()), &dir()).await.err().expect("damage goes unnoticed");
        let OpenError::Damaged { path, position, .. } = &error else { panic!("{at}: {error}") };
        let expected = if at < header {
            0
        } else if at < last {
            header
        } else {
            last
        };
        assert_eq!((*position, path.ends_with(FIRST_SEGMENT)), (expected as u64, true), "{at}");
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert_eq!(disk.content(&dir().join(FIRST_SEGMENT)), damaged, "nothing was changed");
    }
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let disk = FaultyDisk::default();
    open(&disk).await.log.close().await;
    disk.corrupt(&dir().join(FIRST_SEGMENT), |bytes| bytes[9] = 2);
    let error = try_open(Arc::new(disk), &dir()).await.err().unwrap();
    assert!(error.to_string().contains("later version of this program"), "{error}");
}

#[tokio::test]
async fn a_missing_segment_is_a_gap() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a", "b", "c"])).await.unwrap();
    log.snapshot(Offset(0), batch(&["S"])).await.unwrap();
    log.append(batch(&["d"])).await.unwrap();
    log.close().await;
    // Both segments are still needed, since the snapshot ends within the first.
    assert_eq!(
        disk.file_names(),
        [FIRST_SEGMENT, "00000000000000000000.snapshot", "00000000000000000003.segment"]
    );
    disk.remove_file(&dir().join(FIRST_SEGMENT)).await.unwrap();
    let error = try_open(Arc::new(disk), &dir()).await.err().unwrap();
    assert!(matches!(error, OpenError::Gap { expected: Offset(1), found: Offset(3), .. }), "{error}");
}

#[tokio::test]
async fn whoever_replays_can_refuse_and_the_error_says_where() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a", "b"])).await.unwrap();
    log.close().await;
    let mut replay = |replayed: Replayed<'_>| match replayed {
        Replayed::Committed { offset: Offset(1), .. } => Err("unknown type 200".to_owned()),
        _ => Ok(()),
    };
    let error = MetadataLog::open(Arc::new(disk), &dir(), &mut replay).await.err().unwrap().to_string();
    assert!(error.contains(FIRST_SEGMENT) && error.ends_with("offset 1: unknown type 200"), "{error}");
}

#[tokio::test]
async fn a_snapshot_stands_for_the_beginning_and_what_it_makes_superfluous_is_deleted() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a", "b", "c"])).await.unwrap();
    log.snapshot(Offset(2), batch(&["abc"])).await.unwrap();
    assert_eq!(disk.file_names(), ["00000000000000000002.snapshot", "00000000000000000003.segment"]);
    assert_eq!(log.append(batch(&["d"])).await.unwrap(), Offset(3));
    log.close().await;
    let reopened = open(&disk).await;
    assert_eq!(reopened.snapshot, Some((2, vec!["abc".to_owned()])));
    assert_eq!((reopened.records, reopened.next), (vec![(3, "d".to_owned())], Offset(4)));
    reopened.log.snapshot(Offset(3), batch(&["abcd"])).await.unwrap();
    reopened.log.close().await;
    assert_eq!(disk.file_names(), ["00000000000000000003.snapshot", "00000000000000000004.segment"]);
    let again = open(&disk).await;
    assert_eq!((again.snapshot, again.next), (Some((3, vec!["abcd".to_owned()])), Offset(4)));
}

#[tokio::test]
async fn a_snapshot_of_what_is_not_there_yet_is_rejected() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    assert!(matches!(log.snapshot(Offset(0), batch(&["x"])).await, Err(AppendError::Rejected(_))));
}

#[tokio::test]
async fn an_offset_that_no_log_counts_up_to_is_damage() {
    use ottla_broadcast::frame::{FileKind, FrameBuilder, header};
    for (kind, suffix) in [(FileKind::Snapshot, "snapshot"), (FileKind::Segment, "segment")] {
        for offset in [i64::MAX, i64::MAX - 1] {
            let disk = FaultyDisk::default();
            let path = dir().join(format!("{offset:020}.{suffix}"));
            disk.create_dir_all(&dir()).await.unwrap();
            let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
            let [head, payload] = FrameBuilder::new(Offset(offset)).finish();
            file.write_at(0, &[header(kind, Offset(offset)), head, payload]).await.unwrap();
            let error = try_open(Arc::new(disk), &dir()).await.err().unwrap().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_an_error_wherever_the_damage_is() {
    let disk = FaultyDisk::default();
    let log = open(&disk).await.log;
    log.append(batch(&["a"])).await.unwrap();
    log.snapshot(Offset(0), batch(&["state"])).await.unwrap();
    log.close().await;
    let path = dir().join("00000000000000000000.snapshot");
    let whole = disk.content(&path);
    for at in 0..whole.len() {
        disk.corrupt(&path, |bytes| {
            *bytes = whole.clone();
            bytes[at] ^= 1;
        });
        assert!(try_open(Arc::new(disk.clone()), &dir()).await.is_err(), "byte {at}");
        disk.corrupt(&path, |bytes| *bytes = whole[..at].to_vec());
        assert!(try_open(Arc::new(disk.clone()), &dir()).await.is_err(), "{at} bytes");
    }
}

/// A life of the log: appends and snapshots until the disk dies. Returns how many records were acknowledged, and how
/// many were asked for.
async fn live(disk: &FaultyDisk, expected: &mut Vec<String>, steps: usize, dice: &mut Dice) -> usize {
    let Ok(opened) = try_open(Arc::new(disk.clone()), &dir()).await else { return 0 };
    let mut acknowledged = usize::try_from(opened.next.0).unwrap();
    for _ in 0..steps {
        if dice.roll(6) == 0 && acknowledged > 0 {
            let upto = Offset(dice.roll(acknowledged) as i64);
            let state = expected[..=upto.0 as usize].join(",");
            let _ = opened.log.snapshot(upto, batch(&[&state])).await;
            continue;
        }
        let records: Vec<String> = (0..=dice.roll(3)).map(|n| format!("{}.{n}", expected.len())).collect();
        let texts: Vec<&str> = records.iter().map(String::as_str).collect();
        match opened.log.append(batch(&texts)).await {
            Ok(offset) => {
                assert_eq!(offset.0 as usize, expected.len());
                expected.extend(records);
                acknowledged = expected.len();
            }
            Err(AppendError::Rejected(_) | AppendError::TooLarge { .. } | AppendError::Io(_)) => {}
            // It may be in the log.
            Err(AppendError::Unknown(_)) => {
                expected.extend(records);
                break;
            }
        }
    }
    opened.log.close().await;
    acknowledged
}

/// Opens the log after a crash, and checks it against what was asked for.
async fn check(disk: &FaultyDisk, expected: &mut Vec<String>, acknowledged: usize) {
    let opened = match try_open(Arc::new(disk.clone()), &dir()).await {
        Ok(opened) => opened,
        Err(error) => panic!("a crash alone made the log unreadable: {error}"),
    };
    let mut found: Vec<String> = Vec::new();
    if let Some((upto, state)) = &opened.snapshot {
        found.extend(state[0].split(',').map(str::to_owned));
        assert_eq!(found.len() as i64, upto + 1);
    }
    for (offset, record) in &opened.records {
        assert_eq!(*offset as usize, found.len());
        found.push(record.clone());
    }
    assert_eq!(opened.next.0 as usize, found.len());
    assert!(found.len() >= acknowledged, "{} of {acknowledged} acknowledged records", found.len());
    assert_eq!(found, expected[..found.len()]);
    expected.truncate(found.len());
    opened.log.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The power goes at any write, sync or change of a directory, several times in a row.
    #[test]
    fn no_acknowledged_record_is_lost_whenever_the_power_goes(
        seed in any::<u64>(),
        deaths in prop::collection::vec(0..60usize, 1..4),
        steps in 1..20usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (disk, mut dice, mut expected) = (FaultyDisk::default(), Dice(seed), Vec::new());
            for death in deaths {
                disk.die_at(disk.changes() + death);
                let before = expected.len();
                let acknowledged = live(&disk, &mut expected, steps, &mut dice).await.max(before);
                disk.cut_power(&mut dice);
                check(&disk, &mut expected, acknowledged).await;
            }
        });
    }
}
