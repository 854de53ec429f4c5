//! The scenario `files-on-disk`: what the broker has on disk, before and after a restart, is read by both tools:
//! `kafka-dump-log` on all files of a partition, and `ottla log verify`. Against ottla that shows that Kafka reads its
//! segments, indexes and snapshots; against Kafka, that ottla reads those of Kafka.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::Tools;
use crate::command::run as run_command;

const TOPIC: &str = "files-on-disk";

/// What `kafka-dump-log` prints of files that contradict each other or themselves.
const COMPLAINTS: [&str; 8] = [
    "isvalid: false",
    "Mismatches in",
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "offset could not be found",
    "sanity check",
    "corrupt",
    "Exception",
];

/// Runs the scenario's halves.
pub(super) fn run(tools: &mut Tools, scenario: &str) -> Option<Result<()>> {
    Some(match scenario {
        "files-on-disk:before" => before(tools),
        "files-on-disk:after" => examine(tools),
        _ => return None,
    })
}

fn before(tools: &mut Tools) -> Result<()> {
    // The smallest segments that Kafka 4 allows, and enough records for three.
    tools.create(TOPIC, 1, &["segment.bytes=1048576", "index.interval.bytes=1000"])?;
    let load = ["--num-records", "5000", "--record-size", "500", "--throughput", "-1", "--topic", TOPIC];
    for codec in ["none", "lz4"] {
        let codec = format!("compression.type={codec}");
        tools.text("ProducerPerformance", &[&load[..], &["--command-property", &codec]].concat())?;
    }
    examine(tools)
}

fn examine(tools: &mut Tools) -> Result<()> {
    let told = tools.text("LogDirsCommand", &["--describe", "--topic-list", TOPIC])?;
    let folder = folder(&told).with_context(|| told.clone())?.join(format!("{TOPIC}-0"));
    verify(&tools.workshop.ottla()?, &folder)?;
    dump(tools, &folder)
}

/// The log directory that `kafka-log-dirs` tells of.
pub(super) fn folder(told: &str) -> Option<PathBuf> {
    let (_, rest) = told.split_once(r#""logDir":""#)?;
    rest.split('"').next().map(PathBuf::from)
}

/// `ottla log verify` of all records.
fn verify(ottla: &Path, folder: &Path) -> Result<()> {
    let told = run_command(Command::new(ottla).args(["log", "verify", "--records"]).arg(folder))?;
    ensure!(told.contains("10000 records") && told.contains("all is well"), "ottla log verify: {told}");
    Ok(())
}

/// `kafka-dump-log` of every file that it can read.
fn dump(tools: &mut Tools, folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.context("cannot list the partition's directory")?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["log", "index", "timeindex", "snapshot"].contains(&extension) {
            files.push(path.display().to_string());
        }
    }
    for extension in [".log", ".index", ".timeindex"] {
        let count = files.iter().filter(|file| file.ends_with(extension)).count();
        ensure!(count >= 3, "{count} files of {extension}: {files:?}");
    }
    ensure!(files.iter().any(|file| file.ends_with(".snapshot")), "no snapshot: {files:?}");
    files.sort();
    // This tool reads files and asks no broker.
    let arguments = ["--deep-iteration", "--files", &files.join(",")];
    let running = tools.host.begin("org.apache.kafka.tools.DumpLogSegments", &arguments, b"")?;
    let exchange = tools.host.end(&running)?;
    let told = exchange.told();
    exchange.ok().context("kafka-dump-log")?;
    for complaint in COMPLAINTS {
        let line = told.lines().find(|line| line.contains(complaint));
        ensure!(line.is_none(), "kafka-dump-log: {}", line.unwrap_or_default());
    }
    // Of a segment that does not begin at 0 it says that its first offset follows -1, whoever wrote it.
    let jump = told.lines().find(|line| line.contains(" is followed by ") && !line.trim().starts_with("-1 "));
    ensure!(jump.is_none(), "kafka-dump-log: {}", jump.unwrap_or_default());
    for part in ["isvalid: true", "compresscodec: lz4", "producerEpoch: 0"] {
        ensure!(told.contains(part), "kafka-dump-log does not print {part}: {told:.2000}");
    }
    Ok(())
}
