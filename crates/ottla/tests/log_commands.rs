//! `ottla log` as its users see it: on what Apache Kafka wrote, and on damage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SEGMENT: &str = "fixture-0/00000000000000000000.log";

/// A copy of the log directory that Kafka 4.3.1 wrote and closed.
fn kafka() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_kafka(dir.path());
    dir
}

fn copy_kafka(to: &Path) {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &target),
                false => drop(std::fs::copy(entry.path(), target).unwrap()),
            }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../log/tests/fixtures/kafka-4.3.1"), to);
}

fn run(arguments: &[&str], paths: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg("log").args(arguments).args(paths).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn verify_finds_nothing_wrong_with_what_kafka_wrote() {
    let dir = kafka();
    for path in [dir.path().to_owned(), dir.path().join("fixture-0")] {
        let output = run(&["verify", "--records"], &[path]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            text(&output.stdout),
            "1 partitions, 1 segments, 83 batches, 540 records, 57853 bytes: all is well\n"
        );
    }
}

#[test]
fn verify_names_the_file_the_byte_and_the_offset_of_damage_and_exits_with_1() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    flip(&path, 300);
    let output = run(&["verify"], &[dir.path().to_owned()]);
    assert_eq!(output.status.code(), Some(1));
    let place = format!("{}, byte 170, offset 1: the record batch is corrupt", path.display());
    assert!(text(&output.stdout).lines().next().unwrap().starts_with(&place), "{output:?}");

    let output = run(&["verify", "--json"], &[dir.path().to_owned()]);
    assert_eq!(output.status.code(), Some(1));
    let told = lines(&output);
    assert_eq!((&told[0]["position"], &told[0]["offset"]), (&Value::from(170), &Value::from(1)));
    assert_eq!((&told[1]["problems"], &told[1]["batches"]), (&Value::from(1), &Value::from(83)));
}

#[test]
fn verify_refuses_what_holds_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for path in [dir.path().to_owned(), missing] {
        let output = run(&["verify"], std::slice::from_ref(&path));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(path.to_str().unwrap()), "{output:?}");
    }
}

#[test]
fn a_log_directory_that_is_named_like_a_partition_is_told_by_what_is_in_it() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("broker-1");
    copy_kafka(&dir);
    let planned = run(&["recover", "--dry-run"], std::slice::from_ref(&dir));
    assert!(text(&planned.stdout).contains("a start would open 1 logs in it"), "{planned:?}");
    for without in [None, Some("meta.properties")] {
        if let Some(name) = without {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
        let verified = run(&["verify"], std::slice::from_ref(&dir));
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(
            text(&verified.stdout),
            "1 partitions, 1 segments, 83 batches, 540 records, 57853 bytes: all is well\n"
        );
        let dumped = run(&["dump"], std::slice::from_ref(&dir));
        assert!(text(&dumped.stdout).contains("offsets 1 to 7  records 7"), "{dumped:?}");
    }
}

#[test]
fn partitions_alone_make_a_log_directory() {
    let dir = kafka();
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let output = run(&["verify"], &[dir.path().to_owned()]);
    assert!(text(&output.stdout).starts_with("1 partitions, 1 segments, 83 batches"), "{output:?}");
}

#[test]
fn where_nothing_was_looked_at_verify_does_not_say_that_all_is_well() {
    let kafka = kafka();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["empty-0", "new-0", "above/broker-1", "broker-2"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    // A partition without a segment, the directory above a broker's, and that of a broker without partitions.
    let kafkas = |name: &str| kafka.path().join(name);
    std::fs::copy(kafkas("fixture-0/partition.metadata"), at("new-0/partition.metadata")).unwrap();
    copy_kafka(&at("above/broker-1"));
    std::fs::copy(kafkas("meta.properties"), at("broker-2/meta.properties")).unwrap();
    for name in ["empty-0", "new-0", "above", "broker-2"] {
        let output = run(&["verify"], &[at(name)]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{name}");
        let why = format!("nothing to verify in {}: ", at(name).display());
        assert!(text(&output.stderr).contains(&why), "{output:?}");
    }
    for command in [&["dump"][..], &["recover", "--dry-run"]] {
        for name in ["empty-0", "above"] {
            let output = run(command, &[at(name)]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(text(&output.stderr).contains("neither a log directory nor"), "{output:?}");
        }
    }
}

#[test]
fn dump_shows_every_file_of_a_directory() {
    let dir = kafka();
    let output = run(&["dump"], &[dir.path().to_owned()]);
    assert!(output.status.success(), "{output:?}");
    let shown = text(&output.stdout);
    for part in [
        "cluster.id AAAAAAAAAAAAAAAAAAAAAQ",
        "broker_epoch 12",
        "fixture-0  offset 540",
        "offsets 1 to 7  records 7  epoch 0  position 170  size 824  codec none  CreateTime",
        "codec lz4",
        "offset 42  position 4290",
        "epoch 0  start offset 0",
        "topic_id syziwIFWRjGw_P8e1Tu73A",
        "last sequence 59",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn dump_shows_records_and_as_json_every_field() {
    let dir = kafka();
    let output = run(&["dump", "--records", "--json"], &[dir.path().join(SEGMENT)]);
    assert!(output.status.success(), "{output:?}");
    let told = lines(&output);
    let of = |kind: &str| told.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!((of("batch").len(), of("record").len()), (83, 540));
    assert!(of("batch").iter().all(|batch| batch["crc_ok"] == true && batch["fault"].is_null()));
    let offsets: Vec<i64> = of("record").iter().map(|record| record["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, (0..540).collect::<Vec<_>>());
}

#[test]
fn dump_shows_damage_and_what_follows_it() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    flip(&path, 300);
    let shown = text(&run(&["dump"], std::slice::from_ref(&path)).stdout);
    assert_eq!(shown.lines().filter(|line| line.contains("DAMAGED")).count(), 1);
    assert_eq!(shown.lines().count(), 84);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(57_000).unwrap();
    let shown = text(&run(&["dump"], &[path]).stdout);
    assert!(shown.lines().last().unwrap().contains("UNREADABLE"), "{shown}");
}

#[test]
fn recover_tells_what_a_start_would_cut_and_does_not_do_it() {
    let dir = kafka();
    let path = dir.path().join(SEGMENT);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(57_800).unwrap();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let output = run(&["recover", "--dry-run"], &[dir.path().to_owned()]);
    assert_eq!(output.status.code(), Some(1), "its records were durable: {output:?}");
    assert!(text(&output.stdout).contains("refuse "), "{output:?}");

    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    let output = run(&["recover", "--dry-run", "--json"], &[dir.path().join("fixture-0")]);
    assert!(output.status.success(), "{output:?}");
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let cut = steps.iter().find(|step| step["step"] == "cut").unwrap();
    assert_eq!(cut["position"].as_u64().unwrap() + cut["bytes"].as_u64().unwrap(), 57_800, "{plan}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 57_800);
}

#[test]
fn recover_without_dry_run_says_that_the_broker_does_it() {
    let dir = kafka();
    let output = run(&["recover"], &[dir.path().to_owned()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the broker recovers its logs when it starts"), "{output:?}");
}
