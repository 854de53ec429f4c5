//! What is said of files on disk: nothing wrong of what is right, and file, byte and offset of what is not; and what a
//! rehearsed recovery tells is what the real one does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::*;
use ottla_env::Env;
use ottla_env::disk::RealDisk;
use ottla_log::inspect::recover::{Plan, Step, plan};
use ottla_log::inspect::verify::{self, Options, Surroundings, Totals};
use ottla_log::inspect::{Problem, Report};
use ottla_records::{BatchHeader, batches};
use ottla_types::{BrokerEpoch, Offset};

#[derive(Default)]
struct Found(Vec<Problem>);

impl Report for Found {
    fn problem(&mut self, problem: Problem) {
        self.0.push(problem);
    }
}

async fn verify_all(log_dir: &Path) -> (Vec<Problem>, Totals) {
    let mut found = Found::default();
    verify::log_dir(&RealDisk::new(), log_dir, &mut found).await.unwrap();
    let around = Surroundings::read(&RealDisk::new(), log_dir).await.unwrap();
    let mut totals = Totals::default();
    for (_, dir) in ottla_log::inspect::files::partitions(&RealDisk::new(), log_dir).await.unwrap() {
        totals += verify::partition(&RealDisk::new(), &dir, &around, Options { records: true }, &mut found)
            .await
            .unwrap();
    }
    (found.0, totals)
}

/// The one problem that there is.
async fn the_problem(log_dir: &Path) -> Problem {
    let (mut problems, _) = verify_all(log_dir).await;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

async fn rehearse(log_dir: &Path) -> Plan {
    plan(&Env::real(), log_dir, None, NOW_MS).await.unwrap()
}

fn kafka() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4.3.1"), dir.path());
    dir
}

const SEGMENT: &str = "fixture-0/00000000000000000000.log";
const OFFSET_INDEX: &str = "fixture-0/00000000000000000000.index";
const TIME_INDEX: &str = "fixture-0/00000000000000000000.timeindex";
const SNAPSHOT: &str = "fixture-0/00000000000000000540.snapshot";
const EPOCHS: &str = "fixture-0/leader-epoch-checkpoint";

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Every file below, with its content.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(contents(&entry.path()));
        } else {
            files.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// A log of several segments and producers.
async fn some_segments() -> Bench {
    let bench = Bench::new(dense()).await;
    for sequence in 0..20 {
        bench.append(of_producer(1, 0, sequence * 3, 3)).await;
        bench.append(of_producer(2, 4, sequence, 1)).await;
        bench.append(batch_at(&[NOW_MS + i64::from(sequence), NOW_MS], 30)).await;
    }
    bench
}

#[tokio::test]
async fn what_kafka_wrote_is_well() {
    let dir = kafka();
    let (problems, totals) = verify_all(dir.path()).await;
    assert_eq!(problems, []);
    assert_eq!((totals.partitions, totals.segments, totals.records), (1, 1, 540));
}

#[tokio::test]
async fn a_log_is_well_while_it_is_open_after_a_crash_and_after_a_stop() {
    let mut bench = some_segments().await;
    let dir = bench.dir.path().to_owned();
    assert_eq!(verify_all(&dir).await.0, [], "open");
    bench.crash();
    assert_eq!(verify_all(&dir).await.0, [], "after a crash");
    bench.start().await;
    bench.stop().await;
    let (problems, totals) = verify_all(&dir).await;
    assert_eq!(problems, [], "after a stop");
    assert!(totals.segments > 2, "{totals:?}");
    assert_eq!((totals.batches, totals.records), (60, 120));
}

#[tokio::test]
async fn a_flipped_bit_is_told_with_its_place_wherever_it_is_and_what_follows_is_looked_at() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    let good = std::fs::read(&path).unwrap();
    let second = 170;
    let size = BatchHeader::parse(&good[second..]).unwrap().size_bytes();
    // The first 16 bytes, offset, length and epoch, are not under the checksum.
    for at in (second + 16..second + size).step_by(7) {
        change(&path, |bytes| bytes[at] ^= 0x10);
        let (problems, totals) = verify_all(dir.path()).await;
        let first = &problems[0];
        assert_eq!((first.position, &first.path), (Some(second as u64), &path), "byte {at}: {problems:?}");
        assert_eq!(first.offset, Some(Offset(1)));
        if at > second + 16 {
            assert_eq!(totals.batches, 83, "byte {at}");
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[tokio::test]
async fn a_torn_end_is_told_and_where_nothing_was_flushed_that_the_next_start_cuts_it() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    let last = batches(&std::fs::read(&path).unwrap()).last().unwrap().unwrap().bytes().len() as u64;
    change(&path, |bytes| bytes.truncate(57_853 - 10));
    let (problems, _) = verify_all(dir.path()).await;
    assert_eq!(problems[0].position, Some(57_853 - last), "{problems:?}");
    assert!(problems[0].what.contains("cut off"), "{problems:?}");
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    let (problems, _) = verify_all(dir.path()).await;
    assert!(problems[0].what.contains("next start cuts"), "{problems:?}");
}

#[tokio::test]
async fn zeros_behind_the_entries_of_an_index_are_room_that_kafka_made() {
    let dir = kafka();
    change(&dir.path().join(OFFSET_INDEX), |bytes| bytes.resize(10 << 20, 0));
    change(&dir.path().join(TIME_INDEX), |bytes| bytes.resize((10 << 20) / 12 * 12, 0));
    assert_eq!(verify_all(dir.path()).await.0, []);
}

#[tokio::test]
async fn an_index_that_lies_is_told_by_its_entry() {
    for (file, at, says) in [
        // Position and offset of the third entry; timestamp and offset of a time index's second.
        (OFFSET_INDEX, 16 + 7, "no batch starts"),
        (OFFSET_INDEX, 16 + 3, "entry 2"),
        (TIME_INDEX, 12 + 7, "entry"),
        (TIME_INDEX, 12 + 8, "entry"),
    ] {
        let dir = kafka();
        let path = dir.path().join(file);
        change(&path, |bytes| bytes[at] ^= 1);
        let (problems, _) = verify_all(dir.path()).await;
        assert!(!problems.is_empty(), "{file} {at}");
        assert!(problems.iter().all(|problem| problem.path == path), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.what.contains(says)), "{problems:?}");
    }
}

#[tokio::test]
async fn an_index_of_half_entries_or_beyond_the_segment_is_told() {
    let dir = kafka();
    change(&dir.path().join(OFFSET_INDEX), |bytes| bytes.push(1));
    let problem = the_problem(dir.path()).await;
    assert!(problem.what.contains("whole number of entries"), "{problem}");

    let dir = kafka();
    change(&dir.path().join(OFFSET_INDEX), |bytes| bytes.extend([0, 0, 2, 27, 0, 0, 0xf0, 0]));
    let problem = the_problem(dir.path()).await;
    assert!(problem.what.contains("end at byte 57853"), "{problem}");
}

#[tokio::test]
async fn an_index_of_a_sealed_segment_that_is_missing_is_told_and_one_without_segment() {
    let mut bench = some_segments().await;
    bench.stop().await;
    std::fs::remove_file(bench.segment(0).with_extension("index")).unwrap();
    let problem = the_problem(bench.dir.path()).await;
    assert!(
        problem.what.contains("missing") && problem.path.ends_with("00000000000000000000.index"),
        "{problem}"
    );

    let dir = kafka();
    std::fs::write(dir.path().join("fixture-0/00000000000000000099.timeindex"), "").unwrap();
    let problem = the_problem(dir.path()).await;
    assert!(problem.what.contains("its segment is missing"), "{problem}");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_or_says_what_the_log_does_not_is_told() {
    let dir = kafka();
    let path = dir.path().join(SNAPSHOT);
    change(&path, |bytes| bytes[30] ^= 1);
    let problem = the_problem(dir.path()).await;
    assert!(problem.path == path && problem.what.contains("CRC"), "{problem}");
    // Another sequence number, with a checksum that is right.
    change(&path, |bytes| {
        bytes[30] ^= 1;
        bytes[10 + 8 + 2 + 3] ^= 1;
        let crc = ottla_records::crc::crc32c(&bytes[6..]).to_be_bytes();
        bytes[2..6].copy_from_slice(&crc);
    });
    let problem = the_problem(dir.path()).await;
    assert!(problem.what.contains("sequence 58") && problem.what.contains("sequence 59"), "{problem}");

    std::fs::rename(&path, dir.path().join("fixture-0/00000000000000000541.snapshot")).unwrap();
    let problem = the_problem(dir.path()).await;
    assert!(problem.what.contains("beyond the end of the log, offset 540"), "{problem}");
}

#[tokio::test]
async fn checkpoints_that_contradict_the_log_are_told() {
    for (file, content, says) in [
        (EPOCHS, "0\n1\n3 0\n", "leader epoch 0"),
        (EPOCHS, "0\n2\n0 0\n1 541\n", "begins at offset 541"),
        (EPOCHS, "0\n2\n0 0\n0 7\n", "follows epoch 0"),
        (EPOCHS, "0\n2\n0 0\n", "2 entries"),
        ("recovery-point-offset-checkpoint", "0\n1\nfixture 0 541\n", "recovery point is offset 541"),
        ("log-start-offset-checkpoint", "1\n0\n", "line 1"),
        ("meta.properties", "version=1\n", "node.id"),
        ("fixture-0/partition.metadata", "version: 0\n", "topic_id"),
    ] {
        let dir = kafka();
        std::fs::write(dir.path().join(file), content).unwrap();
        let (problems, _) = verify_all(dir.path()).await;
        assert!(
            problems.iter().any(|problem| problem.to_string().contains(says)),
            "{file} {content:?}: {problems:?}"
        );
    }
}

#[tokio::test]
async fn gaps_are_what_compaction_leaves_and_going_back_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let partition = dir.path().join("gaps-0");
    std::fs::create_dir(&partition).unwrap();
    let at = |offset: i64| {
        let mut bytes = batch(2, 10).to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes
    };
    let path = partition.join("00000000000000000005.log");
    std::fs::write(&path, [at(7), at(9), at(40)].concat()).unwrap();
    let (problems, totals) = verify_all(dir.path()).await;
    // Its batches have an epoch, and nothing says where it began.
    assert!(problems.iter().all(|problem| problem.path.ends_with("leader-epoch-checkpoint")), "{problems:?}");
    assert_eq!(totals.batches, 3);
    std::fs::write(&path, [at(7), at(8), at(4)].concat()).unwrap();
    let (problems, _) = verify_all(dir.path()).await;
    let told: Vec<_> =
        problems.iter().filter(|problem| problem.path == path).map(|p| p.offset.unwrap().0).collect();
    assert_eq!(told, [8, 4], "{problems:?}");
}

#[tokio::test]
async fn a_rehearsal_changes_nothing_and_tells_what_the_start_then_does() {
    let mut bench = some_segments().await;
    bench.crash();
    let dir = bench.dir.path().to_owned();
    let mut segments: Vec<_> =
        contents(&dir).into_keys().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    let last = segments.pop().unwrap();
    change(&segments[1], |bytes| *bytes.last_mut().unwrap() ^= 1);
    let before = contents(&dir);
    // As after a power loss: the page cache of the process that died is not there any more.
    let told = rehearse(&dir).await;
    assert_eq!(contents(&dir), before);
    assert!(told.refused.is_empty() && !told.was_closed, "{told:?}");

    bench.start().await;
    let end = bench.log().end_offset();
    bench.crash();
    let after = contents(&dir);
    let cut: Vec<_> = told
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Cut { path, position, offset, reason, .. } => Some((path, *position, *offset, reason)),
            _ => None,
        })
        .collect();
    for (path, bytes) in before.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log")) {
        match after.get(path) {
            None => assert!(told.steps.contains(&Step::Remove(path.clone())), "{}: {told:?}", path.display()),
            Some(now) if now.len() < bytes.len() => {
                assert!(
                    cut.iter().any(|(at, position, offset, _)| *at == path
                        && *position == now.len() as u64
                        && *offset == Some(end)),
                    "{told:?}"
                );
            }
            Some(_) => assert!(!told.steps.contains(&Step::Remove(path.clone()))),
        }
    }
    // Whether the start reads the middle again depends on whether the page cache is still there.
    if let [(path, _, _, reason)] = cut[..] {
        assert_eq!(path, &segments[1]);
        assert!(reason.contains("CRC"), "{reason}");
        assert!(told.steps.contains(&Step::Remove(last)), "{told:?}");
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_in_a_rehearsal_and_damage_where_records_were_durable_is_refused() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    change(&path, |bytes| bytes.truncate(57_853 - 10));
    let before = contents(dir.path());
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let told = rehearse(dir.path()).await;
    assert_eq!(told.refused.len(), 1, "{told:?}");
    assert_eq!((told.refused[0].path.as_path(), told.refused[0].position.is_some()), (path.as_path(), true));
    assert_eq!(told.steps, []);

    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    let told = rehearse(dir.path()).await;
    let Some(Step::Cut { position, offset, bytes, .. }) =
        told.steps.iter().find(|step| matches!(step, Step::Cut { .. }))
    else {
        panic!("{told:?}")
    };
    assert_eq!(position + bytes, 57_853 - 10);
    assert!(told.steps.contains(&Step::Remove(dir.path().join(SNAPSHOT))), "{told:?}");
    assert!(before.len() > contents(dir.path()).len() && contents(dir.path())[&path] == before[&path]);

    let dirs = open(&[dir.path()], &ottla_log::LogConfig::default()).await;
    assert_eq!(Some(dirs.get(&partition_of("fixture", 0)).unwrap().end_offset()), *offset);
    dirs.close(BrokerEpoch(1)).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), *position);
    assert_eq!(verify_all(dir.path()).await.0, []);
}

#[tokio::test]
async fn a_directory_in_use_is_verified_and_not_rehearsed() {
    let bench = some_segments().await;
    assert_eq!(verify_all(bench.dir.path()).await.0, []);
    let error = plan(&Env::real(), bench.dir.path(), None, NOW_MS).await.unwrap_err();
    assert!(error.to_string().contains("held by another process"), "{error}");
}
